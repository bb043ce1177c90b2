package admin

import (
	"math"

	"github.com/sluice-mq/sluice/broker"
)

// cleaners has the beans of Kafka's LogCleaner, over all cleaners as there, and LogCleanerManager.
func (e *exposition) cleaners(s *broker.Stats) {
	var read, written, took, used, delay, dirty float64
	since := math.Inf(1)
	for i := range s.Cleaners {
		c := &s.Cleaners[i]
		read, written = read+float64(c.BytesRead), written+float64(c.BytesWritten)
		took, delay = max(took, c.Took.Seconds()), max(delay, c.MaxDelay.Seconds())
		used, dirty = max(used, c.BufferUtilization), max(dirty, c.MaxDirtyRatio)
		since = min(since, float64(c.SinceLook.Milliseconds()))
	}
	const p = "kafka_log_logcleaner_"
	e.gauge(p+"cleaner_recopy_percent", "Bytes written of bytes read in each cleaner's last round.", math.Trunc(100*written/max(read, 1)))
	e.gauge(p+"max_clean_time_secs", "Longest of the cleaners' last rounds.", math.Trunc(took))
	e.gauge(p+"max_buffer_utilization_percent", "How full the map of keys was in the last round, at the most.", math.Trunc(100*used))
	e.gauge(p+"max_compaction_delay_secs", "By how much max.compaction.lag.ms is exceeded at the most.", math.Trunc(delay))
	e.gauge(p+"deadthreadcount", "Cleaners that have ended; always 0.", 0)
	const m = "kafka_log_logcleanermanager_"
	e.gauge(m+"max_dirty_percent", "Share of bytes that are not compacted in the dirtiest log.", math.Trunc(100*dirty))
	if len(s.Cleaners) > 0 {
		e.gauge(m+"time_since_last_run_ms", "Time since a cleaner last looked for a log to compact.", since)
	}
	for i := range s.Cleaners {
		c := &s.Cleaners[i]
		l := []string{"logDirectory", c.Dir}
		e.gauge(m+"uncleanable_partitions_count", "Partitions whose compaction has failed.", float64(c.Uncleanable), l...)
		e.gauge(m+"uncleanable_bytes", "Bytes that are not compacted in them.", float64(c.UncleanableBytes), l...)
	}
}

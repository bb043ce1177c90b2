package broker

import (
	"cmp"
	"time"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
)

// logCompaction is what a topic's settings mean for its logs, nil if they are not compacted.
func logCompaction(c *config.TopicConfig) *logstore.Compaction {
	if !c.Compact {
		return nil
	}
	p := &logstore.Compaction{MinDirtyRatio: c.MinDirtyRatio, MinLag: c.MinCompactionLag, DeleteRetention: c.DeleteRetention}
	if c.MaxCompactionLag != config.Forever {
		p.MaxLag = c.MaxCompactionLag
	}
	return p
}

// logCleaner is what log.cleaner.* mean for each of the log directories, which share the memory and the limit.
func logCleaner(cfg *config.Broker) logstore.CleanerOptions {
	c := cfg.Cleaner
	o := logstore.CleanerOptions{Disabled: !c.Enable, BufferBytes: c.BufferBytes / int64(max(1, len(cfg.LogDirs))),
		LoadFactor: c.LoadFactor, Backoff: cmp.Or(c.Backoff, time.Millisecond)}
	if c.BytesPerSecond > 0 {
		o.Limit = logstore.NewIOLimit(c.BytesPerSecond)
	}
	return o
}

// CleanerStats describe the cleaner of one log directory.
type CleanerStats struct {
	Dir string
	logstore.CleanerStats
}

func (b *Broker) cleanerStats() (list []CleanerStats) {
	for _, d := range b.dirs {
		list = append(list, CleanerStats{d.Path(), d.CleanerStats()})
	}
	return list
}

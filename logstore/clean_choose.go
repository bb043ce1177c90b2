package logstore

import (
	"math"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// dirtyLog is a log that may be compacted, as it was when it was looked at.
type dirtyLog struct {
	l      *Log
	policy Compaction
	list   []*segment // the first is the log's first; the last is not active
	from   int64      // first dirty offset
	to     int64      // base of the first segment that may not be compacted

	cleanBytes, dirtyBytes int64
	late                   time.Duration // by which max.compaction.lag.ms is exceeded; 0: it is not
}

func (x *dirtyLog) ratio() float64 {
	return float64(x.dirtyBytes) / float64(max(x.cleanBytes+x.dirtyBytes, 1))
}

// choose returns the log to compact next, nil if none is dirty enough (LogCleanerManager.grabFilthiestCompactedLog).
func (c *cleaner) choose(wall time.Time, mono time.Duration) (best *dirtyLog) {
	var dirtiest float64
	var delay time.Duration
	for _, l := range c.d.Logs() {
		x := l.dirtiness(wall)
		if x == nil || l.cleaning.uncleanable.Load() {
			continue
		}
		dirtiest, delay = max(dirtiest, x.ratio()), max(delay, x.late)
		due := x.late > 0 && x.dirtyBytes > 0 || x.ratio() > x.policy.MinDirtyRatio
		if due && (best == nil || x.ratio() > best.ratio()) {
			best = x
		}
	}
	c.mu.Lock()
	c.stats.MaxDirtyRatio, c.stats.MaxDelay, c.stats.look = dirtiest, delay, mono
	c.mu.Unlock()
	return best
}

// dirtiness is nil when there is nothing to compact.
func (l *Log) dirtiness(wall time.Time) *dirtyLog {
	p := l.cleaning.policy.Load()
	if p == nil || l.closed.Load() || l.Err() != nil {
		return nil
	}
	x := &dirtyLog{l: l, policy: *p, list: l.segs.Load().s}
	active := len(x.list) - 1
	x.from = l.firstDirty()
	// No further than what may be read by anybody, and what is on the device: a newer record that a power cut takes
	// must not have cost an older one that was safe.
	bound := min(l.LastStableOffset(), l.d.highWatermark(l), l.recoveryPoint.Load(), x.list[active].base)
	if x.list[active].base > bound && l.recoveryPoint.Load() == bound {
		l.d.flusher.add(l)
	}
	dirty := (&segList{x.list}).find(x.from)
	last := (&segList{x.list}).find(bound) // the first segment that may not be compacted
	for i := dirty; i < last && p.MinLag > 0; i++ {
		if x.list[i].newest() > wall.Add(-p.MinLag).UnixMilli() {
			last = i
		}
	}
	x.to = x.list[last].base
	if x.from >= x.to {
		return nil
	}
	x.list = x.list[:last]
	for _, s := range x.list {
		if s.base < x.from {
			x.cleanBytes += s.size.Load()
		}
	}
	oldest := int64(math.MaxInt64)
	for _, s := range x.list[dirty:] {
		x.dirtyBytes += s.size.Load()
		if p.MaxLag > 0 {
			if t := s.firstTimestamp(); t > 0 {
				oldest = min(oldest, t)
			}
		}
	}
	if until := wall.Add(-p.MaxLag).UnixMilli(); p.MaxLag > 0 && oldest < until {
		x.late = time.Duration(until-oldest) * time.Millisecond
	}
	if x.cleanBytes+x.dirtyBytes == 0 {
		return nil
	}
	return x
}

// firstDirty is where the last round ended, unless the log begins above that or has lost what was there
// (LogCleanerManager.cleanableOffsets).
func (l *Log) firstDirty() int64 {
	start, dirty := l.start.Load(), l.cleaning.dirty.Load()
	if dirty < start || dirty > l.end.Load() {
		return start
	}
	return dirty
}

// firstTimestamp is the largest timestamp of the segment's first batch, negative if there is none. It may read it.
func (s *segment) firstTimestamp() int64 {
	if s.size.Load() == 0 || s.hold() != nil {
		return batch.NoTimestamp
	}
	defer s.Release()
	sc := getScratch()
	defer putScratch(sc)
	h, err := sc.headAt(s, 0, s.size.Load())
	if err != nil {
		return batch.NoTimestamp
	}
	return h.maxTime
}

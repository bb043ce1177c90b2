package logstore

import (
	"os"
	"time"
)

// Retention says which segments of a log are to be deleted. The zero value keeps everything.
type Retention struct {
	Delete bool  // cleanup.policy names delete; the others count only then
	Millis int64 // retention.ms: age of a segment's newest record above which it goes; negative: none
	Bytes  int64 // retention.bytes: size of the log below which no deletion takes it; negative: none
}

// firstRetention is when retention runs first, if its interval is longer (log.initial.task.delay.ms of Kafka): logs
// have got their settings by then.
const firstRetention = 30 * time.Second

// retain deletes what the logs' retention does not keep. It blocks for Trim.
func (d *Dir) retain() {
	wall, mono := d.opts.clock()
	byTime, news := d.guard.check(wall, mono)
	if news != "" {
		d.opts.Logger.Warn("retention by time: "+news, "dir", d.path, "wall_clock", wall)
	}
	for _, l := range d.Logs() {
		l.retain(d.highWatermark(l), wall.UnixMilli(), byTime)
	}
	d.Trim() // reports its own failure
}

// highWatermark is the bound of what may be deleted, and what replication-offset-checkpoint says.
func (d *Dir) highWatermark(l *Log) int64 {
	if f := d.opts.HighWatermark; f != nil {
		return f(l)
	}
	return l.StableEnd()
}

// retain moves the log's start above the segments that its retention does not keep; Trim removes them. now is in
// milliseconds; without byTime the age of segments does not count.
//
// If the active segment is among them, a new one is begun, unless something was appended since it was looked at:
// then it stays until the next time. A failed log stays as it is.
func (l *Log) retain(highWatermark, now int64, byTime bool) {
	l.mu.Lock()
	r, usable := l.settings.Retention, l.appendable() == nil
	l.mu.Unlock()
	if !usable || !r.Delete {
		return
	}
	if !byTime {
		r.Millis = -1
	}
	x := expiry{r: r, now: now, highWatermark: highWatermark, start: l.start.Load(), end: l.end.Load(), list: l.segs.Load().s}
	for _, s := range x.list {
		x.sizes = append(x.sizes, s.size.Load())
	}
	n, why := x.run()
	if n == 0 {
		return
	}
	start, rolled, err := l.startAfter(x.list, x.sizes, n)
	if err != nil {
		l.d.opts.Logger.Error("no new segment, the active one is kept", "log", l.name, "err", err)
	}
	if rolled {
		l.d.flusher.add(l)
		if f := l.d.opts.Listener.Rolled; f != nil {
			f(l, start)
		}
	}
	if n == len(x.list) && !rolled {
		n-- // the active one, which stays
	}
	if start > x.start {
		l.d.opts.Logger.Info("old segments are deleted", "log", l.name, "segments", n, "start", start, "why", why)
	}
}

// startAfter makes the log start behind the first n segments of list.
func (l *Log) startAfter(list []*segment, sizes []int64, n int) (start int64, rolled bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == len(list) {
		if n--; l.appendable() == nil && l.active == list[n] && l.active.size.Load() == sizes[n] {
			err = l.roll(l.end.Load())
			rolled = err == nil
		}
	}
	start = list[n].base
	if rolled {
		start = l.active.base
	}
	if start > l.start.Load() {
		l.start.Store(start)
	}
	return start, rolled, err
}

// expiry finds out how many of a log's oldest segments go. The rules are those of Kafka's
// UnifiedLog.deleteOldSegments: three reasons, one after the other, each of which goes from the oldest segment that
// is left to the first that it does not apply to. No segment goes that reaches above the high watermark, nor an
// empty active one.
type expiry struct {
	r             Retention
	now           int64
	highWatermark int64
	start, end    int64 // of the log
	list          []*segment
	sizes         []int64
}

func (x *expiry) run() (n int, why string) {
	for n < len(x.list) && x.mayGo(n) && n+1 < len(x.list) && x.list[n+1].base <= x.start {
		n, why = n+1, "below the log start"
	}
	if x.r.Bytes >= 0 {
		excess := -x.r.Bytes
		for _, size := range x.sizes[n:] {
			excess += size
		}
		for n < len(x.list) && x.mayGo(n) && excess >= x.sizes[n] {
			excess -= x.sizes[n]
			n, why = n+1, "retention.bytes"
		}
	}
	if x.r.Millis >= 0 {
		for n < len(x.list) && x.mayGo(n) && x.now-x.list[n].newest() > x.r.Millis {
			n, why = n+1, "retention.ms"
		}
	}
	return n, why
}

func (x *expiry) mayGo(i int) bool {
	if i+1 < len(x.list) {
		return x.list[i+1].base <= x.highWatermark
	}
	return x.sizes[i] > 0 && x.end <= x.highWatermark
}

// newest is the largest timestamp in the segment; if its records have none, when the file was last written.
func (s *segment) newest() int64 {
	if ts, _ := s.maxTimestamp(); ts >= 0 {
		return ts
	}
	info, err := os.Stat(s.stem + logSuffix)
	if err != nil {
		return 1<<63 - 1 // not known: keep it
	}
	return info.ModTime().UnixMilli()
}

package logstore

import (
	"cmp"
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Compaction is how a log with cleanup.policy=compact is compacted: of each key only the newest record stays, but for
// what lies above the cleanable part. The rules are those of Kafka's LogCleaner, LogCleanerManager and Cleaner.
type Compaction struct {
	MinDirtyRatio   float64       // min.cleanable.dirty.ratio: share of bytes that were not compacted above which it begins
	MinLag          time.Duration // min.compaction.lag.ms: a segment stays for so long after its newest record
	MaxLag          time.Duration // max.compaction.lag.ms: age of a segment's first batch from which on it must be compacted; 0: never
	DeleteRetention time.Duration // delete.retention.ms: how long tombstones and markers stay after they were met first
}

// CleanerOptions are the settings of a Dir's cleaner, the goroutine that compacts its logs, one at a time. Kafka has
// log.cleaner.threads of them, each of which takes logs of all directories; here every directory has one, and who
// opens several divides the memory among them.
type CleanerOptions struct {
	Disabled bool // log.cleaner.enable=false
	// BufferBytes is log.cleaner.dedupe.buffer.size, 128 MiB: the most that the map of keys takes, and only while a log
	// is being compacted. Every key takes 24 bytes; LoadFactor (log.cleaner.io.buffer.load.factor, 0.9) is how full it
	// may get. What does not fit is left to the next round.
	BufferBytes int64
	LoadFactor  float64
	Backoff     time.Duration // log.cleaner.backoff.ms, 15 s: pause when there is nothing to compact
	Limit       *IOLimit      // log.cleaner.io.max.bytes.per.second, shared by the Dirs; nil: none
}

const (
	defaultCleanerBuffer = 128 << 20
	defaultLoadFactor    = 0.9
	defaultCleanBackoff  = 15 * time.Second
)

func (o *CleanerOptions) withDefaults() {
	o.BufferBytes = cmp.Or(o.BufferBytes, defaultCleanerBuffer)
	o.LoadFactor = cmp.Or(o.LoadFactor, defaultLoadFactor)
	o.Backoff = cmp.Or(o.Backoff, defaultCleanBackoff)
}

// logCleaning is what a log knows of its compaction.
type logCleaning struct {
	policy      atomic.Pointer[Compaction] // nil: the log is not compacted
	uncleanable atomic.Bool                // an attempt has failed; not tried again before the next start
	// dirty is the first offset that is not compacted, as cleaner-offset-checkpoint has it; -1: it says nothing. A log
	// that it names may have gaps between its offsets.
	dirty atomic.Int64
	// gaps says that there may be some although the checkpoint does not name the log: it was not readable, or the
	// log is one of Kafka's own.
	gaps atomic.Bool

	busy sync.Mutex // held while the log is compacted

	mu     sync.Mutex // guards what follows
	ended  bool       // no compaction begins any more
	cancel context.CancelFunc
}

// mayHaveGaps tells whether offsets may be missing between batches, and within them.
func (l *Log) mayHaveGaps() bool { return l.cleaning.gaps.Load() || l.cleaning.dirty.Load() >= 0 }

// begin takes the log for a round; ok is false when it is not to be compacted any more. end gives it back.
func (x *logCleaning) begin(ctx context.Context) (_ context.Context, end func(), ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended || !x.busy.TryLock() { // the other is a truncation
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(ctx)
	x.cancel = cancel
	return ctx, func() {
		cancel()
		x.busy.Unlock()
	}, true
}

// stop ends the log's compaction for good, and blocks until a round that is under way has noticed.
func (x *logCleaning) stop() {
	x.mu.Lock()
	x.ended = true
	if x.cancel != nil {
		x.cancel()
	}
	x.mu.Unlock()
	x.await()
}

// await waits for a round that is under way.
func (x *logCleaning) await() {
	x.busy.Lock()
	defer x.busy.Unlock()
}

// pause ends a round that is under way, and keeps further ones away until resume is called.
func (x *logCleaning) pause() (resume func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel != nil {
		x.cancel()
	}
	x.busy.Lock()
	return x.busy.Unlock
}

// cut says that the log ends at end now. It tells whether the checkpoint claims more to be compacted than there is.
func (x *logCleaning) cut(end int64) bool {
	if x.dirty.Load() <= end {
		return false
	}
	x.dirty.Store(end)
	return true
}

// abort ends a round that is under way, without waiting.
func (x *logCleaning) abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel != nil {
		x.cancel()
	}
}

// configure sets the policy; nil ends a round that is under way.
func (x *logCleaning) configure(p *Compaction) {
	if p != nil {
		c := *p
		p = &c
	}
	x.policy.Store(p)
	if p == nil {
		x.abort()
	}
}

// cleaner is a Dir's goroutine for compaction. It looks at all logs, takes the one with the largest share of dirty
// bytes, compacts it, and looks again; when there is none it rests.
type cleaner struct {
	d      *Dir
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	guard  clockGuard

	mu    sync.Mutex
	stats CleanerStats
}

// CleanerStats describes a Dir's cleaner and its last round (metrics of Kafka's LogCleaner and LogCleanerManager).
type CleanerStats struct {
	BytesRead, BytesWritten int64         // of the last round, second pass
	Took                    time.Duration // by the last round
	BufferUtilization       float64       // how full the map of keys was in the last round, 0 to 1
	MaxDirtyRatio           float64       // of the dirtiest log, at the last look
	MaxDelay                time.Duration // by how much max.compaction.lag.ms was exceeded at the most, then
	SinceLook               time.Duration // time since the last look
	Uncleanable             int           // logs whose compaction has failed
	UncleanableBytes        int64         // in the segments that are not compacted because of that

	look time.Duration // on Dir.now
}

func startCleaner(d *Dir) *cleaner {
	c := newCleaner(d)
	if d.opts.Cleaner.Disabled {
		close(c.done)
	} else {
		go c.run()
	}
	return c
}

func newCleaner(d *Dir) *cleaner {
	c := &cleaner{d: d, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.stats.look = d.now()
	return c
}

// close ends a round that is under way and blocks until it has ended.
func (c *cleaner) close() {
	c.cancel()
	<-c.done
}

func (c *cleaner) run() {
	defer close(c.done)
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-rest.C:
		}
		for c.ctx.Err() == nil && c.round() {
		}
		rest.Reset(c.d.opts.Cleaner.Backoff)
	}
}

// round compacts the dirtiest log. It returns false when there was none, or that failed.
func (c *cleaner) round() bool {
	wall, mono := c.d.opts.clock()
	ok, news := c.guard.check(wall, mono)
	if news != "" {
		c.d.opts.Logger.Warn("compaction: "+news, "dir", c.d.path, "wall_clock", wall)
	}
	if !ok { // ages, by which tombstones go, are not known
		return false
	}
	x := c.choose(wall, mono)
	if x == nil {
		return false
	}
	ctx, end, ok := x.l.cleaning.begin(c.ctx)
	if !ok {
		return false
	}
	defer end()
	err := c.clean(ctx, x, wall)
	switch {
	case err == nil:
		return true
	case ctx.Err() != nil, x.l.closed.Load(), errors.Is(err, errNotNow):
		return false // nobody's fault: it was stopped, or the log has changed
	case isPassing(err):
		c.d.opts.Logger.Error("a log cannot be compacted for now", "log", x.l.name, "err", err)
		return false
	}
	x.l.cleaning.uncleanable.Store(true)
	c.d.opts.Logger.Error("compaction failed, the log is not compacted until the next start", "log", x.l.name, "err", err)
	c.d.suffer(err)
	return false
}

// errNotNow: the log has changed in a way that the round cannot go on with; the next one can.
var errNotNow = errors.New("log changed during its compaction")

// CleanerStats reads what the cleaner says of itself.
func (d *Dir) CleanerStats() CleanerStats {
	d.cleaner.mu.Lock()
	s := d.cleaner.stats
	d.cleaner.mu.Unlock()
	s.SinceLook = d.now() - s.look
	wall, _ := d.opts.clock()
	for _, l := range d.Logs() {
		if !l.cleaning.uncleanable.Load() {
			continue
		}
		s.Uncleanable++
		if x := l.dirtiness(wall); x != nil {
			s.UncleanableBytes += x.dirtyBytes
		}
	}
	return s
}

// removeIfThere removes a file that may be gone.
func removeIfThere(remove func(string) error, path string) error {
	if err := remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

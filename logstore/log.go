package logstore

import (
	"cmp"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/internal/invariants"
	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// Log is one partition's log.
//
// An append, under mu:
//
//	stamp base offset and epoch -> roll if due -> one pwrite -> index entry -> size -> tail -> end offset
//
// The end offset is stored last: a reader that sees it finds everything before it in place. Readers take the
// list of segments and the end as they are and hold the segments they return (see Read). A write that fails is
// undone by truncating the file to the batch before it. Unless there was just no space, the log then takes no more
// appends: whether the device kept its promises is not known (KAFKA-10778). See ioerror.go.
//
// A flush works on what lies below the end offset at its beginning and takes mu only to look at the state. One
// mutex around readers, appends and flushes was the alternative; it makes a consumer wait for the disk.
//
// Lock order: Dir.trimMu, flushMu, Dir.checkMu, Dir.mu, mu, epochs.mu; segment.openMu, fileCache.mu; the tail's, indexes',
// hints' and durable's mutexes are taken last and alone.
type Log struct {
	d         *Dir
	topic     string
	partition int32
	id        [16]byte
	name      string // topic-partition
	dir       string // path while the log lives
	internal  bool   // one of Kafka's own topics

	segs   atomic.Pointer[segList]
	start  atomic.Int64
	end    atomic.Int64
	closed atomic.Bool
	// dropping: files below the start were removed, and it is not known to be on the device that they are gone.
	dropping atomic.Bool
	lossy    atomic.Pointer[Damage] // nil while nothing is known to be lost; set under mu
	marked   atomic.Bool            // lossyFile says so
	tail     tail
	hints    hints
	epochs   epochs
	durable  durability
	pace     pace
	// cleaning is this log's compaction.
	cleaning logCleaning

	// flushMu is held while files are synced. It guards recoveryPoint's change and segment.flushed.
	flushMu       sync.Mutex
	recoveryPoint atomic.Int64
	queued        atomic.Bool // in the flusher's queue

	mu        sync.Mutex // guards what follows, and the order of appends
	active    *segment
	pinned    bool // appends have a hold on active
	failed    error
	settings  Settings
	producers producers
	unstable  unstable
}

// AppendInfo says which offsets a batch got. With Wait it must not be acknowledged before AwaitSync says that it is on
// the device.
type AppendInfo struct {
	Base, Last int64
	Wait       bool
	// Duplicate: the producer had sent the batch before, and nothing was appended. The offsets are those it got then,
	// and MaxTimestamp is what was stored.
	Duplicate    bool
	MaxTimestamp int64 // of a duplicate, in milliseconds
}

// Topic is the topic's name.
func (l *Log) Topic() string { return l.topic }

// Partition is the partition's number.
func (l *Log) Partition() int32 { return l.partition }

// TopicID is the topic's UUID from partition.metadata, zero when there is none (a directory of an old Kafka).
func (l *Log) TopicID() [16]byte { return l.id }

// Dir is the directory that has the log.
func (l *Log) Dir() *Dir { return l.d }

// Name is the name of the log's directory: "topic-partition".
func (l *Log) Name() string { return l.name }

// StartOffset is the first offset that may be read.
func (l *Log) StartOffset() int64 { return l.start.Load() }

// EndOffset is the offset the next record gets. All below it is written and readable.
func (l *Log) EndOffset() int64 { return l.end.Load() }

// RecoveryPoint is the offset below which everything is known to be on the device.
func (l *Log) RecoveryPoint() int64 { return l.recoveryPoint.Load() }

// Size is the sum of the segments' bytes.
func (l *Log) Size() int64 {
	var n int64
	for _, s := range l.segs.Load().s {
		n += s.size.Load()
	}
	return n
}

// Segments is the number of segments.
func (l *Log) Segments() int { return len(l.segs.Load().s) }

// Err is the error that made the log fail, nil while it takes appends.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Append writes b as the log's next batch and returns the offsets it got. The base offset and leaderEpoch are
// stamped into b in place. b must have been validated: its offsets are taken from its header. ref backs b's
// memory (nil: b is the caller's after the return); it may be retained, and then b must stay unchanged while
// that hold lasts.
//
// It blocks for one pwrite to the page cache. A leaderEpoch above the last one is first written to
// leader-epoch-checkpoint, with an fsync; call BeginEpoch beforehand where that would hurt.
//
// A batch with a producer id is held against what is known of that producer: see AppendInfo.Duplicate.
//
// ErrTooLarge, ErrEpoch (leaderEpoch is below the latest one), ErrOutOfOrderSequence, ErrProducerEpoch, ErrTransaction
// ErrRoll, ErrOpen and ErrNoSpace: nothing was written. ErrFailed: nothing was appended, now or ever again.
func (l *Log) Append(b batch.Batch, leaderEpoch int32, ref span.Ref) (AppendInfo, error) {
	o := &l.d.opts
	l.mu.Lock()
	hadFailed, base := l.failed != nil, l.active.base
	info, due, took, err := l.appendLocked(b, leaderEpoch, ref)
	failed := l.failed != nil && !hadFailed
	rolled, newBase := l.active.base != base, l.active.base
	l.mu.Unlock()

	if rolled {
		l.d.flusher.add(l)
		if o.Listener.Rolled != nil {
			o.Listener.Rolled(l, newBase)
		}
	}
	if due {
		l.beginSync(info.Wait)
	}
	if failed {
		l.reportFailure(err)
		l.d.suffer(err)
	}
	if err == nil && !info.Duplicate && o.Listener.Appended != nil {
		o.Listener.Appended(l, len(b))
	}
	if took > SlowWriteAfter {
		o.Listener.SlowWrite(l, len(b), took)
	}
	return info, err
}

func (l *Log) appendLocked(b batch.Batch, epoch int32, ref span.Ref) (info AppendInfo, due bool, took time.Duration, err error) {
	if err := l.appendable(); err != nil {
		return info, false, 0, err
	}
	if latest := l.epochs.latest(); epoch < latest {
		return info, false, 0, fmt.Errorf("%w: %s: %d, the log has seen %d", ErrEpoch, l.name, epoch, latest)
	}
	info.Base = l.end.Load()
	delta := b.LastOffsetDelta()
	info.Last = info.Base + int64(delta)
	if delta < 0 || info.Last+1 <= info.Base || int64(len(b)) > l.settings.SegmentBytes {
		return info, false, 0, fmt.Errorf("%w: %s: %d bytes, last offset delta %d", ErrTooLarge, l.name, len(b), delta)
	}
	var p *producer
	var m marker
	numbered := idempotent(b)
	if numbered {
		m = markerOf(b)
		var again *producerBatch
		if p, again, err = l.producers.check(b); err != nil {
			return info, false, 0, fmt.Errorf("%s: %w", l.name, err)
		}
		if again != nil {
			return AppendInfo{
				Base: again.last - int64(again.delta), Last: again.last, Duplicate: true, MaxTimestamp: again.maxTime,
				Wait: again.last >= l.durable.hold.Load(), // it was answered to nobody yet
			}, false, 0, nil
		}
	}
	if err := l.d.space.refuse(l); err != nil {
		return info, false, 0, err
	}
	b.SetBaseOffset(info.Base)
	b.SetLeaderEpoch(epoch)
	if invariants.Enabled {
		invariants.Check(b.CRCOK(), "append of a batch with a wrong checksum")
	}
	if epoch > l.epochs.latest() {
		if err := l.epochs.assign(l.dir, epoch, info.Base); err != nil {
			return info, false, 0, l.failOrRefuse(err)
		}
	}
	if err := l.prepare(b, info); err != nil {
		return info, false, 0, err
	}
	s := l.active
	if a, ok := l.producers.abortion(p, m, info.Base); ok {
		if err := s.addAborted(a); err != nil {
			return info, false, 0, l.fail(err)
		}
	}
	pos := s.size.Load()
	if took, err = l.write(s, b, pos); err != nil {
		return info, false, took, err
	}
	s.appended(pos, int64(len(b)), info.Last, b.MaxTimestamp(), l.settings.IndexIntervalBytes)
	l.tail.add(b, info.Last+1, s, pos, ref)
	l.noteDirty(s, pos+int64(len(b)), int64(len(b)))
	var began bool
	var done txnRange
	if numbered {
		began, done = l.producers.appended(p, b, m)
	}
	due = l.noteAppend(&info, len(b))
	l.noteTxn(began, done)
	l.end.Store(info.Last + 1)
	l.d.space.took(int64(len(b)))
	return info, due, took, nil
}

func (l *Log) appendable() error {
	if l.closed.Load() {
		return fmt.Errorf("%w: %s", ErrClosed, l.name)
	}
	return l.failed
}

// prepare rolls if that is due, has the file open, and makes room in the indexes' buffers, so that nothing can fail after the write.
func (l *Log) prepare(b batch.Batch, info AppendInfo) error {
	if l.rollDue(b, info) {
		if err := l.roll(info.Base); err != nil {
			if isDeviceError(err) || isPassing(err) {
				return l.failOrRefuse(err)
			}
			return fmt.Errorf("%w: %s: %w", ErrRoll, l.name, err)
		}
	}
	if err := l.pin(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrOpen, l.name, err)
	}
	if err := l.active.offsets.spillIfFull(); err != nil {
		return l.failOrRefuse(err)
	}
	if err := l.active.times.spillIfFull(); err != nil {
		return l.failOrRefuse(err)
	}
	return nil
}

// rollDue has the conditions of Kafka's LogSegment.shouldRoll.
func (l *Log) rollDue(b batch.Batch, info AppendInfo) bool {
	o, s := &l.settings, l.active
	size := s.size.Load()
	if size == 0 {
		return info.Last-s.base > maxRelative
	}
	return size+int64(len(b)) > o.SegmentBytes ||
		l.age(s, b.MaxTimestamp()) > o.SegmentMillis ||
		s.offsets.full(o.IndexMaxBytes, 0) || s.times.full(o.IndexMaxBytes, 1) ||
		info.Last-s.base > maxRelative
}

const maxRelative = 1<<31 - 1

// age is the segment's age in milliseconds by message time. Batches without timestamps make no segment old.
func (l *Log) age(s *segment, ts int64) int64 {
	if s.firstTime < 0 || ts < 0 {
		return 0
	}
	return ts - s.firstTime
}

// roll makes a new active segment that begins at base. The old one's last time entry is forced; writing its
// indexes out and syncing it are the flusher's.
func (l *Log) roll(base int64) error {
	s, err := createSegment(l, base)
	if err != nil {
		return err
	}
	l.producers.snapshot(base)
	l.active.indexTime()
	l.segs.Store(l.segs.Load().with(s))
	l.unpin()
	l.active, l.pinned = s, true
	return nil
}

// write puts b at pos of the segment's file. What a failed write left there is cut off again; then, if there was just
// no space for it, the log is as it was and goes on. All else fences it. The caller holds mu.
func (l *Log) write(s *segment, b []byte, pos int64) (took time.Duration, err error) {
	o := &l.d.opts
	var began time.Time
	if o.Listener.SlowWrite != nil {
		began = time.Now()
	}
	for done := 0; done < len(b) && err == nil; {
		var n int
		n, err = o.pwrite(s.file(), b[done:], pos+int64(done))
		if done += n; n == 0 && err == nil {
			err = errShortWrite
		}
	}
	if o.Listener.SlowWrite != nil {
		took = time.Since(began)
	}
	s.written()
	if err == nil {
		return took, nil
	}
	err = fmt.Errorf("write %d bytes to %s%s at %d: %w", len(b), s.stem, logSuffix, pos, err)
	if cut := sys.Truncate(s.file(), pos); cut != nil {
		return took, l.fail(fmt.Errorf("%w (and cutting it off: %w)", err, cut))
	}
	return took, l.failOrRefuse(err)
}

// fail makes err the reason why nothing is appended any more. The caller holds mu.
func (l *Log) fail(err error) error {
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %s: %w", ErrFailed, l.name, err)
	}
	return l.failed
}

func (l *Log) reportFailure(err error) {
	l.d.opts.Logger.Error("log failed, it takes no more appends", "log", l.name, "dir", l.d.path, "err", err)
	if f := l.d.opts.Listener.Failed; f != nil {
		f(l, err)
	}
}

// Configure gives the log settings of its own, from the next append on. Sizes that are zero are those of the Dir; the
// rest counts as it is.
func (l *Log) Configure(s Settings) {
	dir := l.d.opts.settings()
	s.SegmentBytes = min(cmp.Or(s.SegmentBytes, dir.SegmentBytes), math.MaxInt32)
	s.SegmentMillis = cmp.Or(s.SegmentMillis, dir.SegmentMillis)
	s.IndexIntervalBytes = cmp.Or(s.IndexIntervalBytes, dir.IndexIntervalBytes)
	s.IndexMaxBytes = cmp.Or(s.IndexMaxBytes, dir.IndexMaxBytes)
	if c := s.Compaction; c != nil && c.MaxLag > 0 {
		s.SegmentMillis = min(s.SegmentMillis, c.MaxLag.Milliseconds()) // LogConfig.maxSegmentMs
	}
	l.cleaning.configure(s.Compaction)
	l.mu.Lock()
	l.settings = s
	l.mu.Unlock()
	l.durable.every.Store(int64(s.Flush.Every))
	if s.Flush.Every > 0 {
		l.d.timed.Store(true)
	}
	if s.Flush.Wait && s.Flush.Records == 1 { // what was appended before is to be as safe
		l.beginSync(true)
	}
}

// BeginEpoch notes that leader epoch begins at the log end, unless it or a later one has begun. It blocks for an
// fsync of leader-epoch-checkpoint.
func (l *Log) BeginEpoch(epoch int32) error { return l.d.suffer(l.beginEpoch(epoch)) }

func (l *Log) beginEpoch(epoch int32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.appendable(); err != nil {
		return err
	}
	if epoch <= l.epochs.latest() {
		return nil
	}
	return l.epochs.assign(l.dir, epoch, l.end.Load())
}

// LeaderEpoch is the latest leader epoch the log has seen, -1 for none.
func (l *Log) LeaderEpoch() int32 { return l.epochs.latest() }

// EpochEnd returns the largest epoch not above epoch that the log knows, and the offset at which it ended: the
// start of the next one, or the log end (Kafka's LeaderEpochFileCache.endOffsetFor). ok is false when the log
// knows no such epoch.
func (l *Log) EpochEnd(epoch int32) (found int32, end int64, ok bool) {
	return l.epochs.endOf(epoch, l.end.Load())
}

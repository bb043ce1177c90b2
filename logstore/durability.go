package logstore

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Flush says when a log's records are brought to the device besides at rolls and clean stops. The zero value: the
// operating system decides.
type Flush struct {
	Records int64         // so many records that are not on the device begin a sync (flush.messages); 0: none do
	Bytes   int64         // so many bytes since the last one begin a sync; 0: none do
	Every   time.Duration // age of the last sync at which the next one begins (flush.ms); 0: none
	Wait    bool          // an append that begins one waits for it, see AppendInfo.Wait; else they go on in the background
}

// SyncWaiter waits for records to be on the device.
type SyncWaiter interface {
	// Synced is called once, from any goroutine and possibly from AwaitSync itself; it must not block. An error is
	// final: whether the records outlive a power cut will never be known.
	Synced(err error)
}

// durability is what a log knows of its way to the device.
//
// Three offsets, which fall by a truncation only: recoveryPoint <= synced <= end. Below synced the record bytes are on the
// device; below the recovery point also what recovery would otherwise make anew (indexes).
//
// hold is how far readers may go while appends wait: from the first append that waits on, nothing is shown, as in
// Kafka, whose high watermark moves after the flush. It is the end of time when none waits.
type durability struct {
	synced atomic.Int64
	hold   atomic.Int64
	every  atomic.Int64 // Flush.Every, for the background's look at all logs
	at     atomic.Int64 // when the last flush was, on Dir.now
	queued atomic.Bool  // in the committer's queue
	whole  atomic.Bool  // the flusher is to sync the active segment too
	named  atomic.Int64 // base of the newest segment whose name is on the device
	cuts   atomic.Int64 // truncations so far: what a sync that began before one has brought to the device is not known

	onStable atomic.Pointer[func()]

	// Guarded by Log.mu.
	asked    int64 // end of what was asked to be synced
	bytes    int64 // appended since
	lastWait int64 // base of the last batch that waits or waited

	mu    sync.Mutex // taken last; guards what follows
	waits []syncWait
	err   error // what later waiters are told at once
}

type syncWait struct {
	upTo int64
	w    SyncWaiter
}

// unheld is the hold when no append waits.
const unheld = math.MaxInt64

// init: below the recovery point everything is on the device.
func (x *durability) init(recoveryPoint, end int64) {
	x.synced.Store(recoveryPoint)
	x.hold.Store(unheld)
	x.named.Store(-1)
	x.asked, x.lastWait = end, -1
}

// StableEnd is the offset below which consumers may read as far as this log is concerned: EndOffset, or less while
// appends wait for the device. It falls by a truncation only.
func (l *Log) StableEnd() int64 {
	end := l.end.Load() // first: whoever waits has set the hold before moving the end
	return min(end, l.durable.hold.Load())
}

// OnStable has f called whenever StableEnd may have risen without an append, on a goroutine of the Dir. f must not
// block.
func (l *Log) OnStable(f func()) { l.durable.onStable.Store(&f) }

// AwaitSync has w told when everything below upTo is on the device. The append that ended there said Wait, so a sync
// is on its way.
func (l *Log) AwaitSync(upTo int64, w SyncWaiter) {
	x := &l.durable
	x.mu.Lock()
	err := x.err
	// What is synced but not shown yet is about to be: the commit that does so tells us.
	if err == nil && min(x.synced.Load(), l.StableEnd()) < upTo {
		x.waits = append(x.waits, syncWait{upTo, w})
		x.mu.Unlock()
		return
	}
	x.mu.Unlock()
	w.Synced(err)
}

// wake tells the waiters below upTo, or with an error all of them and all that will come. It returns buf, emptied.
func (x *durability) wake(upTo int64, err error, buf []SyncWaiter) []SyncWaiter {
	x.mu.Lock()
	if err != nil && x.err == nil {
		x.err = err
	}
	kept := x.waits[:0]
	for _, w := range x.waits {
		if err != nil || w.upTo <= upTo {
			buf = append(buf, w.w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(x.waits[len(kept):])
	x.waits = kept
	x.mu.Unlock()
	for i, w := range buf {
		w.Synced(err)
		buf[i] = nil
	}
	return buf[:0]
}

// noteAppend decides, before the end moves over a batch, whether it begins a sync. The caller holds mu.
func (l *Log) noteAppend(info *AppendInfo, size int) (due bool) {
	f, x := &l.settings.Flush, &l.durable
	x.bytes += int64(size)
	due = f.Records > 0 && info.Last+1-x.asked >= f.Records || f.Bytes > 0 && x.bytes >= f.Bytes
	if !due {
		return false
	}
	x.asked, x.bytes = info.Last+1, 0
	if f.Wait {
		info.Wait = true
		x.lastWait = info.Base
		if x.hold.Load() == unheld {
			x.hold.Store(info.Base)
		}
	}
	return true
}

// beginSync hands a log to who syncs it: the committer where somebody waits, else the flusher.
func (l *Log) beginSync(wait bool) {
	if wait {
		l.d.committer.add(l)
		return
	}
	l.durable.whole.Store(true)
	l.d.flusher.add(l)
}

// commit brings the record bytes below the end to the device: one fdatasync for each file that has any, which is
// one but for rolls. Names of new files follow. Only the committer calls it, in one goroutine for a log. waiters is
// scratch.
func (l *Log) commit(syncs *atomic.Int64, waiters []SyncWaiter) ([]SyncWaiter, error) {
	x := &l.durable
	cuts := x.cuts.Load()
	upTo := l.end.Load() // before the list, which then has every segment below it
	list := l.segs.Load()
	newest := x.named.Load()
	if from := x.synced.Load(); from < upTo {
		for _, s := range list.s[list.find(from):] {
			switch err := s.holdToSync(); {
			case errors.Is(err, errGone):
				continue // deleted meanwhile
			case err != nil:
				return waiters, err
			}
			syncs.Add(1)
			err := s.fdatasync()
			s.Release()
			if err != nil {
				return waiters, err
			}
		}
		if last := list.last().base; newest != last {
			if err := syncDir(l.dir); err != nil && !l.closed.Load() {
				return waiters, err
			}
			newest = last
		}
	}
	if l.closed.Load() {
		return x.wake(0, fmt.Errorf("%w: %s", ErrClosed, l.name), waiters), nil
	}
	if !l.settle(upTo, newest, cuts) {
		l.d.committer.add(l)
		return waiters, nil
	}
	return x.wake(upTo, nil, waiters), nil
}

// settle notes that record bytes below upTo are on the device, and the names up to the segment's at newest, and lets
// readers have them. false: the log was truncated since cuts was read, and nothing is known.
func (l *Log) settle(upTo, newest, cuts int64) bool {
	x := &l.durable
	l.mu.Lock()
	if x.cuts.Load() != cuts {
		l.mu.Unlock()
		return false
	}
	raise(&x.synced, upTo)
	x.named.Store(newest)
	held := x.hold.Load() != unheld
	switch {
	case !held:
	case x.lastWait < upTo:
		x.hold.Store(unheld)
	default:
		x.hold.Store(upTo)
	}
	if len(l.unstable.ended) > 0 {
		l.settleTxns()
	}
	l.mu.Unlock()
	l.raiseRecoveryPoint(upTo, cuts)
	if f := x.onStable.Load(); held && f != nil {
		(*f)()
	}
	return true
}

// raiseRecoveryPoint moves the recovery point along, unless a rolled segment's indexes are not synced yet or a flush
// is at it: nothing waits for this.
func (l *Log) raiseRecoveryPoint(upTo, cuts int64) {
	if !l.flushMu.TryLock() {
		return
	}
	defer l.flushMu.Unlock()
	if l.durable.cuts.Load() != cuts {
		return
	}
	list := l.segs.Load()
	for _, s := range list.s[list.find(l.recoveryPoint.Load()) : len(list.s)-1] {
		if !s.flushed {
			return
		}
	}
	raise(&l.recoveryPoint, upTo)
}

func raise(x *atomic.Int64, v int64) {
	for old := x.Load(); old < v && !x.CompareAndSwap(old, v); old = x.Load() {
	}
}

// flushDue flushes the logs whose last flush is older than their settings allow.
func (d *Dir) flushDue() {
	if !d.timed.Load() {
		return
	}
	now := int64(d.now())
	for _, l := range d.Logs() {
		every := l.durable.every.Load()
		if every > 0 && now-l.durable.at.Load() >= every && l.RecoveryPoint() < l.EndOffset() {
			l.flush(true) // reports its own failure
		}
	}
}

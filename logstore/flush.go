package logstore

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Flush blocks until everything below the end offset, as it is when Flush begins, is on the device. A failure is
// final: the log takes no more appends, and later calls do not make up for it.
func (l *Log) Flush() error { return l.flush(true) }

// flush syncs the segments that no append touches any more, and with active the last one too, in offset order,
// and moves the recovery point behind what was synced.
func (l *Log) flush(active bool) error {
	l.flushMu.Lock()
	began := time.Now()
	upTo, err := l.flushLocked(active)
	l.flushMu.Unlock()
	if active {
		l.durable.at.Store(int64(l.d.now()))
	}
	switch {
	case err != nil && l.closed.Load():
		return nil // deleted under us: there is nothing left to keep (KAFKA-19571)
	case err != nil && isPassing(err):
		// An index could not be written. The recovery point stays, and the same is tried again.
		l.d.flusher.postpone(l, active)
		return err
	case err != nil:
		l.mu.Lock()
		first, cause := l.failed == nil, err
		err = l.fail(err)
		l.mu.Unlock()
		if first {
			l.reportFailure(err)
		}
		l.d.suffer(cause)
		return err
	}
	if f := l.d.opts.Listener.Flushed; f != nil && upTo >= 0 {
		f(l, upTo, time.Since(began))
	}
	return nil
}

// flushLocked returns the new recovery point, -1 when there was nothing to do. The caller holds flushMu.
func (l *Log) flushLocked(active bool) (upTo int64, err error) {
	if err := l.flushable(); err != nil {
		return -1, err
	}
	if l.closed.Load() { // deleted, and its name may be another log's by now
		return -1, nil
	}
	return l.flushFiles(active)
}

// flushable is why nothing is synced any more, nil while it is. A lossy log's bytes are as good as before.
func (l *Log) flushable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil || l.lossy.Load() != nil {
		return l.d.Err()
	}
	return l.failed
}

func (l *Log) flushFiles(active bool) (upTo int64, err error) {
	// In this order: the list then holds every segment with offsets below end.
	end := l.end.Load()
	list := l.segs.Load().s
	upTo = -1
	snapped, err := l.writeSnapshots()
	if err != nil {
		return -1, err
	}
	for i, s := range list {
		sealed := i+1 < len(list)
		idle := end == l.recoveryPoint.Load() && s.indexed() && !s.rebuilt
		if s.flushed || !sealed && (!active || idle) {
			continue
		}
		switch err := s.holdToSync(); {
		case errors.Is(err, errGone):
			continue
		case err != nil:
			return -1, err
		}
		if sealed {
			l.unreserve(s)
		}
		err := s.sync()
		s.Release()
		if err != nil {
			return -1, err
		}
		s.rebuilt = false
		if upTo = end; sealed {
			s.flushed, upTo = true, list[i+1].base
		}
	}
	if upTo < 0 && !snapped {
		return -1, nil
	}
	// The names of new segments, indexes and snapshots. Before the recovery point moves past them.
	if err := syncDir(l.dir); err != nil {
		return -1, err
	}
	if upTo < 0 {
		return -1, nil
	}
	raise(&l.recoveryPoint, upTo)
	raise(&l.durable.synced, upTo)
	return upTo, nil
}

// housekeepingInterval is how often high watermarks are written (replica.high.watermark.checkpoint.interval.ms)
// and the memory of logs that nobody writes to is given back.
const housekeepingInterval = 5 * time.Second

// flusher is the one goroutine of a Dir for what must not be done between two appends: syncing rolled segments,
// checkpoints, retention, removing deleted logs. Its queue holds a log at most once, so it is bounded by their number. When
// the device is slower than the appenders, rolled segments wait in the page cache, which the kernel bounds.
type flusher struct {
	d    *Dir
	wake chan struct{} // capacity 1
	stop chan struct{}
	done chan struct{}

	mu        sync.Mutex
	logs      []*Log
	postponed map[*Log]bool // to be added again; true: their active segment is to be synced too
	remove    []removal
}

// removal is the directory of a deleted log.
type removal struct {
	path string
	s    []*segment // of a log that was in use
}

func startFlusher(d *Dir) *flusher {
	f := &flusher{d: d, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go f.run()
	return f
}

// add queues l for a flush of its rolled segments.
func (f *flusher) add(l *Log) {
	if l.queued.CompareAndSwap(false, true) {
		f.mu.Lock()
		f.logs = append(f.logs, l)
		f.mu.Unlock()
		f.signal()
	}
}

// postpone has l flushed again some seconds later.
func (f *flusher) postpone(l *Log, active bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.postponed == nil {
		f.postponed = map[*Log]bool{}
	}
	f.postponed[l] = f.postponed[l] || active
}

// resume adds what was postponed.
func (f *flusher) resume() {
	f.mu.Lock()
	again := f.postponed
	f.postponed = nil
	f.mu.Unlock()
	for l, active := range again {
		if active {
			l.durable.whole.Store(true)
		}
		f.add(l)
		if l.durable.hold.Load() != unheld {
			f.d.committer.add(l)
		}
	}
}

// addRemoval queues a directory for removal.
func (f *flusher) addRemoval(r removal) {
	f.mu.Lock()
	f.remove = append(f.remove, r)
	f.mu.Unlock()
	f.signal()
}

func (f *flusher) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *flusher) run() {
	defer close(f.done)
	housekeeping := time.NewTicker(housekeepingInterval)
	defer housekeeping.Stop()
	checkpoint := time.NewTicker(f.d.opts.CheckpointInterval)
	defer checkpoint.Stop()
	expire := time.NewTicker(f.d.opts.ProducerExpirationCheck)
	defer expire.Stop()
	retention := time.NewTimer(min(firstRetention, f.d.opts.RetentionInterval))
	defer retention.Stop()
	due := time.NewTicker(f.d.opts.FlushCheckInterval)
	defer due.Stop()
	for {
		select {
		case <-f.wake:
			f.drain(false)
		case <-housekeeping.C:
			f.resume()
			f.drain(false) // what readers had a hold on
			f.d.sweepTails()
			f.d.files.shrink()
			f.d.removeDue()
			f.d.writeCheckpoint(highWatermarkFile)
		case <-checkpoint.C:
			f.d.writeCheckpoint(recoveryPointFile)
			f.d.Trim() // reports its own failure
		case <-expire.C:
			f.d.expireProducers()
		case <-due.C:
			f.d.flushDue()
		case <-retention.C:
			f.d.retain()
			retention.Reset(f.d.opts.RetentionInterval)
		case <-f.stop:
			f.drain(true)
			return
		}
	}
}

// removalsAtOnce is how many deleted logs are removed before the flusher looks at its other duties: ten thousand take
// seconds. At a stop so many go at most; the next start removes the others.
const removalsAtOnce = 32

// drain does what is queued, but for removals beyond removalsAtOnce, which wake it again. The removal of logs that
// readers have holds on is left for later, unless it is the last time.
func (f *flusher) drain(last bool) {
	var held []removal
	for removed := 0; ; {
		f.mu.Lock()
		logs, remove := f.logs, f.remove[:min(len(f.remove), removalsAtOnce-removed)]
		f.logs, f.remove = nil, f.remove[len(remove):]
		left := len(f.remove) > 0
		f.mu.Unlock()
		if len(logs) == 0 && len(remove) == 0 {
			if left {
				f.signal()
			}
			break
		}
		removed += len(remove)
		for _, l := range logs {
			l.queued.Store(false)                // before the flush: a roll during it queues the log again
			l.flush(l.durable.whole.Swap(false)) // reports its own failure
		}
		for _, r := range remove {
			if !f.d.removeLog(r, last) {
				held = append(held, r)
			}
		}
	}
	f.mu.Lock()
	f.remove = append(f.remove, held...)
	f.mu.Unlock()
}

// removeLog removes a deleted log, unless a reader has a hold on it and there will be another time.
func (d *Dir) removeLog(r removal, last bool) bool {
	held := slices.ContainsFunc(r.s, (*segment).inUse)
	if held && !last {
		return false
	}
	if !held {
		d.shrinkAll(r.path)
	}
	d.removeAll(r.path)
	return true
}

// close waits until all that was queued is done.
func (f *flusher) close() {
	close(f.stop)
	<-f.done
}

package logstore

import (
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// TruncateTo takes the records at offset and above out of the log, for good: when it returns, no crash brings them back.
// A batch that holds offset goes as a whole, so the log may end below it. An offset at or above the end changes
// nothing; one below the start empties the log and lets it start there, as TruncateFullyAndStartAt does. It blocks for
// several fsyncs. The rules are those of Kafka's UnifiedLog.truncateTo.
//
// The caller has ended appends that wait (it is no leader any more): those that are registered are told ErrTruncated.
// Spans over what was cut stay safe: they send what was read, or end early; what is appended later goes to another
// file.
//
// ErrFailed and ErrClosed: nothing was done, or it ended in the middle, and the next start finishes it or undoes it.
func (l *Log) TruncateTo(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("%w: %s: truncation to %d", ErrOffsetOutOfRange, l.name, offset)
	}
	return l.truncate(func(x *truncation) error {
		switch start, end := l.start.Load(), l.end.Load(); {
		case offset >= end:
			return nil
		case offset < start:
			return x.wipe(offset)
		default:
			return x.to(offset)
		}
	})
}

// TruncateFullyAndStartAt takes all records out of the log, for good, and lets it start and end at offset. It blocks
// for several fsyncs. See TruncateTo for who may call it, and Kafka's UnifiedLog.truncateFullyAndStartAt.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	if offset < 0 {
		return fmt.Errorf("%w: %s: truncation to %d", ErrOffsetOutOfRange, l.name, offset)
	}
	return l.truncate(func(x *truncation) error { return x.wipe(offset) })
}

// truncation is one that is under way. trimMu and flushMu are held, so that nobody else removes or syncs files, moves
// the recovery point up or writes the start; mu from begin on, so that nothing is appended.
//
// Each step is on the device before the next: the recovery point, lest the cut look like damage; the later segments,
// newest first, lest a hole be left; the file that holds the cut; names, epochs, producers. FORMAT.md has the argument.
type truncation struct {
	l      *Log
	locked bool
}

func (l *Log) truncate(do func(x *truncation) error) error {
	defer l.cleaning.pause()()
	l.d.trimMu.Lock()
	defer l.d.trimMu.Unlock()
	l.flushMu.Lock()
	x := truncation{l: l}
	l.mu.Lock()
	err := l.appendable()
	l.mu.Unlock()
	if err != nil {
		l.flushMu.Unlock()
		return err
	}
	err = do(&x)
	failed := err
	if x.locked {
		if err != nil {
			err = l.fail(err)
		}
		l.mu.Unlock()
	}
	l.flushMu.Unlock()
	switch {
	case failed == nil:
		l.d.flusher.add(l) // the segment that was cut is to be synced with its indexes
		if l.cleaning.cut(l.end.Load()) {
			return l.d.writeCheckpoint(cleanerFile) // what is appended there next is not compacted
		}
		return nil
	case x.locked:
		l.reportFailure(failed)
	}
	l.d.suffer(failed)
	return err
}

// to cuts the log at offset, which is between its start and its end.
func (x *truncation) to(offset int64) error {
	l := x.l
	list := l.segs.Load()
	k := list.find(offset)
	pos, end, err := cutPosition(list.s[k], offset)
	if err != nil {
		return err
	}
	if end < l.start.Load() { // the start lies in the middle of the batch that goes
		return x.wipe(l.start.Load())
	}
	if err := x.lowerRecoveryPoint(end); err != nil {
		return err
	}
	keep := k + 1
	if pos == 0 {
		keep = k
	}
	x.begin(end)
	if pos > 0 {
		if err := list.s[k].hold(); err != nil { // before its name may go
			return err
		}
		defer list.s[k].Release()
	}
	kept := list.s[:keep:keep]
	if pos > 0 {
		l.segs.Store(&segList{kept})
	}
	for j := len(list.s) - 1; j > k; j-- {
		if err := x.remove(list.s[j]); err != nil {
			return err
		}
	}
	var s *segment
	if pos > 0 {
		if err := list.s[k].cut(pos, end); err != nil {
			return err
		}
		if s, err = createSegment(l, end); err != nil {
			return err
		}
	} else if s, err = x.replace(list.s[k]); err != nil {
		return err
	}
	return x.finish(append(kept, s))
}

// wipe empties the log and lets it start at offset. The start comes first: from then on a load drops what lies below
// it and begins anew there if nothing is left.
func (x *truncation) wipe(offset int64) error {
	l := x.l
	list := l.segs.Load()
	if err := x.lowerRecoveryPoint(min(offset, list.s[0].base)); err != nil {
		return err
	}
	if err := x.moveStart(offset); err != nil {
		return err
	}
	x.begin(offset)
	for j := len(list.s) - 1; j >= 0; j-- {
		if err := x.remove(list.s[j]); err != nil {
			return err
		}
	}
	s, err := createSegment(l, offset)
	if err != nil {
		return err
	}
	if err := l.epochs.cut(l.dir, -1); err != nil {
		return err
	}
	return x.finish([]*segment{s})
}

// moveStart makes offset the log's start, wherever it was, for good.
func (x *truncation) moveStart(offset int64) error {
	l := x.l
	old := l.start.Swap(offset)
	listed := l.dropping.Swap(true)
	err := l.d.writeCheckpoint(logStartFile)
	if err != nil {
		l.start.Store(old)
		l.dropping.Store(listed)
	}
	return err
}

// lowerRecoveryPoint: a log that ends below it would look damaged once it is torn there.
func (x *truncation) lowerRecoveryPoint(to int64) error {
	l := x.l
	l.recoveryPoint.Store(min(to, l.recoveryPoint.Load()))
	return l.d.writeCheckpoint(recoveryPointFile)
}

// begin locks appends out, and makes the log end at end for all who look from now on.
func (x *truncation) begin(end int64) {
	l := x.l
	l.mu.Lock()
	x.locked = true
	l.end.Store(end)
	l.durable.cut(end)
	l.hints.clear()
	l.unpin()
	x.l.unstable.ended = slices.DeleteFunc(l.unstable.ended, func(r txnRange) bool { return r.last >= end })
}

// remove takes the segment out of the directory, for good. Who holds it reads on.
func (x *truncation) remove(s *segment) error {
	if err := s.unlink(); err != nil {
		return err
	}
	if err := syncDir(x.l.dir); err != nil {
		return err
	}
	s.offsets.clear() // another segment may get the names
	s.times.clear()
	s.drop()
	return nil
}

// replace puts an empty file in the place of s, which goes as a whole, so that there is one of that name at any time.
func (x *truncation) replace(s *segment) (*segment, error) {
	path := s.stem + logSuffix
	if err := writeSynced(path+tmpSuffix, nil); err != nil {
		return nil, err
	}
	if err := sys.Rename(path+tmpSuffix, path); err != nil {
		return nil, err
	}
	if err := syncDir(x.l.dir); err != nil {
		return nil, err
	}
	s.offsets.clear()
	s.times.clear()
	s.drop()
	n, err := openSegment(x.l, s.base)
	if err != nil {
		return nil, err
	}
	return n, n.hold()
}

// finish makes list, whose last segment is empty and new, the log's, and brings the rest in line: epochs, snapshots,
// producers.
func (x *truncation) finish(list []*segment) error {
	l := x.l
	end := l.end.Load()
	l.pinned = true
	l.active = list[len(list)-1]
	l.segs.Store(&segList{list})
	l.tail.reset(l.active, end)
	if err := l.active.spill(); err != nil {
		return err
	}
	if err := l.epochs.cut(l.dir, end); err != nil {
		return err
	}
	if err := x.producers(list, end); err != nil {
		return err
	}
	l.settleTxns()
	for _, s := range list[max(0, len(list)-2):] {
		s.flushed, s.rebuilt = false, true // what was cut, and what has the name of another
	}
	if err := syncDir(l.dir); err != nil {
		return err
	}
	l.dropping.Store(false)
	return nil
}

// producers makes the table as it was at the new end.
func (x *truncation) producers(list []*segment, end int64) error {
	l := x.l
	names, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	load := loading{l: l, segs: list, live: true, markersFrom: math.MaxInt64}
	for _, e := range names {
		if offset, suffix, ok := parseSegmentFile(e.Name()); ok && suffix == snapshotSuffix {
			load.snapshots = append(load.snapshots, offset)
		}
	}
	l.producers.clear()
	l.producers.snapAt = 0
	return load.loadProducers(end, false)
}

// cutPosition is where in s the first batch begins that ends at or above offset, and where the log then ends.
func cutPosition(s *segment, offset int64) (pos, end int64, err error) {
	if err := s.hold(); err != nil {
		return 0, 0, err
	}
	defer s.Release()
	size := s.size.Load()
	sc := getScratch()
	defer putScratch(sc)
	if pos, err = sc.floor(s, offset-1-s.base, size); err != nil {
		return 0, 0, err
	}
	for end = s.base; pos < size; {
		h, err := sc.headAt(s, pos, size)
		if err != nil {
			return 0, 0, err
		}
		if h.last >= offset {
			break
		}
		pos, end = pos+h.size, h.last+1
	}
	return pos, end, nil
}

// cut ends the segment at pos, where a batch begins and offset end is due, and blocks until that is on the device.
// Nothing is appended to it any more. The caller has a hold.
func (s *segment) cut(pos, end int64) error {
	s.size.Store(pos)
	if err := sys.Truncate(s.file(), pos); err != nil {
		return &os.PathError{Op: "truncate", Path: s.stem + logSuffix, Err: err}
	}
	if err := s.fdatasync(); err != nil {
		return err
	}
	last, err := s.offsets.cut(func(e indexEntry) bool { return e.val < pos })
	if err != nil {
		return err
	}
	newest, err := s.times.cut(func(e indexEntry) bool { return e.val < end-s.base })
	if err != nil {
		return err
	}
	ts, off := batch.NoTimestamp, s.base
	if newest.key >= 0 {
		ts, off = newest.key, s.base+newest.val
	}
	sc := getScratch()
	defer putScratch(sc)
	for at := last.val; at < pos; { // the time index may not know of these yet
		h, err := sc.headAt(s, at, pos)
		if err != nil {
			return err
		}
		if h.maxTime > ts {
			ts, off = h.maxTime, h.last
		}
		at += h.size
	}
	s.maxMu.Lock()
	s.maxTime, s.maxTimeOff = ts, off
	s.maxMu.Unlock()
	s.indexTime()
	if err := s.cutTxns(end); err != nil {
		return err
	}
	return s.spill()
}

// cut drops the entries that keep refuses, which are the last ones, and returns the last that is left; its key is -1 if
// there is none. Whoever searches meanwhile may find one that is gone.
func (x *sparseIndex) cut(keep func(indexEntry) bool) (last indexEntry, err error) {
	if err := x.spill(); err != nil {
		return last, err
	}
	last.key = -1
	path := x.file()
	fd, err := sys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return last, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	b := make([]byte, x.entrySize)
	lo, hi := -1, x.count // entry lo is kept, entry hi is not
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if err := sys.PreadFull(fd, b, int64(mid*x.entrySize)); err != nil {
			return last, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if e := x.decode(b); keep(e) {
			lo, last = mid, e
		} else {
			hi = mid
		}
	}
	x.mu.Lock()
	x.stored = hi
	x.mu.Unlock()
	x.count, x.lastKey = hi, last.key
	if err := sys.Truncate(fd, int64(hi*x.entrySize)); err != nil {
		return last, &os.PathError{Op: "truncate", Path: path, Err: err}
	}
	return last, nil
}

// cut drops the epochs that began above end, and blocks until the file says so.
func (e *epochs) cut(dir string, end int64) error {
	e.mu.Lock()
	list := e.list
	e.mu.Unlock()
	kept := upTo(list, end)
	if len(kept) == len(list) {
		return nil
	}
	if err := writeEpochs(dir, kept); err != nil {
		return err
	}
	e.set(kept)
	return nil
}

// cut forgets what was known of the way to the device of records at end and above. The caller holds mu.
func (x *durability) cut(end int64) {
	x.cuts.Add(1)
	x.synced.Store(min(x.synced.Load(), end))
	x.named.Store(-1)
	x.asked, x.bytes = min(x.asked, end), 0
	x.mu.Lock()
	kept := x.waits[:0]
	var gone []SyncWaiter
	for _, w := range x.waits {
		if w.upTo <= end {
			kept = append(kept, w)
		} else {
			gone = append(gone, w.w)
		}
	}
	clear(x.waits[len(kept):])
	x.waits = kept
	x.mu.Unlock()
	x.lastWait = min(x.lastWait, end-1)
	if len(kept) == 0 {
		x.hold.Store(unheld)
	}
	for _, w := range gone {
		w.Synced(ErrTruncated)
	}
}

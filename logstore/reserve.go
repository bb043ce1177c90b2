package logstore

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/internal/sys"
)

// reservations are the blocks that a Dir's logs have behind the ends of their active segments (preallocate). The
// pacer reserves them, ahead of the appender; who syncs a rolled segment, or stops the log, gives back what is left.
//
// A file's size stays the bytes that were appended, so nobody who reads the file sees any of it.
//
// How much: as much again as the segment has, from reserveFrom on and up to reserveMost. So reserved space is never
// more than what was appended, and a log that takes little reserves nothing; in all no more than reserveTotal for a
// Dir, and one piece at most 1/reserveShare of what is free: the space counts as used, and is not to be what fills a
// disk. Where that says no, or the file system does, appends go on without.
type reservations struct {
	total atomic.Int64
	never atomic.Bool // the file system cannot
}

const (
	reserveFrom  = 1 << 20
	reserveMost  = 64 << 20
	reserveTotal = 1 << 30 // 16 logs at full speed
	reserveShare = 64
)

// reservation is a segment's share.
type reservation struct {
	mu      sync.Mutex
	upTo    int64 // the end of the blocks that were asked for, 0: none were
	counted int64 // its part of reservations.total
	ended   bool  // given back, and none are taken any more
	left    bool  // recovery has read the file, whose writer may have left some
}

// serve reserves what is due for l's active segment s and returns the size at which it is to be called again.
func (r *reservations) serve(l *Log, s *segment) (mark int64) {
	l.mu.Lock()
	wanted, most := l.settings.Preallocate, l.settings.SegmentBytes
	l.mu.Unlock()
	if !wanted || r.never.Load() {
		return unmarked
	}
	x := &s.reservation
	x.mu.Lock()
	defer x.mu.Unlock()
	size := s.size.Load()
	ahead := min(size, reserveMost)
	from := max(x.upTo, size)
	upTo := min(size+ahead, most)
	switch {
	case x.ended || max(size, x.upTo) >= most:
		return unmarked
	case size < reserveFrom:
		return reserveFrom
	case from-size >= ahead/2:
		return max(from-ahead/2, size+1)
	}
	r.count(x, from-size)
	if !r.allow(s, upTo-from) {
		return size + ahead // perhaps others have given back by then
	}
	switch err := l.d.opts.reserve(s.file(), from, upTo-from); {
	case errors.Is(err, sys.ErrNoReserve):
		r.never.Store(true)
		return unmarked
	case err != nil: // no space, most likely; a part that it took goes with the rest, see end
		return size + ahead
	}
	x.upTo = upTo
	r.count(x, upTo-size)
	return upTo - ahead/2
}

// count makes n the segment's part of the total.
func (r *reservations) count(x *reservation, n int64) {
	r.total.Add(n - x.counted)
	x.counted = n
}

// allow tells whether the Dir may have n more bytes.
func (r *reservations) allow(s *segment, n int64) bool {
	if r.total.Load()+n > reserveTotal {
		return false
	}
	space := &s.l.d.space
	return n <= (space.free.Load()-space.floor.Load())/reserveShare
}

// end gives back what is reserved behind the end of s, which nobody appends to any more, for good. It looks at the
// file and not at what we know: a process that was killed has left its reservations.
//
// An error is no loss: the space comes back with the deletion of the segment.
func (r *reservations) end(s *segment) error {
	x := &s.reservation
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	r.count(x, 0)
	size := s.size.Load()
	if x.upTo <= size {
		has, err := sys.Allocated(s.file())
		if err != nil || has < size+reserveFrom/2 {
			return err // metadata and delayed allocation make it inexact: less than half a piece is not worth a journal entry
		}
	}
	return sys.Unreserve(s.file(), size)
}

// forget is end for a segment whose file is about to be removed.
func (r *reservations) forget(s *segment) {
	x := &s.reservation
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	r.count(x, 0)
}

// unreserve ends the reservation of s, on which the caller has a hold, in the background or at the stop.
func (l *Log) unreserve(s *segment) {
	if err := l.d.pacer.reserve.end(s); err != nil && !l.closed.Load() {
		l.d.opts.Logger.Warn("reserved space was not given back", "log", l.name, "base", s.base, "err", err)
	}
}

// unreserveLast is for the active segment at the stop: if it may have a reservation, of ours or of a process that was
// killed. The others' files are not even opened.
func (l *Log) unreserveLast() {
	s := l.active
	s.reservation.mu.Lock()
	some := s.reservation.upTo > 0 || s.reservation.left
	s.reservation.mu.Unlock()
	if some && s.hold() == nil {
		l.unreserve(s)
		s.Release()
	}
}

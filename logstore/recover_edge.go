package logstore

import (
	"errors"
	"os"

	"github.com/sluice-mq/sluice/internal/sys"
)

// A segment that ends at the recovery point has all its records on the device, but perhaps not its indexes: the point got
// there while it was the active one, by a commit or a flush, and then it was rolled. What was written to the indexes
// since, the last time entry of the roll among it, may be torn or missing after a power cut. So they are looked at
// before they are believed, all of them and to the end; that is little beside reading the segment.

// atEdge tells whether segment i is such a one; first is the one that recovery begins with.
func (x *loading) atEdge(i, first int) bool {
	return !x.clean && !x.full && i == first-1 && x.segs[first].base == x.recoveryPoint
}

// indexesFinal tells whether all entries are in order and in range, and whether no record behind the last time entry has
// a larger timestamp. next is the base of the segment behind s.
func (s *segment) indexesFinal(next int64) (bool, error) {
	size := s.size.Load()
	ok, err := s.offsets.inOrder(func(last, e indexEntry) bool {
		return e.key > last.key && e.val > last.val && e.val < size && s.base+e.key < next
	})
	if err != nil || !ok {
		return false, err
	}
	ok, err = s.times.inOrder(func(last, e indexEntry) bool {
		return e.key > last.key && e.val >= last.val && s.base+e.val < next
	})
	if err != nil || !ok {
		return false, err
	}
	from, _, err := s.offsets.floor(s.maxTimeOff-s.base, false)
	if err != nil {
		return false, err
	}
	if err := s.hold(); err != nil {
		return false, err
	}
	defer s.Release()
	sc := getScratch()
	defer putScratch(sc)
	return sc.eachHead(s, from.val, size, func(h head) bool { return h.maxTime <= s.maxTime })
}

// eachHead calls f with the headers of the batches of s from pos up to size. ok is false when f has said so, or when
// what is there is no batch. The caller has a hold.
func (sc *scratch) eachHead(s *segment, pos, size int64, f func(head) bool) (ok bool, err error) {
	for pos < size {
		h, err := sc.headAt(s, pos, size)
		if errors.Is(err, ErrCorrupt) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if !f(h) {
			return false, nil
		}
		pos += h.size
	}
	return true, nil
}

// inOrder calls ok for each stored entry with the one before it, {-1, -1} for the first, until it says no.
func (x *sparseIndex) inOrder(ok func(last, e indexEntry) bool) (bool, error) {
	if x.stored == 0 {
		return true, nil
	}
	fd, err := sys.OpenFile(x.path, os.O_RDONLY, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: x.path, Err: err}
	}
	defer sys.CloseFile(fd)
	last := indexEntry{-1, -1}
	buf := make([]byte, min(x.stored, indexBlock)*x.entrySize)
	for done := 0; done < x.stored; {
		n := min(x.stored-done, indexBlock)
		b := buf[:n*x.entrySize]
		if err := sys.PreadFull(fd, b, int64(done)*int64(x.entrySize)); err != nil {
			return false, &os.PathError{Op: "read", Path: x.path, Err: err}
		}
		for ; len(b) > 0; b = b[x.entrySize:] {
			e := x.decode(b)
			if !ok(last, e) {
				return false, nil
			}
			last = e
		}
		done += n
	}
	return true, nil
}

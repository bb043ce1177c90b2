package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// indexWalk goes through an index beside the walk through its segment, so that neither is in memory as a whole.
type indexWalk struct {
	x    *indexFile
	file string
	kind Kind
	i    int
	cur  indexEntry // entry i
	more bool
	prev indexEntry
	add  func(Finding)
	err  error
	// live: somebody is writing the segment. unclean: somebody did, and crashed.
	live, unclean bool

	// later is an offset entry that names a later offset than its batch has: Kafka's followers write such, when they
	// append several batches at once. -1: none.
	later    int64
	laterPos int64
	// newest is the largest timestamp so far.
	newest int64
	bad    bool // something was found
}

// openIndexWalk returns nil when there is no such file.
func openIndexWalk(stem, suffix string, base int64, v *verifier, last bool) (*indexWalk, error) {
	o := v.o.ReadOptions
	o.Progress = nil
	x, err := openIndex(stem+suffix, base, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w := &indexWalk{x: x, file: filepath.Base(stem) + suffix, kind: KindIndex, i: -1, add: v.add, live: v.inUse && last, unclean: !v.clean && last, later: -1, newest: -1}
	w.prev = indexEntry{key: -1, val: -1}
	if suffix == timeIndexSuffix {
		w.kind = KindTimeIndex
	}
	w.next()
	return w, nil
}

func (w *indexWalk) close() {
	if w != nil {
		w.x.w.close()
	}
}

func (w *indexWalk) find(format string, args ...any) {
	w.bad = true
	offset := w.cur.key
	if w.kind == KindTimeIndex {
		offset = w.cur.val
	}
	w.add(Finding{Kind: w.kind, File: w.file, Pos: int64(w.i * w.x.kind.entrySize), Offset: w.x.base + offset,
		What: fmt.Sprintf(format, args...)})
}

// next goes to the next entry. Those that do not rise are reported and skipped; zeros end the index.
func (w *indexWalk) next() {
	if w.i >= 0 && w.more {
		w.prev = w.cur
	}
	for {
		w.i++
		if w.more = w.i < w.x.count && w.err == nil; !w.more {
			return
		}
		if w.cur, w.err = w.x.at(w.i); w.err != nil {
			w.more = false
			return
		}
		if w.cur == (indexEntry{}) {
			w.more = false
			w.zeros()
			return
		}
		if w.rises(w.prev, w.cur) {
			// One wrong entry must not make all that follow it look wrong.
			next, err := w.x.at(min(w.i+1, w.x.count-1))
			if err != nil || w.i+1 == w.x.count || next == (indexEntry{}) || w.rises(w.cur, next) || !w.rises(w.prev, next) {
				return
			}
			w.find("entry (%d, %d) before (%d, %d)", w.cur.key, w.cur.val, next.key, next.val)
			continue
		}
		w.find("entry (%d, %d) after (%d, %d)", w.cur.key, w.cur.val, w.prev.key, w.prev.val)
	}
}

// rises tells whether b may follow a. Of a time index only the timestamps have to rise.
func (w *indexWalk) rises(a, b indexEntry) bool {
	if b.key <= a.key || b.val < 0 {
		return false
	}
	return b.val > a.val || w.kind == KindTimeIndex && b.val == a.val
}

// zeros: an unused tail is what a crash leaves of Kafka's preallocated indexes, or one in use. Whatever else than
// zeros is in it is damage.
func (w *indexWalk) zeros() {
	if w.live {
		return
	}
	size := int64(w.x.kind.entrySize)
	from, end := int64(w.i)*size, int64(w.x.count)*size
	for pos := from; pos < end; pos += windowSize {
		b, err := w.x.w.view(pos, int(min(windowSize, end-pos)))
		if err != nil {
			w.err = err
			return
		}
		if len(bytes.TrimLeft(b, "\x00")) > 0 {
			w.find("entry of zeros, followed by others")
			return
		}
	}
	if !w.unclean {
		w.add(Finding{Kind: w.kind, Warning: true, File: w.file, Pos: from, Offset: -1,
			What: fmt.Sprintf("%d unused entries of zeros at the end, trimmed at the next start", (end-from)/size)})
	}
}

// batch compares an offset index with a batch; where tells whether it stands where it says.
func (w *indexWalk) batch(h head, where bool) {
	if w == nil {
		return
	}
	if w.later >= 0 && where && h.last >= w.later {
		warning := h.last == w.later
		w.add(Finding{Kind: w.kind, Warning: warning, File: w.file, Pos: w.laterPos, Offset: w.later,
			What: fmt.Sprintf("offset %d is not that of the batch at the entry's position%s", w.later,
				map[bool]string{true: ", but of a later one, as Kafka's followers write", false: ""}[warning])})
		w.later = -1
	}
	for ; w.more && w.cur.val <= h.pos; w.next() {
		switch offset := w.x.base + w.cur.key; {
		case w.cur.val < h.pos:
			w.find("position %d is not where a batch begins", w.cur.val)
		case !where || offset == h.last:
		case offset > h.last:
			w.later, w.laterPos = offset, int64(w.i*w.x.kind.entrySize)
		default:
			w.find("offset %d, the batch at position %d ends with %d", offset, h.pos, h.last)
		}
	}
}

// lost skips the entries that point into damage.
func (w *indexWalk) lost(end int64) {
	if w == nil {
		return
	}
	for w.more && w.cur.val < end {
		w.next()
	}
}

// end is told the end of the segment: entries behind it point nowhere, but for one that is being written.
func (w *indexWalk) end(size int64) {
	if w == nil {
		return
	}
	if w.later >= 0 && !w.live {
		w.add(Finding{Kind: w.kind, File: w.file, Pos: w.laterPos, Offset: w.later, What: fmt.Sprintf("offset %d is that of no batch", w.later)})
	}
	for ; w.more && !w.live; w.next() {
		w.find("position %d, the segment has %d bytes", w.cur.val, size)
	}
	w.odd()
}

// odd reports bytes at the end that are no entry.
func (w *indexWalk) odd() {
	if n := w.x.w.size % int64(w.x.kind.entrySize); n != 0 {
		w.add(Finding{Kind: w.kind, File: w.file, Pos: w.x.w.size - n, Offset: -1, What: fmt.Sprintf("%d bytes at the end are no entry", n)})
	}
}

// timed compares a time index with a batch. due is the offset from which on batches are known: entries between due
// and the batch belong to none.
func (w *indexWalk) timed(h head, due int64) {
	if w == nil {
		return
	}
	for ; w.more && w.x.base+w.cur.val <= h.last; w.next() {
		switch offset := w.x.base + w.cur.val; {
		case offset < h.base && offset >= due:
			w.find("offset %d is that of no batch", offset)
		case offset < h.base: // of a damaged batch
		case w.cur.key != h.maxTime:
			w.find("timestamp %d, the batch with offset %d has %d", w.cur.key, offset, h.maxTime)
		case w.cur.key < w.newest:
			w.find("timestamp %d, an earlier batch has %d", w.cur.key, w.newest)
		case offset != h.last: // Kafka named the record itself, before 3.6
			w.add(Finding{Kind: w.kind, Warning: true, File: w.file, Pos: int64(w.i * w.x.kind.entrySize), Offset: offset,
				What: fmt.Sprintf("offset %d is within a batch, which ends with %d", offset, h.last)})
		}
	}
	w.newest = max(w.newest, h.maxTime)
}

// timedEnd is told the end of the segment. sealed: the index has to hold the segment's largest timestamp, by which
// retention goes.
func (w *indexWalk) timedEnd(next int64, sealed, whole bool) {
	if w == nil {
		return
	}
	for ; w.more && !w.live && whole; w.next() {
		w.find("offset %d, the segment ends with %d", w.x.base+w.cur.val, next-1)
	}
	for w.more {
		w.next()
	}
	if sealed && whole && !w.bad && w.newest >= 0 && w.prev.key < w.newest {
		w.add(Finding{Kind: w.kind, Warning: true, File: w.file, Pos: w.x.w.size, Offset: -1,
			What: fmt.Sprintf("ends with timestamp %d, the segment's largest is %d", w.prev.key, w.newest)})
	}
	w.odd()
}

package logstore

import (
	"errors"
	"fmt"
	"os"

	"github.com/sluice-mq/sluice/internal/span"
)

// Read appends to dst spans over whole batches, from the one that contains offset from (or, in a gap, follows it)
// up to the last that ends below upper, max bytes at most; n is their sum. With minOne the first batch is returned
// whatever its size. Spans are memory where the tail has the bytes, else one file range per segment; each carries
// a hold that the caller releases.
//
// Nothing at or above upper is returned, nor above the log end. from equal to the end, or to upper, gives no spans
// and no error. ErrOffsetOutOfRange: from is below the start or above the end of the log. ErrCorrupt: a batch
// header on the way is damaged. ErrLossy: from is among the records that are known to be lost. An error of the device
// takes the directory offline, as Kafka's reads do.
//
// Read takes no lock that an appender holds over a system call, and allocates nothing but what dst needs to grow.
// It may block on the disk where headers or an index have to be read.
func (l *Log) Read(dst []span.Span, from, upper, max int64, minOne bool) (_ []span.Span, n int64, err error) {
	dst, n, _, err = l.ReadNext(dst, from, upper, max, minOne)
	return dst, n, err
}

// ReadNext is Read that also says up to where it came: next is above all offsets returned, little above them, and not
// above upper.
func (l *Log) ReadNext(dst []span.Span, from, upper, max int64, minOne bool) (_ []span.Span, n, next int64, err error) {
	if l.closed.Load() {
		return dst, 0, from, fmt.Errorf("%w: %s", ErrClosed, l.name)
	}
	end := l.end.Load()
	if x := l.lossy.Load(); x != nil {
		if upper, err = x.readable(l, from, upper); err != nil {
			return dst, 0, from, err
		}
	}
	if from < l.start.Load() || from > end {
		return dst, 0, from, fmt.Errorf("%w: %d, log has %d to %d", ErrOffsetOutOfRange, from, l.start.Load(), end)
	}
	upper = min(upper, end)
	if from >= upper {
		l.tail.caughtUp()
		return dst, 0, from, nil
	}
	dst, n, next, ok := l.tail.read(dst, from, upper, max, minOne)
	if ok {
		return dst, n, next, nil
	}
	sc := getScratch()
	defer putScratch(sc)
	r := reader{l: l, sc: sc, from: from, upper: upper, max: max, minOne: minOne, next: from}
	held := len(dst)
	dst, err = r.files(dst)
	if err != nil {
		for i := held; i < len(dst); i++ {
			dst[i].Release()
		}
		return dst[:held], 0, from, l.d.suffer(err)
	}
	return dst, r.n, r.next, nil
}

// reader is one Read that goes to the files.
type reader struct {
	l           *Log
	sc          *scratch
	from, upper int64
	max         int64
	minOne      bool
	n           int64 // bytes so far
	next        int64 // above the offsets so far
}

func (r *reader) files(dst []span.Span) ([]span.Span, error) {
	list := r.l.segs.Load()
	if r.from < list.s[0].base {
		return dst, r.l.gone(r.from) // deleted since the start was looked at
	}
	for i := list.find(r.from); i < len(list.s); i++ {
		seg := list.s[i]
		if seg.base >= r.upper {
			break
		}
		switch err := r.l.holdToRead(seg, r.from); {
		case err == nil:
		case r.n > 0: // what is there will do
			return dst, nil
		case r.l.segs.Load() != list: // replaced by compaction, or deleted
			return r.files(dst)
		default:
			return dst, err
		}
		var next *segment
		if i+1 < len(list.s) {
			next = list.s[i+1]
		}
		pos, end, more, err := r.segment(seg, next)
		if err != nil || end == pos {
			seg.Release()
		} else {
			dst = append(dst, span.File(seg.file(), pos, end-pos, seg))
			r.n += end - pos
		}
		if err != nil || !more {
			return dst, err
		}
	}
	return dst, nil
}

// segment finds the range of seg to return; more tells whether to go on with the next segment.
func (r *reader) segment(seg, next *segment) (pos, end int64, more bool, err error) {
	limit, more, err := r.limit(seg, next)
	if err != nil {
		return 0, 0, false, err
	}
	if r.n == 0 {
		if pos, err = r.start(seg, limit); err != nil {
			return 0, 0, false, err
		}
		r.near(seg, next, pos)
	}
	if room := r.max - r.n; limit-pos > room {
		end, off, first, err := r.fit(seg, pos, pos+max(room, 0), limit)
		if err != nil {
			return 0, 0, false, err
		}
		if end == pos && r.minOne && r.n == 0 {
			end, off = pos+first.size, first.last+1
		}
		r.l.hints.put(off, seg, end)
		r.next = off
		return pos, end, false, nil
	}
	r.next = r.upper
	if more {
		r.next = next.base
	}
	if !more && limit > pos {
		r.l.hints.put(r.upper, seg, limit)
	}
	return pos, limit, more, nil
}

// limit is the position in seg below which all offsets are below upper; more: so are all of seg.
func (r *reader) limit(seg, next *segment) (limit int64, more bool, err error) {
	if next != nil && r.upper >= next.base {
		return seg.size.Load(), true, nil
	}
	if s, pos := r.l.tail.boundary(r.upper); s == seg {
		return pos, false, nil
	} else if s != nil && s.base > seg.base {
		// The log was rolled after the list was loaded; upper is in a later segment.
		return seg.size.Load(), false, nil
	}
	if s, pos := r.l.hints.get(r.upper); s == seg {
		return pos, false, nil
	}
	// The size was published before the end offset, so it covers upper.
	size := seg.size.Load()
	pos, err := r.sc.floor(seg, r.upper-1-seg.base, size)
	if err != nil {
		return 0, false, r.l.readError(err)
	}
	limit, err = r.sc.seek(seg, pos, size, r.upper)
	return limit, false, err
}

// start is the position of the first batch of seg with offsets from or above.
func (r *reader) start(seg *segment, limit int64) (int64, error) {
	if r.from <= seg.base {
		return 0, nil
	}
	if s, pos := r.l.hints.get(r.from); s == seg && pos <= limit {
		return pos, nil
	}
	if s, pos := r.l.tail.start(r.from); s == seg && pos <= limit {
		return r.sc.seek(seg, pos, limit, r.from)
	}
	pos, err := r.sc.floor(seg, r.from-seg.base, limit)
	if err != nil {
		return 0, r.l.readError(err)
	}
	return r.sc.seek(seg, pos, limit, r.from)
}

// near turns the tail's memory on when the read begins close to the end.
func (r *reader) near(seg, next *segment, pos int64) {
	if next == nil && seg.size.Load()-pos <= nearBytes {
		r.l.tail.caughtUp()
	}
}

// fit finds the last batch boundary at or below bound: from the last index entry before it, walk the few headers
// that are left.
func (r *reader) fit(seg *segment, pos, bound, limit int64) (end, next int64, first head, err error) {
	e, _, err := seg.offsets.floor(bound, true)
	if err != nil {
		return 0, 0, head{}, r.l.readError(err)
	}
	from := pos
	if e.val > pos {
		at, _ := r.sc.located(seg, e, limit)
		from = max(pos, at)
	}
	return r.sc.wholeBelow(seg, from, bound, limit)
}

// holdToRead is hold for who looks for offset off.
func (l *Log) holdToRead(s *segment, off int64) error {
	err := s.hold()
	if errors.Is(err, errGone) {
		return l.gone(off)
	}
	return err
}

// gone is the error for a segment that was removed while it was looked for.
func (l *Log) gone(off int64) error {
	if l.closed.Load() {
		return fmt.Errorf("%w: %s", ErrClosed, l.name)
	}
	return fmt.Errorf("%w: %d was removed, log starts at %d", ErrOffsetOutOfRange, off, l.start.Load())
}

// readError tells a failing read from one that met a log being deleted, whose index files are gone.
func (l *Log) readError(err error) error {
	if os.IsNotExist(err) && l.closed.Load() {
		return fmt.Errorf("%w: %s", ErrClosed, l.name)
	}
	return err
}

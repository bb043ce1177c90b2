package logstore

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// OffsetForTime finds the first record, in offset order, whose timestamp is ts or later, in milliseconds, and
// returns its offset and timestamp. It goes through time index, offset index and headers to one batch, which it
// reads and, if need be, decompresses: it blocks. The rules are those of Kafka's
// UnifiedLog.fetchOffsetByTimestamp.
func (l *Log) OffsetForTime(ts int64) (offset, timestamp int64, found bool, err error) {
	offset, timestamp, found, err = l.findTime(ts, l.start.Load())
	return offset, timestamp, found, l.d.suffer(err)
}

// EarliestTimestamp is the first record of the log.
func (l *Log) EarliestTimestamp() (offset, timestamp int64, found bool, err error) {
	return l.OffsetForTime(math.MinInt64)
}

// MaxTimestamp finds the first record that has the largest timestamp of the log (ListOffsets -3, KIP-734).
// Records without a timestamp do not count. As in Kafka those below the log start do, while their segment is there.
func (l *Log) MaxTimestamp() (offset, timestamp int64, found bool, err error) {
	for {
		list := l.segs.Load()
		offset, timestamp, found, err = l.maxTimestamp(list.s)
		if !errors.Is(err, errGone) {
			return offset, timestamp, found, l.d.suffer(err)
		}
		if l.segs.Load() == list {
			return 0, 0, false, l.gone(list.s[0].base)
		}
	}
}

// maxTimestamp looks into the segments with the largest timestamps first. Batches that compaction has left without
// records keep theirs, so that a segment's may be of no record.
func (l *Log) maxTimestamp(list []*segment) (offset, timestamp int64, found bool, err error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *segment) int {
		ta, _ := a.maxTimestamp()
		tb, _ := b.maxTimestamp()
		return cmp.Compare(tb, ta)
	})
	for _, s := range list {
		ts, _ := s.maxTimestamp()
		if ts < 0 || found && ts < timestamp {
			break
		}
		o, t, ok, err := l.maxTimestampIn(s, ts)
		if err != nil {
			return 0, 0, false, err
		}
		if ok && (!found || t > timestamp || t == timestamp && o < offset) {
			offset, timestamp, found = o, t, true
		}
	}
	return offset, timestamp, found, nil
}

// maxTimestampIn finds the first record of s with the largest timestamp there; ts is that of its batches.
func (l *Log) maxTimestampIn(s *segment, ts int64) (offset, timestamp int64, found bool, err error) {
	if err := s.hold(); err != nil {
		return 0, 0, false, err
	}
	defer s.Release()
	end := l.end.Load()
	if offset, timestamp, found, err = l.findTimeIn(s, ts, s.base, end); found || err != nil {
		return offset, timestamp, found, err
	}
	sc := getScratch()
	defer putScratch(sc)
	newest := batch.NoTimestamp
	for pos, size := int64(0), s.size.Load(); pos < size; {
		h, err := sc.headAt(s, pos, size)
		if err != nil {
			return 0, 0, false, err
		}
		if batch.Batch(sc.buf[pos-sc.at:][:batch.HeaderSize]).Count() > 0 {
			newest = max(newest, h.maxTime)
		}
		pos += h.size
	}
	if newest < 0 {
		return 0, 0, false, nil
	}
	return l.findTimeIn(s, newest, s.base, end)
}

// findTime looks for the first record at or after offset from with timestamp ts or later.
func (l *Log) findTime(ts, from int64) (offset, timestamp int64, found bool, err error) {
	end := l.end.Load()
	list := l.segs.Load()
	for i := 0; i < len(list.s); i++ {
		s := list.s[i]
		if newest, _ := s.maxTimestamp(); newest < ts {
			continue
		}
		switch err := s.hold(); {
		case errors.Is(err, errGone):
			now := l.segs.Load()
			if now == list || l.closed.Load() {
				return 0, 0, false, l.gone(s.base)
			}
			// Deleted or replaced by compaction since the list was loaded.
			from, list, i = max(from, l.start.Load()), now, -1
			continue
		case err != nil:
			return 0, 0, false, err
		}
		offset, timestamp, found, err = l.findTimeIn(s, ts, from, end)
		s.Release()
		if found || err != nil {
			return offset, timestamp, found, err
		}
	}
	return 0, 0, false, nil
}

func (l *Log) findTimeIn(s *segment, ts, from, end int64) (offset, timestamp int64, found bool, err error) {
	// All records later than an entry's timestamp come after its offset, and none as late before the batch that
	// ends with it.
	t, _, err := s.times.floor(ts, false)
	if err != nil {
		return 0, 0, false, l.readError(err)
	}
	size := s.size.Load()
	sc := getScratch()
	defer putScratch(sc)
	pos, err := sc.floor(s, max(t.val, from-s.base), size)
	if err == nil && t.val > from-s.base && !sc.dates(s, t, pos, size) {
		pos, err = sc.floor(s, from-s.base, size) // the time index is damaged
	}
	if err != nil {
		return 0, 0, false, l.readError(err)
	}
	for pos < size {
		h, err := sc.headAt(s, pos, size)
		if err != nil {
			return 0, 0, false, err
		}
		if h.base >= end {
			break
		}
		if h.maxTime >= ts && h.last >= from {
			offset, timestamp, found, err = findTimeInBatch(s, h, ts, from)
			if found || err != nil {
				return offset, timestamp, found, err
			}
		}
		pos += h.size
	}
	return 0, 0, false, nil
}

// floor returns the position of a batch at or before the one that holds the relative offset rel, from the index.
func (s *scratch) floor(seg *segment, rel, limit int64) (pos int64, err error) {
	e, _, err := seg.offsets.floor(rel, false)
	if err != nil {
		return 0, err
	}
	pos, _ = s.located(seg, e, limit)
	return pos, nil
}

// dates tells whether the batch that a time entry names has its timestamp. It is at pos or later.
func (s *scratch) dates(seg *segment, t indexEntry, pos, limit int64) bool {
	pos, err := s.seek(seg, pos, limit, seg.base+t.val)
	if err != nil || pos == limit {
		return false
	}
	h, err := s.headAt(seg, pos, limit)
	return err == nil && h.maxTime == t.key
}

var walkers = sync.Pool{New: func() any { return new(batch.Walker) }}

func findTimeInBatch(s *segment, h head, ts, from int64) (offset, timestamp int64, found bool, err error) {
	b := batch.Batch(make([]byte, h.size))
	if err := sys.PreadFull(s.file(), b, h.pos); err != nil {
		return 0, 0, false, &os.PathError{Op: "read", Path: s.stem + logSuffix, Err: err}
	}
	w := walkers.Get().(*batch.Walker)
	defer walkers.Put(w)
	if err := w.Reset(b, 0); err != nil {
		return 0, 0, false, fmt.Errorf("%w: %w", corrupt(s, h.pos, "records"), err)
	}
	var r batch.Record
	for w.Next(&r) {
		timestamp = b.BaseTimestamp() + r.TimestampDelta
		if b.LogAppendTime() {
			timestamp = b.MaxTimestamp()
		}
		if offset = h.base + int64(r.OffsetDelta); timestamp >= ts && offset >= from {
			return offset, timestamp, true, nil
		}
	}
	if err := w.Err(); err != nil {
		return 0, 0, false, fmt.Errorf("%w: %w", corrupt(s, h.pos, "records"), err)
	}
	return 0, 0, false, nil
}

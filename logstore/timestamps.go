package logstore

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// OffsetForTime finds the first record, in offset order, whose timestamp is ts or later, in milliseconds, and
// returns its offset and timestamp. It goes through time index, offset index and headers to one batch, which it
// reads and, if need be, decompresses: it blocks. The rules are those of Kafka's
// UnifiedLog.fetchOffsetByTimestamp.
func (l *Log) OffsetForTime(ts int64) (offset, timestamp int64, found bool, err error) {
	return l.findTime(ts, l.start.Load(), l.segs.Load().s)
}

// EarliestTimestamp is the first record of the log.
func (l *Log) EarliestTimestamp() (offset, timestamp int64, found bool, err error) {
	return l.OffsetForTime(math.MinInt64)
}

// MaxTimestamp finds the first record that has the largest timestamp of the log (ListOffsets -3, KIP-734).
// Records without a timestamp do not count. As in Kafka those below the log start do, while their segment is there.
func (l *Log) MaxTimestamp() (offset, timestamp int64, found bool, err error) {
	list := l.segs.Load().s
	best, at := batch.NoTimestamp, -1
	for i, s := range list {
		if ts, _ := s.maxTimestamp(); ts > best {
			best, at = ts, i
		}
	}
	if at < 0 {
		return 0, 0, false, nil
	}
	return l.findTime(best, list[at].base, list[at:at+1])
}

// findTime looks for the first record at or after offset from with timestamp ts or later.
func (l *Log) findTime(ts, from int64, list []*segment) (offset, timestamp int64, found bool, err error) {
	end := l.end.Load()
	for _, s := range list {
		if newest, _ := s.maxTimestamp(); newest < ts {
			continue
		}
		switch err := s.hold(); {
		case errors.Is(err, errGone) && l.closed.Load():
			return 0, 0, false, l.gone(s.base)
		case errors.Is(err, errGone):
			from = max(from, l.start.Load()) // deleted since the list was loaded
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
	o, _, err := s.offsets.floor(max(t.val, from-s.base), false)
	if err != nil {
		return 0, 0, false, l.readError(err)
	}
	size := s.size.Load()
	sc := getScratch()
	defer putScratch(sc)
	for pos := o.val; pos < size; {
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

package logstore

import (
	"encoding/binary"
	"errors"
	"os"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// refillBytes is how much of the log before a snapshot is looked at for batches that it leaves out: more than five
// batches of 1 MiB, or of 16 KiB from 200 producers. It costs a read for each header that is 4 KiB or more from the
// last one.
const refillBytes = 16 << 20

// replay takes the batches of offsets from to end into the table as they lie there: the checks were made when they
// were appended. Only headers are read, and markers.
func (x *loading) replay(from, end int64) error {
	if from >= end {
		return nil
	}
	t := &x.l.producers
	list := x.segs[(&segList{x.segs}).find(from):]
	sc := getScratch()
	defer putScratch(sc)
	at, err := sc.floor(list[0], max(from-list[0].base, 0), list[0].size.Load())
	if err != nil {
		return err
	}
	return x.numbered(list, at, end, func(b batch.Batch, s *segment, h head) (err error) {
		if h.last < from {
			return nil
		}
		var m marker
		if b.IsControl() {
			if m, err = readMarker(s, h); err != nil || !m.ok {
				return err
			}
		}
		t.appended(t.byID[b.ProducerID()], b, m)
		return nil
	})
}

// refill finds batches that the table's producers appended before the snapshot at offset from, which holds only the
// last one of each. After a kill a client sends again all that was not answered, up to five batches; without the
// older ones the first would look out of order; Kafka, which knows only the last one then, refuses it. A clean stop needs
// none of it: it answers what it has appended.
func (x *loading) refill(from int64) error {
	t := &x.l.producers
	i := (&segList{x.segs}).find(from - 1)
	last, _, err := x.segs[i].offsets.floor(max(from-1-x.segs[i].base, 0), false)
	if err != nil {
		return err
	}
	bytes := last.val
	for bytes < refillBytes && i > 0 {
		i--
		bytes += x.segs[i].size.Load()
	}
	first, _, err := x.segs[i].offsets.floor(max(bytes-refillBytes, 0), true)
	if err != nil {
		return err
	}
	sc := getScratch()
	defer putScratch(sc)
	at, _ := sc.located(x.segs[i], first, x.segs[i].size.Load())
	return x.numbered(x.segs[i:], at, from, func(b batch.Batch, _ *segment, _ head) error {
		p := t.byID[b.ProducerID()]
		if p != nil && p.n > 0 && p.epoch == b.ProducerEpoch() && b.LastOffset() < p.newest().last && !b.IsControl() {
			p.pushBefore(batchOf(b))
		}
		return nil
	})
}

// numbered calls f for the batches of idempotent producers in list, from pos of its first segment on and below offset
// end. b is no more than the header, valid during the call. A damaged batch hides the rest of its segment.
func (x *loading) numbered(list []*segment, pos, end int64, f func(b batch.Batch, s *segment, h head) error) error {
	sc := getScratch()
	defer putScratch(sc)
	for _, s := range list {
		for size := s.size.Load(); pos < size; {
			h, err := sc.headAt(s, pos, size)
			if errors.Is(err, ErrCorrupt) {
				x.l.d.opts.Logger.Error("producers of the rest of a segment are not known", "log", x.l.name, "err", err)
				break
			}
			if err != nil {
				return err
			}
			if h.base >= end {
				return nil
			}
			b := batch.Batch(sc.buf[pos-sc.at:][:batch.HeaderSize])
			if idempotent(b) {
				if err := f(b, s, h); err != nil {
					return err
				}
			}
			pos += h.size
		}
		pos = 0
	}
	return nil
}

// marker is the end of a transaction, as its control record tells it.
type marker struct {
	ok          bool
	coordinator int32
	time        int64
}

// maxMarker is more than a control batch needs: 61 bytes of header, some 20 of one record.
const maxMarker = 1024

func readMarker(s *segment, h head) (m marker, err error) {
	if h.size > maxMarker {
		return m, nil
	}
	b := batch.Batch(make([]byte, h.size))
	if err := sys.PreadFull(s.fd, b, h.pos); err != nil {
		return m, &os.PathError{Op: "read", Path: s.stem + logSuffix, Err: err}
	}
	return parseMarker(b), nil
}

// parseMarker reads the record of a control batch: key int16 version, int16 type (0 abort, 1 commit); value int16
// version, int32 coordinator epoch. Compaction may have left none, and other types end no transaction: ok is false.
func parseMarker(b batch.Batch) (m marker) {
	w := walkers.Get().(*batch.Walker)
	defer walkers.Put(w)
	var r batch.Record
	if w.Reset(b, 0) != nil || !w.Next(&r) || len(r.Key) < 4 || len(r.Value) < 6 {
		return m
	}
	if kind := binary.BigEndian.Uint16(r.Key[2:]); kind > 1 {
		return m
	}
	return marker{true, int32(binary.BigEndian.Uint32(r.Value[2:])), b.BaseTimestamp() + r.TimestampDelta}
}

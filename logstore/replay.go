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
	txns := txnRebuild{x: x}
	if from >= end {
		return txns.close()
	}
	t := &x.l.producers
	list := x.segs[(&segList{x.segs}).find(from):]
	sc := getScratch()
	defer putScratch(sc)
	if err := list[0].hold(); err != nil {
		return err
	}
	at, err := sc.floor(list[0], max(from-list[0].base, 0), list[0].size.Load())
	list[0].Release()
	if err != nil {
		return err
	}
	err = x.numbered(list, at, end, func(b batch.Batch, s *segment, h head) (err error) {
		if h.last < from {
			return nil
		}
		p := t.byID[b.ProducerID()]
		var m marker
		if b.IsControl() {
			if m, err = readMarker(s, h); err != nil {
				return err
			}
		}
		if a, ok := t.abortion(p, m, h.base); ok {
			if err := txns.add(s, a); err != nil {
				return err
			}
		}
		t.appended(p, b, m)
		return nil
	})
	if err != nil {
		txns.abandon()
		return err
	}
	return txns.close()
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
	if err := x.segs[i].hold(); err != nil {
		return err
	}
	at, _ := sc.located(x.segs[i], first, x.segs[i].size.Load())
	x.segs[i].Release()
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
		if pos < s.size.Load() {
			if err := s.hold(); err != nil {
				return err
			}
			more, err := x.numberedIn(s, sc, pos, end, f)
			s.Release()
			if !more || err != nil {
				return err
			}
		}
		pos = 0
	}
	return nil
}

// numberedIn is numbered for one segment; more tells whether batches below end may follow it.
func (x *loading) numberedIn(s *segment, sc *scratch, pos, end int64, f func(b batch.Batch, s *segment, h head) error) (more bool, err error) {
	for size := s.size.Load(); pos < size; {
		h, err := sc.headAt(s, pos, size)
		if errors.Is(err, ErrCorrupt) {
			x.l.d.opts.Logger.Error("producers of the rest of a segment are not known", "log", x.l.name, "err", err)
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if h.base >= end {
			return false, nil
		}
		b := batch.Batch(sc.buf[pos-sc.at:][:batch.HeaderSize])
		if idempotent(b) {
			if err := f(b, s, h); err != nil {
				return false, err
			}
		}
		pos += h.size
	}
	return true, nil
}

// marker is the end of a transaction, as its control record tells it.
type marker struct {
	ok, commit  bool
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
	if err := sys.PreadFull(s.file(), b, h.pos); err != nil {
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
	kind := binary.BigEndian.Uint16(r.Key[2:])
	if kind > 1 {
		return m
	}
	return marker{true, kind == 1, int32(binary.BigEndian.Uint32(r.Value[2:])), b.BaseTimestamp() + r.TimestampDelta}
}

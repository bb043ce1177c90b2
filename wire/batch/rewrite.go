package batch

import (
	"encoding/binary"
	"math"
)

// Rewriter writes stored batches again with fewer records, or with a delete horizon, for compaction: as Kafka's
// MemoryRecords.filterTo does. Offsets, sequences, producer, leader epoch, codec and timestamp type stay; so does the
// last offset, whatever records are gone, because a producer's next sequence follows from it.
//
// The zero value is ready. Memory is used again; what is returned is good until the next call.
type Rewriter struct {
	records, out []byte
}

// Rewrite returns b with the records for which kept says so, of which there is at least one. w has walked over all of
// b. A horizon other than NoTimestamp becomes the batch's delete horizon (KIP-534): it takes the place of the base
// timestamp, and the records' deltas are counted from it. One that b has already stays.
func (rw *Rewriter) Rewrite(b Batch, w *Walker, kept []bool, horizon int64) Batch {
	out := header(rw.out, b)
	if horizon == NoTimestamp && b.HasDeleteHorizon() {
		horizon = b.BaseTimestamp()
	}
	base, newest, count := horizon, NoTimestamp, int32(0)
	records := rw.records[:0]
	var r Record
	w.rewind(b)
	for i := 0; w.Next(&r); i++ {
		if !kept[i] {
			continue
		}
		ts := b.BaseTimestamp() + r.TimestampDelta
		if b.LogAppendTime() {
			ts = b.MaxTimestamp()
		}
		if count == 0 && base == NoTimestamp {
			base = ts
		}
		newest = max(newest, ts)
		count++
		r.TimestampDelta = ts - base
		records = r.append(records)
	}
	if b.LogAppendTime() {
		newest = b.MaxTimestamp()
	}
	rw.records = records
	out = Compress(out, b.Codec(), records)
	if len(out) > math.MaxInt32 {
		panic("BUG: batch: larger than 2 GiB")
	}
	rw.out = out
	nb := Batch(out[:len(out):len(out)])
	if horizon != NoTimestamp {
		nb[OffsetAttributes+1] |= attrDeleteHorizon
	}
	nb.finish(count, base, newest)
	return nb
}

// Empty returns b without its records, which keeps the place of its offsets and sequences. It has the largest timestamp
// that b had, by which its producer expires.
func (rw *Rewriter) Empty(b Batch) Batch {
	rw.out = header(rw.out, b)
	nb := Batch(rw.out[:HeaderSize:HeaderSize])
	nb[OffsetAttributes+1] &^= attrCodec | attrDeleteHorizon
	nb.finish(0, NoTimestamp, b.MaxTimestamp())
	return nb
}

// header begins a batch in dst's memory with the header of b.
func header(dst []byte, b Batch) []byte { return append(dst[:0], b[:HeaderSize]...) }

// finish writes what depends on the records.
func (b Batch) finish(count int32, base, newest int64) {
	be := binary.BigEndian
	be.PutUint32(b[OffsetLength:], uint32(len(b)-LogOverhead))
	be.PutUint32(b[OffsetCount:], uint32(count))
	be.PutUint64(b[OffsetBaseTimestamp:], uint64(base))
	be.PutUint64(b[OffsetMaxTimestamp:], uint64(newest))
	b.fixCRC()
}

// rewind goes back to the first record of b, which w has walked over.
func (w *Walker) rewind(b Batch) {
	w.left, w.err = b.Count(), nil
	if w.rest = w.scratch; b.Codec() == None {
		w.rest = b.Payload()
	}
}

// append writes the record behind dst.
func (r *Record) append(dst []byte) []byte {
	size := 1 + varlongSize(r.TimestampDelta) + varintSize(r.OffsetDelta) + bytesSize(r.Key) + bytesSize(r.Value) +
		varintSize(r.HeaderCount) + len(r.headers)
	dst = appendVarint(dst, int32(size))
	dst = append(dst, byte(r.Attributes))
	dst = appendVarlong(dst, r.TimestampDelta)
	dst = appendVarint(dst, r.OffsetDelta)
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = appendVarint(dst, r.HeaderCount)
	return append(dst, r.headers...)
}

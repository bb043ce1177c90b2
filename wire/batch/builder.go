package batch

import (
	"encoding/binary"
	"math"
)

// Builder writes batches as a producer does:
//
//	bld.Reset(batch.None)
//	bld.SetProducer(id, epoch, sequence, false) // if it has one
//	bld.Append(nowMillis, key, value)
//	b := bld.Finish()
//
// The zero value is ready for records without compression. Memory is used again: in a steady state nothing
// is allocated.
type Builder struct {
	codec         Codec
	buf           []byte // room for the header, then the records
	out           []byte // the batch when it is compressed
	count         int32
	base, newest  int64
	producerID    int64
	producerEpoch int16
	sequence      int32
	attributes    byte
}

// Reset begins a batch with the codec, without a producer. What Finish returned is no longer good.
func (bd *Builder) Reset(c Codec) {
	if !c.Known() {
		panic("BUG: batch: unknown codec")
	}
	*bd = Builder{
		codec: c, buf: bd.buf, out: bd.out,
		producerID: NoProducerID, producerEpoch: NoProducerEpoch, sequence: NoSequence, attributes: byte(c),
	}
	if cap(bd.buf) < HeaderSize {
		bd.buf = make([]byte, HeaderSize, 4096)
	}
	bd.buf = bd.buf[:HeaderSize]
}

// SetProducer gives the batch an idempotent or transactional producer and the sequence number of its first
// record. Call it after Reset.
func (bd *Builder) SetProducer(id int64, epoch int16, sequence int32, transactional bool) {
	bd.producerID, bd.producerEpoch, bd.sequence = id, epoch, sequence
	if transactional {
		bd.attributes |= attrTransactional
	}
}

// Append adds a record; timestamp is in milliseconds. A nil key or value is null. All is copied.
func (bd *Builder) Append(timestamp int64, key, value []byte, headers ...Header) {
	if len(bd.buf) < HeaderSize {
		bd.Reset(None)
	}
	if bd.count == 0 {
		bd.base, bd.newest = timestamp, timestamp
	}
	bd.newest = max(bd.newest, timestamp)
	delta := timestamp - bd.base
	size := 1 + varlongSize(delta) + varintSize(bd.count) + bytesSize(key) + bytesSize(value) +
		varintSize(int32(len(headers)))
	for i := range headers {
		n := int32(len(headers[i].Key))
		size += varintSize(n) + int(n) + bytesSize(headers[i].Value)
	}
	dst := appendVarint(bd.buf, int32(size))
	dst = append(dst, 0)
	dst = appendVarlong(dst, delta)
	dst = appendVarint(dst, bd.count)
	dst = appendBytes(dst, key)
	dst = appendBytes(dst, value)
	dst = appendVarint(dst, int32(len(headers)))
	for i := range headers {
		dst = appendVarint(dst, int32(len(headers[i].Key)))
		dst = append(dst, headers[i].Key...)
		dst = appendBytes(dst, headers[i].Value)
	}
	bd.buf = dst
	bd.count++
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int32(len(b))) + len(b)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int32(len(b))), b...)
}

// Count is how many records were added since Reset.
func (bd *Builder) Count() int { return int(bd.count) }

// Size is the size of the batch so far, in bytes, before compression.
func (bd *Builder) Size() int { return max(len(bd.buf), HeaderSize) }

// Finish returns the batch, with base offset 0 and no leader epoch. It is good until the next Reset, and
// belongs to the caller until then. A batch above 2 GiB cannot be written.
func (bd *Builder) Finish() Batch {
	if len(bd.buf) < HeaderSize {
		bd.Reset(None)
	}
	b := bd.buf
	if bd.codec != None {
		if cap(bd.out) < HeaderSize {
			bd.out = make([]byte, HeaderSize, 4096)
		}
		bd.out = Compress(bd.out[:HeaderSize], bd.codec, bd.buf[HeaderSize:])
		b = bd.out
	}
	if len(b) > math.MaxInt32 {
		panic("BUG: batch: larger than 2 GiB")
	}
	bd.putHeader(b)
	return Batch(b[:len(b):len(b)])
}

func (bd *Builder) putHeader(b []byte) {
	be := binary.BigEndian
	be.PutUint64(b[OffsetBaseOffset:], 0)
	be.PutUint32(b[OffsetLength:], uint32(len(b)-LogOverhead))
	Batch(b).SetLeaderEpoch(NoLeaderEpoch)
	b[OffsetMagic] = Magic
	be.PutUint16(b[OffsetAttributes:], uint16(bd.attributes))
	be.PutUint32(b[OffsetLastOffsetDelta:], uint32(bd.count-1))
	be.PutUint64(b[OffsetBaseTimestamp:], uint64(bd.base))
	be.PutUint64(b[OffsetMaxTimestamp:], uint64(bd.newest))
	be.PutUint64(b[OffsetProducerID:], uint64(bd.producerID))
	be.PutUint16(b[OffsetProducerEpoch:], uint16(bd.producerEpoch))
	be.PutUint32(b[OffsetBaseSequence:], uint32(bd.sequence))
	be.PutUint32(b[OffsetCount:], uint32(bd.count))
	Batch(b).fixCRC()
}

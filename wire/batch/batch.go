package batch

import (
	"encoding/binary"
	"hash/crc32"
)

// Sizes and offsets of the header, in bytes from the start of the batch.
const (
	OffsetBaseOffset      = 0
	OffsetLength          = 8
	OffsetLeaderEpoch     = 12
	OffsetMagic           = 16
	OffsetCRC             = 17
	OffsetAttributes      = 21
	OffsetLastOffsetDelta = 23
	OffsetBaseTimestamp   = 27
	OffsetMaxTimestamp    = 35
	OffsetProducerID      = 43
	OffsetProducerEpoch   = 51
	OffsetBaseSequence    = 53
	OffsetCount           = 57

	// HeaderSize is where the records begin.
	HeaderSize = 61
	// LogOverhead is what precedes the bytes that the length field counts.
	LogOverhead = 12
	// MinSize is the least size of a batch of any format: overhead and the header of a format 0 message
	// (Kafka's LegacyRecord.RECORD_OVERHEAD_V0).
	MinSize = LogOverhead + minLegacyLength
	// Magic is the one record format spoken: 2.
	Magic = 2

	minLegacyLength = 14
)

// Attribute bits.
const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// Values that mean "not there".
const (
	// NoTimestamp is the timestamp of a batch or record that has none.
	NoTimestamp int64 = -1
	// NoProducerID is the producer id of a batch from a producer that is neither idempotent nor transactional.
	NoProducerID int64 = -1
	// NoProducerEpoch goes with NoProducerID.
	NoProducerEpoch int16 = -1
	// NoSequence is the base sequence of such a batch, and of control batches.
	NoSequence int32 = -1
	// NoLeaderEpoch is what clients put where the leader stamps its epoch.
	NoLeaderEpoch int32 = -1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is a view over exactly one record batch: its length field agrees with len, and its header is whole.
// Get one from First. The bytes belong to whoever gave them.
type Batch []byte

// BaseOffset is the offset of the first record; a client sends 0.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[OffsetBaseOffset:])) }

// Length is the length field: the size of the batch less LogOverhead.
func (b Batch) Length() int32 { return int32(binary.BigEndian.Uint32(b[OffsetLength:])) }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[OffsetLeaderEpoch:])) }

// Magic is the record format, 2 in every Batch that came from First.
func (b Batch) Magic() int8 { return int8(b[OffsetMagic]) }

// CRC is the stored checksum.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[OffsetCRC:]) }

// Attributes are the flag bits; Codec, LogAppendTime, IsTransactional and IsControl read them.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[OffsetAttributes:])) }

// LastOffsetDelta is the distance from the base offset to the last offset the batch covers.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[OffsetLastOffsetDelta:]))
}

// LastOffset is the last offset the batch covers.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// BaseTimestamp is what the records' timestamp deltas are relative to, in milliseconds.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[OffsetBaseTimestamp:])) }

// MaxTimestamp is the largest timestamp of the batch in milliseconds, as its header claims.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[OffsetMaxTimestamp:])) }

// ProducerID is the producer's id, or NoProducerID.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[OffsetProducerID:])) }

// ProducerEpoch is the producer's epoch, or NoProducerEpoch.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[OffsetProducerEpoch:])) }

// BaseSequence is the sequence number of the first record, or NoSequence.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[OffsetBaseSequence:])) }

// LastSequence is the sequence number of the last record: after 2147483647 comes 0. NoSequence if there is
// none.
func (b Batch) LastSequence() int32 {
	base, delta := b.BaseSequence(), b.LastOffsetDelta()
	if base == NoSequence {
		return NoSequence
	}
	return int32((uint32(base) + uint32(delta)) & 0x7fffffff)
}

// Count is the number of records, as the header claims.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[OffsetCount:])) }

// Codec is the compression of the records. Five to seven are not codecs: see Codec.Known.
func (b Batch) Codec() Codec { return Codec(b[OffsetAttributes+1] & attrCodec) }

// IsControl tells a batch of control records (transaction markers) from one of data.
func (b Batch) IsControl() bool { return b[OffsetAttributes+1]&attrControl != 0 }

// IsTransactional tells whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b[OffsetAttributes+1]&attrTransactional != 0 }

// LogAppendTime tells whether all records have MaxTimestamp for their timestamp, instead of their own.
func (b Batch) LogAppendTime() bool { return b[OffsetAttributes+1]&attrLogAppendTime != 0 }

// HasDeleteHorizon tells whether BaseTimestamp is the time from which tombstones and markers may go.
func (b Batch) HasDeleteHorizon() bool { return b[OffsetAttributes+1]&attrDeleteHorizon != 0 }

// Payload is what follows the header: the records, compressed if Codec says so.
func (b Batch) Payload() []byte { return b[HeaderSize:] }

// CRCOK recomputes the checksum over all bytes it covers.
func (b Batch) CRCOK() bool { return crc32.Checksum(b[OffsetAttributes:], castagnoli) == b.CRC() }

// SetBaseOffset stamps the base offset in place. It lies outside the checksum.
func (b Batch) SetBaseOffset(o int64) { binary.BigEndian.PutUint64(b[OffsetBaseOffset:], uint64(o)) }

// SetLeaderEpoch stamps the leader epoch in place. It lies outside the checksum.
func (b Batch) SetLeaderEpoch(e int32) { binary.BigEndian.PutUint32(b[OffsetLeaderEpoch:], uint32(e)) }

// SetMaxTimestamp writes the largest timestamp (milliseconds) and the timestamp type, and computes the
// checksum again. Nothing is written when both are so already: correct clients on a CreateTime topic cost
// nothing here. The checksum must have been right before.
func (b Batch) SetMaxTimestamp(ts int64, logAppend bool) {
	if b.MaxTimestamp() == ts && b.LogAppendTime() == logAppend {
		return
	}
	if logAppend {
		b[OffsetAttributes+1] |= attrLogAppendTime
	} else {
		b[OffsetAttributes+1] &^= attrLogAppendTime
	}
	binary.BigEndian.PutUint64(b[OffsetMaxTimestamp:], uint64(ts))
	b.fixCRC()
}

func (b Batch) fixCRC() {
	binary.BigEndian.PutUint32(b[OffsetCRC:], crc32.Checksum(b[OffsetAttributes:], castagnoli))
}

package batch

import (
	"encoding/binary"
	"errors"
)

// First cuts the first batch off records and returns it with what follows. Both are views.
//
// Errors, by the rules of Kafka's ByteBufferLogInputStream: ErrShort when the bytes end inside the batch
// (also when there are none), ErrCorrupt when length or format are impossible, ErrMagic when the format is 0
// or 1. The checksum is not looked at.
func First(records []byte) (b Batch, rest []byte, err error) {
	if len(records) < LogOverhead {
		return nil, records, ErrShort
	}
	n := int64(int32(binary.BigEndian.Uint32(records[OffsetLength:])))
	if n < minLegacyLength {
		return nil, records, ErrCorrupt
	}
	if len(records) <= OffsetMagic {
		return nil, records, ErrShort
	}
	magic, size := records[OffsetMagic], n+LogOverhead
	if magic > Magic || magic == Magic && size < HeaderSize {
		return nil, records, ErrCorrupt
	}
	if size > int64(len(records)) {
		return nil, records, ErrShort
	}
	if magic != Magic {
		return nil, records, ErrMagic
	}
	return Batch(records[:size:size]), records[size:], nil
}

// Single returns the one batch that a Produce request (version 3 and up) may have for a partition, by the
// rules of Kafka's ProduceRequest.validateRecords. Bytes after it that are not a whole batch are left out, as
// Kafka leaves them out.
//
// Errors: ErrInvalidRecord when there is no whole batch, more than one, or one of an older format; ErrCorrupt
// when a length or format is impossible.
func Single(records []byte) (Batch, error) {
	b, rest, err := First(records)
	switch {
	case errors.Is(err, ErrShort):
		return nil, invalid("there is no whole record batch for the partition")
	case errors.Is(err, ErrMagic):
		return nil, invalid("record batches must be of format 2")
	case err != nil:
		return nil, err
	}
	if len(rest) == 0 {
		return b, nil
	}
	switch _, _, err := First(rest); {
	case err == nil || errors.Is(err, ErrMagic):
		return nil, invalid("there is more than one record batch for the partition")
	case errors.Is(err, ErrCorrupt):
		return nil, err
	}
	return b, nil
}

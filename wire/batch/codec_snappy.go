package batch

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/klauspost/compress/s2"
)

// snappy-java's framing (SnappyOutputStream): a header of 16 bytes, then blocks, each an int32 length and
// snappy data. librdkafka and others write a bare block.
const (
	xerialBlock  = 32 << 10
	xerialHeader = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01" // magic, version 1, readable since 1
	xerialMagic  = "\x82SNAPPY\x00"

	// snappyRatio is above the most that snappy can expand: a copy of 3 bytes gives 64. A block that
	// announces more is lying, and is refused before memory is made for it.
	snappyRatio = 22
)

func compressSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialHeader...)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlock)]
		src = src[len(block):]
		at := len(dst)
		dst = slices.Grow(dst, 4+s2.MaxEncodedLen(len(block)))
		out := s2.EncodeSnappy(dst[at+4:cap(dst)], block)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(out)))[:at+4+len(out)]
	}
	return dst
}

func decompressSnappy(dst, src []byte, max int) ([]byte, error) {
	limit := len(dst) + max
	if !bytes.HasPrefix(src, []byte(xerialMagic)) {
		return snappyBlock(dst, src, limit)
	}
	for len(src) > 0 {
		// Streams may be joined, each with its header: read as a length, the magic is negative.
		if len(src) >= len(xerialHeader) && bytes.HasPrefix(src, []byte(xerialMagic)) {
			src = src[len(xerialHeader):]
			continue
		}
		if len(src) < 4 {
			return dst, badBlock(Snappy, ErrShort)
		}
		n := int64(int32(binary.BigEndian.Uint32(src)))
		if src = src[4:]; n < 0 || n > int64(len(src)) {
			return dst, badBlock(Snappy, ErrShort)
		}
		var err error
		if dst, err = snappyBlock(dst, src[:n], limit); err != nil {
			return dst, err
		}
		src = src[n:]
	}
	return dst, nil
}

// snappyBlock appends what a bare block holds, up to a length of limit in all.
func snappyBlock(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return dst, badBlock(Snappy, err)
	}
	if n > limit-len(dst) {
		return dst, ErrTooLarge
	}
	if n > snappyRatio*len(src) {
		return dst, badBlock(Snappy, s2.ErrCorrupt)
	}
	at := len(dst)
	dst = slices.Grow(dst, n)
	if _, err := s2.Decode(dst[at:at+n], src); err != nil {
		return dst, badBlock(Snappy, err)
	}
	return dst[:at+n], nil
}

package batch

import "encoding/binary"

// Varints of records are zig-zag: 0, -1, 1, -2 become 0, 1, 2, 3. They are read as Kafka's ByteUtils reads
// them: padding with zero groups is taken, an int has at most 5 bytes and a long 10, and bits beyond the 32
// or 64 are dropped.

// varint reads an int. n is 0 when src is cut short or the number too long.
func varint(src []byte) (v int32, n int) {
	if len(src) > 0 && src[0] < 0x80 {
		u := uint32(src[0])
		return int32(u>>1) ^ -int32(u&1), 1
	}
	var u uint32
	for i := 0; i < 5 && i < len(src); i++ {
		u |= uint32(src[i]&0x7f) << (7 * i)
		if src[i] < 0x80 {
			return int32(u>>1) ^ -int32(u&1), i + 1
		}
	}
	return 0, 0
}

// varlong reads a long. n is 0 when src is cut short or the number too long.
func varlong(src []byte) (v int64, n int) {
	var u uint64
	for i := 0; i < 10 && i < len(src); i++ {
		u |= uint64(src[i]&0x7f) << (7 * i)
		if src[i] < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

func appendVarint(dst []byte, v int32) []byte {
	return binary.AppendUvarint(dst, uint64(uint32(v)<<1^uint32(v>>31)))
}

func appendVarlong(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

func varlongSize(v int64) int {
	n := 1
	for u := uint64(v)<<1 ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

func varintSize(v int32) int { return varlongSize(int64(v)) }

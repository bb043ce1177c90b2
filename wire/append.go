package wire

import "encoding/binary"

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendUvarint(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

func uvarintSize(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

func appendString[S []byte | string](dst []byte, flexible bool, s S) []byte {
	if flexible {
		dst = appendUvarint(dst, uint32(len(s))+1)
	} else {
		dst = appendInt16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

func appendNull(dst []byte, flexible bool) []byte {
	if flexible {
		return append(dst, 0)
	}
	return appendInt16(dst, -1)
}

// appendText appends a nullable string of which null and empty are the same: it is written as null.
func appendText(dst []byte, flexible bool, s string) []byte {
	if s == "" {
		return appendNull(dst, flexible)
	}
	return appendString(dst, flexible, s)
}

func appendNullableString(dst []byte, flexible bool, s []byte) []byte {
	if s == nil {
		return appendNull(dst, flexible)
	}
	return appendString(dst, flexible, s)
}

// appendCount appends the count of an array, or the length of a byte field, which are written alike; -1 is
// null.
func appendCount(dst []byte, flexible bool, n int64) []byte {
	if flexible {
		return appendUvarint(dst, uint32(n+1))
	}
	return appendInt32(dst, int32(n))
}

// appendTopic appends a topic's name, or its id in versions that have ids.
func appendTopic(dst []byte, flexible, ids bool, name []byte, id *[16]byte) []byte {
	if ids {
		return append(dst, id[:]...)
	}
	return appendString(dst, flexible, name)
}

// appendTags appends an empty tag section in flexible versions.
func appendTags(dst []byte, flexible bool) []byte {
	if flexible {
		return append(dst, 0)
	}
	return dst
}

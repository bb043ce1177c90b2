package registry

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Kafka writes JSON with Jackson, from maps whose order is that of their hash codes: no spaces, and the keys of each
// kind of node always in the same order, which is that of the encoders in this package. Only where the keys are data
// (partitions, configuration) is Kafka's order left alone: here they are sorted. No reader depends on any of it.

// appendString appends s in quotes, escaped as Jackson does by default: quote, backslash, control characters, and what
// Java needs two characters for. What is no UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
				dst = fmt.Appendf(dst, `\u%04X\u%04X`, high, low)
			} else {
				dst = utf8.AppendRune(dst, r)
			}
			i += n
			continue
		}
		dst = appendASCII(dst, c)
		i++
	}
	return append(dst, '"')
}

func appendASCII(dst []byte, c byte) []byte {
	const hex = "0123456789ABCDEF"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	}
	if c < ' ' {
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return append(dst, c)
}

func appendInt(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }

// appendIDs appends a list of broker ids.
func appendIDs(dst []byte, ids []int32) []byte {
	dst = append(dst, '[')
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendInt(dst, int64(id))
	}
	return append(dst, ']')
}

// appendList appends the items in brackets, each by add.
func appendList[T any](dst []byte, items []T, add func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = add(dst, item)
	}
	return append(dst, ']')
}

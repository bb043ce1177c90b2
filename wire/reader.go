package wire

import (
	"encoding/binary"
	"errors"
)

const (
	// MaxElements bounds the elements of all arrays of one message together. Kafka has no such bound of its
	// own; 1,000,000 partitions in one request are far above what a cluster can hold.
	MaxElements = 1_000_000
	// MaxTags bounds the tagged fields of one section.
	MaxTags = 10_000
)

// Errors of the decoders.
var (
	// ErrShort says that the message ended inside a field, or that a length or count points past its end.
	ErrShort = errors.New("wire: message cut short")
	// ErrNull says that a field that may not be null is.
	ErrNull = errors.New("wire: null where none is allowed")
	// ErrLimit says that the message has more elements or tagged fields than MaxElements or MaxTags.
	ErrLimit = errors.New("wire: too many elements")
	// ErrVersion says that the codec does not know the version of the message.
	ErrVersion = errors.New("wire: unsupported version")
	// ErrKey says that no API has the key.
	ErrKey = errors.New("wire: unknown API key")
)

// reader takes fields off src. The first failure sticks and empties src; from then on every method returns
// zero. Read all fields, then ask err once.
type reader struct {
	src      []byte
	err      error
	flexible bool // compact lengths and tag sections
	elements int  // counted against MaxElements
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.src = nil
}

func (r *reader) int8() int8 {
	if len(r.src) < 1 {
		r.fail(ErrShort)
		return 0
	}
	v := int8(r.src[0])
	r.src = r.src[1:]
	return v
}

func (r *reader) int16() int16 {
	if len(r.src) < 2 {
		r.fail(ErrShort)
		return 0
	}
	v := int16(binary.BigEndian.Uint16(r.src))
	r.src = r.src[2:]
	return v
}

func (r *reader) int32() int32 {
	if len(r.src) < 4 {
		r.fail(ErrShort)
		return 0
	}
	v := int32(binary.BigEndian.Uint32(r.src))
	r.src = r.src[4:]
	return v
}

func (r *reader) int64() int64 {
	if len(r.src) < 8 {
		r.fail(ErrShort)
		return 0
	}
	v := int64(binary.BigEndian.Uint64(r.src))
	r.src = r.src[8:]
	return v
}

func (r *reader) uuid() (id [16]byte) {
	if len(r.src) < 16 {
		r.fail(ErrShort)
		return id
	}
	copy(id[:], r.src)
	r.src = r.src[16:]
	return id
}

// uvarint reads an unsigned varint of at most 5 bytes and 32 bits. Overlong forms (padding with zero groups)
// are taken, as Kafka takes them.
func (r *reader) uvarint() uint32 {
	var v uint64
	for i := 0; i < 5; i++ {
		if i >= len(r.src) {
			r.fail(ErrShort)
			return 0
		}
		c := r.src[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if v > 0xffffffff {
				break
			}
			r.src = r.src[i+1:]
			return uint32(v)
		}
	}
	r.fail(ErrShort)
	return 0
}

// span takes n bytes; the capacity of the view ends with it.
func (r *reader) span(n int64) []byte {
	if n < 0 || n > int64(len(r.src)) {
		r.fail(ErrShort)
		return nil
	}
	v := r.src[:n:n]
	r.src = r.src[n:]
	return v
}

// stringLen reads the length of a string: int16, or uvarint less one. Negative is null.
func (r *reader) stringLen() int64 {
	if r.flexible {
		return int64(r.uvarint()) - 1
	}
	return int64(r.int16())
}

// string reads a string that may not be null.
func (r *reader) string() []byte {
	n := r.stringLen()
	if n < 0 {
		r.fail(ErrNull)
		return nil
	}
	return r.span(n)
}

// nullableString reads a string; nil is null, an empty one is not nil.
func (r *reader) nullableString() []byte {
	if n := r.stringLen(); n >= 0 {
		return r.span(n)
	}
	return nil
}

// nullableBytes reads a byte field; nil is null, an empty one is not nil.
func (r *reader) nullableBytes() []byte {
	n := int64(-1)
	if r.flexible {
		n = int64(r.uvarint()) - 1
	} else {
		n = int64(r.int32())
	}
	if n < 0 {
		return nil
	}
	return r.span(n)
}

// nullableCount reads the count of an array whose elements take at least min bytes each; -1 is null. A count
// that the bytes left cannot hold fails here, before anything is made for it.
func (r *reader) nullableCount(min int) int {
	n := int64(-1)
	if r.flexible {
		n = int64(r.uvarint()) - 1
	} else {
		n = int64(r.int32())
	}
	if n < 0 {
		return -1
	}
	if n*int64(min) > int64(len(r.src)) {
		r.fail(ErrShort)
		return 0
	}
	if r.elements += int(n); r.elements > MaxElements {
		r.fail(ErrLimit)
		return 0
	}
	return int(n)
}

// count is nullableCount for an array that may not be null.
func (r *reader) count(min int) int {
	n := r.nullableCount(min)
	if n < 0 {
		r.fail(ErrNull)
		return 0
	}
	return n
}

// tagCount reads the number of fields in a tag section, 0 before flexible versions.
func (r *reader) tagCount() int {
	if !r.flexible {
		return 0
	}
	n := int64(r.uvarint())
	if n > MaxTags {
		r.fail(ErrLimit)
		return 0
	}
	if 2*n > int64(len(r.src)) { // a tag and a size at least
		r.fail(ErrShort)
		return 0
	}
	return int(n)
}

// tag reads one tagged field. Order and repetition are not checked: the last of a kind counts.
func (r *reader) tag() (key uint32, val []byte) {
	key = r.uvarint()
	return key, r.span(int64(r.uvarint()))
}

// skipTags reads a section of which no field is known.
func (r *reader) skipTags() {
	for n := r.tagCount(); n > 0 && r.err == nil; n-- {
		r.tag()
	}
}

// sub is a reader of a tagged field's value. What the value has beyond the known fields is ignored.
func (r *reader) sub(val []byte) reader {
	return reader{src: val, flexible: r.flexible, elements: r.elements, err: r.err}
}

// join takes back what came of a sub reader.
func (r *reader) join(s *reader) {
	r.elements = s.elements
	if s.err != nil {
		r.fail(s.err)
	}
}

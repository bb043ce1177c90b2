package zk

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// ErrDecode says that a message is shorter than what it announces, or not of the form it should have.
var ErrDecode = errors.New("zookeeper: malformed message")

// AppendInt appends an int: 4 bytes, big-endian, as all numbers of jute.
func AppendInt(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }

// AppendLong appends a long: 8 bytes.
func AppendLong(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// AppendBool appends a boolean: 1 byte.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendBuffer appends a length and the bytes; nil, unlike an empty slice, has length -1.
func AppendBuffer(dst, v []byte) []byte {
	if v == nil {
		return AppendInt(dst, -1)
	}
	return append(AppendInt(dst, int32(len(v))), v...)
}

// AppendString appends a length and the bytes.
func AppendString(dst []byte, v string) []byte {
	return append(AppendInt(dst, int32(len(v))), v...)
}

// AppendStrings appends a count and the strings; nil counts as none.
func AppendStrings(dst []byte, v []string) []byte {
	dst = AppendInt(dst, int32(len(v)))
	for _, s := range v {
		dst = AppendString(dst, s)
	}
	return dst
}

// Decoder reads jute from a slice. After the first error everything reads as zero, so that a record is read without
// looking at each field; Err tells at the end.
type Decoder struct {
	b        []byte
	failed   bool
	nullPath bool
}

// NewDecoder returns a decoder of b, which is only read, and not kept by what is decoded.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err is ErrDecode once something could not be read.
func (d *Decoder) Err() error {
	if d.failed {
		return ErrDecode
	}
	return nil
}

// NullPath tells whether a path, or a list of paths, was null. They read as empty; a server refuses most of them.
func (d *Decoder) NullPath() bool { return d.nullPath }

// Left is what was not read yet.
func (d *Decoder) Left() []byte { return d.b }

// take returns the next n bytes, nil if there are not as many.
func (d *Decoder) take(n int) []byte {
	if d.failed || n < 0 || n > len(d.b) {
		d.failed = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// Int reads 4 bytes.
func (d *Decoder) Int() int32 {
	if v := d.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v))
	}
	return 0
}

// Long reads 8 bytes.
func (d *Decoder) Long() int64 {
	if v := d.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

// Bool reads 1 byte; anything but 0 is true, as in Java.
func (d *Decoder) Bool() bool {
	v := d.take(1)
	return v != nil && v[0] != 0
}

// Buffer reads a buffer and returns a copy, nil for the length -1.
func (d *Decoder) Buffer() []byte {
	n := d.Int()
	if n == -1 {
		return nil
	}
	v := d.take(int(n))
	if v == nil {
		return nil
	}
	return append(make([]byte, 0, len(v)), v...)
}

// String reads a string; null is "". Bytes that are not UTF-8 become U+FFFD, as in Java.
func (d *Decoder) String() string {
	n := d.Int()
	if n == -1 {
		return ""
	}
	b := d.take(int(n))
	if !utf8.Valid(b) {
		return string([]rune(string(b)))
	}
	return string(b)
}

// atNull tells whether what comes next has the length of null.
func (d *Decoder) atNull() bool {
	return !d.failed && len(d.b) >= 4 && binary.BigEndian.Uint32(d.b) == math.MaxUint32
}

// path reads a string that is a path.
func (d *Decoder) path() string {
	d.nullPath = d.nullPath || d.atNull()
	return d.String()
}

// paths reads a vector of paths, nil if it has none.
func (d *Decoder) paths() []string {
	d.nullPath = d.nullPath || d.atNull()
	n := d.count(4)
	if n == 0 {
		return nil
	}
	v := make([]string, n)
	for i := range v {
		v[i] = d.path()
	}
	return v
}

// count reads the length of a vector whose items have at least size bytes each. Null is 0, and so is, as in Java, any
// other length below 0.
func (d *Decoder) count(size int) int {
	n := max(d.Int(), 0)
	if int64(n)*int64(size) > int64(len(d.b)) {
		d.failed = true
		return 0
	}
	return int(n)
}

// Strings reads a vector of strings, nil if it has none.
func (d *Decoder) Strings() []string {
	n := d.count(4)
	if n == 0 {
		return nil
	}
	v := make([]string, n)
	for i := range v {
		v[i] = d.String()
	}
	return v
}

package batch

// Record is one record of a batch. The byte slices are views into the batch, or into the Walker's memory if
// the batch is compressed, and are good until the Walker is reset.
//
//	varint  length of what follows
//	int8    attributes, unused
//	varlong timestamp, less the base timestamp
//	varint  offset, less the base offset
//	varint  length of the key, -1: null;    key
//	varint  length of the value, -1: null;  value
//	varint  count of headers, each: length of the name, name, length of the value (-1: null), value
type Record struct {
	Attributes     int8
	TimestampDelta int64 // milliseconds after the batch's BaseTimestamp
	OffsetDelta    int32
	Key            []byte // nil: null
	Value          []byte // nil: null
	HeaderCount    int32
	headers        []byte
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte // nil: null
}

// Headers yields the record's headers in order: `for k, v := range rec.Headers { … }`. A null value is nil.
func (r *Record) Headers(yield func(key, value []byte) bool) {
	f := fields{src: r.headers}
	for i := int32(0); i < r.HeaderCount; i++ {
		if k, v := f.bytes(), f.bytes(); f.bad || !yield(k, v) {
			return
		}
	}
}

// fields reads the parts of a record; a failure sticks.
type fields struct {
	src []byte
	bad bool
}

func (f *fields) varint() int32 {
	v, n := varint(f.src)
	if n == 0 {
		f.bad, f.src = true, nil
		return 0
	}
	f.src = f.src[n:]
	return v
}

func (f *fields) varlong() int64 {
	v, n := varlong(f.src)
	if n == 0 {
		f.bad, f.src = true, nil
		return 0
	}
	f.src = f.src[n:]
	return v
}

// bytes reads a length and as many bytes; nil if the length is negative.
func (f *fields) bytes() []byte {
	n := int64(f.varint())
	if n < 0 {
		return nil
	}
	if n > int64(len(f.src)) {
		f.bad, f.src = true, nil
		return nil
	}
	v := f.src[:n:n]
	f.src = f.src[n:]
	return v
}

// parse reads one record off src and returns what follows. It takes what Kafka's DefaultRecord takes.
func (r *Record) parse(src []byte) (rest []byte, ok bool) {
	size, n := varint(src)
	if n == 0 || size < 1 || int64(size) > int64(len(src)-n) {
		return nil, false
	}
	end := n + int(size)
	f := fields{src: src[n+1 : end]}
	r.Attributes = int8(src[n])
	r.TimestampDelta = f.varlong()
	r.OffsetDelta = f.varint()
	r.Key = f.bytes()
	r.Value = f.bytes()
	r.HeaderCount = f.varint()
	r.headers = f.src
	if r.HeaderCount < 0 || int64(r.HeaderCount) > int64(len(f.src)) {
		return nil, false
	}
	for i := int32(0); i < r.HeaderCount; i++ {
		if f.varintName(); f.bad {
			return nil, false
		}
		f.bytes()
	}
	return src[end:], !f.bad && len(f.src) == 0
}

// varintName skips the name of a header, which may not be null.
func (f *fields) varintName() {
	if n := int64(f.varint()); n < 0 || n > int64(len(f.src)) {
		f.bad, f.src = true, nil
	} else {
		f.src = f.src[n:]
	}
}

package batch

// DefaultMaxDecompressed bounds what a batch may decompress to where the caller sets no bound: 32 times the
// default max.message.bytes of 1 MiB. The memory is needed once per goroutine that walks at a time.
const DefaultMaxDecompressed = 32 << 20

// keepScratch is how much memory for decompressed records a Walker keeps when it is reset.
const keepScratch = 1 << 20

// Walker goes through the records of a batch:
//
//	var w batch.Walker
//	var rec batch.Record
//	if err := w.Reset(b, 0); err != nil { … }
//	for w.Next(&rec) { … }
//	if w.Err() != nil { … }
//
// The zero value is ready. A Walker allocates nothing for batches that are not compressed, and for others
// only until its memory is warm; it keeps up to 1 MiB.
type Walker struct {
	rest    []byte
	left    int32
	err     error
	scratch []byte
}

// Reset begins with the records of b. Compressed ones are decompressed to at most max bytes (0:
// DefaultMaxDecompressed).
//
// Errors: ErrCodec, ErrTooLarge, or ErrInvalidRecord when the compressed block is broken. The checksum is not
// looked at.
func (w *Walker) Reset(b Batch, max int) error {
	if cap(w.scratch) > keepScratch {
		w.scratch = nil
	}
	w.rest, w.left, w.err = b.Payload(), b.Count(), nil
	if w.left < 0 {
		return w.fail("negative count of records")
	}
	codec := b.Codec()
	if codec == None {
		return nil
	}
	if max <= 0 {
		max = DefaultMaxDecompressed
	}
	w.rest, w.err = Decompress(w.scratch[:0], codec, b.Payload(), max)
	if w.rest != nil {
		w.scratch = w.rest
	}
	return w.err
}

func (w *Walker) fail(reason string) error {
	w.err, w.rest, w.left = invalid(reason), nil, 0
	return w.err
}

// Next reads the next record into r. It returns false after the last one, or when the records are broken:
// then Err is set. A batch whose records do not end with its bytes is broken too.
func (w *Walker) Next(r *Record) bool {
	if w.left == 0 || w.err != nil {
		return false
	}
	rest, ok := r.parse(w.rest)
	if !ok {
		_ = w.fail("a record's structure or length is not valid")
		return false
	}
	w.rest = rest
	if w.left--; w.left == 0 && len(rest) > 0 {
		_ = w.fail("there are more bytes than records in the batch")
		return false
	}
	return true
}

// Err is what stopped Next, or nil after the last record: ErrInvalidRecord.
func (w *Walker) Err() error { return w.err }

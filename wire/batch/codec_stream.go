package batch

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/pierrec/lz4/v4"
)

// appender is an io.Writer that appends.
type appender struct{ dst []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.dst = append(a.dst, p...)
	return len(p), nil
}

type streamWriter interface {
	io.WriteCloser
	Reset(io.Writer)
}

type encoder struct {
	w   streamWriter
	out appender
}

// Pools of gzip and lz4 coders: as many as goroutines compress or decompress at a time; what is idle goes
// with the garbage collector.
var (
	gzipEncoders = sync.Pool{New: func() any { return &encoder{w: gzip.NewWriter(nil)} }}
	lz4Encoders  = sync.Pool{New: func() any { return &encoder{w: newLZ4Writer()} }}
	gzipDecoders = sync.Pool{New: func() any { return &decoder{r: new(gzip.Reader)} }}
	lz4Decoders  = sync.Pool{New: func() any { return &decoder{r: lz4Reader{lz4.NewReader(nil)}} }}
)

// newLZ4Writer makes frames as Kafka's Lz4BlockOutputStream does; its reader takes independent blocks only.
func newLZ4Writer() *lz4.Writer {
	w := lz4.NewWriter(nil)
	err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1))
	if err != nil {
		panic("BUG: batch: lz4 options: " + err.Error())
	}
	return w
}

func compressGzip(dst, src []byte) []byte { return compressStream(&gzipEncoders, dst, src) }
func compressLZ4(dst, src []byte) []byte  { return compressStream(&lz4Encoders, dst, src) }

func compressStream(pool *sync.Pool, dst, src []byte) []byte {
	e := pool.Get().(*encoder)
	e.out.dst = dst
	e.w.Reset(&e.out)
	_, err := e.w.Write(src)
	if err == nil {
		err = e.w.Close()
	}
	if err != nil {
		panic("BUG: batch: compressing into memory: " + err.Error())
	}
	dst, e.out.dst = e.out.dst, nil
	pool.Put(e)
	return dst
}

type streamReader interface {
	io.Reader
	Reset(io.Reader) error
}

// lz4Reader gives lz4.Reader the Reset of gzip.Reader.
type lz4Reader struct{ *lz4.Reader }

func (r lz4Reader) Reset(src io.Reader) error {
	r.Reader.Reset(src)
	return nil
}

type decoder struct {
	r  streamReader
	in bytes.Reader
}

func decompressGzip(dst, src []byte, max int) ([]byte, error) {
	return decompressStream(&gzipDecoders, Gzip, dst, src, max)
}

func decompressLZ4(dst, src []byte, max int) ([]byte, error) {
	return decompressStream(&lz4Decoders, LZ4, dst, src, max)
}

func decompressStream(pool *sync.Pool, c Codec, dst, src []byte, max int) ([]byte, error) {
	d := pool.Get().(*decoder)
	d.in.Reset(src)
	err := d.r.Reset(&d.in)
	if err == nil {
		dst, err = readBounded(dst, d.r, max)
	}
	d.in.Reset(nil)
	pool.Put(d)
	if err != nil && err != ErrTooLarge {
		err = badBlock(c, err)
	}
	return dst, err
}

// readBounded appends what r gives to dst, growing as bytes come, and stops beyond max.
func readBounded(dst []byte, r io.Reader, max int) ([]byte, error) {
	limit := len(dst) + max
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(len(dst)+4096, limit-len(dst)+1))
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > limit:
			return dst, ErrTooLarge
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst, err
		}
	}
}

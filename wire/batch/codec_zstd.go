package batch

import (
	"errors"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdWindow is the window the encoder uses. A batch is seldom larger, and the encoder's memory grows
	// with it.
	zstdWindow = 256 << 10
	// zstdMaxWindow is the largest window taken: that of level 22, the highest a producer can set. No memory
	// is made for it, since a batch is decompressed into one slice.
	zstdMaxWindow = 128 << 20
)

var (
	zstdEncoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
		if err != nil {
			panic("BUG: batch: zstd options: " + err.Error())
		}
		return e
	}}
	zstdDecoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdMaxWindow), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic("BUG: batch: zstd options: " + err.Error())
		}
		return d
	}}
)

func compressZstd(dst, src []byte) []byte {
	e := zstdEncoders.Get().(*zstd.Encoder)
	dst = e.EncodeAll(src, dst)
	zstdEncoders.Put(e)
	return dst
}

// decompressZstd lets the decoder fill what dst has room for. When that is too little, it begins again with
// four times the room: what a frame announces is not believed, and the work at most a third more.
func decompressZstd(dst, src []byte, max int) ([]byte, error) {
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	at := len(dst)
	for room := min(max, 4*len(src)+4096); ; room = min(max, 4*room) {
		dst = slices.Grow(dst[:at], room)
		room = min(max, cap(dst)-at)
		out, err := d.DecodeAll(src, dst[:at:at+room])
		switch {
		case err == nil:
			return out, nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return dst, badBlock(Zstd, err)
		case room == max:
			return dst, ErrTooLarge
		}
	}
}

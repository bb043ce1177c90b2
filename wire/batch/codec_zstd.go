package batch

import (
	"errors"
	"slices"
	"strings"
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
	// zstdBlock is the most that one block of a frame may hold (RFC 8878, 3.1.1.2.3).
	zstdBlock = 128 << 10
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
	// With room for a block more than is allowed, a block that does not fit begins behind what is allowed, or is broken.
	limit := max + zstdBlock
	for room := min(limit, 4*len(src)+4096); ; room = min(limit, 4*room) {
		dst = slices.Grow(dst[:at], room)
		room = min(limit, cap(dst)-at)
		out, err := d.DecodeAll(src, dst[:at:at+room])
		switch {
		case room == limit && errors.Is(err, zstd.ErrDecoderSizeExceeded), (err == nil || noRoom(err)) && len(out)-at > max:
			return dst, ErrTooLarge
		case err == nil:
			return out, nil
		case room == limit || !noRoom(err):
			return dst, badBlock(Zstd, err)
		}
	}
}

// noRoom tells whether more room may help. When it ends within a block, the decoder says so in words only, which it
// also has for a broken block: then all the room there may be is tried.
func noRoom(err error) bool {
	return errors.Is(err, zstd.ErrDecoderSizeExceeded) || strings.Contains(err.Error(), "bigger than max block size")
}

package batch

import "fmt"

// Codec is a compression of records: the low three attribute bits of a batch.
type Codec uint8

// The codecs (Kafka's CompressionType ids).
const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Known tells whether c is one of the five codecs; the attribute bits leave room for eight.
func (c Codec) Known() bool { return int(c) < len(codecNames) }

// String is the codec's name as Kafka's compression.type has it, or "unknown".
func (c Codec) String() string {
	if !c.Known() {
		return "unknown"
	}
	return codecNames[c]
}

// Compress appends src, compressed, to dst, at the codec's default level and in the form that Kafka's Java
// client writes: gzip; snappy in the framing of snappy-java with blocks of 32 KiB; lz4 frames of independent
// 64 KiB blocks without checksums; zstd. The codec must be known.
func Compress(dst []byte, c Codec, src []byte) []byte {
	switch c {
	case None:
		return append(dst, src...)
	case Gzip:
		return compressGzip(dst, src)
	case Snappy:
		return compressSnappy(dst, src)
	case LZ4:
		return compressLZ4(dst, src)
	case Zstd:
		return compressZstd(dst, src)
	}
	panic("BUG: batch: unknown codec")
}

// Decompress appends src, decompressed, to dst. It gives at most max bytes, and never holds more than about
// twice that, whatever src announces.
//
// Errors: ErrTooLarge when there would be more, ErrInvalidRecord when src is not what the codec says, ErrCodec
// when the codec is unknown. On error the result is dst, perhaps moved and with rubbish after its end, so
// that its memory can be used again.
func Decompress(dst []byte, c Codec, src []byte, max int) ([]byte, error) {
	at := len(dst)
	var err error
	switch c {
	case None:
		if len(src) > max {
			return dst, ErrTooLarge
		}
		return append(dst, src...), nil
	case Gzip:
		dst, err = decompressGzip(dst, src, max)
	case Snappy:
		dst, err = decompressSnappy(dst, src, max)
	case LZ4:
		dst, err = decompressLZ4(dst, src, max)
	case Zstd:
		dst, err = decompressZstd(dst, src, max)
	default:
		return dst, ErrCodec
	}
	if err != nil {
		return dst[:at], err
	}
	return dst, nil
}

func badBlock(c Codec, err error) error {
	return &RuleError{Err: ErrInvalidRecord, Reason: fmt.Sprintf("the %s block cannot be decompressed: %v", c, err)}
}

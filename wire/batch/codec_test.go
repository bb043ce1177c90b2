package batch

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// texts are inputs of all sizes around the codecs' block borders, some compressible, some not.
func texts() [][]byte {
	rng := rand.New(rand.NewSource(4))
	var ts [][]byte
	for _, n := range []int{0, 1, 15, 16, 17, 1000, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, 64<<10 + 1, 300_000} {
		noise := make([]byte, n)
		rng.Read(noise)
		ts = append(ts, noise, bytes.Repeat([]byte("abcdefg "), n/8+1)[:n])
	}
	return ts
}

func TestCodecsRoundTrip(t *testing.T) {
	for _, c := range codecs {
		for _, text := range texts() {
			packed := Compress([]byte("before"), c, text)
			if !bytes.HasPrefix(packed, []byte("before")) {
				t.Fatalf("%v: does not append", c)
			}
			got, err := Decompress([]byte("ahead"), c, packed[6:], len(text))
			if err != nil || string(got) != "ahead"+string(text) {
				t.Fatalf("%v, %d bytes: %d back, %v", c, len(text), len(got), err)
			}
			if len(text) == 0 {
				continue
			}
			got, err = Decompress(got[:5], c, packed[6:], len(text)-1)
			if !errors.Is(err, ErrTooLarge) || string(got) != "ahead" {
				t.Fatalf("%v, %d bytes: one too many gives %d bytes and %v", c, len(text), len(got), err)
			}
		}
	}
}

// franz-go's codecs read what ours write, and the other way round.
func TestCodecsAgreeWithFranz(t *testing.T) {
	theirs := kgo.DefaultDecompressor()
	for _, c := range codecs[1:] {
		comp, err := kgo.DefaultCompressor([]kgo.CompressionCodec{
			kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
		}[c])
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts()[2:] {
			got, err := theirs.Decompress(Compress(nil, c, text), kgo.CompressionCodecType(c))
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%v: franz-go does not read %d bytes of ours: %v", c, len(text), err)
			}
			packed, used := comp.Compress(new(bytes.Buffer), text)
			if used != kgo.CompressionCodecType(c) {
				t.Fatalf("%v: franz-go used %v", c, used)
			}
			got, err = Decompress(nil, c, packed, len(text))
			if err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%v: %d bytes of franz-go's not read: %v", c, len(text), err)
			}
		}
	}
}

func TestSnappyFramings(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 10_000)
	bare := s2.EncodeSnappy(nil, text)
	framed := Compress(nil, Snappy, text)
	if string(framed[:16]) != xerialHeader {
		t.Fatalf("header %x", framed[:16])
	}
	n, err := s2.DecodedLen(framed[20:])
	if err != nil || n != xerialBlock {
		t.Errorf("the first block holds %d bytes: %v", n, err)
	}
	twice := append(bytes.Clone(text), text...)
	for name, tc := range map[string]struct{ in, want []byte }{
		"bare":         {bare, text},
		"framed":       {framed, text},
		"joined":       {append(bytes.Clone(framed), framed...), twice},
		"header alone": {[]byte(xerialHeader), nil},
	} {
		got, err := Decompress(nil, Snappy, tc.in, 1<<20)
		if err != nil || !bytes.Equal(got, tc.want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for name, in := range map[string][]byte{
		"empty":               {},
		"magic alone":         []byte(xerialMagic),
		"length cut":          []byte(xerialHeader + "\x00\x00"),
		"block cut":           framed[:len(framed)-1],
		"length negative":     []byte(xerialHeader + "\xff\xff\xff\xff"),
		"length beyond":       []byte(xerialHeader + "\x00\x00\x00\x09abc"),
		"announces too much":  binary.AppendUvarint(nil, 900_000),
		"announces 4 GiB":     append(binary.AppendUvarint(nil, 1<<32-1), 1, 2, 3),
		"announces above 4GB": append(binary.AppendUvarint(nil, 1<<40), 1, 2, 3),
	} {
		if _, err := Decompress(nil, Snappy, in, 1<<20); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLZ4FrameIsKafkas(t *testing.T) {
	packed := Compress(nil, LZ4, bytes.Repeat([]byte("x"), 200_000))
	// Kafka's Lz4BlockOutputStream: magic, version 01 with independent blocks and nothing else, 64 KiB blocks.
	if want := []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40}; !bytes.HasPrefix(packed, want) {
		t.Errorf("frame begins %x, want %x", packed[:8], want)
	}
}

func TestDecompressRubbish(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	for _, c := range codecs[1:] {
		good := Compress(nil, c, bytes.Repeat([]byte("something to compress "), 500))
		for cut := 0; cut < len(good); cut += 1 + len(good)/200 {
			if c == Snappy && cut == len(xerialHeader) {
				continue // an empty stream
			}
			if out, err := Decompress(nil, c, good[:cut], 1<<20); err == nil && len(out) == 11_000 {
				t.Errorf("%v: %d of %d bytes decompress to all", c, cut, len(good))
			}
		}
		for range 100 {
			bad := bytes.Clone(good)
			bad[rng.Intn(len(bad))] ^= byte(1 + rng.Intn(255))
			if out, err := Decompress(nil, c, bad, 20_000); len(out) > 20_000 {
				t.Fatalf("%v: %d bytes, %v", c, len(out), err)
			}
		}
	}
	if _, err := Decompress(nil, 6, nil, 10); !errors.Is(err, ErrCodec) {
		t.Errorf("codec 6: %v", err)
	}
}

const bombSize = 8 << 20

// bombs are small blocks of 8 MiB of zeros: about 1000:1 for gzip, above that for zstd, 250:1, which is all
// it can, for lz4. Snappy cannot expand more than 22 times, and what announces more is refused unread; in its
// place stands S2's repeat code, which no snappy reader knows.
func bombs(t *testing.T) map[Codec][]byte {
	zeros := make([]byte, bombSize)
	var gz, lz bytes.Buffer
	gw, err := gzip.NewWriterLevel(&gz, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	lw := lz4.NewWriter(&lz)
	if err := lw.Apply(lz4.BlockSizeOption(lz4.Block4Mb)); err != nil {
		t.Fatal(err)
	}
	for _, w := range []interface {
		Write([]byte) (int, error)
		Close() error
	}{gw, lw} {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	zw, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return map[Codec][]byte{
		Gzip: gz.Bytes(), LZ4: lz.Bytes(), Zstd: zw.EncodeAll(zeros, nil), Snappy: s2.Encode(nil, zeros),
	}
}

func TestBombs(t *testing.T) {
	const limit = 1 << 20
	all := bombs(t)
	for c, bomb := range all {
		if ratio := bombSize / len(bomb); ratio < 200 {
			t.Errorf("%v: only %d:1", c, ratio)
		}
		for _, dst := range [][]byte{nil, make([]byte, 0, 4096)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out, err := Decompress(dst, c, bomb, limit)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrTooLarge) || len(out) != 0 {
				t.Errorf("%v: %d bytes, error %v", c, len(out), err)
			}
			// Growing costs twice the result, a cold coder less than 8 MiB (lz4: two blocks of 4 MiB).
			if used := after.TotalAlloc - before.TotalAlloc; used > 2*limit+12<<20 {
				t.Errorf("%v: %d bytes allocated for a limit of %d", c, used, limit)
			}
			if cap(out) > 2*limit+64<<10 {
				t.Errorf("%v: holds %d bytes", c, cap(out))
			}
		}
	}
	// With room for all of it, snappy's is still refused: it is not snappy.
	if _, err := Decompress(nil, Snappy, all[Snappy], bombSize); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("snappy: %v", err)
	}
}

// A zstd frame that does not announce its content, as librdkafka writes it, and has more than the room that is tried
// first, which ends in the middle of a block.
func TestZstdWithoutContentSize(t *testing.T) {
	var text []byte
	for i := range 10_000 {
		text = fmt.Appendf(text, "key-%d:value number %d %d\n", i, i, i*i)
		if i%2500 != 2499 {
			continue
		}
		var z bytes.Buffer
		w, err := zstd.NewWriter(&z, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
		if err != nil {
			t.Fatal(err)
		}
		for rest := text; len(rest) > 0; rest = rest[min(len(rest), 1000):] {
			if _, err := w.Write(rest[:min(len(rest), 1000)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := Decompress(nil, Zstd, z.Bytes(), 1<<20)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes in %d: %d bytes, %v", len(text), z.Len(), len(got), err)
		}
		for _, less := range []int{1, 500, len(text) / 2} { // also where that is in the middle of a block
			if _, err := Decompress(nil, Zstd, z.Bytes(), len(text)-less); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%d bytes in room for %d: %v", len(text), len(text)-less, err)
			}
		}
	}
}

// A zstd frame that announces a huge content or window costs no memory.
func TestZstdAnnouncements(t *testing.T) {
	for name, in := range map[string][]byte{
		"content of 2^60":   {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0},
		"window of 2^41":    {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 1, 0, 0},
		"window of 128 MiB": {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0, 0},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decompress(nil, Zstd, in, 1<<20)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 6<<20 {
			t.Errorf("%s: %d bytes allocated, error %v", name, used, err)
		}
	}
}

func TestUnknownCodec(t *testing.T) {
	if Codec(5).Known() || Codec(5).String() != "unknown" || Zstd.String() != "zstd" {
		t.Error("codec names")
	}
	defer func() {
		if recover() == nil {
			t.Error("compressing with an unknown codec goes through")
		}
	}()
	Compress(nil, 5, nil)
}

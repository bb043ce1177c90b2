package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const testTime = int64(1_760_000_000_000)

// sample is a batch of n records a second apart.
func sample(c Codec, n int) Batch {
	var bd Builder
	bd.Reset(c)
	for i := range n {
		bd.Append(testTime+int64(i)*1000, []byte("key"), bytes.Repeat([]byte("value"), 20))
	}
	return bytes.Clone(bd.Finish())
}

func TestFieldsAgreeWithKmsg(t *testing.T) {
	b := Batch(bytes.Clone(sample(Snappy, 3)))
	for i := OffsetAttributes; i < HeaderSize; i++ {
		b[i] = byte(i * 37)
	}
	b[OffsetAttributes+1] = byte(LZ4) | attrTransactional | attrLogAppendTime
	b.SetBaseOffset(1 << 40)
	b.SetLeaderEpoch(77)
	b.fixCRC()
	var k kmsg.RecordBatch
	if err := k.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	type row struct {
		name      string
		got, want int64
	}
	for _, r := range []row{
		{"base offset", b.BaseOffset(), k.FirstOffset},
		{"length", int64(b.Length()), int64(k.Length)},
		{"epoch", int64(b.LeaderEpoch()), int64(k.PartitionLeaderEpoch)},
		{"magic", int64(b.Magic()), int64(k.Magic)},
		{"crc", int64(int32(b.CRC())), int64(k.CRC)},
		{"attributes", int64(b.Attributes()), int64(k.Attributes)},
		{"last offset delta", int64(b.LastOffsetDelta()), int64(k.LastOffsetDelta)},
		{"last offset", b.LastOffset(), k.FirstOffset + int64(k.LastOffsetDelta)},
		{"base timestamp", b.BaseTimestamp(), k.FirstTimestamp},
		{"max timestamp", b.MaxTimestamp(), k.MaxTimestamp},
		{"producer id", b.ProducerID(), k.ProducerID},
		{"producer epoch", int64(b.ProducerEpoch()), int64(k.ProducerEpoch)},
		{"sequence", int64(b.BaseSequence()), int64(k.FirstSequence)},
		{"count", int64(b.Count()), int64(k.NumRecords)},
	} {
		if r.got != r.want {
			t.Errorf("%s is %d, want %d", r.name, r.got, r.want)
		}
	}
	if !bytes.Equal(b.Payload(), k.Records) {
		t.Error("payload differs")
	}
	if b.Codec() != LZ4 || !b.IsTransactional() || !b.LogAppendTime() || b.IsControl() || b.HasDeleteHorizon() {
		t.Errorf("flags of %x read wrongly", b.Attributes())
	}
}

func TestFirst(t *testing.T) {
	whole := sample(None, 2)
	patch := func(f func(b []byte)) []byte {
		b := bytes.Clone(whole)
		f(b)
		return b
	}
	length := func(n int32) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[OffsetLength:], uint32(n)) }
	}
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, ErrShort},
		{"cut before the length", whole[:LogOverhead-1], ErrShort},
		{"cut before the magic", whole[:OffsetMagic], ErrShort},
		{"cut in the header", whole[:HeaderSize-1], ErrShort},
		{"cut in the records", whole[:len(whole)-1], ErrShort},
		{"whole", whole, nil},
		{"length 13", patch(length(13)), ErrCorrupt},
		{"length negative", patch(length(-1)), ErrCorrupt},
		{"length of less than a header", patch(length(HeaderSize - LogOverhead - 1)), ErrCorrupt},
		{"length 2^31-1", patch(length(math.MaxInt32)), ErrShort},
		{"format 1", patch(func(b []byte) { b[OffsetMagic] = 1 }), ErrMagic},
		{"format 0, cut", patch(func(b []byte) { b[OffsetMagic] = 0 })[:len(whole)-1], ErrShort},
		{"format 3", patch(func(b []byte) { b[OffsetMagic] = 3 }), ErrCorrupt},
		{"format -1", patch(func(b []byte) { b[OffsetMagic] = 0xff }), ErrCorrupt},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b, rest, err := First(tc.in)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err == nil && (len(b) != len(whole) || len(rest) != 0 || cap(b) != len(b)) {
				t.Errorf("batch of %d (cap %d), rest %d", len(b), cap(b), len(rest))
			}
			if err != nil && (b != nil || len(rest) != len(tc.in)) {
				t.Errorf("batch %v and rest of %d with an error", b, len(rest))
			}
		})
	}
}

func TestFirstWalksAll(t *testing.T) {
	var log []byte
	for i := 1; i < 5; i++ {
		log = append(log, sample(None, i)...)
	}
	for i := 1; i < 5; i++ {
		b, rest, err := First(log)
		if err != nil || b.Count() != int32(i) {
			t.Fatalf("batch %d: %v, %v", i, b, err)
		}
		log = rest
	}
	if len(log) != 0 {
		t.Errorf("%d bytes left", len(log))
	}
}

func TestSingle(t *testing.T) {
	whole := []byte(sample(None, 2))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	old := bytes.Clone(whole)
	old[OffsetMagic] = 1
	future := bytes.Clone(whole)
	future[OffsetMagic] = 3
	for _, tc := range []struct {
		name string
		in   []byte
		want error
	}{
		{"none", nil, ErrInvalidRecord},
		{"cut", whole[:len(whole)-1], ErrInvalidRecord},
		{"one", whole, nil},
		{"two", join(whole, whole), ErrInvalidRecord},
		{"one and a cut one", join(whole, whole[:40]), nil},
		{"one and an old one", join(whole, old), ErrInvalidRecord},
		{"one and a corrupt one", join(whole, future), ErrCorrupt},
		{"old", old, ErrInvalidRecord},
		{"future", future, ErrCorrupt},
	} {
		b, err := Single(tc.in)
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.want)
		}
		if err == nil && !bytes.Equal(b, whole) {
			t.Errorf("%s: another batch came back", tc.name)
		}
	}
}

func TestStampingKeepsTheChecksum(t *testing.T) {
	b := sample(None, 3)
	crc := b.CRC()
	b.SetBaseOffset(math.MaxInt64 - 5)
	b.SetLeaderEpoch(1 << 30)
	if b.BaseOffset() != math.MaxInt64-5 || b.LastOffset() != math.MaxInt64-3 || b.LeaderEpoch() != 1<<30 {
		t.Errorf("stamped %d, %d, %d", b.BaseOffset(), b.LastOffset(), b.LeaderEpoch())
	}
	if b.CRC() != crc || !b.CRCOK() {
		t.Error("the checksum changed or is wrong")
	}
	for i := OffsetAttributes; i < len(b); i++ {
		b[i] ^= 0x10
		if b.CRCOK() {
			t.Fatalf("a flipped bit in byte %d goes unseen", i)
		}
		b[i] ^= 0x10
	}
}

func TestSetMaxTimestamp(t *testing.T) {
	b := sample(None, 3)
	before := bytes.Clone(b)
	b[OffsetCRC] ^= 1
	b.SetMaxTimestamp(b.MaxTimestamp(), false)
	b[OffsetCRC] ^= 1
	if !bytes.Equal(b, before) {
		t.Error("something was written though nothing changes")
	}
	b.SetMaxTimestamp(testTime+5, true)
	if b.MaxTimestamp() != testTime+5 || !b.LogAppendTime() || !b.CRCOK() {
		t.Errorf("max %d, log append %v, checksum ok %v", b.MaxTimestamp(), b.LogAppendTime(), b.CRCOK())
	}
	b.SetMaxTimestamp(Batch(before).MaxTimestamp(), false)
	if !bytes.Equal(b, before) {
		t.Error("the way back does not lead to the first bytes")
	}
}

func TestLastSequenceWraps(t *testing.T) {
	var bd Builder
	for _, tc := range []struct{ base, want int32 }{
		{0, 2}, {math.MaxInt32 - 2, math.MaxInt32}, {math.MaxInt32 - 1, 0}, {math.MaxInt32, 1}, {NoSequence, NoSequence},
	} {
		bd.Reset(None)
		bd.SetProducer(9, 1, tc.base, false)
		for range 3 {
			bd.Append(testTime, nil, nil)
		}
		if got := bd.Finish().LastSequence(); got != tc.want {
			t.Errorf("base %d: last %d, want %d", tc.base, got, tc.want)
		}
	}
}

func TestChecksumIsCastagnoli(t *testing.T) {
	// The check value of CRC-32C (RFC 3720, B.4): 32 bytes of zero.
	if got := crc32.Checksum(make([]byte, 32), castagnoli); got != 0x8a9136aa {
		t.Errorf("checksum %#x", got)
	}
}

func FuzzFirst(f *testing.F) {
	whole := sample(None, 2)
	f.Add([]byte(whole))
	f.Add([]byte(whole[:70]))
	f.Add(bytes.Repeat(whole, 3))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		b, rest, err := First(in)
		if err == nil && (len(b) < HeaderSize || int(b.Length())+LogOverhead != len(b) || len(b)+len(rest) != len(in)) {
			t.Fatalf("batch of %d, length field %d, rest %d of %d", len(b), b.Length(), len(rest), len(in))
		}
		_, _ = Single(in)
	})
}

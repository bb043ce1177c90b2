package batch

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

type testRecord struct {
	ts         int64
	key, value []byte
	headers    []Header
}

func randomRecords(rng *rand.Rand, n int) []testRecord {
	blob := func(max int) []byte {
		if rng.Intn(5) == 0 {
			return nil
		}
		b := make([]byte, rng.Intn(max))
		rng.Read(b)
		return b
	}
	recs := make([]testRecord, n)
	for i := range recs {
		recs[i] = testRecord{ts: testTime + rng.Int63n(1<<40) - 1<<39, key: blob(300), value: blob(2000)}
		for range rng.Intn(4) {
			h := Header{Key: string(blob(100)), Value: blob(200)}
			recs[i].headers = append(recs[i].headers, h)
		}
	}
	return recs
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestBuilderAndWalker(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	var (
		bd Builder
		w  Walker
	)
	for _, c := range codecs {
		for range 40 {
			want := randomRecords(rng, 1+rng.Intn(30))
			bd.Reset(c)
			bd.SetProducer(5, 6, 7, true)
			newest := int64(math.MinInt64)
			for _, r := range want {
				bd.Append(r.ts, r.key, r.value, r.headers...)
				newest = max(newest, r.ts)
			}
			b := bd.Finish()
			if got, rest, err := First(b); err != nil || len(rest) != 0 || len(got) != len(b) {
				t.Fatalf("%v: not one whole batch: %v", c, err)
			}
			if !b.CRCOK() || b.Codec() != c || int(b.Count()) != len(want) || b.MaxTimestamp() != newest ||
				b.LastOffsetDelta() != b.Count()-1 || b.ProducerID() != 5 || b.ProducerEpoch() != 6 ||
				b.BaseSequence() != 7 || !b.IsTransactional() || b.LeaderEpoch() != NoLeaderEpoch {
				t.Fatalf("%v: header %x", c, b[:HeaderSize])
			}
			checkRecords(t, &w, b, want)
		}
	}
}

func checkRecords(t *testing.T, w *Walker, b Batch, want []testRecord) {
	t.Helper()
	if err := w.Reset(b, 0); err != nil {
		t.Fatal(err)
	}
	var r Record
	for i, x := range want {
		if !w.Next(&r) {
			t.Fatalf("record %d: %v", i, w.Err())
		}
		if !same(r.Key, x.key) || !same(r.Value, x.value) || r.OffsetDelta != int32(i) ||
			b.BaseTimestamp()+r.TimestampDelta != x.ts || int(r.HeaderCount) != len(x.headers) {
			t.Fatalf("record %d differs: %+v, want %+v", i, r, x)
		}
		j := 0
		for k, v := range r.Headers {
			if string(k) != x.headers[j].Key || !same(v, x.headers[j].Value) {
				t.Fatalf("record %d, header %d differs", i, j)
			}
			j++
		}
		if j != len(x.headers) {
			t.Fatalf("record %d: %d headers", i, j)
		}
	}
	if w.Next(&r) || w.Err() != nil {
		t.Fatalf("more than there is, or %v", w.Err())
	}
}

func TestEmptyBuilder(t *testing.T) {
	var bd Builder
	b := bd.Finish()
	if len(b) != HeaderSize || b.Count() != 0 || b.LastOffsetDelta() != -1 || !b.CRCOK() {
		t.Errorf("batch without records: %x", []byte(b))
	}
	var w Walker
	if err := w.Reset(b, 0); err != nil || w.Next(new(Record)) || w.Err() != nil {
		t.Errorf("walking it: %v, %v", err, w.Err())
	}
}

func TestBrokenRecords(t *testing.T) {
	good := appendVarint(nil, 0)[:0]
	good = append(good, 14, 0, 0, 0, 2, 'k', 2, 'v') // length 7: attributes, two deltas, key, value …
	good[0] = 2 * 8
	good = append(good, 0) // … no headers
	for name, in := range map[string][]byte{
		"empty":                      {},
		"length cut":                 {0x80},
		"length 0":                   {0},
		"length negative":            {1},
		"length beyond the end":      {200, 1, 0, 0, 0, 1, 1, 0},
		"nothing but attributes":     {2, 0},
		"key beyond the end":         {2 * 6, 0, 0, 0, 100, 1, 0},
		"value beyond the end":       {2 * 6, 0, 0, 0, 1, 100, 0},
		"headers negative":           {2 * 6, 0, 0, 0, 1, 1, 1},
		"headers beyond the end":     {2 * 6, 0, 0, 0, 1, 1, 100},
		"header without a name":      {2 * 8, 0, 0, 0, 1, 1, 2, 1, 1},
		"header name beyond the end": {2 * 8, 0, 0, 0, 1, 1, 2, 20, 1},
		"rubbish after the headers":  {2 * 7, 0, 0, 0, 1, 1, 0, 0},
		"more after the last":        append(bytes.Clone(good), 0),
		"timestamp too long":         {2 * 15, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 1, 1, 0},
	} {
		b := append(bytes.Clone(sample(None, 1)[:HeaderSize]), in...)
		var w Walker
		if err := w.Reset(b, 0); err != nil {
			t.Fatal(err)
		}
		for w.Next(new(Record)) {
		}
		if !errors.Is(w.Err(), ErrInvalidRecord) {
			t.Errorf("%s: %v", name, w.Err())
		}
	}
	var w Walker
	if err := w.Reset(append(bytes.Clone(sample(None, 1)[:HeaderSize]), good...), 0); err != nil {
		t.Fatal(err)
	}
	if !w.Next(new(Record)) || w.Err() != nil {
		t.Errorf("the good one: %v", w.Err())
	}
}

func TestNegativeCount(t *testing.T) {
	b := bytes.Clone(sample(None, 1))
	b[OffsetCount] = 0x80
	if err := new(Walker).Reset(b, 0); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("error %v", err)
	}
}

// FuzzRecord holds our parser against kmsg's for one record.
//
// kmsg takes more: it does not compare the record's length with what its fields take, nor refuse a negative
// count of headers.
func FuzzRecord(f *testing.F) {
	rng := rand.New(rand.NewSource(3))
	for range 20 {
		var bd Builder
		for _, r := range randomRecords(rng, 1) {
			bd.Append(r.ts, r.key, r.value, r.headers...)
		}
		f.Add([]byte(bd.Finish()[HeaderSize:]))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Record
		rest, ok := r.parse(in)
		if !ok {
			return
		}
		used := in[:len(in)-len(rest)]
		var k kmsg.Record
		if err := k.ReadFrom(used); err != nil {
			// The one thing Kafka takes and kmsg does not: bits beyond 32 in the last byte of an int.
			if minimal(&r, used) {
				t.Fatalf("kmsg refuses %x: %v", used, err)
			}
			return
		}
		if r.TimestampDelta != k.TimestampDelta64 || r.OffsetDelta != k.OffsetDelta ||
			!bytes.Equal(r.Key, k.Key) || !bytes.Equal(r.Value, k.Value) || int(r.HeaderCount) != len(k.Headers) {
			t.Fatalf("%x: %+v, kmsg has %+v", used, r, k)
		}
		i := 0
		for key, v := range r.Headers {
			if string(key) != k.Headers[i].Key || !bytes.Equal(v, k.Headers[i].Value) {
				t.Fatalf("%x: header %d differs", used, i)
			}
			i++
		}
	})
}

// minimal tells whether in is what the builder writes for r: no padded varints.
func minimal(r *Record, in []byte) bool {
	var (
		bd Builder
		hs []Header
	)
	for k, v := range r.Headers {
		hs = append(hs, Header{string(k), v})
	}
	bd.Append(0, nil, nil)
	at := len(bd.buf)
	bd.count, bd.base = r.OffsetDelta, 0
	bd.Append(r.TimestampDelta, r.Key, r.Value, hs...)
	return bytes.Equal(bd.buf[at:], in)
}

// FuzzWalk feeds the walker arbitrary payloads under every codec. It must neither panic nor give more than it
// may.
func FuzzWalk(f *testing.F) {
	for _, c := range codecs {
		f.Add(byte(c), int32(3), []byte(sample(c, 3).Payload()))
	}
	f.Fuzz(func(t *testing.T, codec byte, count int32, payload []byte) {
		b := append(bytes.Clone(sample(None, 1)[:HeaderSize]), payload...)
		b[OffsetAttributes+1] = codec & attrCodec
		b[OffsetCount], b[OffsetCount+1] = byte(count>>24), byte(count>>16)
		b[OffsetCount+2], b[OffsetCount+3] = byte(count>>8), byte(count)
		var (
			w Walker
			r Record
			n int32
		)
		err := w.Reset(b, 1<<16)
		if len(w.rest) > 1<<16 && Codec(codec&attrCodec) != None {
			t.Fatalf("%d bytes out of %d", len(w.rest), len(payload))
		}
		for err == nil && w.Next(&r) {
			n++
		}
		if err == nil && w.Err() == nil && n != count {
			t.Fatalf("%d records of %d and no error", n, count)
		}
	})
}

func ExampleWalker() {
	var bd Builder
	bd.Reset(Zstd)
	bd.Append(1000, []byte("a"), []byte("1"))
	bd.Append(1500, []byte("b"), nil, Header{Key: "h", Value: []byte("x")})
	b := bd.Finish()

	var (
		w   Walker
		rec Record
	)
	if err := w.Reset(b, 0); err != nil {
		panic(err)
	}
	for w.Next(&rec) {
		fmt.Printf("%d %s %s %v\n", b.BaseTimestamp()+rec.TimestampDelta, rec.Key, rec.Value, rec.Value == nil)
	}
	fmt.Println(w.Err())
	// Output:
	// 1000 a 1 false
	// 1500 b  true
	// <nil>
}

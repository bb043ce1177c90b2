//go:build !race

package batch

import (
	"bytes"
	"testing"
)

func zeroAllocs(t *testing.T, name string, f func()) {
	t.Helper()
	f()
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("%s: %v allocations", name, n)
	}
}

func TestViewAllocatesNothing(t *testing.T) {
	b := sample(None, 50)
	r := lenient()
	zeroAllocs(t, "cut, check, stamp", func() {
		b.SetBaseOffset(0)
		one, err := Single(b)
		if err != nil || !one.CRCOK() {
			t.Fatal(err)
		}
		res, err := Validate(one, &r)
		if err != nil {
			t.Fatal(err)
		}
		one.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime)
		one.SetBaseOffset(1000)
		one.SetLeaderEpoch(4)
	})
}

func TestValidateCompressedAllocatesNothing(t *testing.T) {
	for _, c := range codecs {
		b := sample(c, 50)
		r := lenient()
		zeroAllocs(t, c.String()+", closed", func() {
			if _, err := Validate(b, &r); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// gzip's reader allocates a little for each stream; the others nothing.
func TestWalkAllocatesNothing(t *testing.T) {
	for _, c := range []Codec{None, Snappy, LZ4, Zstd} {
		var (
			w Walker
			r Record
			n int
		)
		b := sample(c, 50)
		zeroAllocs(t, c.String(), func() {
			if err := w.Reset(b, 0); err != nil {
				t.Fatal(err)
			}
			for w.Next(&r) {
				for range r.Headers {
					n++
				}
			}
		})
	}
}

func TestBuilderAllocatesNothing(t *testing.T) {
	key, value := []byte("key"), bytes.Repeat([]byte("v"), 100)
	header := []Header{{Key: "h", Value: value}}
	for _, c := range codecs {
		var bd Builder
		zeroAllocs(t, c.String(), func() {
			bd.Reset(c)
			bd.SetProducer(1, 2, 3, false)
			for i := range 20 {
				bd.Append(testTime+int64(i), key, value, header...)
			}
			if len(bd.Finish()) < HeaderSize {
				t.Fatal("no batch")
			}
		})
	}
}

func TestWalkerKeepsLittle(t *testing.T) {
	var (
		bd Builder
		w  Walker
	)
	bd.Reset(Gzip)
	bd.Append(testTime, nil, make([]byte, 4*keepScratch))
	if err := w.Reset(bd.Finish(), 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Reset(sample(Gzip, 1), 0); err != nil {
		t.Fatal(err)
	}
	if cap(w.scratch) > keepScratch {
		t.Errorf("%d bytes kept", cap(w.scratch))
	}
}

package batch

import (
	"encoding/binary"
	"math"
	"math/rand"
	"testing"
)

func TestVarintsRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	longs := []int64{0, -1, 1, 63, -64, 64, -65, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}
	for range 2000 {
		longs = append(longs, int64(rng.Uint64())>>rng.Intn(64))
	}
	for _, v := range longs {
		enc := appendVarlong(nil, v)
		if len(enc) != varlongSize(v) {
			t.Fatalf("%d: %d bytes, size says %d", v, len(enc), varlongSize(v))
		}
		if got, n := varlong(append(enc, 0xff)); got != v || n != len(enc) {
			t.Fatalf("%d: read %d in %d bytes", v, got, n)
		}
		i := int32(v)
		enc = appendVarint(nil, i)
		if len(enc) != varintSize(i) {
			t.Fatalf("%d: %d bytes, size says %d", i, len(enc), varintSize(i))
		}
		if got, n := varint(append(enc, 0xff)); got != i || n != len(enc) {
			t.Fatalf("%d: read %d in %d bytes", i, got, n)
		}
		if std := binary.AppendVarint(nil, int64(i)); string(std) != string(enc) {
			t.Fatalf("%d: %x, want %x", i, enc, std)
		}
	}
}

func TestVarintEdges(t *testing.T) {
	for _, tc := range []struct {
		in    string
		v, vn int64 // varint
		l, ln int64 // varlong
	}{
		{"", 0, 0, 0, 0},
		{"\x80", 0, 0, 0, 0},
		{"\x80\x00", 0, 2, 0, 2},                                        // padded
		{"\x82\x80\x80\x80\x00", 1, 5, 1, 5},                            // padded to the most an int has
		{"\x82\x80\x80\x80\x80\x00", 0, 0, 1, 6},                        // too long for an int
		{"\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00", 0, 0, 1, 10},       // the most a long has
		{"\x82\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 0, 0, 0, 0},    // too long for both
		{"\xff\xff\xff\xff\x0f", math.MinInt32, 5, math.MinInt32, 5},    // 32 bits
		{"\xff\xff\xff\xff\x7f", math.MinInt32, 5, -(1<<35-1)/2 - 1, 5}, // bits beyond 32 fall away
	} {
		if v, n := varint([]byte(tc.in)); int64(v) != tc.v || int64(n) != tc.vn {
			t.Errorf("varint %x: %d in %d bytes, want %d in %d", tc.in, v, n, tc.v, tc.vn)
		}
		if v, n := varlong([]byte(tc.in)); v != tc.l || int64(n) != tc.ln {
			t.Errorf("varlong %x: %d in %d bytes, want %d in %d", tc.in, v, n, tc.l, tc.ln)
		}
	}
}

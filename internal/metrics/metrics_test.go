package metrics

import (
	"math"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestBucketsCoverAllValuesWithoutGap(t *testing.T) {
	next := int64(0)
	for i := range numBuckets {
		lo, hi := bounds(i)
		if lo != next || hi < lo {
			t.Fatalf("bucket %d is %d to %d, want it to begin at %d", i, lo, hi, next)
		}
		if bucketOf(lo) != i || bucketOf(hi) != i {
			t.Fatalf("bucket %d (%d to %d): bucketOf gives %d and %d", i, lo, hi, bucketOf(lo), bucketOf(hi))
		}
		if width := hi - lo; width*sub >= max(lo, 1)+sub {
			t.Fatalf("bucket %d (%d to %d) is wider than 1/%d of its bound", i, lo, hi, sub)
		}
		next = hi + 1
	}
	if next != MaxValue+1 {
		t.Fatalf("buckets end at %d, want %d", next-1, int64(MaxValue))
	}
}

func TestExtremes(t *testing.T) {
	var h Histogram
	for _, v := range []int64{math.MinInt64, -1, 0, MaxValue, MaxValue + 1, math.MaxInt64} {
		h.Observe(v)
	}
	var s Snapshot
	h.AddTo(&s)
	if s.Count() != 6 || s.AtMost(0) != 3 || s.AtMost(math.MaxInt64) != 6 || s.AtMost(-1) != 0 {
		t.Errorf("count %d, at most 0: %d, at most max: %d", s.Count(), s.AtMost(0), s.AtMost(math.MaxInt64))
	}
}

func TestEmptySnapshot(t *testing.T) {
	var s Snapshot
	if s.Quantile(0.5) != 0 || s.Mean() != 0 || s.Count() != 0 {
		t.Error("an empty snapshot has values")
	}
}

// Quantiles of several histograms together are within 1/32 of the true ones, and
// sum and count are exact.
func TestQuantileAccuracy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.OneOf(rapid.Int64Range(0, 100), rapid.Int64Range(0, 10_000_000), rapid.Int64Range(0, MaxValue))
		values := rapid.SliceOfN(gen, 1, 300).Draw(t, "values")
		var loops [3]Histogram
		var sum int64
		for i, v := range values {
			loops[i%len(loops)].Observe(v)
			sum += v
		}
		var s, merged Snapshot
		for i := range loops {
			loops[i].AddTo(&s)
		}
		merged.Merge(&s)
		if merged.Count() != uint64(len(values)) || merged.Sum() != sum {
			t.Fatalf("count %d sum %d, want %d %d", merged.Count(), merged.Sum(), len(values), sum)
		}
		slices.Sort(values)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
			rank := max(int(math.Ceil(q*float64(len(values)))), 1)
			want := values[rank-1]
			if got := merged.Quantile(q); math.Abs(float64(got-want)) > float64(want)/32 {
				t.Fatalf("q%v = %d, true value %d", q, got, want)
			}
		}
	})
}

func TestAtMostIsExactBelowPowersOfTwo(t *testing.T) {
	var h Histogram
	for v := range int64(5000) {
		h.Observe(v)
	}
	var s Snapshot
	h.AddTo(&s)
	for n := range 12 {
		if got, want := s.AtMost(1<<n-1), uint64(1)<<n; got != want {
			t.Errorf("at most %d: %d values, want %d", 1<<n-1, got, want)
		}
	}
	s.Reset()
	if s.Count() != 0 || s.AtMost(MaxValue) != 0 {
		t.Error("Reset left values")
	}
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	var c Counter
	var g Gauge
	var h Histogram
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range int64(1000) {
				c.Inc()
				c.Add(2)
				g.Add(1)
				h.Observe(i)
			}
		})
	}
	wg.Wait()
	var s Snapshot
	h.AddTo(&s)
	if c.Load() != 12000 || g.Load() != 4000 || s.Count() != 4000 || s.Sum() != 4*999*1000/2 {
		t.Errorf("counter %d gauge %d count %d sum %d", c.Load(), g.Load(), s.Count(), s.Sum())
	}
	if g.Set(-1); g.Load() != -1 {
		t.Error("Set had no effect")
	}
}

func TestCountersDoNotShareALine(t *testing.T) {
	var c [2]Counter
	var g [2]Gauge
	if unsafe.Sizeof(c) != 2*cacheLine || unsafe.Sizeof(g) != 2*cacheLine {
		t.Errorf("two counters take %d bytes, two gauges %d", unsafe.Sizeof(c), unsafe.Sizeof(g))
	}
}

// The price of one Observe on the request path.
func BenchmarkObserve(b *testing.B) {
	var h Histogram
	v := int64(1)
	for b.Loop() {
		h.Observe(v)
		v = v*5%1_000_003 + 1
	}
}

package metrics

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// Buckets are linear below 16 and then 16 to each power of two, so that a bucket is
// never wider than 1/16 of its lower bound:
//
//	index   0 ..  15   values 0, 1, … 15
//	index  16 ..  31   16, 17, … 31
//	index  32 ..  47   32-33, 34-35, … 62-63
//	index  48 ..  63   64-67, … 124-127
//	…                  up to 2^40-1, which as nanoseconds is 18 minutes
//
// Larger values count in the last bucket. 592 buckets of 8 bytes are 4.7 KB for
// each histogram.
const (
	subBits    = 4
	sub        = 1 << subBits
	maxBits    = 40
	numBuckets = (maxBits-subBits)*sub + sub

	// MaxValue is the largest value told apart from larger ones.
	MaxValue = 1<<maxBits - 1
)

// bucketOf returns the index of v's bucket. Negative values count as 0.
func bucketOf(v int64) int {
	u := uint64(min(max(v, 0), MaxValue))
	if u < sub {
		return int(u)
	}
	shift := bits.Len64(u) - subBits - 1 // keeps the highest subBits+1 bits
	return shift*sub + int(u>>shift)
}

// bounds returns the smallest and largest value of bucket i.
func bounds(i int) (lo, hi int64) {
	if i < 2*sub {
		return int64(i), int64(i)
	}
	shift := i/sub - 1
	lo = int64(i%sub+sub) << shift
	return lo, lo + 1<<shift - 1
}

// Histogram counts values, such as nanoseconds or bytes, in fixed buckets.
type Histogram struct {
	sum    atomic.Int64
	counts [numBuckets]atomic.Uint64
}

// Observe counts v.
func (h *Histogram) Observe(v int64) {
	h.counts[bucketOf(v)].Add(1)
	h.sum.Add(v)
}

// ObserveN counts v n times.
func (h *Histogram) ObserveN(v int64, n uint64) {
	if n > 0 {
		h.counts[bucketOf(v)].Add(n)
		h.sum.Add(v * int64(n))
	}
}

// AddTo adds what h has counted to s.
func (h *Histogram) AddTo(s *Snapshot) {
	for i := range h.counts {
		n := h.counts[i].Load()
		s.counts[i] += n
		s.count += n
	}
	s.sum += h.sum.Load()
}

// Snapshot is the sum of readings of histograms. It is a plain value without
// synchronisation, to be reused or thrown away by its reader.
type Snapshot struct {
	sum    int64
	count  uint64
	counts [numBuckets]uint64
}

// Merge adds o to s.
func (s *Snapshot) Merge(o *Snapshot) {
	for i, n := range o.counts {
		s.counts[i] += n
	}
	s.count += o.count
	s.sum += o.sum
}

// Count returns the number of values.
func (s *Snapshot) Count() uint64 { return s.count }

// Sum returns the sum of all values, exactly.
func (s *Snapshot) Sum() int64 { return s.sum }

// Mean returns the mean value, 0 if there is none.
func (s *Snapshot) Mean() float64 {
	if s.count == 0 {
		return 0
	}
	return float64(s.sum) / float64(s.count)
}

// Quantile returns the value that a share q (0 to 1) of all values does not
// exceed: the middle of its bucket, at most 1/32 from the true value as long as
// that is not above MaxValue. It is 0 if there are no values.
func (s *Snapshot) Quantile(q float64) int64 {
	if s.count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(s.count)))
	rank = min(max(rank, 1), s.count)
	var seen uint64
	for i, n := range s.counts {
		if seen += n; seen >= rank {
			lo, hi := bounds(i)
			return lo + (hi-lo)/2
		}
	}
	panic("BUG: histogram counts do not add up")
}

// AtMost returns how many values were v or less, the figure of a Prometheus bucket
// with le=v. It is exact where v is the upper end of a bucket, as 2^n-1 is;
// otherwise the values in v's own bucket are counted too.
func (s *Snapshot) AtMost(v int64) uint64 {
	if v < 0 {
		return 0
	}
	var n uint64
	for _, c := range s.counts[:bucketOf(v)+1] {
		n += c
	}
	return n
}

// Reset empties s.
func (s *Snapshot) Reset() { *s = Snapshot{} }

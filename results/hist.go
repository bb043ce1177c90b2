package results

import (
	"math"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// MaxLatency is the largest latency a histogram tells apart. Longer ones are
	// recorded as this value and counted, see [Histogram.Clamped].
	MaxLatency = 60 * time.Second

	resolution = 100 // ns
	digits     = 3

	// minAbove is how many samples have to lie above a percentile for it to be quoted.
	minAbove = 10
)

// Histogram records latencies in nanoseconds. One takes about 190 KB. It is not
// safe for concurrent use. Mean and maximum are exact, percentiles within 0.1 %.
type Histogram struct {
	h       *hdr.Histogram
	sum     float64
	max     int64
	clamped int64
}

// NewHistogram returns an empty histogram.
func NewHistogram() *Histogram {
	return &Histogram{h: hdr.New(resolution, int64(MaxLatency), digits)}
}

// Record adds one latency in nanoseconds. A value outside of 0 to [MaxLatency] is
// recorded as the nearer end of the range and counted as clamped, never dropped.
func (h *Histogram) Record(ns int64) {
	v := ns
	switch {
	case v < 0:
		v = 0
		h.clamped++
	case v > int64(MaxLatency):
		v = int64(MaxLatency)
		h.clamped++
	}
	if err := h.h.RecordValue(v); err != nil {
		panic("BUG: histogram refused a clamped value: " + err.Error())
	}
	h.sum += float64(v)
	h.max = max(h.max, v)
}

// Merge adds what o holds to h.
func (h *Histogram) Merge(o *Histogram) {
	if dropped := h.h.Merge(o.h); dropped != 0 {
		panic("BUG: histograms of one shape dropped values in a merge")
	}
	h.sum += o.sum
	h.max = max(h.max, o.max)
	h.clamped += o.clamped
}

// Reset empties h for reuse.
func (h *Histogram) Reset() {
	if h.Count() == 0 {
		return
	}
	h.h.Reset()
	h.sum, h.max, h.clamped = 0, 0, 0
}

// Count returns the number of recorded latencies.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// Clamped returns how many recorded latencies lay outside of the range.
func (h *Histogram) Clamped() int64 { return h.clamped }

// Max returns the largest recorded latency in nanoseconds.
func (h *Histogram) Max() int64 { return h.max }

// Mean returns the mean in nanoseconds, 0 when empty.
func (h *Histogram) Mean() float64 {
	if h.Count() == 0 {
		return 0
	}
	return h.sum / float64(h.Count())
}

// Percentile returns the latency in nanoseconds below or at which p percent of the
// samples lie, whatever the number of samples. Use [Histogram.Quote] to report.
func (h *Histogram) Percentile(p float64) int64 { return min(h.h.ValueAtPercentile(p), h.max) }

// Quote returns the percentile, and whether at least ten samples lie above it.
func (h *Histogram) Quote(p float64) (ns int64, ok bool) {
	// The small addend keeps 100,000 samples enough for p99.99 in spite of rounding.
	if float64(h.Count())*(100-p)/100+1e-6 < minAbove {
		return 0, false
	}
	return h.Percentile(p), true
}

// Latency is the summary of one histogram, in microseconds. What cannot be said
// (nothing recorded, or fewer than ten samples above the percentile) is nil.
type Latency struct {
	Count   int64    `json:"count"`
	Mean    *float64 `json:"mean"`
	P50     *float64 `json:"p50"`
	P90     *float64 `json:"p90"`
	P99     *float64 `json:"p99"`
	P999    *float64 `json:"p99_9"`
	P9999   *float64 `json:"p99_99"`
	Max     *float64 `json:"max"`
	Clamped int64    `json:"clamped,omitempty"`
}

// Summary returns the figures of h that may be quoted.
func (h *Histogram) Summary() *Latency {
	l := &Latency{Count: h.Count(), Clamped: h.clamped}
	if l.Count == 0 {
		return l
	}
	l.Mean, l.Max = micros(h.Mean()), micros(float64(h.max))
	for _, q := range []struct {
		p   float64
		dst **float64
	}{{50, &l.P50}, {90, &l.P90}, {99, &l.P99}, {99.9, &l.P999}, {99.99, &l.P9999}} {
		if v, ok := h.Quote(q.p); ok {
			*q.dst = micros(float64(v))
		}
	}
	return l
}

// micros turns nanoseconds into microseconds with at most three decimals.
func micros(ns float64) *float64 {
	us := math.Round(ns) / 1e3
	return &us
}

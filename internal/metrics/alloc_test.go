//go:build !race

package metrics

import "testing"

func TestNoAllocations(t *testing.T) {
	var c Counter
	var g Gauge
	var h Histogram
	var s Snapshot
	n := testing.AllocsPerRun(100, func() {
		c.Add(1)
		g.Add(1)
		h.Observe(123456)
		h.AddTo(&s)
		_ = s.Quantile(0.99)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

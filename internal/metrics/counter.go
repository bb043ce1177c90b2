package metrics

import "sync/atomic"

// cacheLine is the size of a line on amd64 and most arm64 processors. Values that
// are this far apart never share one.
const cacheLine = 64

// Counter only goes up. It fills a cache line, so that counters next to each other
// that different threads write do not slow each other down.
type Counter struct {
	v atomic.Uint64
	_ [cacheLine - 8]byte
}

// Inc adds one.
func (c *Counter) Inc() { c.v.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.v.Add(n) }

// Load returns the count.
func (c *Counter) Load() uint64 { return c.v.Load() }

// Gauge goes up and down. It fills a cache line, like Counter.
type Gauge struct {
	v atomic.Int64
	_ [cacheLine - 8]byte
}

// Set makes the value n.
func (g *Gauge) Set(n int64) { g.v.Store(n) }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) { g.v.Add(n) }

// Load returns the value.
func (g *Gauge) Load() int64 { return g.v.Load() }

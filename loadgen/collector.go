package loadgen

import (
	"time"

	"github.com/sluice-mq/sluice/results"
)

// interval is how often figures are collected and shown.
const interval = time.Second

// Observer follows a run, for a live line. Its methods are called one at a time, from
// goroutines of the run; what they take delays the next call, not the load.
type Observer interface {
	SeriesStarted(index, of int, axes results.Axes)
	Tick(p Progress) // about once a second
	SeriesEnded(index, of int, s *results.Series)
}

// Progress is the state of a series. Latencies are summaries of the records that
// completed in the last interval (warm-up included), and of all measured so far.
type Progress struct {
	Index, Of int // series, from 0
	Axes      results.Axes
	Elapsed   time.Duration // since the series began
	Total     time.Duration // what the schedule takes, warm-up included
	Warmup    bool

	Sent, Completed, Errors, Received int64 // since the series began
	InFlight                          int64
	PerSecond                         float64 // completed in the last interval

	Kind     results.Kind     // what Last and Overall are
	Last     *results.Latency // µs
	Overall  *results.Latency
	LastE2E  *results.Latency
	TotalE2E *results.Latency
}

// collector swaps the histograms once per interval. Merging and summing up take about
// 2 ms, on its own goroutine.
type collector struct {
	*series
	obs     Observer
	quit    chan struct{}
	ended   chan struct{}
	total   *bank
	arrived *results.Histogram // end to end, measured
	points  []results.Point

	before                      int64 // time of the tick before
	completed, errors, received int64
	sentBefore                  int64
}

func newCollector(m *series, obs Observer) *collector {
	return &collector{
		series: m, obs: obs, quit: make(chan struct{}), ended: make(chan struct{}),
		total: newBank(), arrived: results.NewHistogram(), points: []results.Point{},
	}
}

func (c *collector) loop() {
	defer close(c.ended)
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			c.tick()
		case <-c.quit:
			c.tick()
			return
		}
	}
}

// finish collects what is left; total and arrived are complete when it returns.
func (c *collector) finish() {
	close(c.quit)
	<-c.ended
}

func (c *collector) tick() {
	now := c.clock.now()
	last, lastE2E := results.NewHistogram(), results.NewHistogram()
	p := results.Point{T: float64(now-c.window) / 1e9, Seconds: float64(now-c.before) / 1e9}
	for _, r := range c.recorders {
		b := r.swap()
		c.total.add(b)
		last.Merge(b.main)
		last.Merge(b.warm)
		p.Completed += b.completed
		p.Errors += b.errors
	}
	a := c.verify.swap()
	c.arrived.Merge(a.measured)
	lastE2E.Merge(a.measured)
	lastE2E.Merge(a.warm)
	sent := c.sent.Load()
	p.Sent, p.Received = sent-c.sentBefore, a.count
	c.completed += p.Completed
	c.errors += p.Errors
	c.received += p.Received
	c.before, c.sentBefore = now, sent
	l, e := last.Summary(), lastE2E.Summary()
	p.P50, p.P99, p.Max = l.P50, l.P99, l.Max
	p.E2EP50, p.E2EP99, p.E2EMax = e.P50, e.P99, e.Max
	c.point(p)
	if c.obs != nil {
		c.observe(now, p, l, e)
	}
}

// point keeps the interval. What is left after the last whole one goes to that, because
// a rate over a few milliseconds says nothing; its percentiles stay as they were.
func (c *collector) point(p results.Point) {
	if p.Seconds >= interval.Seconds()/2 || len(c.points) == 0 {
		c.points = append(c.points, p)
		return
	}
	l := &c.points[len(c.points)-1]
	l.T, l.Seconds = p.T, l.Seconds+p.Seconds
	l.Sent += p.Sent
	l.Completed += p.Completed
	l.Errors += p.Errors
	l.Received += p.Received
	l.Max, l.E2EMax = larger(l.Max, p.Max), larger(l.E2EMax, p.E2EMax)
}

func larger(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func (c *collector) observe(now int64, p results.Point, last, lastE2E *results.Latency) {
	kind := results.Response
	if c.acks == AcksNone {
		kind = results.ToSocket
	}
	c.obs.Tick(Progress{
		Index: c.index, Of: len(c.spec.Acks), Axes: c.axes, Elapsed: time.Duration(now),
		Total: c.spec.Warmup + c.spec.Duration, Warmup: now < c.window,
		Sent: c.sentBefore, Completed: c.completed, Errors: c.errors, Received: c.received,
		InFlight: c.sentBefore - c.completed - c.errors, PerSecond: float64(p.Completed) / p.Seconds,
		Kind: kind, Last: last, Overall: c.total.main.Summary(), LastE2E: lastE2E, TotalE2E: c.arrived.Summary(),
	})
}

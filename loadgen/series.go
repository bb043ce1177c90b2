package loadgen

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/results"
)

// series measures at one point of the axes. Order of events: schedule, last
// acknowledgement, last receipt, verdict.
type series struct {
	spec     *Spec
	index    int
	acks     Acks
	axes     results.Axes
	ownTopic bool
	window   int64 // start of the measured window, ns since the series began; it ends with the schedule

	clock     stopwatch
	pace      pacer
	engine    engine
	slots     *slots
	recorders []*recorder
	producers []*producer
	verify    *verifier
	ends      func(context.Context) ([]int64, error) // end offset of each partition; nil: unknown

	sent        atomic.Int64
	outstanding atomic.Int64 // records with the engine, and one for the sender while it runs
	drained     chan struct{}
	peak        int64 // of the sender
}

// newSeries prepares everything but the engine.
func newSeries(spec *Spec, index, partitions int, run uint64) *series {
	n := min(spec.Producers, maxRecorders)
	m := &series{
		spec: spec, index: index, acks: spec.Acks[index], window: int64(spec.Warmup), pace: thread{},
		slots: newSlots(spec.InFlight, spec.Size, spec.Seed+uint64(index)), recorders: make([]*recorder, n),
		drained: make(chan struct{}),
	}
	for i := range m.recorders {
		m.recorders[i] = newRecorder()
	}
	m.producers = newProducers(spec.Producers, partitions, m.recorders)
	m.verify = newVerifier(run, index, spec.Producers, partitions, spec.Size, m.window)
	m.outstanding.Store(1)
	return m
}

// lead is the time between the start of the goroutines and the first intended send.
const lead = 20 * time.Millisecond

// begin sets time zero, a little ahead of now: the clock is negative until then.
func (m *series) begin() { m.clock = stopwatch{time.Now().Add(lead)} }

// done is called by the engine for each record, once.
func (m *series) done(s *slot, err error) {
	now := m.clock.now()
	if err == nil {
		s.producer.acked[s.partition]++
	}
	s.producer.recorder.done(s, now, err)
	m.release() // before the slot is free again, so that the peak never passes the bound
	m.slots.put(s)
}

func (m *series) release() {
	if m.outstanding.Add(-1) == 0 {
		close(m.drained)
	}
}

// outcome is what a series came to, besides the results themselves.
type outcome struct {
	result  *results.Series
	reasons []string // why it is not valid
	notes   []string
	aborted bool
}

// measure runs the series to its end. A cancelled context cuts it short.
func (m *series) measure(ctx context.Context, obs Observer) *outcome {
	total := m.spec.Warmup + m.spec.Duration
	stop := make(chan struct{})
	stopOnce := sync.OnceFunc(func() { close(stop) })
	defer stopOnce()
	// A cluster that answers nothing must not hold the run for ever.
	guard := time.AfterFunc(lead+total+m.spec.DrainTimeout, stopOnce)
	defer guard.Stop()

	usage := newUsageSampler(m.spec.BrokerPID)
	warm := time.AfterFunc(lead+m.spec.Warmup, usage.begin)
	defer warm.Stop()

	collect := newCollector(m, obs)
	go collect.loop()

	s := &sender{series: m, schedule: newSchedule(m.spec.Rate, m.spec.Arrival, total, m.spec.Seed), pace: m.pace, stop: stop}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		s.run()
	}()
	select {
	case <-sent:
	case <-ctx.Done():
		stopOnce()
		<-sent
	}
	m.release() // the sender's own
	m.drain(ctx)
	usage.end()
	settled := m.settle(ctx)
	m.engine.close() // not before: at acks=0 the last records may not have left the connection
	collect.finish()

	o := &outcome{aborted: ctx.Err() != nil}
	o.result = m.result(s, collect, usage)
	m.judge(o, s, settled)
	if err := usage.trouble(); err != nil {
		o.notes = append(o.notes, "no figures of the broker's process: "+err.Error())
	}
	return o
}

// drain waits for the last completions; what is missing in the end fails.
func (m *series) drain(ctx context.Context) {
	timer := time.NewTimer(m.spec.DrainTimeout)
	defer timer.Stop()
	select {
	case <-m.drained:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	m.engine.close()
	<-m.drained
}

// settle waits until the consumer has everything that can still come: as many records
// as were acknowledged, then all that lies in the topic, so that a repeated record at
// the end is seen too. It gives up when nothing comes for IdleTimeout.
func (m *series) settle(ctx context.Context) error {
	var acked int64
	for _, p := range m.producers {
		for _, n := range p.acked {
			acked += n
		}
	}
	if !m.arrive(ctx, m.verify.await(acked, nil)) || m.ends == nil {
		return nil // what is missing is counted
	}
	ends, err := m.ends(ctx)
	if err != nil {
		return err
	}
	m.arrive(ctx, m.verify.await(acked, ends))
	return nil
}

// arrive reports whether done came before the consumer fell idle.
func (m *series) arrive(ctx context.Context, done <-chan struct{}) bool {
	before := m.verify.progress()
	idle := time.NewTicker(m.spec.IdleTimeout)
	defer idle.Stop()
	for {
		select {
		case <-done:
			return true
		case <-ctx.Done():
			return false
		case <-idle.C:
			now := m.verify.progress()
			if now == before {
				return false
			}
			before = now
		}
	}
}

// result puts the measured figures together.
func (m *series) result(s *sender, c *collector, usage *usageSampler) *results.Series {
	r := &results.Series{Axes: m.axes, OverTime: c.points}
	var last int64
	for _, rec := range m.recorders {
		at, err := rec.state()
		last = max(last, at)
		if err != nil && r.FirstError == "" {
			r.FirstError = err.Error()
		}
	}
	r.Records, r.Errors = c.total.records, c.total.failed
	r.OfferedPerS = float64(s.offered) / m.spec.Duration.Seconds()
	took := max(float64(last-m.window)/1e9, m.spec.Duration.Seconds())
	r.AchievedPerS = float64(r.Records) / took
	r.MBPerS = r.AchievedPerS * float64(m.spec.Size) / 1e6
	if m.acks == AcksNone {
		r.LatencyKind = results.ToSocket
		r.LatencyMeaning = "intended time to written to the client's socket; acks=0 has no response, so this says nothing of the broker"
		r.SetHistogram(results.ToSocket, c.total.main)
	} else {
		r.LatencyKind = results.Response
		r.LatencyMeaning = "intended time to acknowledgement, so waiting in the generator and the client counts"
		r.SetHistogram(results.Response, c.total.main)
		r.SetHistogram(results.Service, c.total.service)
	}
	r.SetHistogram(results.SendDelay, c.total.delay)
	r.SetHistogram(results.EndToEnd, c.arrived)
	if b := m.engine.batches(); b.count > 0 {
		n := float64(b.count)
		r.Batches = &results.Batches{
			Count: b.count, Records: float64(b.records) / n, Bytes: float64(b.bytes) / n, CompressedBytes: float64(b.compressed) / n,
		}
	}
	r.InFlight = &results.InFlight{Bound: m.slots.bound, Peak: int(m.peak), Waits: s.waits}
	gb := float64(r.Records) * float64(m.spec.Size) / 1e9
	r.Generator, r.Broker = usage.results(gb)
	if r.Broker != nil {
		r.Broker.GeneratorInside = r.Broker.PID == os.Getpid()
	}
	return r
}

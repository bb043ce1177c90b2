package loadgen

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/results"
)

// bubble lets the schedule sleep on synctest's clock, late by a fixed time.
type bubble struct{ late time.Duration }

func (bubble) enter()                  {}
func (b bubble) sleep(d time.Duration) { <-time.After(d + b.late) }

// stub is an engine with a broker of known behaviour behind it: one queue, answered in
// order. It delivers to the verifier itself, when it answers.
type stub struct {
	*series
	queue  chan *slot
	offset []int64
	n      int64
	closed bool
	quit   chan struct{}

	due    func(sent int64) int64 // when a record sent then is answered, ns since the series began
	wrong  func(n int64, deliver func(value []byte), value []byte)
	silent bool // answers nothing until closed
}

func (s *stub) send(sl *slot)        { s.queue <- sl }
func (s *stub) batches() batchCounts { return batchCounts{} }

func (s *stub) close() {
	if !s.closed {
		s.closed = true
		close(s.quit)
	}
}

func (s *stub) serve() {
	for {
		select {
		case sl := <-s.queue:
			if s.silent {
				<-s.quit
				s.done(sl, errors.New("client closed"))
				continue
			}
			<-time.After(time.Duration(s.due(sl.sent) - s.clock.now()))
			s.deliver(sl)
			s.done(sl, nil)
		case <-s.quit:
			for len(s.queue) > 0 {
				s.done(<-s.queue, errors.New("client closed"))
			}
			return
		}
	}
}

func (s *stub) deliver(sl *slot) {
	one := func(value []byte) {
		s.verify.receiveLocked(sl.partition, s.offset[sl.partition], value, s.clock.now())
		s.offset[sl.partition]++
	}
	s.verify.mu.Lock()
	defer s.verify.mu.Unlock()
	if s.wrong != nil {
		s.wrong(s.n, one, sl.value)
	} else {
		one(sl.value)
	}
	s.n++
	s.verify.checkLocked()
}

// simulate runs a series against a stub on a fake clock.
func simulate(t *testing.T, spec Spec, prepare func(*series, *stub)) (o *outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o = simulateHere(t, context.Background(), spec, prepare)
	})
	return o
}

func simulateHere(t *testing.T, ctx context.Context, spec Spec, prepare func(*series, *stub)) *outcome {
	t.Helper()
	spec.Bootstrap = []string{"stub"}
	if spec.Acks == nil {
		spec.Acks = []Acks{AcksLeader}
	}
	spec.Size = 100
	full, err := spec.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	parts := max(1, spec.Partitions)
	m := newSeries(full, 0, parts, 42)
	m.pace, m.ownTopic = bubble{}, true
	s := &stub{
		series: m, queue: make(chan *slot, m.slots.bound), offset: make([]int64, parts), quit: make(chan struct{}),
		due: func(sent int64) int64 { return sent + ms(5) },
	}
	m.engine = s
	m.ends = func(context.Context) ([]int64, error) { // of a topic into which the stub wrote
		m.verify.mu.Lock()
		defer m.verify.mu.Unlock()
		return append([]int64(nil), s.offset...), nil
	}
	prepare(m, s)
	m.begin()
	go s.serve()
	o := m.measure(ctx, nil)
	if err := checkCounts(o.result); err != "" {
		t.Error(err)
	}
	return o
}

// checkCounts compares the time series with the totals.
func checkCounts(r *results.Series) string {
	var sent, completed int64
	for _, p := range r.OverTime {
		sent += p.Sent
		completed += p.Completed
	}
	if sent != r.Verification.Sent || completed != r.Verification.Acked {
		return "the time series does not add up to the totals"
	}
	return ""
}

func ms(n float64) int64 { return int64(n * 1e6) }

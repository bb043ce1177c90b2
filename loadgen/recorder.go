package loadgen

import (
	"sync"

	"github.com/sluice-mq/sluice/results"
)

// bank holds what was recorded in one interval.
type bank struct {
	main    *results.Histogram // response, or to socket at acks=0; measured records
	service *results.Histogram
	delay   *results.Histogram
	warm    *results.Histogram // main, of the warm-up

	completed, errors int64 // warm-up included
	records, failed   int64 // measured
}

func newBank() *bank {
	return &bank{
		main: results.NewHistogram(), service: results.NewHistogram(), delay: results.NewHistogram(),
		warm: results.NewHistogram(),
	}
}

func (b *bank) reset() {
	b.main.Reset()
	b.service.Reset()
	b.delay.Reset()
	b.warm.Reset()
	b.completed, b.errors, b.records, b.failed = 0, 0, 0, 0
}

// add merges o's measured part and counts; warm stays out, it is for live display.
func (b *bank) add(o *bank) {
	b.main.Merge(o.main)
	b.service.Merge(o.service)
	b.delay.Merge(o.delay)
	b.completed += o.completed
	b.errors += o.errors
	b.records += o.records
	b.failed += o.failed
}

// recorder takes the completions of some producers. The lock is there for the
// collector's swap; completions of one producer come from one goroutine at a time.
type recorder struct {
	mu    sync.Mutex
	cur   *bank // guarded by mu
	first error // guarded by mu
	last  int64 // guarded by mu; completion of the last measured record, ns since the series began
	spare *bank // of the collector
}

// maxRecorders bounds histogram memory: 8 recorders x 2 banks x 4 histograms x 190 KB
// are 12 MB. More producers than that share.
const maxRecorders = 8

func newRecorder() *recorder { return &recorder{cur: newBank(), spare: newBank()} }

// done records the completion of s at now.
func (r *recorder) done(s *slot, now int64, err error) {
	r.mu.Lock()
	b := r.cur
	switch {
	case err != nil:
		b.errors++
		if s.measured {
			b.failed++
		}
		if r.first == nil {
			r.first = err
		}
	case s.measured:
		b.completed++
		b.records++
		b.main.Record(now - s.intended)
		b.service.Record(now - s.sent)
		b.delay.Record(s.sent - s.intended)
	default:
		b.completed++
		b.warm.Record(now - s.intended)
	}
	if s.measured {
		r.last = max(r.last, now)
	}
	r.mu.Unlock()
}

// swap returns what was recorded since the swap before; it stays valid until the next.
func (r *recorder) swap() *bank {
	r.spare.reset()
	r.mu.Lock()
	r.cur, r.spare = r.spare, r.cur
	r.mu.Unlock()
	return r.spare
}

func (r *recorder) state() (last int64, first error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.first
}

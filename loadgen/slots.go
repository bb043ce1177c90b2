package loadgen

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// slot is one record on its way, with buffers that are used again and again. It
// belongs to the schedule's thread until it is handed to the engine, to the engine
// until done, then to the pool.
type slot struct {
	value     []byte
	filler    uint32 // checksum of the filler
	producer  *producer
	partition int32
	intended  int64 // ns since the series began
	sent      int64
	measured  bool

	record  kgo.Record // of the franz-go engine
	promise func(*kgo.Record, error)
	next    *slot
}

// slots is the pool. Any goroutine puts, the schedule's thread alone takes: it keeps
// a list of its own and fetches everything returned at once, so that neither side
// waits for a lock. Last in, first out keeps the buffers in cache.
type slots struct {
	bound    int
	mine     *slot
	returned atomic.Pointer[slot]
	waiting  atomic.Bool
	wake     chan struct{}
}

// newSlots makes bound slots with values of size bytes, and touches all memory.
func newSlots(bound, size int, seed uint64) *slots {
	p := &slots{bound: bound, wake: make(chan struct{}, 1)}
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	noise := rand.NewChaCha8(key)
	all, values := make([]slot, bound), make([]byte, bound*size)
	_, _ = noise.Read(values) // never fails
	for i := range all {
		s := &all[i]
		s.value = values[i*size : (i+1)*size : (i+1)*size]
		s.filler = fillerSum(s.value)
		s.next, p.mine = p.mine, s
	}
	return p
}

// take returns a free slot, nil when every one is in flight.
func (p *slots) take() *slot {
	if p.mine == nil {
		p.mine = p.returned.Swap(nil)
	}
	s := p.mine
	if s != nil {
		p.mine, s.next = s.next, nil
	}
	return s
}

// wait blocks until a slot may be free or stop is closed.
func (p *slots) wait(stop <-chan struct{}) {
	p.waiting.Store(true)
	defer p.waiting.Store(false)
	if p.returned.Load() != nil { // returned between take and Store
		return
	}
	select {
	case <-p.wake:
	case <-stop:
	}
}

func (p *slots) put(s *slot) {
	for {
		head := p.returned.Load()
		s.next = head
		if p.returned.CompareAndSwap(head, s) {
			break
		}
	}
	if p.waiting.Load() {
		select {
		case p.wake <- struct{}{}:
		default: // a wake-up is already on its way
		}
	}
}

// each visits every slot; only before the first is taken.
func (p *slots) each(visit func(*slot)) {
	for s := p.mine; s != nil; s = s.next {
		visit(s)
	}
}

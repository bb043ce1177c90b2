package broker

import (
	"sync"
	"sync/atomic"
)

// waiterList is who waits for records of a partition: places of parked fetches, in a list threaded through the
// fetches themselves, so that parking allocates nothing.
//
// A fetch is told of every append in its partitions until its minimum is reached; it then moves from parked to
// woken exactly once, whoever does it (an append, its timer, the end of its connection), and is handed to its own
// loop, which alone takes it out of the lists. No record can slip between reading and parking: the fetch enters
// the lists first and looks at the log ends again afterwards.
//
// Bound: one place per partition of an unanswered fetch request; requests per connection and the bytes of their
// frames are bounded by the network layer.
type waiterList struct {
	n    atomic.Int32 // length, read without the lock by appends
	mu   sync.Mutex
	root waiter // head of the ring; guarded by mu
}

// waiter is one fetch's place in one partition's list.
type waiter struct {
	next, prev *waiter
	fetch      *fetch
}

func (l *waiterList) add(w *waiter) {
	l.mu.Lock()
	if l.root.next == nil {
		l.root.next, l.root.prev = &l.root, &l.root
	}
	w.prev, w.next = l.root.prev, &l.root
	w.prev.next, l.root.prev = w, w
	l.n.Add(1)
	l.mu.Unlock()
}

func (l *waiterList) remove(w *waiter) {
	l.mu.Lock()
	w.prev.next, w.next.prev = w.next, w.prev
	w.next, w.prev = nil, nil
	l.n.Add(-1)
	l.mu.Unlock()
}

// gained tells the waiting fetches that n more bytes may be read. lp is the loop that appended them, nil off the
// loops: fetches of lp itself run at the end of its turn, the others are posted to their loops.
func (l *waiterList) gained(n int64, lp *loop) {
	if l.n.Load() == 0 {
		return
	}
	l.each(lp, func(f *fetch) bool { return f.gained.Add(n) >= f.minBytes })
}

// wakeAll ends the wait of every fetch, whatever its minimum: the partition has changed.
func (l *waiterList) wakeAll() {
	l.each(nil, func(*fetch) bool { return true })
}

func (l *waiterList) each(lp *loop, ready func(*fetch) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.root.next == nil {
		return
	}
	for w := l.root.next; w != &l.root; w = w.next {
		f := w.fetch
		if !ready(f) || !f.state.CompareAndSwap(fetchParked, fetchWoken) {
			continue
		}
		if f.loop == lp {
			lp.woken = append(lp.woken, f)
		} else {
			f.loop.net.Post(f)
		}
	}
}

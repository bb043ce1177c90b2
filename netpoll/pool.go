package netpoll

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	minClass   = 512     // bytes of the smallest buffer
	smallFrame = 4 << 10 // a connection without unanswered frames may always have a buffer of this size
	classes    = 96
)

// classOf is the size class of n bytes: 512, then four classes for each doubling, so that at most a fifth of a
// buffer is unused. Plain powers of two would leave half of it unused for the most usual frame there is, a batch of
// a round size with its request around it.
func classOf(n int) int {
	if n <= minClass {
		return 0
	}
	e := bits.Len(uint(n-1)) - 1 // 1<<e < n <= 2<<e
	step := 1 << (e - 2)
	k := (n - 1<<e + step - 1) / step // 1..4
	return (e-9)*4 + k
}

// classSize is the inverse: how many bytes a buffer of the class has.
func classSize(class int) int {
	if class == 0 {
		return minClass
	}
	base := minClass << ((class - 1) / 4)
	return base + ((class-1)%4+1)*(base/4)
}

// framePool makes and reuses frame buffers and accounts for them.
//
// Buffers are reused last in, first out, since the last one is still in the processor's cache. What lies idle is
// bounded: in use and idle together stay within the budget, and what was not needed between two calls of trim is
// given to the garbage collector by halves.
//
// The budget is charged with buffers, not with announced lengths. Who cannot get a buffer waits: its loop keeps it in
// a list, sets waiting, and is called back by wake once there is room. Two exceptions keep this free of deadlock.
// One frame at a time, the holder of the overdraft, may go beyond the budget; without that, frames half received
// could fill it and none ever be whole. And a connection without unanswered frames may have a small buffer: the
// request that would let others finish (a follower's fetch, for which produce requests wait) must come through.
type framePool struct {
	budget int64
	wake   func() // tells all loops to try again; any goroutine

	inUse, idle, allocs atomic.Int64 // bytes, bytes, count
	overdraft           atomic.Bool  // taken
	waiting             atomic.Bool  // some loop wants to be woken

	class [classes]struct {
		mu   sync.Mutex
		free []*Frame
		low  int // the fewest that lay here since the last trim
	}
}

// reserve charges a buffer for n bytes, which take must then make; false means to wait. small says that the
// exception for small buffers applies to the connection, over that the frame holds the overdraft already. took
// reports that it got the overdraft by this call.
func (p *framePool) reserve(n int, small, over bool) (ok, took bool) {
	size := int64(classSize(classOf(n)))
	if p.inUse.Add(size) <= p.budget || over || small && n <= smallFrame {
		return true, false
	}
	if p.overdraft.CompareAndSwap(false, true) {
		return true, true
	}
	p.inUse.Add(-size) // not uncharge: nothing became free, and the caller would wake itself for ever
	return false, false
}

// take makes a frame with room for n bytes and one hold. It was charged before by reserve, or is by force.
func (p *framePool) take(n int) *Frame {
	k := classOf(n)
	cl := &p.class[k]
	cl.mu.Lock()
	if last := len(cl.free) - 1; last >= 0 {
		f := cl.free[last]
		cl.free[last] = nil
		cl.free = cl.free[:last]
		cl.low = min(cl.low, last)
		cl.mu.Unlock()
		p.idle.Add(-int64(len(f.buf)))
		f.refs.Store(1)
		return f
	}
	cl.mu.Unlock()
	if p.inUse.Load()+p.idle.Load() > p.budget {
		p.evict(int64(classSize(k)))
	}
	p.allocs.Add(1)
	f := &Frame{buf: make([]byte, classSize(k)), class: k, pool: p}
	f.refs.Store(1)
	return f
}

// force charges without asking: for bytes that are already read and have nowhere else to go.
func (p *framePool) force(n int) *Frame {
	p.inUse.Add(int64(classSize(classOf(n))))
	return p.take(n)
}

func (p *framePool) put(f *Frame) {
	size := int64(len(f.buf))
	if p.inUse.Load()+p.idle.Load() <= p.budget { // f is still part of inUse
		p.idle.Add(size)
		cl := &p.class[f.class]
		cl.mu.Lock()
		cl.free = append(cl.free, f)
		cl.mu.Unlock()
	}
	p.uncharge(size)
}

// uncharge gives n bytes back. Waiters are woken when an eighth of the budget is free, not at every byte. That may
// leave some waiting for less than there is, but never for ever: while anybody waits, the overdraft is taken, and
// its end wakes them in any case.
func (p *framePool) uncharge(n int64) {
	if p.inUse.Add(-n) <= p.budget-p.budget/8 {
		p.wakeWaiters()
	}
}

// giveUp releases the hold of f's receiver or request, and the overdraft with it.
func (p *framePool) giveUp(f *Frame) {
	over := f.over
	f.over = false
	f.Release()
	if over {
		p.overdraft.Store(false)
		p.wakeWaiters()
	}
}

func (p *framePool) wakeWaiters() {
	if p.waiting.Load() && p.waiting.CompareAndSwap(true, false) {
		p.wake()
	}
}

// evict drops idle buffers, large ones first, until n bytes are gone.
func (p *framePool) evict(n int64) {
	for k := classes - 1; k >= 0 && n > 0; k-- {
		n -= p.drop(k, func(have, _ int) int { return min(have, int((n+int64(classSize(k))-1)/int64(classSize(k)))) })
	}
}

// trim drops half of what nobody has needed since the last call. Called every second or so.
func (p *framePool) trim() {
	for k := range p.class {
		p.drop(k, func(_, low int) int { return (low + 1) / 2 })
	}
}

// drop frees as many buffers of class k as count says, oldest first, and returns their bytes.
func (p *framePool) drop(k int, count func(have, low int) int) int64 {
	cl := &p.class[k]
	cl.mu.Lock()
	n := count(len(cl.free), cl.low)
	if n > 0 {
		kept := copy(cl.free, cl.free[n:])
		clear(cl.free[kept:])
		cl.free = cl.free[:kept]
	}
	cl.low = len(cl.free)
	cl.mu.Unlock()
	size := int64(n) * int64(classSize(k))
	p.idle.Add(-size)
	return size
}

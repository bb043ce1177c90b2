package netpoll

import (
	"bytes"
	"sync/atomic"

	"github.com/sluice-mq/sluice/internal/invariants"
)

// A Frame is the memory of one received frame, in one piece, and the count of those who need it. It implements
// span.Ref: who keeps the bytes beyond the request takes a hold with Retain, and the last Release, from whichever
// goroutine, gives the buffer back to the pool.
type Frame struct {
	buf   []byte // as long as its capacity
	n     int    // bytes of the frame
	class int
	over  bool // holds the pool's overdraft; used on the loop only
	refs  atomic.Int32
	pool  *framePool
}

// Bytes is the frame without its length. Valid while a hold lasts; who holds it alone may write to it.
func (f *Frame) Bytes() []byte { return f.buf[:f.n:f.n] }

// Size is what the frame takes of memory and of the budget: more than its bytes. Who keeps it long may copy instead.
func (f *Frame) Size() int { return len(f.buf) }

// poison is what released frames begin with when invariants are checked.
var poison = bytes.Repeat([]byte{0xDB}, 4096)

// Retain takes another hold.
func (f *Frame) Retain() {
	if f.refs.Add(1) <= 1 {
		panic("BUG: netpoll: Retain of a released frame")
	}
}

// Release gives one hold up.
func (f *Frame) Release() {
	switch n := f.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("BUG: netpoll: frame released too often")
	}
	if invariants.Enabled { // make a use after release show
		copy(f.buf, poison)
	}
	f.pool.put(f)
}

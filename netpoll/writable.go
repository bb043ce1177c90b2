package netpoll

import "sync"

// maxLoops is what fits into a token besides slot and generation.
const maxLoops = 128

// tokenOf names a connection to the writable epoll: 8 bits loop, 24 bits slot, 32 bits generation of the slot. The
// descriptor alone would not do: between a report and its arrival on the loop the connection may have been closed
// and the number given to another.
func tokenOf(loop int, slot, generation uint32) uint64 {
	return uint64(loop)<<56 | uint64(slot)<<32 | uint64(generation)
}

// watchWritable is the goroutine of the second epoll. gnet tells nobody that a socket takes bytes again, so
// connections whose socket was full are armed there, once each (EPOLLONESHOT), and reports go to their loops.
func (s *Server) watchWritable() {
	defer s.background.Done()
	var tokens []uint64
	for {
		var ok bool
		if tokens, ok = s.poller.Wait(tokens[:0]); !ok {
			return
		}
		for _, t := range tokens {
			s.loops[t>>56].writable.report(t)
		}
	}
}

// writable is a loop's list of reported tokens. At most one per armed connection is in it.
type writable struct {
	loop *Loop

	mu     sync.Mutex
	tokens []uint64 // slot and generation

	taken []uint64 // the loop's
}

func (w *writable) report(token uint64) {
	w.mu.Lock()
	w.tokens = append(w.tokens, token)
	first := len(w.tokens) == 1
	w.mu.Unlock()
	if first {
		w.loop.Post(w)
	}
}

// Run marks the reported connections, which the end of the turn then flushes.
func (w *writable) Run() {
	w.mu.Lock()
	w.tokens, w.taken = w.taken[:0], w.tokens
	w.mu.Unlock()
	l := w.loop
	for _, t := range w.taken {
		c := l.slots[uint32(t>>32)&(1<<24-1)].conn
		if c == nil || c.generation != uint32(t) || !c.armed {
			continue // closed meanwhile
		}
		c.armed = false
		l.touch(c)
	}
}

package logstore

import "sync"

// maxHints is for how many readers of one log the next position is remembered: 8 * 24 bytes per log. More readers
// than that search the index again.
const maxHints = 8

// hints remember where recent reads ended, because that is where the same readers go on: a steady reader then
// costs no search. What a hint says stays true while its segment is in the log, and one of a segment that is gone
// matches none.
type hints struct {
	mu   sync.Mutex
	next int
	h    [maxHints]hint
}

type hint struct {
	off, pos int64
	seg      *segment
}

func (x *hints) get(off int64) (seg *segment, pos int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.h {
		if h := &x.h[i]; h.seg != nil && h.off == off {
			return h.seg, h.pos
		}
	}
	return nil, 0
}

// clear forgets all: segments are about to be replaced.
func (x *hints) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.h = [maxHints]hint{}
}

func (x *hints) put(off int64, seg *segment, pos int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.h {
		if x.h[i].off == off && x.h[i].seg == seg {
			return
		}
	}
	x.h[x.next] = hint{off, pos, seg}
	x.next = (x.next + 1) % maxHints
}

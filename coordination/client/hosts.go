package client

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Waiting between attempts to connect: a moment in the first round through all servers, so that the clients of a server
// that comes back do not all come at once; before each later round ever longer, by chance half as long or up to the whole.
const (
	firstPause = 20 * time.Millisecond
	leastPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// hosts are the servers in the order in which they are asked.
type hosts struct {
	list   []string
	next   int
	begun  bool
	failed int // attempts in a row
}

func newHosts(list []string) hosts {
	list = slices.Clone(list)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return hosts{list: list}
}

// take returns the one to ask now.
func (h *hosts) take() string {
	addr := h.list[h.next]
	h.next = (h.next + 1) % len(h.list)
	return addr
}

// pause is how long to wait before.
func (h *hosts) pause() time.Duration {
	round := h.failed / len(h.list)
	switch {
	case !h.begun:
		h.begun = true
		return 0
	case round == 0:
		return rand.N(firstPause)
	case h.failed%len(h.list) != 0:
		return 0
	}
	d := min(mostPause, leastPause<<min(round-1, 10))
	return d/2 + rand.N(d/2)
}

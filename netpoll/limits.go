package netpoll

import (
	"net/netip"
	"sync"
)

// refusal says why a connection is not let in.
type refusal int

const (
	admitted refusal = iota
	refusedTotal
	refusedPerIP
)

// limits counts the connections that are let in, from accept until their end. Acceptors and loops use it.
type limits struct {
	mu            sync.Mutex
	max, maxPerIP int // 0: unlimited
	open          int
	perIP         map[netip.Addr]int // an entry lives as long as its connections
	empty         chan struct{}      // closed when open is 0, once somebody has asked
}

// SetMaxConns changes MaxConns and MaxConnsPerIP. Connections that are open stay.
func (s *Server) SetMaxConns(total, perIP int) {
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	s.limits.max, s.limits.maxPerIP = total, perIP
}

func (l *limits) admit(ip netip.Addr) refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.max > 0 && l.open >= l.max {
		return refusedTotal
	}
	if l.maxPerIP > 0 && l.perIP[ip] >= l.maxPerIP {
		return refusedPerIP
	}
	if l.perIP == nil {
		l.perIP = make(map[netip.Addr]int)
	}
	l.perIP[ip]++
	l.open++
	return admitted
}

func (l *limits) leave(ip netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.perIP[ip]--; l.perIP[ip] == 0 {
		delete(l.perIP, ip)
	}
	if l.open == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
}

func (l *limits) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// whenEmpty returns a channel that is closed as soon as no connection is left.
func (l *limits) whenEmpty() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open > 0 {
		if l.empty == nil {
			l.empty = make(chan struct{})
		}
		return l.empty
	}
	ch := make(chan struct{})
	close(ch)
	return ch
}

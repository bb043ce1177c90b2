package netpoll

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// maxHandOvers bounds the connections that are accepted and have not yet reached their loop.
const maxHandOvers = 64

// accept takes connections of one listener and gives each to the loop with the fewest.
//
// gnet could accept too, but an error of accept(2) that it does not expect, such as having no descriptor left
// (EMFILE), ends its whole engine. Here it costs a pause, in which others may close. And here a connection above a
// limit never gets near a loop.
func (s *Server) accept(index int, ln *net.TCPListener) {
	defer s.acceptors.Done()
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		nc, err := ln.AcceptTCP()
		switch {
		case err == nil:
			pause = shortest
			s.admit(index, nc)
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		s.acceptErrors.Add(1)
		if pause == shortest {
			s.cfg.Logger.Warn("cannot accept connections", "listener", s.addrs[index], "error", err)
		}
		select {
		case <-s.stopping:
			return
		case <-time.After(pause):
			pause = min(2*pause, longest)
		}
	}
}

func (s *Server) admit(index int, nc *net.TCPConn) {
	remote, local := nc.RemoteAddr().(*net.TCPAddr), nc.LocalAddr().(*net.TCPAddr)
	ip, _ := netip.AddrFromSlice(remote.IP)
	ip = ip.Unmap()
	switch s.limits.admit(ip) {
	case refusedTotal:
		s.refusedTotal.Add(1)
		nc.Close()
		return
	case refusedPerIP:
		s.refusedPerIP.Add(1)
		nc.Close()
		return
	}
	l := s.leastLoaded()
	c := &Conn{
		id: s.nextID.Add(1), loop: l, listener: index, ip: ip,
		remote: remote.String(), local: local.String(),
	}
	c.in.pool = &s.frames
	l.conns.Add(1)
	s.handOver <- struct{}{}
	s.acceptors.Add(1)
	go s.enroll(c, nc)
}

// enroll waits for the loop, which may be in the midst of a long turn: hence the goroutine of its own.
func (s *Server) enroll(c *Conn, nc *net.TCPConn) {
	defer func() {
		<-s.handOver
		s.acceptors.Done()
	}()
	// gnet gives the zone's bytes to a pool of buffers that others then write to; net shares the string.
	nc.RemoteAddr().(*net.TCPAddr).Zone = ""
	nc.LocalAddr().(*net.TCPAddr).Zone = ""
	_, err := c.loop.client.EnrollContext(nc, c) // closes nc; the loop has a duplicate
	if err != nil || !c.reached.Load() {
		s.acceptErrors.Add(1)
		s.cfg.Logger.Debug("connection did not reach its loop", "peer", c.remote, "error", err)
		c.loop.conns.Add(-1)
		s.limits.leave(c.ip)
	}
}

func (s *Server) leastLoaded() *Loop {
	best := s.loops[0]
	for _, l := range s.loops[1:] {
		if l.conns.Load() < best.conns.Load() {
			best = l
		}
	}
	return best
}

package client

import "time"

// The lease. The server counts a session's time-out T from when it received something of the client's; the client counts
// from when it sent the last request that was answered, which was before. So, whatever the network did in between, the
// server cannot have ended the session before sent + T, if the two clocks go at the same rate. They do not quite:
// rateError of T is given away for two clocks at 500 ppm each, with room; and a margin for stopping what may only be
// done while the lease is held. The clock is CLOCK_BOOTTIME: it goes on while the machine sleeps.
const (
	rateError  = 0.002
	leastStop  = 250 * time.Millisecond
	stopShare  = 0.02
	leaseCheck = time.Second // timers stand still while the machine sleeps, so none is set for longer
)

// held is for how long after the sending of an answered request the lease is surely held.
func held(timeout time.Duration) time.Duration {
	t := float64(timeout)
	return time.Duration(t*(1-rateError)) - max(leastStop, time.Duration(t*stopShare))
}

// answeredLocked notes that a request which was sent at that time was answered.
func (s *Session) answeredLocked(sent time.Duration) {
	if end := sent + held(s.timeout); end > s.lease {
		s.lease = end
		if s.state == Lapsed && s.conn != nil && s.cfg.Now() < end {
			s.setLocked(Connected)
		}
	}
}

// settleLocked notices that the deadline has passed. A connection that is there has been silent for too long.
func (s *Session) settleLocked() {
	if s.state > Connected || !s.granted || s.cfg.Now() < s.lease {
		return
	}
	if s.conn != nil {
		s.conn.breakOff(errSilent)
	}
	s.log.Warn("zookeeper session may have ended: no answer within its time-out", "session", s.hexID(), "timeout", s.timeout)
	s.setLocked(Lapsed)
}

// watchLease is a goroutine of the session: it makes the state Lapsed in time even if nobody asks.
func (s *Session) watchLease() {
	timer := time.NewTimer(leaseCheck)
	defer timer.Stop()
	for {
		s.mu.Lock()
		s.settleLocked()
		wait := leaseCheck
		if s.state <= Connected && s.granted {
			wait = min(wait, s.lease-s.cfg.Now())
		}
		s.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			return
		}
	}
}

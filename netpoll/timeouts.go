package netpoll

import (
	"io"
	"sync/atomic"
	"time"
)

// keepTime ticks the loops. Coarse ticks instead of a timer per connection: reading a counter costs nothing on the
// paths that matter, and the scan is some tens of microseconds per thousand connections, once in a tick.
func (s *Server) keepTime() {
	defer s.background.Done()
	t := time.NewTicker(s.cfg.tickInterval())
	defer t.Stop()
	ticks := make([]tickTask, len(s.loops))
	for i, l := range s.loops {
		ticks[i].loop = l
	}
	var sinceTrim time.Duration
	for {
		select {
		case <-s.quit:
			return
		case <-t.C:
		}
		for i := range ticks {
			if k := &ticks[i]; k.loop.conns.Load() > 0 && k.posted.CompareAndSwap(false, true) {
				k.loop.Post(k)
			}
		}
		if sinceTrim += s.cfg.tickInterval(); sinceTrim >= time.Second {
			sinceTrim = 0
			s.frames.trim()
		}
	}
}

// tickTask is one tick of one loop. A loop that is late gets no second one: its time then runs slower, which only
// makes time-outs longer.
type tickTask struct {
	loop   *Loop
	posted atomic.Bool
}

func (t *tickTask) Run() {
	t.posted.Store(false)
	t.loop.tick++
	for i := range t.loop.slots {
		if c := t.loop.slots[i].conn; c != nil && c.state == connOpen {
			c.expire()
		}
	}
}

// expire closes the connection if one of its times is up.
func (c *Conn) expire() {
	l := c.loop
	s := l.server
	late := func(since, limit uint32) bool { return limit > 0 && l.tick-since > limit }
	switch {
	case c.lingering:
		if late(c.progress, s.lingerTicks) {
			c.Close(ErrDrained)
		}
	case c.armed && late(c.progress, s.frameTicks):
		l.counts.add(cSendTimeouts, 1)
		c.Close(ErrSendTimeout)
	case c.ended && late(c.progress, s.frameTicks):
		c.Close(io.EOF)
	case c.blocked == 0 && !c.paused && c.in.receiving() && late(c.in.began, s.frameTicks):
		l.counts.add(cFrameTimeouts, 1)
		c.Close(ErrFrameTimeout)
	case c.head == nil && c.blocked == 0 && late(c.active, s.idleTicks):
		l.counts.add(cIdleCloses, 1)
		c.Close(ErrIdle)
	}
}

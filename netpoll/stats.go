package netpoll

import "sync/atomic"

// Stats are counters since Listen, and gauges where it says so. Bytes are bytes on the wire, lengths included.
type Stats struct {
	Open                         int64 // gauge: connections, from accept to end
	Accepted, Closed             int64 // handed to a loop; closed again
	RefusedTotal, RefusedPerIP   int64 // closed at accept: MaxConns, MaxConnsPerIP
	AcceptErrors                 int64 // failed accepts (no descriptors, for example) and failed hand-overs
	HandlerPanics                int64
	BadFrames                    int64 // negative or too large
	FrameTimeouts, SendTimeouts  int64
	IdleCloses, TruncatedFiles   int64
	Frames                       int64 // whole frames handed over
	Replies, Dropped             int64 // finished by Send, by Drop
	BytesIn                      int64
	BytesOutMemory, BytesOutFile int64 // by sendmsg (copied files too), by sendfile

	// System calls on connections, by kind. A wake-up of a loop from another goroutine is one write and one read
	// on a socket pair, counted as Wakeups only. The waits of gnet's own epoll are not seen here.
	Reads       int64 // read, by gnet: one per readiness
	Readvs      int64 // readv: more bytes of the same turn
	Writevs     int64 // sendmsg
	Sendfiles   int64
	Preads      int64 // of files, with Config.CopyFiles
	EpollCtls   int64 // pausing, resuming, arming
	Wakeups     int64
	Turns       int64 // turns of the loops
	SendFull    int64 // times a socket was full: EAGAIN or a short write
	Yields      int64 // times a send gave way to other connections
	Pauses      int64 // times a connection was taken out of gnet's epoll, for one of the next four reasons or Drain
	OverRequest int64 // MaxRequests was reached
	OverPending int64 // MaxPending, or the number of unsent replies, was exceeded
	OverBudget  int64 // FrameBudget was spent
	OverRounds  int64 // held bytes were put off to another turn

	FrameBytes     int64 // gauge: frame buffers in use
	FrameFreeBytes int64 // gauge: idle buffers
	FrameAllocs    int64 // buffers made because no idle one fitted
}

// counter names one count of a loop.
type counter int

const (
	cClosed counter = iota
	cAccepted
	cHandlerPanics
	cBadFrames
	cFrameTimeouts
	cSendTimeouts
	cIdleCloses
	cTruncatedFiles
	cFrames
	cReplies
	cDropped
	cBytesIn
	cBytesOutMemory
	cBytesOutFile
	cReads
	cReadvs
	cWritevs
	cSendfiles
	cPreads
	cEpollCtls
	cTurns
	cSendFull
	cYields
	cPauses
	cOverRequest
	cOverPending
	cOverBudget
	cOverRounds
	counters
)

// counts are plain numbers while a turn lasts, and published at its end: one locked instruction per kind and turn
// instead of one per event.
type counts struct {
	turn  [counters]int64
	total [counters]atomic.Int64
}

func (c *counts) add(k counter, n int64) { c.turn[k] += n }

func (c *counts) publish() {
	for k := range c.turn {
		if n := c.turn[k]; n != 0 {
			c.total[k].Add(n)
			c.turn[k] = 0
		}
	}
}

// Stats may be called from any goroutine. Counts of a turn that is under way are not yet in it.
func (s *Server) Stats() Stats {
	var n [counters]int64
	st := Stats{
		Open:           int64(s.limits.count()),
		RefusedTotal:   s.refusedTotal.Load(),
		RefusedPerIP:   s.refusedPerIP.Load(),
		AcceptErrors:   s.acceptErrors.Load(),
		FrameBytes:     s.frames.inUse.Load(),
		FrameFreeBytes: s.frames.idle.Load(),
		FrameAllocs:    s.frames.allocs.Load(),
	}
	for _, l := range s.loops {
		st.Wakeups += l.tasks.wakeups.Load()
		for k := range n {
			n[k] += l.counts.total[k].Load()
		}
	}
	st.Closed, st.Accepted, st.HandlerPanics, st.BadFrames = n[cClosed], n[cAccepted], n[cHandlerPanics], n[cBadFrames]
	st.FrameTimeouts, st.SendTimeouts, st.IdleCloses = n[cFrameTimeouts], n[cSendTimeouts], n[cIdleCloses]
	st.TruncatedFiles, st.Frames, st.Replies, st.Dropped = n[cTruncatedFiles], n[cFrames], n[cReplies], n[cDropped]
	st.BytesIn, st.BytesOutMemory, st.BytesOutFile = n[cBytesIn], n[cBytesOutMemory], n[cBytesOutFile]
	st.Reads, st.Readvs, st.Writevs, st.Sendfiles = n[cReads], n[cReadvs], n[cWritevs], n[cSendfiles]
	st.Preads, st.EpollCtls, st.Turns, st.SendFull, st.Yields = n[cPreads], n[cEpollCtls], n[cTurns], n[cSendFull], n[cYields]
	st.Pauses, st.OverRequest, st.OverPending = n[cPauses], n[cOverRequest], n[cOverPending]
	st.OverBudget, st.OverRounds = n[cOverBudget], n[cOverRounds]
	return st
}

package server

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/sys"
)

// admission counts connections by address.
type admission struct {
	most, mostPerIP int // 0: no bound

	mu    sync.Mutex
	open  int
	perIP map[string]int

	accepted, refused atomic.Int64
}

func (a *admission) init(most, mostPerIP int) {
	a.most, a.mostPerIP, a.perIP = most, mostPerIP, map[string]int{}
}

// enter tells whether there may be one more.
func (a *admission) enter(addr string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.most > 0 && a.open >= a.most || a.mostPerIP > 0 && a.perIP[addr] >= a.mostPerIP {
		a.refused.Add(1)
		return false
	}
	a.accepted.Add(1)
	a.open++
	a.perIP[addr]++
	return true
}

func (a *admission) leave(addr string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	if a.perIP[addr]--; a.perIP[addr] == 0 {
		delete(a.perIP, addr)
	}
}

// accept takes connections, until its listener is closed. Want of descriptors passes: those who are here may go.
func (s *Server) accept(l *net.TCPListener, secured bool) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	for pause := shortest; ; {
		nc, err := l.AcceptTCP()
		if err == nil {
			pause = shortest
			s.admit(nc, secured)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if pause == shortest {
			s.log.Warn("cannot accept connections", "listener", l.Addr(), "err", err)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, longest)
		}
	}
}

func (s *Server) admit(nc *net.TCPConn, secured bool) {
	from := nc.RemoteAddr().(*net.TCPAddr).AddrPort()
	c := &conn{s: s, fd: -1, addr: from.Addr().Unmap().String(), port: from.Port()}
	if !s.admission.enter(c.addr) {
		nc.Close()
		return
	}
	c.ids = []zk.ID{{Scheme: "ip", ID: c.addr}}
	if secured {
		s.wg.Go(func() { s.serveTLS(c, nc) })
		return
	}
	// The socket leaves Go's poller: the owner waits for it.
	raw, err := nc.SyscallConn()
	if err == nil {
		err = errors.Join(err, raw.Control(func(fd uintptr) { c.fd, err = sys.Duplicate(int(fd)) }))
	}
	nc.Close()
	if err != nil {
		s.log.Warn("cannot accept a connection", "err", err)
		s.admission.leave(c.addr)
		return
	}
	if !s.tasks.post(s, func() { s.open(c) }) {
		c.discard()
	}
}

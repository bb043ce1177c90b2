package netpoll

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/sluice-mq/sluice/internal/sys"
)

// linger is how long a drained connection's peer has for closing first.
const linger = time.Second

// Server is a set of listeners and the loops that serve their connections. Its methods may be called from any
// goroutine except a loop's.
type Server struct {
	cfg     Config
	handler Handler
	loops   []*Loop
	frames  framePool
	limits  limits
	poller  *sys.Poller // of sockets that were full

	listeners []net.Listener
	addrs     []string
	nextID    atomic.Uint64
	handOver  chan struct{} // bounds connections between accept and loop

	idleTicks, frameTicks, lingerTicks uint32

	refusedTotal, refusedPerIP, acceptErrors atomic.Int64

	stopping   chan struct{}  // closed when no more connections are taken
	quit       chan struct{}  // closed by Close
	acceptors  sync.WaitGroup // accepting and handing over
	background sync.WaitGroup // watchWritable, keepTime
	stopOnce   sync.Once
	closeOnce  sync.Once
}

// Listen opens the listeners and starts the loops. On return connections are accepted and h may be called. The error
// names the address that cannot be had; errors.Is(err, syscall.EADDRINUSE) tells one that is taken.
func Listen(cfg Config, h Handler) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, handler: h,
		limits:   limits{max: cfg.MaxConns, maxPerIP: cfg.MaxConnsPerIP},
		handOver: make(chan struct{}, maxHandOvers),
		stopping: make(chan struct{}),
		quit:     make(chan struct{}),

		idleTicks:   cfg.ticks(cfg.IdleTimeout),
		frameTicks:  cfg.ticks(cfg.FrameTimeout),
		lingerTicks: cfg.ticks(linger),
	}
	s.frames.budget, s.frames.wake = cfg.FrameBudget, s.wakeStarving
	err := s.listen()
	if err == nil {
		err = s.startLoops()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.background.Add(2)
	go s.watchWritable()
	go s.keepTime()
	for i, ln := range s.listeners {
		s.acceptors.Add(1)
		go s.accept(i, ln.(*net.TCPListener))
	}
	return s, nil
}

func (s *Server) listen() error {
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4},
		Control:         s.prepareListener,
	}
	lc.SetMultipathTCP(false) // Go's default otherwise; nobody asked for it, and it costs
	for _, addr := range s.cfg.Listeners {
		ln, err := lc.Listen(context.Background(), "tcp", addr)
		if err != nil {
			return listenError(addr, err)
		}
		s.listeners = append(s.listeners, ln)
		s.addrs = append(s.addrs, ln.Addr().String())
	}
	return nil
}

// prepareListener sets what accepted sockets inherit. TCP_NODELAY and keep-alive are set by package net.
func (s *Server) prepareListener(_, _ string, raw syscall.RawConn) error {
	var err error
	controlErr := raw.Control(func(fd uintptr) {
		err = errors.Join(sys.SetBuffers(int(fd), s.cfg.SendBuffer, s.cfg.RecvBuffer), sys.SetOOBInline(int(fd)))
	})
	return errors.Join(controlErr, err)
}

// listenError leaves out what package net says twice.
func listenError(addr string, err error) error {
	var sc *os.SyscallError
	if errors.As(err, &sc) {
		err = sc.Err
	}
	return fmt.Errorf("netpoll: listening on %s: %w", addr, err)
}

func (s *Server) startLoops() error {
	var err error
	if s.poller, err = sys.NewPoller(); err != nil {
		return fmt.Errorf("netpoll: %w", err)
	}
	for i := range s.cfg.Loops {
		l := newLoop(s, i)
		if err := l.start(); err != nil {
			return fmt.Errorf("netpoll: starting event loop %d: %w", i, err)
		}
		s.loops = append(s.loops, l)
	}
	return nil
}

// start runs the loop and opens the socket pair that wakes it. gnet's client is its event loop without its acceptor;
// one client has one loop here, so that we choose which connection goes where. See accept for why not its server.
func (l *Loop) start() error {
	client, err := gnet.NewClient(&gnetEvents{loop: l}, gnet.WithNumEventLoop(1), gnet.WithReadBufferCap(gnetBuffer),
		gnet.WithTCPNoDelay(gnet.TCPDelay), gnet.WithLogger(gnetLog{l.server.cfg.Logger}))
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	l.client = client
	if err := l.hangBell(); err != nil {
		l.stop()
		return err
	}
	return nil
}

func (l *Loop) hangBell() error {
	ours, its, err := sys.SocketPair()
	if err != nil {
		return err
	}
	l.tasks.bell = ours
	f := os.NewFile(uintptr(its), "bell")
	nc, err := net.FileConn(f) // duplicates
	f.Close()
	if err != nil {
		return err
	}
	if l.bell, err = l.client.EnrollContext(nc, nil); err != nil {
		return err
	}
	l.events = l.bell.EventLoop()
	l.watch, err = sys.FindWatch(l.bell.Fd())
	return err
}

// stop ends the loop's goroutine, which closes its connections, closes those that gnet does not know, and then runs
// what was posted to it.
func (l *Loop) stop() {
	l.client.Stop()
	for i := range l.slots {
		if c := l.slots[i].conn; c != nil {
			l.bury(c)
		}
	}
	l.tasks.stop()
	l.counts.publish()
}

// Addrs are the actual addresses, "host:port", in the order of Config.Listeners.
func (s *Server) Addrs() []string { return s.addrs }

// Loops are the event loops.
func (s *Server) Loops() []*Loop { return s.loops }

// Drain stops gracefully: no more connections, no more frames are taken; once all frames handed over before are
// answered and sent, the connections and the server are closed. A frame that has arrived in part is lost. If ctx ends
// before, the rest is closed at once and the error is the context's.
func (s *Server) Drain(ctx context.Context) error {
	s.stopAccepting()
	for _, l := range s.loops {
		l.Post(drainTask{l})
	}
	var err error
	select {
	case <-s.limits.whenEmpty():
	case <-ctx.Done():
		err = fmt.Errorf("netpoll: draining: %w", ctx.Err())
	}
	s.Close()
	return err
}

type drainTask struct{ loop *Loop }

func (t drainTask) Run() {
	for i := range t.loop.slots {
		if c := t.loop.slots[i].conn; c != nil && c.state == connOpen {
			c.blocked |= byDrain
			c.in.release()
			t.loop.touch(c) // its flush ends it when there is nothing to wait for
		}
	}
}

// Close closes all connections and stops everything. On return no handler method runs or will run.
func (s *Server) Close() error {
	s.stopAccepting()
	s.closeOnce.Do(func() {
		close(s.quit)
		if s.poller != nil {
			s.poller.Stop()
		}
		s.background.Wait()
		for _, l := range s.loops {
			l.stop()
		}
		if s.poller != nil {
			s.poller.Close()
		}
	})
	return nil
}

// stopAccepting closes the listeners and waits until what was accepted has reached its loop.
func (s *Server) stopAccepting() {
	s.stopOnce.Do(func() {
		close(s.stopping)
		for _, ln := range s.listeners {
			ln.Close()
		}
		s.acceptors.Wait()
	})
}

// wakeStarving has every loop try again for its connections that wait for frame memory.
func (s *Server) wakeStarving() {
	for _, l := range s.loops {
		l.Post((*starvingTask)(l))
	}
}

type starvingTask Loop

func (t *starvingTask) Run() {
	l := (*Loop)(t)
	waiting := l.starving
	l.starving = l.spareStarving[:0]
	for i, c := range waiting {
		waiting[i] = nil
		c.starved = false
		c.unblock(byBudget)
	}
	l.spareStarving = waiting
}

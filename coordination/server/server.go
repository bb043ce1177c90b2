package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Config is how a coordinator is run.
type Config struct {
	Dir    string // of its data, created if need be
	Listen []string
	// SecureListen are addresses with TLS, by what TLS says.
	SecureListen []string
	TLS          *tls.Config
	Limits       Limits
	// MaxPacket is jute.maxbuffer, of requests only. MaxConns and MaxConnsPerIP count connections; 0: no bound.
	MaxPacket     int
	MaxConns      int
	MaxConnsPerIP int
	// SnapshotEvery is after how many transactions the state is written out (snapCount), SnapshotsKept how many of these
	// files stay, at least 1.
	SnapshotEvery int
	SnapshotsKept int
	// Words are the four-letter words that are answered; "*" is all.
	Words   []string
	Version string // for the words that tell it
	Logger  *slog.Logger
}

// Server is a running coordinator.
//
// Threads: one goroutine, the owner, waits for all sockets, executes what they send on the core, brings the
// transactions of that turn to the device with one sync, and answers. While it syncs, requests gather in the sockets' buffers and
// are the next turn: that is the group commit. So nobody is woken up between a request and its answer, nothing the owner has is
// locked, and no answer can overtake another. Besides there are a goroutine for each listener; for each connection with
// TLS one that reads and, while it has something to send, one that writes; and one that writes a snapshot, when it is time.
type Server struct {
	cfg   Config
	log   *slog.Logger
	start time.Time

	// Any goroutine's.
	events    *sys.Events
	tasks     tasks
	admission admission
	listeners []net.Listener
	wg        sync.WaitGroup // all goroutines but the owner
	failed    atomic.Pointer[error]
	ctx       context.Context // over when the end begins
	cancel    context.CancelFunc
	done      chan struct{} // closed when all has ended
	unsent    atomic.Int64  // bytes of answers that sockets have not taken
	snapshots atomic.Int64
	writing   atomic.Bool // a snapshot

	owner
}

// Open reads what is in the directory and listens. On return clients are served. Errors: ErrLocked, ErrLost,
// ErrDamaged, or what the system said.
func Open(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Server{cfg: cfg, log: cfg.Logger, start: time.Now(), done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.admission.init(cfg.MaxConns, cfg.MaxConnsPerIP)
	s.owner.init(&cfg)
	var err error
	if s.store, err = openStore(cfg.Dir, s.core, s.log); err != nil {
		s.cancel()
		return nil, err
	}
	s.unsaved = s.store.replayed
	if err := s.listen(); err != nil {
		s.cancel()
		for _, l := range s.listeners {
			l.Close()
		}
		return nil, errors.Join(fmt.Errorf("coordinator: %w", err), s.store.close(s.core.tree.zxid))
	}
	for i, l := range s.listeners {
		s.wg.Go(func() { s.accept(l.(*net.TCPListener), i >= len(cfg.Listen)) })
	}
	s.log.Info("coordinator is ready", "dir", cfg.Dir, "zxid", fmt.Sprintf("%#x", s.core.tree.zxid),
		"nodes", len(s.core.tree.nodes), "sessions", len(s.core.sessions.byID), "took", time.Since(s.start).Round(time.Millisecond))
	go s.own()
	return s, nil
}

func (s *Server) listen() (err error) {
	for _, list := range [][]string{s.cfg.Listen, s.cfg.SecureListen} {
		for _, addr := range list {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return err
			}
			s.listeners = append(s.listeners, l)
		}
	}
	s.events, err = sys.NewEvents()
	return err
}

// Addrs are the addresses that are listened on: Listen's in order, then SecureListen's.
func (s *Server) Addrs() []string {
	list := make([]string, len(s.listeners))
	for i, l := range s.listeners {
		list[i] = l.Addr().String()
	}
	return list
}

// Done is closed when the server has ended, by Close or because its device failed; Err tells which.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is why the server ended by itself, nil if it did not.
func (s *Server) Err() error {
	if p := s.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// Close ends all connections and closes the directory; it waits for both. Sessions go on at the next start, with their
// full time-outs. The error is Err's, or what closing the directory gave.
func (s *Server) Close() error {
	s.end()
	<-s.done
	return errors.Join(s.Err(), s.closed)
}

// end begins the end.
func (s *Server) end() {
	s.cancel()
	s.tasks.post(s, func() {}) // the owner looks
}

// fail ends the server: what the device has is not known, so nothing more may be promised.
func (s *Server) fail(err error) {
	if s.failed.CompareAndSwap(nil, &err) {
		s.log.Error("the coordinator ends", "err", err)
		s.end()
	}
}

// Do runs f on the owner between two packets, and waits for it. It is not for anything that changes the tree. The error is
// net.ErrClosed, when the server has ended.
func (s *Server) Do(f func(*Core)) error {
	ran := make(chan struct{})
	if !s.tasks.post(s, func() { f(s.core); close(ran) }) {
		return net.ErrClosed
	}
	<-ran // tasks are run even at the end
	return nil
}

// tasks are what other goroutines have the owner do. Bound: each connection has one at most, and each caller of Do.
type tasks struct {
	mu     sync.Mutex
	list   []func()
	closed bool
}

// post tells whether the owner will run f.
func (t *tasks) post(s *Server, f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.list = append(t.list, f); len(t.list) == 1 {
		s.events.Ring()
	}
	return true
}

// take returns what is there; with last, nothing is taken afterwards.
func (t *tasks) take(last bool) []func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.list
	t.list, t.closed = nil, t.closed || last
	return list
}

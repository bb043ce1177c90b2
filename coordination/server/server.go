package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/internal/metrics"
)

// Config is how a coordinator is run.
type Config struct {
	Dir    string // of its data, created if need be
	Listen []string
	// SecureListen are addresses with TLS.
	SecureListen []string
	TLS          *tls.Config
	Limits       Limits
	// MaxPacket is jute.maxbuffer, of requests only. MaxConns and MaxConnsPerIP count connections; 0: no bound.
	MaxPacket     int
	MaxConns      int
	MaxConnsPerIP int
	// SnapshotEvery is after how many transactions the state is written out (snapCount).
	SnapshotEvery int
	SnapshotsKept int
	// Words are the four-letter words that are answered; "*" is all.
	Words   []string
	Version string // for the words that tell it
	Logger  *slog.Logger
}

// Bounds, per connection and in all. A connection whose requests or replies reach them is not read; with a reply
// beyond maxUnsent, which only watches of a client that does not read can cause, it is closed.
const (
	maxInbox  = 16 << 20  // request bytes read and not executed
	maxCommit = 8 << 20   // transaction and reply bytes that wait for the device; executing waits
	maxOwed   = 4 << 20   // unsent bytes of a connection above which it is not read
	maxUnsent = 128 << 20 // unsent bytes of a connection at which it is closed
	readSize  = 64 << 10
	idleSize  = 512 // buffer of a connection that is quiet
	// A connection has to say what it wants by then, and a packet that has begun to be whole.
	helloLimit  = 10 * time.Second
	packetLimit = 30 * time.Second
)

// Server is a running coordinator.
//
// Threads: a goroutine for each connection reads packets and puts them into the inbox; the owner executes them on the
// core; the committer brings what was executed to the device and then sends, batch by batch, while the owner goes on.
// A batch that nothing durable depends on is sent by the owner. Writing to a socket never waits: what the kernel does
// not take is left to a goroutine of that connection, which ends when it is done.
type Server struct {
	cfg   Config
	core  *Core // the owner's
	store *store
	log   *slog.Logger
	start time.Time

	listeners []net.Listener
	conns     connTable
	inbox     inbox
	commits   commits

	stop   chan struct{}
	once   sync.Once
	failed atomic.Pointer[error]
	done   chan struct{} // closed when all has ended
	wg     sync.WaitGroup

	latency latencies

	unsaved      int // transactions since the last snapshot; the owner's
	snapshotting atomic.Bool
}

// latencies are how long operations took, in nanoseconds: from being executed to being answered, and the syncs of the
// log.
type latencies struct{ read, write, sync metrics.Histogram }

// Open reads what is in the directory and listens. On return clients are served. Errors: ErrLocked, ErrLost,
// ErrDamaged, or what the system said.
func Open(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Server{cfg: cfg, core: newCore(cfg.Limits, nil), log: cfg.Logger, start: time.Now(),
		stop: make(chan struct{}), done: make(chan struct{})}
	s.inbox.init()
	s.commits.init()
	s.conns.init()
	s.core.wall = time.Now().UnixMilli()
	s.core.sessions.beginIDs(cfg.Limits.ServerID, s.core.wall)
	var err error
	if s.store, err = openStore(cfg.Dir, s.core, s.log); err != nil {
		return nil, err
	}
	for _, addr := range cfg.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			for _, l := range s.listeners {
				l.Close()
			}
			return nil, errors.Join(fmt.Errorf("coordinator: %w", err), s.store.close())
		}
		s.listeners = append(s.listeners, l)
	}
	for _, l := range s.listeners {
		s.wg.Go(func() { s.accept(l) })
	}
	s.wg.Go(s.own)
	s.wg.Go(s.commit)
	go func() {
		s.wg.Wait()
		close(s.done)
	}()
	s.log.Info("coordinator is ready", "dir", cfg.Dir, "zxid", fmt.Sprintf("%#x", s.core.tree.zxid),
		"nodes", len(s.core.tree.nodes), "sessions", len(s.core.sessions.byID), "took", time.Since(s.start).Round(time.Millisecond))
	return s, nil
}

// Addrs are the addresses that are listened on, in order.
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

// fail ends the server: what the device has is not known, so nothing more may be promised.
func (s *Server) fail(err error) {
	if s.failed.CompareAndSwap(nil, &err) {
		s.log.Error("coordinator ends: its log cannot be written", "err", err)
		s.end()
	}
}

func (s *Server) end() {
	s.once.Do(func() {
		close(s.stop)
		for _, l := range s.listeners {
			l.Close()
		}
		s.inbox.close()
		s.commits.close()
		s.conns.closeAll()
	})
}

// Close ends all connections and closes the directory. Sessions go on at the next start, with their full time-outs.
func (s *Server) Close() error {
	s.end()
	<-s.done
	return errors.Join(s.Err(), s.store.close())
}

// own is the owner: it executes what connections have sent, in the order in which it came.
func (s *Server) own() {
	tick := time.NewTicker(s.cfg.Limits.Tick / 2)
	defer tick.Stop()
	last := time.Now()
	var spare []item
	for {
		due := false
		select {
		case <-s.inbox.wake:
		case <-tick.C:
			due = true
		case <-s.stop:
			return
		}
		now := time.Now()
		s.core.Advance(now.Sub(last), now.UnixMilli())
		last = now
		items, bytes := s.inbox.take(spare)
		for i := range items {
			s.execute(&items[i])
			items[i] = item{}
		}
		spare = items[:0]
		s.inbox.executed(bytes)
		if due {
			s.core.Expire()
		}
		s.handOver()
	}
}

// execute does one thing on the core.
func (s *Server) execute(it *item) {
	c := it.conn
	switch {
	case it.call != nil:
		it.call(s.core)
	case it.end:
		if c.peer != nil {
			s.core.Close(c.peer)
		}
	default:
		if c.peer == nil {
			c.peer = s.core.Open(c.ids)
			c.peer.User = c
		}
		for b := it.packets; len(b) > 0; {
			n := packetLen(b)
			s.core.Packet(c.peer, b[4:4+n])
			b = b[4+n:]
		}
		c.executed(len(it.packets), it.packets)
	}
}

// handOver gives what the core has made to the committer, or sends it at once if nothing that was executed before
// waits for the device.
func (s *Server) handOver() {
	log, txns, out := s.core.Take()
	if len(log) == 0 && len(out) == 0 {
		return
	}
	b := batch{log: log, out: out, txns: txns, rollAfter: s.snapshotIfDue(txns), at: time.Now()}
	if s.commits.add(b) {
		return
	}
	b.send(&s.latency)
}

// snapshotIfDue begins a snapshot after so many transactions, and returns the last one that is in it, else 0. Only
// freezing the tree is done here; if the one before is not written yet, this one waits.
func (s *Server) snapshotIfDue(txns int) (rollAfter int64) {
	s.unsaved += txns
	if s.unsaved < s.cfg.SnapshotEvery || !s.snapshotting.CompareAndSwap(false, true) {
		return 0
	}
	s.unsaved = 0
	f, leases := s.core.tree.freeze(), s.core.sessions.leases()
	s.wg.Go(func() {
		defer s.snapshotting.Store(false)
		err := writeSnapshot(s.store.dir, &f, leases)
		if err == nil {
			err = s.store.purge()
		}
		if err != nil { // the log has everything; the next one may fare better
			s.log.Error("writing the coordinator's snapshot failed", "err", err)
		}
	})
	return f.zxid
}

// commit brings batches to the device, several at once if they have gathered, and sends them.
func (s *Server) commit() {
	var record []byte
	for {
		list, ok := s.commits.take()
		if !ok {
			return
		}
		for len(list) > 0 {
			n := 0
			record = beginRecord(record[:0])
			for n < len(list) && (n == 0 || len(record)+len(list[n].log) < maxRecord) {
				record = append(record, list[n].log...)
				n++
			}
			if len(record) > recordHeader {
				finishRecord(record)
				if err := s.write(record, list[:n]); err != nil {
					s.fail(err)
					return
				}
			}
			for i := range list[:n] {
				list[i].send(&s.latency)
			}
			list = list[n:]
		}
		if cap(record) > maxCommit {
			record = nil
		}
		s.commits.done()
	}
}

// write appends a record, after beginning a new file where a snapshot was taken.
func (s *Server) write(record []byte, list []batch) error {
	for i := range list {
		if last := list[i].rollAfter; last != 0 {
			// The snapshot has everything up to there. Records are not split at it: what of them is in the snapshot
			// is passed over by a start.
			if err := s.store.roll(last); err != nil {
				return err
			}
		}
	}
	began := time.Now()
	if err := s.store.wal.append(record); err != nil {
		return err
	}
	s.latency.sync.Observe(time.Since(began).Nanoseconds())
	return nil
}

// Do runs f on the core between two packets, and waits for it. It is not for anything that changes the tree.
func (s *Server) Do(f func(*Core)) error {
	ran := make(chan struct{})
	if !s.inbox.put(item{call: func(c *Core) { f(c); close(ran) }}, 0) {
		return net.ErrClosed
	}
	select {
	case <-ran:
		return nil
	case <-s.done:
		return net.ErrClosed
	}
}

// packetLen is the length that the packet at the start of b announces; it was checked when it was read.
func packetLen(b []byte) int { return int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3]) }

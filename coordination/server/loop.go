package server

import (
	"errors"
	"time"

	"github.com/sluice-mq/sluice/internal/metrics"
	"github.com/sluice-mq/sluice/internal/sys"
)

// Bounds of one turn and of what clients leave lying. Worst case of memory besides the tree: maxBegun for packets
// that have begun, maxUnsentAll for answers that nobody takes, and a turn's.
const (
	maxTurn      = 4 << 20   // transaction and answer bytes after which a turn ends in its midst
	maxBegun     = 100 << 20 // bytes of packets that have begun (ZooKeeper's largeRequestMaxBytes); who needs more is closed
	maxOwed      = 1 << 20   // unsent bytes of a connection above which nothing more is executed for it
	maxUnsent    = 64 << 20  // unsent bytes of a connection, or a single answer's, at which it is closed: only events can cause that
	maxUnsentAll = 256 << 20 // unsent bytes of all, at which the connection that adds to them is closed
	readSize     = 64 << 10  // bytes of a connection in one turn
)

// A connection has to say what it wants by then; a packet that has begun, and the last bytes for a connection that is to be
// closed, have to be through.
const (
	helloLimit  = 10 * time.Second
	packetLimit = 30 * time.Second
	partLimit   = 2 * time.Second // for the client to close its side, after our last byte
)

// owner is what the owner alone has.
type owner struct {
	core  *Core
	store *store
	byFD  []*conn // those without TLS
	all   map[*conn]struct{}
	// hurried are connections that something is expected of by a time, as the core counts it.
	hurried map[*conn]time.Duration
	resumed []*conn // may have packets executed again
	begun   int     // bytes of packets that have begun

	buf   []byte // for reading
	ready []sys.Event
	last  time.Time // when the core was last told the time
	turn  turn

	latency latencies
	unsaved int // transactions since the last snapshot
	ended   bool
	closed  error // what closing the directory gave
}

// turn counts what was executed and not answered.
type turn struct {
	began         time.Time
	reads, writes uint64
}

// latencies are how long operations took, in nanoseconds: from being read to being answered, and the syncs of the log.
type latencies struct {
	read, write, sync metrics.Histogram
	since             Latency // of all requests since the last reset
}

// Latency is how long requests took.
type Latency struct {
	Min, Max, Sum time.Duration
	Count         int64
}

func (l *Latency) add(d time.Duration, n uint64) {
	if n == 0 {
		return
	}
	if l.Count == 0 || d < l.Min {
		l.Min = d
	}
	l.Max = max(l.Max, d)
	l.Sum += d * time.Duration(n)
	l.Count += int64(n)
}

func (o *owner) init(cfg *Config) {
	o.core = newCore(cfg.Limits, nil)
	o.core.wall = time.Now().UnixMilli()
	o.core.sessions.beginIDs(cfg.Limits.ServerID, o.core.wall)
	o.all, o.hurried = map[*conn]struct{}{}, map[*conn]time.Duration{}
	o.buf = make([]byte, readSize)
	o.last = time.Now()
}

// own is the owner.
func (s *Server) own() {
	defer s.finish()
	every := s.cfg.Limits.Tick / 2
	next := time.Now().Add(every)
	for !s.ended {
		timeout := max(time.Until(next), 0)
		if len(s.resumed) > 0 {
			timeout = 0
		}
		s.poll(timeout)
		if s.ctx.Err() != nil {
			return
		}
		if !s.last.Before(next) {
			s.tick()
			next = s.last.Add(every)
		}
	}
}

// poll waits for sockets and tasks, and does one turn. full says that more may be ready.
func (s *Server) poll(timeout time.Duration) (full bool) {
	var err error
	if s.ready, full, err = s.events.Wait(s.ready[:0], timeout); err != nil {
		s.fail(err)
		return false
	}
	s.advance()
	for _, f := range s.tasks.take(false) {
		f()
	}
	list := s.resumed
	s.resumed = nil
	for _, c := range list {
		c.resume()
	}
	for i := range s.ready {
		ev := &s.ready[i]
		if c := s.byFD[ev.FD]; c != nil { // else it was closed meanwhile
			c.serve(ev)
		}
	}
	s.handOver()
	return full
}

// advance tells the core the time. It is called before anything is read, so that a session is never thought to have been
// heard of earlier than it was.
func (s *Server) advance() {
	now := time.Now()
	s.core.Advance(now.Sub(s.last), now.UnixMilli())
	s.last = now
	if s.turn.reads+s.turn.writes == 0 {
		s.turn.began = now
	}
}

// tick ends sessions, after all that has arrived was executed, however long we stood still before; and
// connections of which something was expected.
func (s *Server) tick() {
	for n := 0; s.poll(0) && n <= len(s.all)/len(s.ready); n++ {
		// Epoll goes round: so often, and each connection had its turn.
	}
	for c, by := range s.hurried {
		if s.core.now > by {
			c.close()
		}
	}
	s.core.Expire()
	s.handOver()
}

// packet executes a packet.
func (s *Server) packet(c *conn, b []byte) {
	if c.peer == nil {
		c.peer = s.core.Open(c.ids)
		c.peer.User = c
	}
	txns := s.core.txns
	s.core.Packet(c.peer, b)
	if s.core.txns > txns {
		s.turn.writes++
	} else {
		s.turn.reads++
	}
	if s.core.owed+len(s.core.log) > maxTurn {
		s.handOver()
	}
}

// handOver ends a turn: transactions go to the device, and then what could show them to the clients.
func (s *Server) handOver() {
	log, txns, out := s.core.Take()
	if s.ended {
		return // what is executed now counts no more
	}
	if len(log) > 0 {
		began := time.Now()
		if err := s.store.append(log); err != nil {
			s.ended = true
			s.fail(err)
			return
		}
		s.latency.sync.Observe(time.Since(began).Nanoseconds())
		s.core.Reuse(log)
		s.advance()
	}
	for i := range out {
		out[i].Peer.User.(*conn).send(out[i].Bytes, out[i].Close)
	}
	if n := s.turn.reads + s.turn.writes; n > 0 {
		s.advance()
		took := s.last.Sub(s.turn.began)
		s.latency.read.ObserveN(took.Nanoseconds(), s.turn.reads)
		s.latency.write.ObserveN(took.Nanoseconds(), s.turn.writes)
		s.latency.since.add(took, n)
		s.turn = turn{began: s.last}
	}
	s.unsaved += txns
	if s.unsaved >= s.cfg.SnapshotEvery || s.store.wal.at > s.store.snapshotAt {
		s.snapshot()
	}
}

// snapshot begins to write a snapshot, and a new log file behind it. Only freezing the tree is done here; if the one
// before is not written yet, this one waits.
func (s *Server) snapshot() {
	if !s.writing.CompareAndSwap(false, true) {
		return
	}
	s.unsaved = 0
	f, leases := s.core.tree.freeze(), s.core.sessions.leases()
	if err := s.store.roll(f.zxid + 1); err != nil {
		s.ended = true
		s.fail(err)
		return
	}
	s.wg.Go(func() {
		defer s.writing.Store(false)
		err := s.store.save(&f, leases, s.cfg.SnapshotsKept, s.ctx.Done())
		switch {
		case err == nil:
			s.snapshots.Add(1)
		case !errors.Is(err, errStopped): // the log has everything; the next one may fare better
			s.log.Error("writing the coordinator's snapshot failed", "err", err)
		}
	})
}

// finish ends all connections, and waits for the goroutines that are left.
func (s *Server) finish() {
	s.ended = true
	s.end()
	for _, l := range s.listeners {
		l.Close()
	}
	s.closeAll()
	s.wg.Wait()
	for _, f := range s.tasks.take(true) { // who waits for one sees it run
		f()
	}
	s.closeAll() // what was accepted meanwhile
	s.events.Close()
	if s.Err() != nil {
		s.store.abandon()
	} else {
		s.closed = s.store.close(s.core.tree.zxid)
	}
	close(s.done)
}

func (s *Server) closeAll() {
	for c := range s.all {
		c.close()
	}
}

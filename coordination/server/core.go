package server

import (
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Core is the coordinator without any I/O: packets, connections and the time go in, packets and log records come out.
// Whoever drives it calls its methods from one goroutine, in the order in which things happened, and then Take. What
// Take returns must not be sent before the log records that came with it, and all earlier ones, are on the device: so
// nobody ever sees what a crash could undo, neither by a reply nor by a watch.
//
// Reads and writes are executed at once, in order, on the one tree: every operation is linearizable, and an event is
// in a connection's output before any reply that could show the change.
type Core struct {
	limits   Limits
	tree     *tree
	sessions sessions
	watches  watches

	now  time.Duration // monotonic, without our own stalls; see Advance
	wall int64         // milliseconds since 1970

	peers   map[*Peer]struct{}
	touched []*Peer
	log     []byte // transactions not taken yet
	txns    int
	owed    int      // bytes of outputs not taken yet
	spare   [][]byte // for outputs and transactions
	events  []event  // scratch
	undone  []undo   // scratch

	swept time.Duration // when containers were last looked at
	Stats Stats
}

// Limits bound what clients can ask for. All have to be set, but for ContainerCheck.
type Limits struct {
	Tick              time.Duration
	MinSessionTimeout time.Duration
	MaxSessionTimeout time.Duration
	Watches           int   // of one connection: each some 100 bytes and a path
	Nodes             int   // in the tree
	Depth             int   // names in a path
	Bytes             int64 // of paths and data in the tree; 0: no bound
	ServerID          uint8
	ContainerCheck    time.Duration // how often containers and timed nodes are looked at (znode.container.checkIntervalMs); 0: each minute
	TTLNodes          bool          // extendedTypesEnabled
	SuperDigest       string        // "user:hash", "" for none
}

// Stats are counters since the start.
type Stats struct {
	Received, Sent  int64 // packets
	Reads, Writes   int64
	SessionsOpened  int64
	SessionsExpired int64
	SessionsResumed int64
	AuthFailures    int64
	WatchEvents     int64
	RefusedZxid     int64 // clients that had seen what this server does not have
}

// Peer is a connection as the core sees it. The driver makes one with Open and gives it back with Close.
type Peer struct {
	core    *Core
	session *session
	ids     []zk.ID

	watches    map[string]watchBits
	watchCount int
	told       uint64 // serial of the last change it was told of

	out     []byte
	touched bool
	closing bool // no more packets; closed once out has left
	gone    bool

	// User is the driver's.
	User any
}

// Output is what leaves to one connection.
type Output struct {
	Peer  *Peer
	Bytes []byte // packets; the receiver owns them
	Close bool   // after them
}

// Open makes a connection known. ids are what its transport has shown: its address, and with TLS the subject of its
// certificate.
func (c *Core) Open(ids []zk.ID) *Peer {
	p := &Peer{core: c, ids: ids}
	c.peers[p] = struct{}{}
	return p
}

// Close forgets a connection. Its session goes on, until another connection resumes it or its time is up.
func (c *Core) Close(p *Peer) {
	if p.gone {
		return
	}
	p.gone, p.closing = true, true
	c.watches.forget(p)
	if p.session != nil && p.session.peer == p {
		p.session.peer = nil
	}
	delete(c.peers, p)
}

// SessionID is the session that the connection holds, 0 for none.
func (p *Peer) SessionID() int64 {
	if p.session == nil {
		return 0
	}
	return p.session.id
}

// Packet executes one packet of p, which was read whole; b is only read.
func (c *Core) Packet(p *Peer, b []byte) {
	if p.closing {
		return // it was told, or the answer to its last request ends it
	}
	c.Stats.Received++
	if p.session == nil {
		c.connect(p, b)
		return
	}
	c.sessions.heard(p.session, c.now)
	c.request(p, b)
}

func (c *Core) connect(p *Peer, b []byte) {
	var r zk.ConnectRequest
	d := zk.NewDecoder(b)
	if r.Decode(d); d.Err() != nil {
		p.hangUp()
		return
	}
	if r.LastZxidSeen > c.tree.zxid {
		// It knows more than we do: an older state was restored here. Another server may have the newer one.
		c.Stats.RefusedZxid++
		p.hangUp()
		return
	}
	timeout := min(max(time.Duration(r.TimeoutMillis)*time.Millisecond, c.limits.MinSessionTimeout), c.limits.MaxSessionTimeout)
	if r.SessionID == 0 {
		c.open(p, timeout)
	} else {
		c.resume(p, &r, timeout)
	}
	resp := zk.ConnectResponse{HasReadOnly: r.HasReadOnly, Password: make([]byte, zk.PasswordSize)}
	if p.session != nil {
		resp.TimeoutMillis, resp.SessionID = int32(p.session.timeout.Milliseconds()), p.session.id
		resp.Password = c.sessions.password(p.session.id)
	}
	start := p.begin()
	p.out = resp.Append(p.out)
	p.end(start)
	if p.session == nil {
		p.hangUp()
	}
}

func (c *Core) open(p *Peer, timeout time.Duration) {
	p.session = c.logSession(c.sessions.nextID(), timeout)
	p.session.peer = p
	c.Stats.SessionsOpened++
}

// logSession makes a session, or its new time-out, known and durable.
func (c *Core) logSession(id int64, timeout time.Duration) *session {
	x := c.begin()
	x.changes = append(x.changes, change{op: opOpenSession, session: id, limit: timeout.Milliseconds()})
	c.commit(x)
	return c.sessions.add(id, timeout, c.now)
}

// resume gives p the session it asks for, if that is alive and the password right. The password comes first: who does
// not know it must not be able to knock the owner off.
func (c *Core) resume(p *Peer, r *zk.ConnectRequest, timeout time.Duration) {
	s := c.sessions.byID[r.SessionID]
	if s == nil || !c.sessions.isPassword(r.SessionID, r.Password) {
		return
	}
	if old := s.peer; old != nil && old != p {
		old.session = nil
		c.watches.forget(old)
		old.hangUp()
	}
	s.peer = p
	if timeout == s.timeout {
		c.sessions.heard(s, c.now)
	} else { // in the log too: after a restart the client counts on what it was told last
		c.logSession(s.id, timeout)
	}
	p.session = s
	c.Stats.SessionsResumed++
}

// begin is the start of a transaction: the next id, the present time.
func (c *Core) begin() *txn { return &txn{zxid: c.tree.zxid + 1, millis: c.wall} }

// commit writes x, whose changes to the tree are not made yet, to the log, makes them and tells who watches.
func (c *Core) commit(x *txn) {
	c.events = c.events[:0]
	for i := range x.changes {
		var err error
		if c.events, err = c.tree.apply(x, &x.changes[i], c.events); err != nil {
			panic("BUG: " + err.Error())
		}
	}
	c.committed(x)
}

// committed is the rest of a commit, when the tree has changed and c.events is filled.
func (c *Core) committed(x *txn) {
	c.tree.zxid = x.zxid
	if c.log == nil {
		c.log = c.buffer()
	}
	c.log = x.append(c.log)
	c.txns++
	for i := range c.events {
		c.watches.tell(&c.events[i], x.zxid)
		c.events[i] = event{}
	}
	c.events = c.events[:0]
}

// endSession removes a session with its ephemerals, in one transaction.
func (c *Core) endSession(id int64) {
	x := c.begin()
	for path := range c.tree.owned[id] {
		x.changes = append(x.changes, change{op: opRemove, path: path})
	}
	x.changes = append(x.changes, change{op: opCloseSession, session: id})
	c.commit(x)
	c.sessions.remove(id)
}

// maxStep is how far time goes on in one step. The driver calls Advance at least every half tick while it is well; a
// longer gap is a stall of ours, during which packets of clients waited, and it is no time for their sessions.
func (l *Limits) maxStep() time.Duration { return l.Tick }

// Advance tells the time: since how much time passed since the last call, by a monotonic clock, and the wall clock.
func (c *Core) Advance(since time.Duration, wallMillis int64) {
	c.now += min(max(since, 0), c.limits.maxStep())
	c.wall = wallMillis
}

// Expire ends the sessions whose time is up. All packets that have arrived have to be executed before.
func (c *Core) Expire() {
	for _, s := range c.sessions.over(c.now) {
		p := s.peer
		c.endSession(s.id)
		c.Stats.SessionsExpired++
		if p != nil {
			p.session = nil
			p.hangUp()
		}
	}
	c.sweep()
}

// sweepEvery is how often containers and timed nodes are looked at, sweepMost how many go at once; unusedAfter is when
// a container goes that never had a child.
const (
	sweepEvery  = time.Minute
	sweepMost   = 10_000
	unusedAfter = 5 * time.Minute
)

func (c *Core) sweep() {
	every := c.limits.ContainerCheck
	if every == 0 {
		every = sweepEvery
	}
	if c.now-c.swept < every {
		return
	}
	c.swept = c.now
	n := 0
	for path := range c.tree.ending {
		if !c.tree.nodes[path].over(c.wall) {
			continue
		}
		x := c.begin()
		x.changes = append(x.changes, change{op: opRemove, path: path})
		c.commit(x)
		if n++; n == sweepMost {
			return
		}
	}
}

// over tells whether a container or timed node has served its purpose.
func (n *node) over(wallMillis int64) bool {
	switch {
	case len(n.children) > 0:
		return false
	case n.kind == timed:
		return wallMillis-n.mtime > n.limit
	case n.created > 0:
		return true
	default:
		return wallMillis-n.mtime > unusedAfter.Milliseconds()
	}
}

// Take returns what has gathered since the last call: transactions for the log, how many, and outputs. The slices are
// the caller's.
func (c *Core) Take() (log []byte, txns int, out []Output) {
	for _, p := range c.touched {
		p.touched = false
		if !p.gone {
			out = append(out, Output{Peer: p, Bytes: p.out, Close: p.closing})
		}
		p.out = nil
	}
	clear(c.touched)
	c.touched = c.touched[:0]
	log, txns = c.log, c.txns
	c.log, c.txns, c.owed = nil, 0, 0
	return log, txns, out
}

// Reuse takes back memory of an output or of transactions that were taken. Nobody may have it any more.
func (c *Core) Reuse(b []byte) {
	const most, largest = 64, 64 << 10
	if len(c.spare) < most && cap(b) > 0 && cap(b) <= largest {
		c.spare = append(c.spare, b[:0])
	}
}

// buffer is empty memory: what was given back, as long as there is some.
func (c *Core) buffer() (b []byte) {
	if n := len(c.spare); n > 0 {
		b, c.spare = c.spare[n-1], c.spare[:n-1]
	}
	return b
}

// touch has p's output taken.
func (p *Peer) touch() {
	if !p.touched {
		p.touched = true
		p.core.touched = append(p.core.touched, p)
	}
}

// begin appends room for a packet's length and returns where it is.
func (p *Peer) begin() int {
	p.touch()
	p.core.Stats.Sent++
	if p.out == nil {
		p.out = p.core.buffer()
	}
	start := len(p.out)
	p.out = zk.BeginPacket(p.out)
	return start
}

func (p *Peer) end(start int) {
	p.out = zk.EndPacket(p.out, start)
	p.core.owed += len(p.out) - start
}

// hangUp has the connection closed behind what it is sent.
func (p *Peer) hangUp() {
	p.closing = true
	p.touch()
}

// notify sends an event, if the connection may read the node.
func (p *Peer) notify(e *event, zxid int64) {
	if !allowed(e.acl, zk.PermRead, p.ids) {
		return
	}
	p.core.Stats.WatchEvents++
	start := p.begin()
	h := zk.ReplyHeader{Xid: zk.XidNotification, Zxid: zxid}
	ev := zk.Event{Type: e.kind, State: zk.StateConnected, Path: e.path}
	p.out = ev.Append(h.Append(p.out))
	p.end(start)
}

// Zxid is the last transaction.
func (c *Core) Zxid() int64 { return c.tree.zxid }

// newCore is a coordinator with an empty tree. key is what passwords are made with.
func newCore(l Limits, key []byte) *Core {
	return &Core{limits: l, tree: newTree(), sessions: newSessions(l.Tick, key), watches: newWatches(),
		peers: map[*Peer]struct{}{}}
}

// replay makes a transaction of the log. Sessions get their full time-out anew with begin.
func (c *Core) replay(x *txn) error {
	if x.zxid != c.tree.zxid+1 && c.tree.zxid>>32 == x.zxid>>32 || x.zxid <= c.tree.zxid {
		return misfit(x, &change{op: opNothing})
	}
	for i := range x.changes {
		ch := &x.changes[i]
		events, err := c.tree.apply(x, ch, c.events[:0])
		if err != nil {
			return err
		}
		c.events = events[:0]
		switch ch.op {
		case opOpenSession:
			c.sessions.add(ch.session, millis(ch.limit), c.now)
		case opCloseSession:
			c.sessions.remove(ch.session)
		}
	}
	c.tree.zxid = x.zxid
	return nil
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

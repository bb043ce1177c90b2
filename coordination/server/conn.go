package server

import (
	"syscall"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/sys"
)

// conn is a client's connection; it is the owner's. While nothing comes, it is a descriptor, this and what the core has:
// ten thousand quiet sessions take some ten megabytes.
type conn struct {
	s      *Server
	fd     int     // -1 with TLS
	secure *secure // nil without
	ids    []zk.ID
	addr   string // of the client, without port
	port   uint16
	peer   *Peer // nil until the first packet

	in  []byte // read and not executed: a packet that has begun, or what waits until the client has taken answers
	out []byte // not taken by the socket

	greeted bool // the first bytes were looked at
	full    bool // is not read, until the client has taken answers
	deaf    bool // is not read any more
	last    bool // is closed when out has left
	parting bool // all has left; see part
	closed  bool

	traffic traffic
}

// traffic is what the words tell of a connection.
type traffic struct {
	since          time.Time
	received, sent int64
	op             zk.Op
	xid            int32
	zxid           int64
	answered       time.Time
	took           time.Duration
	latency        Latency
}

// open makes a socket that was accepted a connection.
func (s *Server) open(c *conn) {
	if s.ended {
		c.closed = true
		c.discard()
		return
	}
	c.s = s
	c.traffic.since = s.last
	s.all[c] = struct{}{}
	c.hurry(helloLimit)
	if c.secure != nil {
		return
	}
	if errno := s.events.Add(c.fd); errno != 0 {
		s.log.Warn("watching a connection failed", "err", errno)
		c.close()
		return
	}
	for len(s.byFD) <= c.fd {
		s.byFD = append(s.byFD, nil)
	}
	s.byFD[c.fd] = c
}

// hurry has the connection closed after d, unless calm is called before.
func (c *conn) hurry(d time.Duration) { c.s.hurried[c] = c.s.core.now + d }

func (c *conn) calm() { delete(c.s.hurried, c) }

// serve does what the socket is ready for.
func (c *conn) serve(ev *sys.Event) {
	if ev.Writable {
		c.flush()
	}
	switch {
	case c.closed:
	case ev.Readable && c.parting:
		c.discardInput()
	case ev.Readable && !c.full && !c.deaf:
		c.receive()
	case ev.Gone:
		c.close()
	}
}

// receive reads once and executes what is whole.
func (c *conn) receive() {
	s := c.s
	s.advance()
	at := len(c.in)
	into := s.buf
	if at > 0 {
		into = c.in[at:cap(c.in)]
	}
	n, errno := sys.Receive(c.fd, into)
	switch {
	case errno == syscall.EAGAIN:
	case errno != 0:
		c.close()
	case n == 0:
		c.ended()
	case at > 0:
		c.take(c.in[:at+n])
	default:
		c.take(s.buf[:n])
	}
}

// ended is the end of what the client sends. It may still read.
func (c *conn) ended() {
	if len(c.out) == 0 {
		c.close()
		return
	}
	c.hangUp()
}

// hangUp closes the connection when it has been sent what is to be sent.
func (c *conn) hangUp() {
	c.last, c.deaf = true, true
	c.keep(nil)
	c.hurry(packetLimit)
	c.listen()
}

// listen says what the socket is watched for.
func (c *conn) listen() {
	if c.secure == nil && !c.closed {
		c.s.events.Set(c.fd, !c.full && !c.deaf || c.parting, len(c.out) > 0)
	}
}

// take executes the packets that b begins with. b is c.in, or somebody else's.
func (c *conn) take(b []byte) {
	if !c.greeted {
		if len(b) < 4 {
			c.keep(b)
			return
		}
		c.greeted = true
		if c.s.word(c, string(b[:4])) {
			return
		}
	}
	left := c.execute(b)
	switch {
	case c.closed:
	case c.deaf:
		c.keep(nil)
	default:
		c.keep(left)
		if len(left) > 0 && !c.full && !c.closed {
			c.hurry(packetLimit)
		} else {
			c.calm()
		}
	}
}

// execute executes packets until one is not whole, or the client has enough to read.
func (c *conn) execute(b []byte) (left []byte) {
	for len(b) >= 4 && !c.closed && !c.deaf {
		n := packetLen(b)
		switch {
		case n < 0 || n > c.s.cfg.MaxPacket:
			c.close()
			return nil
		case len(b) < 4+n:
			return b
		case c.owed() > maxOwed:
			c.pause()
			return b
		}
		c.note(b[4 : 4+n])
		c.s.packet(c, b[4:4+n])
		b = b[4+n:]
		if c.peer.closing {
			c.deaf = true
			c.listen()
		}
	}
	return b
}

// note remembers a packet for the words.
func (c *conn) note(b []byte) {
	t := &c.traffic
	t.received++
	if c.peer != nil && len(b) >= 8 {
		d := zk.NewDecoder(b)
		t.xid, t.op = d.Int(), zk.Op(d.Int())
	}
}

// owed is what the client has to read, or will have after this turn.
func (c *conn) owed() int {
	n := len(c.out)
	if c.secure != nil {
		n = c.secure.owed()
	}
	if c.peer != nil {
		n += len(c.peer.out)
	}
	return n
}

// keep makes b what was read and not executed. Room grows as bytes come, not to what a packet announces.
func (c *conn) keep(b []byte) {
	s := c.s
	was := cap(c.in)
	switch {
	case len(b) == 0:
		c.in = nil
	case len(c.in) > 0 && &b[0] == &c.in[0] && cap(b) > len(b):
		c.in = b // there is room for more
	default:
		need := 4
		if len(b) >= 4 {
			need = 4 + packetLen(b)
		}
		c.in = append(make([]byte, 0, max(min(need, 2*len(b)+512), len(b)+1)), b...)
	}
	if s.begun += cap(c.in) - was; s.begun > maxBegun && cap(c.in) > was {
		s.log.Warn("packets that have begun take all the memory there is for them; closing a connection", "client", c.addr)
		c.close()
	}
}

// pause stops reading, until the client has taken half of what it has to read.
func (c *conn) pause() {
	c.full = true
	c.calm() // it is us who wait
	c.listen()
	if c.s.core.owed > 0 { // it may all be gone after this turn
		c.s.resumed = append(c.s.resumed, c)
	}
}

// resume goes on reading, if there is room.
func (c *conn) resume() {
	if !c.full || c.closed || c.deaf || c.owed() > maxOwed/2 {
		return
	}
	c.s.advance()
	c.full = false
	if c.take(c.in); c.closed || c.full || c.deaf {
		return
	}
	c.listen()
	if c.secure != nil {
		c.secure.more()
	}
}

// send hands packets to the socket, in order, without waiting; with last the connection is closed behind them. b is the
// connection's from now on.
func (c *conn) send(b []byte, last bool) {
	if c.closed || c.parting {
		return
	}
	c.traffic.sent++
	if c.peer != nil {
		c.traffic.zxid, c.traffic.answered = c.s.core.tree.zxid, c.s.last
		c.traffic.took = c.s.last.Sub(c.s.turn.began)
		c.traffic.latency.add(c.traffic.took, 1)
	}
	if last {
		c.hangUp()
	}
	if c.secure != nil {
		c.secure.send(c, b, last)
		c.s.core.Reuse(b)
		return
	}
	if len(c.out) > 0 {
		c.owe(append(c.out, b...))
		return
	}
	n, errno := sys.Send(c.fd, b)
	switch {
	case errno != 0 && errno != syscall.EAGAIN:
		c.close()
	case n < len(b):
		c.owe(b[n:])
	default:
		c.s.core.Reuse(b)
		if c.last {
			c.part()
		}
	}
}

// part ends a connection that has been sent everything. What the client sends meanwhile is read and dropped for a while:
// closing a socket with unread bytes resets it, and the client might lose our last answer, perhaps that its session has expired.
func (c *conn) part() {
	if c.parting {
		return
	}
	if c.peer == nil || sys.ShutdownWrite(c.fd) != nil { // a word was all that it said
		c.close()
		return
	}
	c.parting = true
	c.hurry(partLimit)
	c.listen()
}

func (c *conn) discardInput() {
	n, errno := sys.Receive(c.fd, c.s.buf)
	if n == 0 && errno != syscall.EAGAIN {
		c.close()
	}
}

// owe makes b what the socket has to take.
func (c *conn) owe(b []byte) {
	all := c.s.unsent.Add(int64(len(b) - len(c.out)))
	more := len(b) > len(c.out)
	c.out = b
	if more && (len(b) > maxUnsent || all > maxUnsentAll) {
		c.s.log.Warn("a client does not read what it is sent; closing its connection", "client", c.addr, "bytes", len(b))
		c.close()
		return
	}
	c.listen()
}

// flush goes on sending.
func (c *conn) flush() {
	if len(c.out) == 0 {
		return
	}
	n, errno := sys.Send(c.fd, c.out)
	if errno != 0 && errno != syscall.EAGAIN {
		c.close()
		return
	}
	left := c.out[n:]
	if len(left) == 0 {
		left = nil
	}
	if c.owe(left); c.closed {
		return
	}
	switch {
	case c.last && len(left) == 0:
		c.part()
	case c.full:
		c.resume()
	}
}

// close ends the connection at once. Its session goes on.
func (c *conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	s := c.s
	c.calm()
	delete(s.all, c)
	c.keep(nil)
	s.unsent.Add(-int64(len(c.out)))
	c.out = nil
	if c.peer != nil {
		s.core.Close(c.peer)
	}
	c.discard()
}

// discard gives up the socket.
func (c *conn) discard() {
	if c.secure != nil {
		c.secure.close(c.s)
		return
	}
	if c.s.byFD != nil && c.fd < len(c.s.byFD) {
		c.s.byFD[c.fd] = nil
	}
	sys.CloseFile(c.fd) // takes it out of the epoll instance, too
	c.s.admission.leave(c.addr)
}

// packetLen is the length that the packet at the start of b announces.
func packetLen(b []byte) int {
	return int(int32(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])))
}

package client

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

var (
	errSilent   = errors.New("zookeeper: the server is silent")
	errProtocol = errors.New("zookeeper: the server does not keep to the protocol")
)

// conn is a connection on which the session was granted. One goroutine writes, one reads.
type conn struct {
	s       *Session
	net     net.Conn
	raw     net.Conn // below TLS
	address string
	timeout time.Duration
	first   []byte // to be sent before any request

	once   sync.Once
	broken chan struct{} // closed when the connection is no good any more
	cause  error         // why; to be read after broken

	// Guarded by the session's mutex.
	sent   sentCalls
	pings  []time.Duration // when those were sent that are not answered; at most maxPings
	auths  int             // not answered
	resets int             // packets of watches that are not answered
	begun  time.Duration   // when the first packet was sent, of which auths and resets are
	served bool            // something was answered
}

// maxPings under way and the connection is broken: they are sent every third of the time-out.
const maxPings = 16

// breakOff ends the connection. The cause of the first call counts.
func (c *conn) breakOff(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.broken)
		c.raw.Close() // not TLS's, which would wait for the peer
	})
}

// write sends what is asked for and pings. It returns when the connection is broken.
func (c *conn) write() error {
	buf, every := c.first, c.timeout/3
	idle := time.NewTimer(every)
	defer idle.Stop()
	for {
		buf = c.s.take(c, buf)
		if len(buf) > 0 {
			if _, err := c.net.Write(buf); err != nil {
				return err
			}
			if cap(buf) > 2*writeSize {
				buf = nil
			}
			buf = buf[:0]
			idle.Reset(every)
			continue
		}
		select {
		case <-c.s.wake:
		case <-idle.C:
			var err error
			if buf, err = c.ping(buf); err != nil {
				return err
			}
		case <-c.broken:
			return c.cause
		}
	}
}

func (c *conn) ping(buf []byte) ([]byte, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if len(c.pings) == maxPings {
		return nil, errSilent
	}
	c.pings = append(c.pings, c.s.cfg.Now())
	start := len(buf)
	buf = (&zk.RequestHeader{Xid: zk.XidPing, Op: zk.OpPing}).Append(zk.BeginPacket(buf))
	return zk.EndPacket(buf, start), nil
}

// silence is a connection whose reads fail after two thirds of the session's time-out without a byte.
type silence struct{ c *conn }

func (r silence) Read(p []byte) (int, error) {
	if err := r.c.net.SetReadDeadline(time.Now().Add(r.c.timeout * 2 / 3)); err != nil {
		return 0, err
	}
	n, err := r.c.net.Read(p)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		err = fmt.Errorf("%w for %v", errSilent, r.c.timeout*2/3)
	}
	return n, err
}

const (
	readSize   = 16 << 10
	keepBuffer = 64 << 10 // larger ones are for one reply
)

// read handles what the server sends, until the connection is broken.
func (c *conn) read() error {
	in := bufio.NewReaderSize(silence{c}, readSize)
	var buf []byte
	for {
		packet, err := zk.ReadPacket(in, buf, c.s.cfg.MaxReply)
		if err != nil {
			return err
		}
		if err := c.handle(packet); err != nil {
			return err
		}
		if buf = packet; cap(buf) > keepBuffer {
			buf = nil
		}
	}
}

// handle does what one packet of the server says.
func (c *conn) handle(packet []byte) error {
	d := zk.NewDecoder(packet)
	var h zk.ReplyHeader
	if h.Decode(d); d.Err() != nil {
		return fmt.Errorf("%w: a packet of %d bytes", errProtocol, len(packet))
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return errProtocol // the session is over, or this connection
	}
	if h.Xid == zk.XidNotification { // its zxid may be that of more events, which have not come
		return s.notified(d)
	}
	var err error
	switch h.Xid {
	case zk.XidPing:
		err = c.ponged()
	case zk.XidAuth:
		err = c.authenticated(h.Err)
	case zk.XidSetWatches:
		err = c.watchesSet(h.Err)
	default:
		err = c.answered(&h, d)
	}
	if err == nil {
		c.served = true
		s.lastZxid = max(s.lastZxid, h.Zxid)
	}
	return err
}

func (c *conn) ponged() error {
	if len(c.pings) == 0 {
		return fmt.Errorf("%w: answer to no ping", errProtocol)
	}
	c.s.answeredLocked(c.pings[0])
	c.pings = c.pings[1:]
	return nil
}

// answered is the answer to the oldest request that has none: they come in order.
func (c *conn) answered(h *zk.ReplyHeader, d *zk.Decoder) error {
	x := c.sent.front()
	if x == nil || x.xid != h.Xid {
		return fmt.Errorf("%w: answer %d is out of order", errProtocol, h.Xid)
	}
	s := c.s
	var err error
	switch {
	case h.Err != zk.OK:
		err = h.Err
	case x.decode != nil && x.state != callOver:
		if x.decode(&x.res, d); d.Err() != nil {
			return fmt.Errorf("%w: answer to %v: %w", errProtocol, x.op, d.Err())
		}
	}
	c.sent.pop()
	s.answeredLocked(x.sent)
	if x.watch != nil && x.state != callOver {
		x.watch.set(&s.watches, h.Err)
	}
	s.calls.overLocked(x, err)
	switch {
	case h.Err == zk.SessionExpired:
		s.log.Error("zookeeper session has expired", "session", s.hexID(), "server", c.address)
		s.endLocked(Expired, ErrExpired)
	case x.op == zk.OpCloseSession && h.Err == zk.OK:
		s.endLocked(Closed, ErrClosed)
	}
	return nil
}

// authenticated is the answer to one of Config.Auth.
func (c *conn) authenticated(err zk.Error) error {
	s := c.s
	if c.auths == 0 {
		return fmt.Errorf("%w: answer to no auth", errProtocol)
	}
	s.answeredLocked(c.begun)
	if err != zk.OK {
		s.log.Error("zookeeper server refuses the identity that it was shown", "server", c.address)
		s.endLocked(Closed, ErrAuthFailed)
		return ErrAuthFailed
	}
	if c.auths--; c.auths == 0 {
		s.readyLocked()
	}
	return nil
}

// readyLocked lets Open return.
func (s *Session) readyLocked() {
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
}

// failLocked fails the requests that were sent.
func (c *conn) failLocked(err error) {
	for x := c.sent.front(); x != nil; x = c.sent.front() {
		c.s.calls.overLocked(x, err)
		c.sent.pop()
	}
}

// sentCalls is a queue.
type sentCalls struct {
	list []*call
	head int
}

func (q *sentCalls) push(x *call) {
	if q.head > len(q.list)/2 && q.head > 64 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, x)
}

func (q *sentCalls) front() *call {
	if q.head == len(q.list) {
		return nil
	}
	return q.list[q.head]
}

func (q *sentCalls) pop() {
	q.list[q.head] = nil
	q.head++
}

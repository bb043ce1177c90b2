package server

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// conn is a client's connection.
//
// A goroutine reads it: whole packets, as many as have come, go to the owner in one item. The item's memory comes from
// a pool and goes back once it was executed. While nothing comes, the goroutine waits with a buffer of idleSize, so
// that ten thousand quiet sessions cost little.
type conn struct {
	s    *Server
	net  net.Conn
	ids  []zk.ID
	addr string
	peer *Peer // the owner's
	born time.Time

	received, sent atomic.Int64
	inside         atomic.Int64 // request bytes that are not executed yet

	mu      sync.Mutex
	room    sync.Cond
	out     []byte // not taken by the kernel yet
	writing bool
	last    bool // close when out is empty
	closed  bool
}

// connTable is all connections.
type connTable struct {
	mu    sync.Mutex
	all   map[*conn]struct{}
	perIP map[string]int
	over  bool

	accepted, refused atomic.Int64
}

func (t *connTable) init() { t.all, t.perIP = map[*conn]struct{}{}, map[string]int{} }

// add tells whether there may be one more.
func (t *connTable) add(c *conn, cfg *Config) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || cfg.MaxConns > 0 && len(t.all) >= cfg.MaxConns || cfg.MaxConnsPerIP > 0 && t.perIP[c.addr] >= cfg.MaxConnsPerIP {
		t.refused.Add(1)
		return false
	}
	t.accepted.Add(1)
	t.all[c] = struct{}{}
	t.perIP[c.addr]++
	return true
}

func (t *connTable) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.all[c]; !ok {
		return
	}
	delete(t.all, c)
	if t.perIP[c.addr]--; t.perIP[c.addr] == 0 {
		delete(t.perIP, c.addr)
	}
}

func (t *connTable) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

func (t *connTable) closeAll() {
	t.mu.Lock()
	t.over = true
	all := t.all
	t.all = map[*conn]struct{}{}
	t.mu.Unlock()
	for c := range all {
		c.close()
	}
}

func (s *Server) accept(l net.Listener) {
	for delay := time.Duration(0); ; {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, mostly: those who are here may go
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.log.Warn("accepting a connection failed", "err", err)
			select {
			case <-time.After(delay):
				continue
			case <-s.stop:
				return
			}
		}
		delay = 0
		host, _, _ := net.SplitHostPort(nc.RemoteAddr().String())
		c := &conn{s: s, net: nc, addr: host, ids: []zk.ID{{Scheme: "ip", ID: host}}, born: time.Now()}
		c.room.L = &c.mu
		if !s.conns.add(c, &s.cfg) {
			nc.Close()
			continue
		}
		s.wg.Go(c.read)
	}
}

var packetPool = sync.Pool{New: func() any { return new([readSize]byte) }}

// read is the connection's goroutine.
func (c *conn) read() {
	defer func() {
		c.close()
		c.s.conns.remove(c)
		c.s.inbox.put(item{conn: c, end: true}, 0)
	}()
	_ = c.net.SetReadDeadline(time.Now().Add(helloLimit)) // an error shows in the read
	idle := make([]byte, idleSize)
	n, err := io.ReadFull(c.net, idle[:4])
	if err != nil {
		return
	}
	if c.s.word(c, string(idle[:4])) {
		return
	}
	for {
		// idle[:n] is the beginning of what comes next.
		buf, whole, err := c.fill(idle, n)
		if err != nil {
			return
		}
		n = copy(idle, buf[whole:]) // less than a packet: see fill
		if !c.give(buf[:whole:cap(buf)]) {
			return
		}
		c.waitForRoom()
		if n == 0 {
			if n, err = c.net.Read(idle); err != nil {
				return
			}
		}
	}
}

// fill reads on behind the n bytes of idle, until whole packets are there and no more than idleSize bytes behind them.
// It returns a buffer of the pool or, for a large packet, one of its own; whole is where the last packet ends.
func (c *conn) fill(idle []byte, n int) (buf []byte, whole int, err error) {
	buf = packetPool.Get().(*[readSize]byte)[:]
	n = copy(buf, idle[:n])
	if n > 0 {
		_ = c.net.SetReadDeadline(time.Now().Add(packetLimit)) // an error shows in the read
		defer c.net.SetReadDeadline(time.Time{})
	}
	for {
		whole, need, err := packets(buf[:n], c.s.cfg.MaxPacket)
		if err != nil {
			release(buf)
			return nil, 0, err
		}
		if whole > 0 && n-whole <= idleSize {
			return buf[:n], whole, nil
		}
		if whole > 0 {
			need += whole // the packet behind the whole ones has begun and comes along
		}
		if n == len(buf) { // grows as bytes come, not to what is announced
			grown := make([]byte, min(need, 2*n))
			copy(grown, buf)
			release(buf)
			buf = grown
		}
		m, err := c.net.Read(buf[n:])
		if err != nil {
			release(buf)
			return nil, 0, err
		}
		n += m
	}
}

// packets finds the whole packets that b begins with, and how many bytes the one behind them has, as far as that is
// known.
func packets(b []byte, limit int) (whole, need int, err error) {
	for {
		if len(b)-whole < 4 {
			return whole, 4, nil
		}
		n := packetLen(b[whole:])
		if n < 0 || n > limit {
			return 0, 0, zk.ErrPacketSize
		}
		if whole+4+n > len(b) {
			return whole, 4 + n, nil
		}
		whole += 4 + n
	}
}

func release(b []byte) {
	if cap(b) == readSize {
		packetPool.Put((*[readSize]byte)(b[:readSize]))
	}
}

// give puts packets into the inbox.
func (c *conn) give(b []byte) bool {
	c.inside.Add(int64(len(b)))
	c.received.Add(1)
	return c.s.inbox.put(item{conn: c, packets: b}, len(b))
}

// executed is called by the owner when packets were executed; their memory is free.
func (c *conn) executed(n int, b []byte) {
	release(b)
	if c.inside.Add(-int64(n)) == 0 {
		c.mu.Lock()
		c.mu.Unlock()
		c.room.Broadcast()
	}
}

// waitForRoom waits while the connection has more under way than one may have.
func (c *conn) waitForRoom() {
	if c.inside.Load() < maxOwed {
		c.mu.Lock()
		defer c.mu.Unlock()
		for len(c.out) > maxOwed && !c.closed {
			c.room.Wait()
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for (c.inside.Load() > 0 || len(c.out) > maxOwed) && !c.closed {
		c.room.Wait()
	}
}

// send hands packets to the kernel, in order, without waiting; with last the connection is closed behind them. b is the
// connection's from now on.
func (c *conn) send(b []byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.sent.Add(1)
	c.last = c.last || last
	switch {
	case len(c.out)+len(b) > maxUnsent:
		c.closeLocked()
		return
	case len(c.out) == 0:
		c.out = b
	default:
		c.out = append(c.out, b...)
	}
	if !c.writing {
		c.writing = true
		go c.write()
	}
}

// write empties out.
func (c *conn) write() {
	for {
		c.mu.Lock()
		b := c.out
		c.out = nil
		if len(b) == 0 || c.closed {
			c.writing = false
			if c.last {
				c.closeLocked()
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		_, err := c.net.Write(b)
		c.mu.Lock()
		if err != nil {
			c.closeLocked()
		}
		c.room.Broadcast()
		c.mu.Unlock()
	}
}

func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked()
}

func (c *conn) closeLocked() {
	if !c.closed {
		c.closed = true
		c.out = nil
		c.net.Close()
		c.room.Broadcast()
	}
}

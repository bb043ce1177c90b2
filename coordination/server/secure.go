package server

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// secure is the TLS of a connection. A goroutine reads, hands what has come to the owner and waits until that is executed;
// another one writes, while there is something to write.
type secure struct {
	nc   *tls.Conn
	next chan struct{} // capacity 1: the owner is ready for more

	mu      sync.Mutex
	out     []byte
	writing bool
	last    bool
	closed  bool
}

// tlsRead is how much is read at once: less than the 16 KiB of a TLS record, since crypto/tls keeps the rest anyway.
const tlsRead = 4 << 10

// serveTLS is the goroutine that reads.
func (s *Server) serveTLS(c *conn, nc net.Conn) {
	defer s.admission.leave(c.addr)
	t := tls.Server(nc, s.cfg.TLS)
	defer context.AfterFunc(s.ctx, func() { nc.Close() })()
	defer nc.Close()
	_ = t.SetDeadline(time.Now().Add(helloLimit)) // an error shows in what comes next
	if err := t.Handshake(); err != nil {
		s.log.Debug("TLS handshake failed", "client", c.addr, "err", err)
		return
	}
	_ = t.SetDeadline(time.Time{})
	if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
		c.ids = append(c.ids, zk.ID{Scheme: "x509", ID: certs[0].Subject.String()})
	}
	c.secure = &secure{nc: t, next: make(chan struct{}, 1)}
	if !s.tasks.post(s, func() { s.open(c) }) {
		return
	}
	buf := make([]byte, tlsRead)
	for {
		n, err := t.Read(buf)
		if n > 0 {
			s.tasks.post(s, func() { c.feed(buf[:n]) })
			select {
			case <-c.secure.next:
			case <-s.ctx.Done():
				return
			}
		}
		if err != nil {
			s.tasks.post(s, func() { c.lost() })
			return
		}
	}
}

// feed executes what has come by TLS.
func (c *conn) feed(b []byte) {
	if c.closed || c.deaf {
		c.secure.more()
		return
	}
	c.s.advance()
	if len(c.in) > 0 {
		b = append(c.in, b...)
	}
	if c.take(b); !c.full || c.closed {
		c.secure.more()
	}
}

// lost is the end of what a client with TLS sends.
func (c *conn) lost() {
	if c.closed {
		return
	}
	if c.secure.owed() == 0 {
		c.close()
		return
	}
	c.hangUp()
	c.secure.send(c, nil, true)
}

// more lets the reader go on.
func (t *secure) more() {
	select {
	case t.next <- struct{}{}:
	default:
	}
}

func (t *secure) owed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.out)
}

// send is conn.send.
func (t *secure) send(c *conn, b []byte, last bool) {
	s := c.s
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	all := s.unsent.Add(int64(len(b)))
	t.out = append(t.out, b...)
	t.last = t.last || last
	if len(t.out) > maxUnsent || all > maxUnsentAll {
		s.log.Warn("a client does not read what it is sent; closing its connection", "client", c.addr, "bytes", len(t.out))
		t.closed = true
		s.tasks.post(s, c.close)
		return
	}
	if !t.writing {
		t.writing = true
		s.wg.Go(func() { t.write(c) })
	}
}

// write empties out. With last it ends the connection.
func (t *secure) write(c *conn) {
	s := c.s
	for {
		t.mu.Lock()
		b, last := t.out, t.last
		if len(b) == 0 || t.closed { // what is left then, close gives up
			t.writing = false
			t.mu.Unlock()
			if last {
				_ = t.nc.CloseWrite() // the client may have gone
				s.tasks.post(s, c.close)
			}
			return
		}
		t.out = nil
		t.mu.Unlock()
		_, err := t.nc.Write(b)
		s.unsent.Add(-int64(len(b)))
		if err != nil {
			s.tasks.post(s, c.close)
			return
		}
		s.tasks.post(s, c.resume)
	}
}

// close ends the connection without waiting: a goodbye in TLS could.
func (t *secure) close(s *Server) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	s.unsent.Add(-int64(len(t.out)))
	t.out = nil
	t.nc.NetConn().Close()
	t.more()
}

package client

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// fake is a server that is played by hand. Connections are pipes; time is that of the test's bubble.
type fake struct {
	t     *testing.T
	conns chan *peer
	down  atomic.Bool // refuses connections
	dials atomic.Int32
	born  time.Time
	slept atomic.Int64 // for so many nanoseconds the machine was suspended
}

// peer is the server's side of a connection.
type peer struct {
	t    *testing.T
	c    net.Conn
	addr string
}

// bubble runs a test with a fake server and its own time.
func bubble(t *testing.T, f func(t *testing.T, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, &fake{t: t, conns: make(chan *peer, 100), born: time.Now()})
	})
}

func (f *fake) config() Config {
	return Config{Servers: []string{"a:1"}, Timeout: 9 * time.Second, Logger: slog.New(slog.DiscardHandler), Dial: f.dial,
		Now: func() time.Duration { return time.Since(f.born) + time.Duration(f.slept.Load()) }}
}

func (f *fake) dial(ctx context.Context, addr string) (net.Conn, error) {
	f.dials.Add(1)
	if f.down.Load() {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	ours, theirs := net.Pipe()
	f.conns <- &peer{f.t, theirs, addr}
	return ours, nil
}

// open opens a session: id 7, 9 s.
func (f *fake) open(cfg Config) (*Session, *peer) {
	f.t.Helper()
	granted := make(chan *peer, 1)
	go func() {
		p := <-f.conns
		p.hello()
		p.grant(7, 9*time.Second)
		granted <- p
	}()
	s, err := Open(f.t.Context(), cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { // the test's context is over, and what it left to be read
		s.end(Closed, ErrClosed)
		s.wg.Wait()
	})
	return s, <-granted
}

func (p *peer) packet() *zk.Decoder {
	p.t.Helper()
	b, err := zk.ReadPacket(p.c, nil, 1<<20)
	if err != nil {
		p.t.Fatalf("server's side: %v", err)
	}
	return zk.NewDecoder(b)
}

func (p *peer) hello() (r zk.ConnectRequest) {
	p.t.Helper()
	r.Decode(p.packet())
	return r
}

// request is the next one.
func (p *peer) request(r zk.Record) zk.RequestHeader {
	p.t.Helper()
	d := p.packet()
	var h zk.RequestHeader
	h.Decode(d)
	if r != nil {
		r.Decode(d)
	}
	if d.Err() != nil || len(d.Left()) > 0 && r != nil {
		p.t.Fatalf("server's side: %v is malformed", h.Op)
	}
	return h
}

// want is a request that is known.
func (p *peer) want(op zk.Op) int32 {
	p.t.Helper()
	h := p.request(nil)
	if h.Op != op {
		p.t.Fatalf("server's side: %v, want %v", h.Op, op)
	}
	return h.Xid
}

func (p *peer) send(body []byte) {
	p.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	p.write(append(b, body...))
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.c.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Errorf("server's side: %v", err)
	}
}

func (p *peer) grant(id int64, timeout time.Duration) {
	p.t.Helper()
	r := zk.ConnectResponse{TimeoutMillis: int32(timeout.Milliseconds()), SessionID: id, Password: []byte("0123456789abcdef"), HasReadOnly: true}
	p.send(r.Append(nil))
}

func (p *peer) reply(xid int32, zxid int64, err zk.Error, body ...byte) {
	p.t.Helper()
	h := zk.ReplyHeader{Xid: xid, Zxid: zxid, Err: err}
	p.send(append(h.Append(nil), body...))
}

func (p *peer) event(kind zk.EventType, path string) {
	p.t.Helper()
	h := zk.ReplyHeader{Xid: zk.XidNotification, Zxid: -1}
	e := zk.Event{Type: kind, State: zk.StateConnected, Path: path}
	p.send(e.Append(h.Append(nil)))
}

func stat() []byte { return (&zk.Stat{}).Append(nil) }

func (p *peer) close() { p.c.Close() }

// async runs a request and returns where its error will be.
func async(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

func want(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}

func wantState(t *testing.T, s *Session, want State) {
	t.Helper()
	if got := s.State(); got != want {
		t.Errorf("state %v, want %v", got, want)
	}
}

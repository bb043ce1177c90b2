package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// lastingFor is how long a connection has to last, or it has to answer something, to be no failed attempt: a server that
// takes connections only to close them is not asked in a tight loop.
const lastingFor = time.Second

// run is the session's goroutine: it connects, writes, and connects again.
func (s *Session) run() {
	defer s.cancel()
	for s.ctx.Err() == nil {
		if !s.sleep(s.hosts.pause()) {
			return
		}
		addr := s.hosts.take()
		c, err := s.connect(addr)
		if err != nil {
			s.hosts.failed++
			s.connectFailed(addr, err)
			continue
		}
		began := time.Now()
		read := make(chan struct{})
		go func() {
			defer close(read)
			c.breakOff(c.read())
		}()
		c.breakOff(c.write())
		<-read
		if s.hosts.failed++; s.lost(c) || time.Since(began) > lastingFor {
			s.hosts.failed = 0
		}
	}
}

// sleep waits and tells whether the session goes on.
func (s *Session) sleep(d time.Duration) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.ctx.Done():
		}
	}
	return s.ctx.Err() == nil
}

// connectLimit is how long an attempt may take: a session's time-out is enough to ask all servers.
func (s *Session) connectLimit() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(max(s.timeout/time.Duration(len(s.hosts.list)), time.Second), 10*time.Second)
}

// connect connects to a server and opens or resumes the session there.
func (s *Session) connect(addr string) (*conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.connectLimit())
	defer cancel()
	raw, err := s.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	c := &conn{s: s, net: raw, raw: raw, address: addr, broken: make(chan struct{})}
	if err = s.secure(ctx, c); err == nil {
		err = s.handshake(c)
	}
	if !stop() && err == nil { // closed in the moment when it was done
		err = context.Cause(ctx)
		s.lost(c)
	}
	if err != nil {
		raw.Close()
		if ctx.Err() != nil && s.ctx.Err() == nil {
			err = fmt.Errorf("no answer within %v", s.connectLimit())
		}
		return nil, err
	}
	return c, nil
}

func (s *Session) secure(ctx context.Context, c *conn) error {
	if s.cfg.TLS == nil {
		return nil
	}
	cfg := s.cfg.TLS
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(c.address)
	}
	t := tls.Client(c.raw, cfg)
	c.net = t
	return t.HandshakeContext(ctx)
}

// maxHandshake bounds the answer to the first packet, which has 37 bytes.
const maxHandshake = 1 << 10

// errRefused is a server that closes instead of answering the first packet.
var errRefused = errors.New("zookeeper: the server closed the connection without an answer")

// handshake asks for the session.
func (s *Session) handshake(c *conn) error {
	s.mu.Lock()
	r := zk.ConnectRequest{LastZxidSeen: s.lastZxid, TimeoutMillis: int32(s.cfg.Timeout.Milliseconds()), SessionID: s.id,
		Password: s.password, HasReadOnly: true}
	s.mu.Unlock()
	if r.Password == nil {
		r.Password = make([]byte, zk.PasswordSize)
	}
	sent := s.cfg.Now()
	if _, err := c.net.Write(zk.EndPacket(r.Append(zk.BeginPacket(nil)), 0)); err != nil {
		return err
	}
	packet, err := zk.ReadPacket(c.net, nil, maxHandshake)
	if err == io.EOF || errors.Is(err, syscall.ECONNRESET) {
		return errRefused
	}
	if err != nil {
		return err
	}
	var answer zk.ConnectResponse
	d := zk.NewDecoder(packet)
	if answer.Decode(d); d.Err() != nil {
		return fmt.Errorf("%w: its first packet has %d bytes", errProtocol, len(packet))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grantedLocked(c, &answer, sent)
}

// grantedLocked is the answer to the handshake.
func (s *Session) grantedLocked(c *conn, r *zk.ConnectResponse, sent time.Duration) error {
	none := r.TimeoutMillis <= 0 || r.SessionID == 0
	switch {
	case s.err != nil:
		return s.err
	case s.granted && (none || r.SessionID != s.id):
		// A server that opens a new session instead of saying that the old one is over would have us believe that the
		// old one's nodes live.
		s.log.Error("zookeeper session has expired", "session", s.hexID(), "server", c.address)
		s.endLocked(Expired, ErrExpired)
		return ErrExpired
	case none:
		return errors.New("zookeeper: the server grants no session")
	case r.ReadOnly:
		return errors.New("zookeeper: the server is read-only, cut off from its ensemble")
	}
	resumed := s.granted
	s.granted, s.id, s.password = true, r.SessionID, r.Password
	s.timeout = time.Duration(r.TimeoutMillis) * time.Millisecond
	s.conn, s.trouble = c, nil
	c.timeout, c.begun = s.timeout, s.cfg.Now()
	c.first, c.auths = s.authPackets(nil), len(s.cfg.Auth)
	if resumed {
		c.first, c.resets = s.watches.resetPackets(c.first, s.watchZxid)
	}
	s.lease = sent + held(s.timeout) // not the later one of two: this server may have agreed to less
	s.setLocked(Connected)
	if c.auths == 0 {
		s.readyLocked()
	}
	s.log.Info("zookeeper session connected", "session", s.hexID(), "server", c.address, "timeout", s.timeout, "resumed", resumed)
	return nil
}

func (s *Session) authPackets(dst []byte) []byte {
	for _, a := range s.cfg.Auth {
		start := len(dst)
		dst = (&zk.RequestHeader{Xid: zk.XidAuth, Op: zk.OpAuth}).Append(zk.BeginPacket(dst))
		dst = zk.EndPacket((&zk.AuthRequest{Scheme: a.Scheme, Auth: a.Data}).Append(dst), start)
	}
	return dst
}

// lost ends a connection: what was sent on it has an unknown outcome. It tells whether the server has answered anything.
func (s *Session) lost(c *conn) (served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c || s.err != nil {
		return c.served
	}
	s.conn, s.trouble = nil, c.cause
	if c.resets == 0 {
		s.watchZxid = s.lastZxid
	}
	c.failLocked(ErrConnectionLoss)
	if s.state == Connected {
		s.setLocked(Disconnected)
	}
	s.log.Warn("zookeeper connection lost", "session", s.hexID(), "server", c.address, "err", c.cause)
	return c.served
}

// connectFailed notes what an attempt met.
func (s *Session) connectFailed(addr string, err error) {
	if s.ctx.Err() != nil {
		return
	}
	if errors.Is(err, errRefused) {
		err = s.explain(addr, err)
	}
	err = fmt.Errorf("%s: %w", addr, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	told := errors.Is(s.trouble, ErrBehind)
	if !told || !unreachable(err) { // that a server is behind stays said while the others cannot be reached
		s.trouble = err
	}
	if errors.Is(err, ErrBehind) && !told {
		s.log.Error("zookeeper server refuses the session: its data is older than what was seen from it. Was an older "+
			"state restored, or its directory lost?", "session", s.hexID(), "server", addr, "err", err)
	} else {
		s.log.Debug("zookeeper server cannot be used", "session", s.hexID(), "server", addr, "err", err)
	}
}

func unreachable(err error) bool {
	_, dial := errors.AsType[*net.OpError](err)
	return dial || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

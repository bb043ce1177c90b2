package coordinator

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// session is a session and the connection that holds it, by hand: one call at a time.
type session struct {
	nc       net.Conn
	r        *bufio.Reader
	buf      []byte
	xid      int32
	id       int64
	password []byte
	zxid     int64 // last seen
}

// errExpired says that the server does not know the session.
var errExpired = errors.New("session expired")

// callLimit is for an answer: long, since the machine may be busy.
const callLimit = 60 * time.Second

// dial connects and begins a session, or resumes the one of was.
func dial(addr string, timeout time.Duration, was *session) (*session, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &session{nc: nc, r: bufio.NewReaderSize(nc, 4096)}
	req := zk.ConnectRequest{TimeoutMillis: int32(timeout.Milliseconds()), Password: make([]byte, 16), HasReadOnly: true}
	if was != nil {
		req.SessionID, req.Password, req.LastZxidSeen = was.id, was.password, was.zxid
		s.zxid = was.zxid
	}
	nc.SetDeadline(time.Now().Add(callLimit))
	if err := s.write(&req); err != nil {
		nc.Close()
		return nil, err
	}
	var resp zk.ConnectResponse
	d, err := s.read()
	if err != nil {
		nc.Close()
		return nil, err
	}
	if resp.Decode(d); d.Err() != nil || resp.SessionID == 0 {
		nc.Close()
		return nil, errors.Join(d.Err(), errExpired)
	}
	s.id, s.password = resp.SessionID, resp.Password
	return s, nil
}

func (s *session) write(rs ...zk.Record) error {
	b := zk.BeginPacket(s.buf[:0])
	for _, r := range rs {
		if r != nil {
			b = r.Append(b)
		}
	}
	s.buf = zk.EndPacket(b, 0)
	_, err := s.nc.Write(s.buf)
	return err
}

func (s *session) read() (*zk.Decoder, error) {
	b, err := zk.ReadPacket(s.r, nil, 64<<20)
	return zk.NewDecoder(b), err
}

// call sends a request and waits for its answer. The error is the connection's; code is the server's.
func (s *session) call(op zk.Op, r zk.Record) (d *zk.Decoder, code zk.Error, err error) {
	s.xid++
	s.nc.SetDeadline(time.Now().Add(callLimit))
	h := &zk.RequestHeader{Xid: s.xid, Op: op}
	if r == nil {
		err = s.write(h)
	} else {
		err = s.write(h, r)
	}
	if err != nil {
		return nil, 0, err
	}
	for {
		if d, err = s.read(); err != nil {
			return nil, 0, err
		}
		var h zk.ReplyHeader
		if h.Decode(d); d.Err() != nil {
			return nil, 0, d.Err()
		}
		s.zxid = max(s.zxid, h.Zxid)
		switch h.Xid {
		case s.xid:
			return d, h.Err, nil
		case zk.XidNotification:
		default:
			return nil, 0, fmt.Errorf("answer to %d, want %d", h.Xid, s.xid)
		}
	}
}

// must is call for what has to succeed.
func (s *session) must(t *testing.T, op zk.Op, r zk.Record) *zk.Decoder {
	t.Helper()
	d, code, err := s.call(op, r)
	if err != nil || code != zk.OK {
		t.Fatalf("%s: %v, %v", op, code, err)
	}
	return d
}

func mustDial(t *testing.T, addr string, timeout time.Duration, was *session) *session {
	t.Helper()
	s, err := dial(addr, timeout, was)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.nc.Close() })
	return s
}

func create(path string, data []byte, mode zk.CreateMode) *zk.CreateRequest {
	return &zk.CreateRequest{Path: path, Data: data, ACL: zk.OpenACL, Mode: mode}
}

package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func testConfig(dir string) Config {
	return Config{
		Dir: dir, Listen: []string{"127.0.0.1:0"}, MaxPacket: zk.DefaultMaxPacket, SnapshotEvery: 1000, SnapshotsKept: 3, Words: []string{"*"},
		Limits: Limits{Tick: 2 * time.Second, MinSessionTimeout: 4 * time.Second, MaxSessionTimeout: 40 * time.Second,
			Watches: 200_000, Nodes: 1_000_000, Depth: 100, ServerID: 1, TTLNodes: true},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// start runs a server until the test ends, and looks then for what it has left behind.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), countFiles(t)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && s.Err() == nil {
			t.Error(err)
		}
		eventually(t, "goroutines and descriptors are gone", func() bool {
			return runtime.NumGoroutine() <= goroutines && countFiles(t) <= files
		})
	})
	return s
}

func countFiles(t *testing.T) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// eventually waits for what no event tells of.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !f() {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("never: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
		<-time.After(time.Millisecond)
	}
}

// wire is a client's connection to a server, by hand.
type wire struct {
	t    *testing.T
	nc   net.Conn
	r    *bufio.Reader
	xid  int32
	resp zk.ConnectResponse
}

func dialRaw(t *testing.T, addr string) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, nc)
}

func newWire(t *testing.T, nc net.Conn) *wire {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	return &wire{t: t, nc: nc, r: bufio.NewReader(nc)}
}

func dialTLS(t *testing.T, addr string, cfg *tls.Config) *wire {
	t.Helper()
	nc, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, nc)
}

// join begins or resumes a session.
func (w *wire) join(req zk.ConnectRequest) *wire {
	w.t.Helper()
	req.HasReadOnly = true
	w.write(packet(&req))
	b, err := zk.ReadPacket(w.r, nil, 1<<30)
	if err != nil {
		w.t.Fatal(err)
	}
	d := zk.NewDecoder(b)
	if w.resp.Decode(d); d.Err() != nil {
		w.t.Fatal(d.Err())
	}
	return w
}

func packet(rs ...zk.Record) []byte {
	b := zk.BeginPacket(nil)
	for _, r := range rs {
		b = r.Append(b)
	}
	return zk.EndPacket(b, 0)
}

func (w *wire) write(b []byte) {
	w.t.Helper()
	if _, err := w.nc.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// send sends a request and does not wait.
func (w *wire) send(op zk.Op, r zk.Record) {
	w.t.Helper()
	w.xid++
	h := &zk.RequestHeader{Xid: w.xid, Op: op}
	if r == nil {
		w.write(packet(h))
	} else {
		w.write(packet(h, r))
	}
}

// receive is the next packet.
func (w *wire) receive() (h zk.ReplyHeader, d *zk.Decoder) {
	w.t.Helper()
	b, err := zk.ReadPacket(w.r, nil, 1<<30)
	if err != nil {
		w.t.Fatal(err)
	}
	d = zk.NewDecoder(b)
	h.Decode(d)
	return h, d
}

// call sends a request and waits for its answer; events before it are returned.
func (w *wire) call(op zk.Op, r zk.Record) (events []string, err zk.Error, d *zk.Decoder) {
	w.t.Helper()
	w.send(op, r)
	xid := w.xid
	if op == zk.OpPing {
		xid = zk.XidPing
	}
	for {
		h, d := w.receive()
		if h.Xid == zk.XidNotification {
			var e zk.Event
			e.Decode(d)
			events = append(events, fmt.Sprint(e.Type, " ", e.Path))
			continue
		}
		if h.Xid != xid {
			w.t.Fatalf("answer to %d, want %d", h.Xid, xid)
		}
		return events, h.Err, d
	}
}

// must is call for what has to succeed.
func (w *wire) must(op zk.Op, r zk.Record) *zk.Decoder {
	w.t.Helper()
	_, err, d := w.call(op, r)
	if err != zk.OK {
		w.t.Fatalf("%s: %v", op, err)
	}
	return d
}

func (w *wire) create(path string, mode zk.CreateMode) {
	w.t.Helper()
	w.must(zk.OpCreate, &zk.CreateRequest{Path: path, Data: []byte("data of " + path), ACL: zk.OpenACL, Mode: mode})
}

func (w *wire) exists(path string) bool {
	w.t.Helper()
	_, err, _ := w.call(zk.OpExists, &zk.ReadRequest{Path: path})
	if err != zk.OK && err != zk.NoNode {
		w.t.Fatal(err)
	}
	return err == zk.OK
}

// isClosed waits for the server to close the connection, and returns what came before.
func (w *wire) isClosed() string {
	w.t.Helper()
	b, err := io.ReadAll(w.r)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		w.t.Fatal(err)
	}
	return string(b)
}

// pass has time go on for the server, without waiting.
func pass(t *testing.T, s *Server, d time.Duration) {
	t.Helper()
	if err := s.Do(func(c *Core) { c.now += d }); err != nil {
		t.Fatal(err)
	}
}

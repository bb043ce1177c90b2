//go:build peers

package faults

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestCoordinatorFullDisk: a coordinator whose disk is full ends with 1 and says why. It may start on the full disk, with
// what its log had kept for itself, to end again; and it has everything that it acknowledged.
func TestCoordinatorFullDisk(t *testing.T) {
	disk := smallDisk(t, 16<<20)
	b := testkit.StartCoordinator(t, disk, "coordinator.snap.count=50")
	s := newZK(t, b.Coordinator)
	acked := 0
	for range 20 {
		if !s.create(1000) {
			t.Fatal("not acknowledged")
		}
		acked++
	}
	empty := fill(t, disk, 300_000)
	for s.create(50_000) {
		acked++
	}
	if code := b.Ended(); code != 1 || !strings.Contains(b.Log(), "no space left on device") {
		t.Errorf("ended with %d", code)
	}
	b = testkit.StartCoordinator(t, disk)
	for s = newZK(t, b.Coordinator); s.create(50_000); {
		acked++
	}
	if code := b.Ended(); code != 1 || !strings.Contains(b.Log(), "no space left on device") {
		t.Errorf("ended with %d on the full disk", code)
	}
	empty()
	checkNodes(t, disk, acked)
}

// TestCoordinatorDeviceFails: neither a write nor a sync that fails is tried again, or answered.
func TestCoordinatorDeviceFails(t *testing.T) {
	for _, call := range []string{"pwrite64", "fdatasync"} {
		t.Run(call, func(t *testing.T) {
			dir := t.TempDir()
			b := testkit.StartCoordinator(t, dir)
			s := newZK(t, b.Coordinator)
			acked := 0
			for range 20 {
				if !s.create(1000) {
					t.Fatal("not acknowledged")
				}
				acked++
			}
			logs, err := filepath.Glob(filepath.Join(dir, "coordinator", "log.*"))
			if err != nil || len(logs) != 1 {
				t.Fatal(logs, err)
			}
			heal := inject(t, b, call, logs...)
			for s.create(1000) {
				acked++
			}
			if code := b.Ended(); code != 1 || !strings.Contains(b.Log(), "input/output error") {
				t.Errorf("ended with %d", code)
			}
			heal()
			checkNodes(t, dir, acked)
		})
	}
}

// checkNodes: all that were acknowledged are there, and no more than the one in doubt besides.
func checkNodes(t *testing.T, dir string, acked int) {
	t.Helper()
	b := testkit.StartCoordinator(t, dir)
	d, ok := newZK(t, b.Coordinator).call(zk.OpGetChildren, &zk.ReadRequest{Path: "/"})
	n := 0
	for _, name := range d.Strings() {
		if strings.HasPrefix(name, "n") {
			n++
		}
	}
	if !ok || n < acked || n > acked+1 {
		t.Errorf("%d nodes are there, %d were acknowledged", n, acked)
	}
	b.Terminate()
}

// zkClient is a session by hand.
type zkClient struct {
	t  *testing.T
	nc net.Conn
}

func newZK(t *testing.T, addr string) *zkClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	s := &zkClient{t, nc}
	if _, ok := s.exchange(&zk.ConnectRequest{TimeoutMillis: 40_000, HasReadOnly: true}); !ok {
		t.Fatal("no session")
	}
	return s
}

func (s *zkClient) exchange(rs ...zk.Record) (d *zk.Decoder, ok bool) {
	b := zk.BeginPacket(nil)
	for _, r := range rs {
		b = r.Append(b)
	}
	if _, err := s.nc.Write(zk.EndPacket(b, 0)); err != nil {
		return zk.NewDecoder(nil), false
	}
	b, err := zk.ReadPacket(s.nc, nil, 64<<20)
	return zk.NewDecoder(b), err == nil
}

// call tells whether it was acknowledged.
func (s *zkClient) call(op zk.Op, r zk.Record) (d *zk.Decoder, ok bool) {
	if d, ok = s.exchange(&zk.RequestHeader{Xid: 1, Op: op}, r); !ok {
		return d, false
	}
	var h zk.ReplyHeader
	if h.Decode(d); h.Err != zk.OK {
		s.t.Fatal(h.Err)
	}
	return d, true
}

func (s *zkClient) create(size int) bool {
	_, ok := s.call(zk.OpCreate, &zk.CreateRequest{Path: "/n", Data: make([]byte, size), ACL: zk.OpenACL, Mode: zk.PersistentSequential})
	return ok
}

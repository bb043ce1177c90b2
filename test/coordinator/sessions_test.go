package coordinator

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// status is a figure of /proc/PID/status: kB for memory.
func status(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.Fields(v)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// openSessions begins n sessions and returns their connections.
func openSessions(t *testing.T, addr string, n int) []net.Conn {
	t.Helper()
	hello := zk.EndPacket((&zk.ConnectRequest{TimeoutMillis: 40_000, Password: make([]byte, 16), HasReadOnly: true}).Append(zk.BeginPacket(nil)), 0)
	list := make([]net.Conn, n)
	for i := range list {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		list[i] = nc
		if _, err := nc.Write(hello); err != nil {
			t.Fatal(err)
		}
		if i >= 100 { // not one at a time, since each is a sync
			readHello(t, list[i-100])
		}
	}
	for _, nc := range list[max(0, n-100):] {
		readHello(t, nc)
	}
	return list
}

func readHello(t *testing.T, nc net.Conn) {
	t.Helper()
	nc.SetDeadline(time.Now().Add(callLimit))
	if b, err := zk.ReadPacket(nc, nil, 100); err != nil || len(b) != 37 {
		t.Fatalf("%x, %v", b, err)
	}
}

// TestTenThousandSessions: quiet sessions cost little, and when they go, nothing of them stays.
func TestTenThousandSessions(t *testing.T) {
	limit, err := sys.MaxFiles()
	if err != nil {
		t.Fatal(err)
	}
	n := min(10_000, limit-500)
	c := testkit.StartCoordinator(t, t.TempDir(), "coordinator.max.client.cnxns=0")
	files := countFiles(t, c.PID)
	list := openSessions(t, c.Coordinator, n)
	rss, threads := status(t, c.PID, "VmRSS"), status(t, c.PID, "Threads")
	t.Logf("%d sessions: %d kB resident, %d threads", n, rss, threads)
	if limit := 60_000 * n / 10_000; rss > limit && !testkit.Race {
		t.Errorf("%d kB resident, more than %d", rss, limit)
	}
	if threads > 40 {
		t.Errorf("%d threads", threads)
	}
	s := mustDial(t, c.Coordinator, 40*time.Second, nil)
	s.must(t, zk.OpCreate, create("/alive", nil, zk.Persistent))
	for _, nc := range list {
		nc.Close()
	}
	s.must(t, zk.OpSetData, &zk.SetDataRequest{Path: "/alive", Version: -1})
	for began := time.Now(); countFiles(t, c.PID) > files+5; pass(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d descriptors are open, %d were", countFiles(t, c.PID), files)
		}
	}
}

// countFiles is how many descriptors a process has.
func countFiles(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

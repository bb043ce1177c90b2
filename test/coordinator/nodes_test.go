package coordinator

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestHundredThousandNodes: what they take of memory, and that a start after a kill has all of them soon.
func TestHundredThousandNodes(t *testing.T) {
	const n = 100_000
	dir := t.TempDir()
	c := testkit.StartCoordinator(t, dir)
	s := mustDial(t, c.Coordinator, 40*time.Second, nil)
	for i := range 100 {
		s.must(t, zk.OpCreate, create(fmt.Sprintf("/d%02d", i), nil, zk.Persistent))
	}
	done := make(chan error, 1)
	go func() { // without waiting for answers
		for i := range n - 100 {
			r := create(fmt.Sprintf("/d%02d/node-%06d", i%100, i), make([]byte, 100), zk.Persistent)
			if err := s.write(&zk.RequestHeader{Xid: int32(i), Op: zk.OpCreate}, r); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range n - 100 {
		d, err := s.read()
		if err != nil {
			t.Fatal(err)
		}
		var h zk.ReplyHeader
		if h.Decode(d); h.Err != zk.OK {
			t.Fatal(h)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	rss := status(t, c.PID, "VmRSS")
	c.Kill()
	began := time.Now()
	c = testkit.StartCoordinator(t, dir)
	s = mustDial(t, c.Coordinator, 40*time.Second, s)
	count := s.must(t, zk.OpGetAllChildrenNumber, &zk.PathRequest{Path: "/"}).Int()
	took := time.Since(began)
	if count != n+3 { // ZooKeeper's own
		t.Errorf("%d nodes after the kill, want %d", count, n+3)
	}
	again := status(t, c.PID, "VmRSS")
	t.Logf("%d kB resident, %d kB after a kill; served %v after the start began", rss, again, took.Round(time.Millisecond))
	if !testkit.Race && max(rss, again) > 170_000 {
		t.Error("more than 170 MB resident")
	}
}

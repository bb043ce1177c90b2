package coordinator

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestStop: a coordinator that stands still for several times the sessions' time-out ends none of those that are
// there, while it wakes up and after; one that has gone ends in its time.
func TestStop(t *testing.T) {
	const timeout = 3 * time.Second // and a client here may be late by as much on a busy machine
	c := testkit.StartCoordinator(t, t.TempDir(), "coordinator.tick.time.ms=500", "coordinator.max.client.cnxns=0")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for i := range 50 {
		s := mustDial(t, c.Coordinator, timeout, nil)
		s.must(t, zk.OpCreate, create(fmt.Sprint("/e", i), nil, zk.Ephemeral))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(timeout / 10):
				}
				if _, code, err := s.call(zk.OpExists, &zk.ReadRequest{Path: fmt.Sprint("/e", i)}); err != nil || code != zk.OK {
					t.Errorf("session %d: %v, %v", i, code, err)
					return
				}
			}
		})
	}
	gone := mustDial(t, c.Coordinator, timeout, nil)
	gone.must(t, zk.OpCreate, create("/gone", nil, zk.Ephemeral))
	watcher := mustDial(t, c.Coordinator, 20*time.Second, nil)
	c.Signal(syscall.SIGSTOP)
	pass(2 * timeout)
	c.Signal(syscall.SIGCONT)
	pass(timeout)
	gone.nc.Close()
	began := time.Now()
	for there := true; there; {
		_, code, err := watcher.call(zk.OpExists, &zk.ReadRequest{Path: "/gone"})
		if err != nil {
			t.Fatal(err)
		}
		if there = code == zk.OK; there && time.Since(began) > 30*time.Second {
			t.Fatal("a session that nobody holds does not end")
		}
	}
}

//go:build invariants

package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/crashdisk"
	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestCrashes cuts the work of a store off between any two of its system calls, by a kill or by the power, again and
// again, while it goes on where the last one left it. Found afterwards are all transactions whose commit had returned, and at most
// the one behind them that was under way; and every state in between opens.
func TestCrashes(t *testing.T) {
	lives := 40
	if testkit.Race { // which slows the disk that crashes most, and finds nothing: all is one goroutine
		lives = 10
	}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := &crashing{T: t, rnd: rand.New(rand.NewPCG(seed, 1)), tmp: t.TempDir()}
			for range lives {
				r.life()
			}
			t.Logf("%d calls, %d crashes, %d nodes at the end", r.calls, r.crashes, len(r.m.c.tree.nodes))
		})
	}
}

type crashing struct {
	*testing.T
	rnd            *rand.Rand
	tmp            string
	m              *machine
	n              int
	calls, crashes int
	// promised is the state of the last commit that returned; possible those after it.
	left crashdisk.Tree
	at   []promise
}

// promise: from that call on, the state is on the device.
type promise struct {
	calls int
	state string
}

// life opens what the last crash left, works on, and crashes.
func (r *crashing) life() {
	r.crashes++
	root := filepath.Join(r.tmp, fmt.Sprint(r.crashes))
	if r.left == nil {
		r.left = crashdisk.Tree{}
	}
	if err := r.left.WriteTo(root); err != nil {
		r.Fatal(err)
	}
	k := crashdisk.Start(root, r.left)
	defer os.RemoveAll(root)
	defer k.End()
	r.m = &machine{t: r.T, c: newCore(testConfig("").Limits, nil)}
	r.m.c.sessions.beginIDs(1, 1_700_000_000_000)
	var err error
	if r.m.s, err = openStore(filepath.Join(root, "c"), r.m.c, quietLog); err != nil {
		r.Fatalf("crash %d: %v\n%s", r.crashes, err, k.Describe(0))
	}
	r.found(r.m.c.state())
	r.at = []promise{{0, r.m.c.state()}} // what was found stays: it was read from the device, and cut off behind
	for range r.rnd.IntN(12) {
		r.step(k)
	}
	closed := r.rnd.IntN(4) == 0
	if closed {
		r.m.close()
	} else {
		r.m.s.abandon()
	}
	calls := k.Calls()
	r.calls += calls
	n := r.rnd.IntN(calls + 1)
	power := r.rnd.IntN(3) > 0
	r.left = k.Crash(r.rnd, n, power)
	// Who had returned by then is promised; the next one may be there.
	for len(r.at) > 1 && r.at[1].calls <= n {
		r.at = r.at[1:]
	}
	r.at = r.at[:min(2, len(r.at))]
}

// found holds what a start found against what may be there.
func (r *crashing) found(state string) {
	if r.at == nil {
		return
	}
	for _, p := range r.at {
		if p.state == state {
			return
		}
	}
	r.Fatalf("crash %d: found\n%s\nwant\n%s", r.crashes, state, r.at[0].state)
}

func (r *crashing) step(k *crashdisk.Disk) {
	r.n++
	var err error
	switch r.rnd.IntN(6) {
	case 0:
		err = r.m.snapshot()
	case 1:
		r.m.session()
		err = r.m.commit()
	default:
		for range 1 + r.rnd.IntN(3) { // a turn of several
			r.n++
			q := &zk.CreateRequest{Path: fmt.Sprint("/n", r.n), Data: make([]byte, r.rnd.IntN(3000)), ACL: zk.OpenACL, Mode: zk.CreateMode(r.n % 2)}
			if r.m.to == nil {
				r.m.session()
			}
			r.m.c.Packet(r.m.to, q.Append((&zk.RequestHeader{Xid: 1, Op: zk.OpCreate}).Append(nil)))
		}
		err = r.m.commit()
	}
	if err != nil {
		r.Fatal(err)
	}
	r.at = append(r.at, promise{k.Calls(), r.m.c.state()})
}

// TestFailingDevice: whatever call fails, with no space or a broken device, nothing is answered that a start does not
// find, the server ends and says why; once the device works again, a start has all that was answered.
func TestFailingDevice(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		t.Run(errno.Error(), func(t *testing.T) {
			for at := 0; ; at += 1 + at/4 { // the call that fails first
				root := t.TempDir()
				cfg := testConfig(filepath.Join(root, "c"))
				cfg.SnapshotEvery = 10
				answered := 0
				var mu sync.Mutex
				n, broken := 0, false
				trace := sys.Trace{Before: func(c *sys.Change) error {
					mu.Lock()
					defer mu.Unlock()
					if c.Kind == sys.ChangeClose || c.Kind == sys.ChangeOpen && c.Flags&os.O_CREATE == 0 || c.Kind == sys.ChangeRemove {
						return nil
					}
					n++
					broken = broken || n > at
					if broken && (errno == syscall.EIO || c.Kind == sys.ChangeWrite || c.Kind == sys.ChangeOpen) {
						return errno
					}
					return nil
				}}
				trace.Start(root)
				whole := tryServer(t, cfg, errno, &answered)
				trace.End()
				s, err := Open(cfg)
				if err != nil {
					t.Fatalf("after a failure of call %d: %v", at, err)
				}
				nodes := 0
				s.Do(func(c *Core) { nodes = len(c.tree.nodes) - len(fixed) })
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if nodes < answered || nodes > answered+1 {
					t.Fatalf("after a failure of call %d: %d nodes, %d were answered", at, nodes, answered)
				}
				if whole {
					return
				}
			}
		})
	}
}

// tryServer opens the server, creates nodes until it ends or 40 are there, and closes it. It tells whether nothing failed.
func tryServer(t *testing.T, cfg Config, errno syscall.Errno, answered *int) (whole bool) {
	s, err := Open(cfg)
	if err != nil {
		if !errors.Is(err, errno) {
			t.Fatal(err)
		}
		return false
	}
	defer func() {
		if err := s.Close(); err != nil {
			if whole = false; !errors.Is(err, errno) {
				t.Fatal(err)
			}
		}
	}()
	w := dialRaw(t, s.Addrs()[0])
	w.nc.Write(packet(&zk.ConnectRequest{TimeoutMillis: 4000, HasReadOnly: true}))
	if _, err := zk.ReadPacket(w.r, nil, 100); err != nil {
		<-s.Done()
		return false
	}
	for range 40 {
		w.nc.Write(packet(&zk.RequestHeader{Xid: 1, Op: zk.OpCreate},
			&zk.CreateRequest{Path: "/n", Data: make([]byte, 30_000), ACL: zk.OpenACL, Mode: zk.PersistentSequential}))
		if _, err := zk.ReadPacket(w.r, nil, 1000); err != nil {
			<-s.Done()
			if !errors.Is(s.Err(), errno) {
				t.Fatal(s.Err())
			}
			return false
		}
		*answered++
	}
	return true
}

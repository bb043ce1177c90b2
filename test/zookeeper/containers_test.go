//go:build peers

package zookeeper

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// TestWhatEndsByItself: containers and nodes with a time to live go on both sides, and nothing else does; who watches is
// told.
func TestWhatEndsByItself(t *testing.T) {
	w := newWorld(t, 1, 2, [2]string{
		openOurs(t, func(c *server.Config) {
			c.Limits.Tick, c.Limits.ContainerCheck = 100*time.Millisecond, 200*time.Millisecond
		}),
		openTheirs(t, "--jvm", "-Dznode.container.checkIntervalMs=200")})
	for _, c := range w.conns {
		w.connect(c, &handshake{password: [2][]byte{make([]byte, 16), make([]byte, 16)}}, "a new session")
	}
	maker, watcher := w.conns[0], w.conns[1]
	create := func(op zk.Op, path string, mode zk.CreateMode, ttl int64) {
		r := zk.CreateRequest{Path: path, ACL: zk.OpenACL, Mode: mode, TTLMillis: ttl, WithTTL: op == zk.OpCreateTTL}
		w.tell(maker, w.request(maker, op, r.Append(nil)))
	}
	multi := func(path string, mode zk.CreateMode) {
		r := zk.CreateRequest{Path: path, ACL: zk.OpenACL, Mode: mode}
		w.tell(maker, w.request(maker, zk.OpMulti, multiHeader(r.Append(multiHeader(nil, zk.OpCreate, false)), zk.OpError, true)))
	}
	create(zk.OpCreate, "/stays", zk.Container, 0) // the operation makes a container, not the mode
	create(zk.OpCreate2, "/stays2", zk.Container, 0)
	create(zk.OpCreateContainer, "/unused", zk.Container, 0)
	create(zk.OpCreateContainer, "/ends1", zk.Container, 0)
	create(zk.OpCreateContainer, "/ends2", zk.Persistent, 0)
	multi("/ends3", zk.Container)
	create(zk.OpCreateTTL, "/ends4", zk.TTL, 2000)
	create(zk.OpCreateTTL, "/long", zk.TTL, 1<<30)
	create(zk.OpCreateTTL, "/parent", zk.TTL, 2000)
	create(zk.OpCreate, "/parent/c", zk.Persistent, 0)
	used := strings.Fields("/stays /stays2 /ends1 /ends2 /ends3")
	for _, p := range used {
		create(zk.OpCreate, p+"/c", zk.Persistent, 0)
	}
	for _, p := range append(used, "/ends4") {
		w.tell(watcher, w.request(watcher, zk.OpExists, append(zk.AppendString(nil, p), 1)))
	}
	for _, p := range used {
		w.tell(maker, w.request(maker, zk.OpDelete, zk.AppendInt(zk.AppendString(nil, p+"/c"), -1)))
	}
	for i := range sideNames {
		gone := map[string]bool{}
		for len(gone) < 4 {
			p := watcher.read(i)
			if !p.isEvent() {
				t.Fatalf("%s: %q %x after %v", sideNames[i], p.end, p.bytes, gone)
			}
			gone[short([]packet{p}, nil)] = true
		}
		if got := fmt.Sprint(gone); got != "map[NodeDeleted /ends1:true NodeDeleted /ends2:true NodeDeleted /ends3:true NodeDeleted /ends4:true]" {
			t.Errorf("%s: %s", sideNames[i], got)
		}
	}
	left := w.tell(maker, w.request(maker, zk.OpGetChildren, append(zk.AppendString(nil, "/"), 0)))
	if want := `ok names=6 ["long" "parent" "stays" "stays2" "unused" "zookeeper"]`; left != [2]string{want, want} {
		t.Errorf("ours %s, theirs %s", left[ours], left[theirs])
	}
}

package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// told is what a connection was told since it was last asked, as "NodeCreated /a 0x5".
func (x *client) told() (list []string) {
	for _, b := range x.got {
		d := zk.NewDecoder(b)
		var h zk.ReplyHeader
		var e zk.Event
		h.Decode(d)
		e.Decode(d)
		if h.Xid != zk.XidNotification || d.Err() != nil || e.State != zk.StateConnected || h.Err != zk.OK {
			x.t.Fatalf("no event: %x", b)
		}
		zxid := "now"
		if h.Zxid != x.c.Zxid() {
			zxid = fmt.Sprint(h.Zxid)
		}
		list = append(list, strings.TrimPrefix(e.Type.String(), "Node")+" "+e.Path+" "+zxid)
	}
	x.got = nil
	return list
}

// watch sets a watch: d and x by getData and exists, c by getChildren, p and r by addWatch.
func (x *client) watch(kind byte, path string) zk.Error {
	x.t.Helper()
	switch kind {
	case 'd':
		return x.code(zk.OpGetData, &zk.ReadRequest{Path: path, Watch: true})
	case 'x':
		return x.code(zk.OpExists, &zk.ReadRequest{Path: path, Watch: true})
	case 'c':
		return x.code(zk.OpGetChildren2, &zk.ReadRequest{Path: path, Watch: true})
	}
	mode := zk.WatchPersistent
	if kind == 'r' {
		mode = zk.WatchPersistentRecursive
	}
	_, err, d := x.call(zk.OpAddWatch, &zk.WatchRequest{Path: path, Kind: int32(mode)})
	if err == zk.OK && d.Int() != 0 || d.Err() != nil {
		x.t.Error("addWatch is answered by a code of its own")
	}
	return err
}

// TestEvents: what who watches is told of each change, to a tree of /p, /p/c, /q and /q/e.
func TestEvents(t *testing.T) {
	create := func(p string) func(*client) { return func(x *client) { x.made(p, zk.Persistent) } }
	remove := func(p string) func(*client) { return func(x *client) { x.gone(p) } }
	set := func(p string) func(*client) {
		return func(x *client) { x.call(zk.OpSetData, &zk.SetDataRequest{Path: p, Version: -1}) }
	}
	setACL := func(p string) func(*client) {
		return func(x *client) { x.call(zk.OpSetACL, &zk.SetACLRequest{Path: p, ACL: zk.OpenACL, Version: -1}) }
	}
	for _, k := range []struct {
		watches string // kind and path, several
		change  func(*client)
		first   string
		second  string // of the opposite change or the same one again
	}{
		{"x/n", create("/n"), "Created /n now", ""},
		{"d/n", create("/n"), "", ""}, // getData on what is not there sets none
		{"c/n", create("/n"), "", ""},
		{"c/p", create("/p/n"), "ChildrenChanged /p now", ""},
		{"c/p x/p", create("/p/n"), "ChildrenChanged /p now", ""},
		{"c/", create("/n"), "ChildrenChanged / now", ""},
		{"d/p/c", remove("/p/c"), "Deleted /p/c now", ""},
		{"c/p/c", remove("/p/c"), "Deleted /p/c now", ""},
		{"d/p/c c/p/c p/p/c r/p/c r/p", remove("/p/c"), "Deleted /p/c now", "Created /p/c now"}, // once, however many match
		{"c/p", remove("/p/c"), "ChildrenChanged /p now", ""},
		{"d/p/c c/p", remove("/p/c"), "Deleted /p/c now, ChildrenChanged /p now", ""},
		{"d/p", set("/p"), "DataChanged /p now", ""},
		{"c/p", set("/p"), "", ""},
		{"d/p c/p x/p p/p r/p r/", setACL("/p"), "", ""},
		{"p/p", create("/p/n"), "ChildrenChanged /p now", "ChildrenChanged /p now"},
		{"p/p", set("/p"), "DataChanged /p now", "DataChanged /p now"},
		{"p/n", create("/n"), "Created /n now", "Deleted /n now"},
		{"p/p", set("/p/c"), "", ""},
		{"r/", create("/n"), "Created /n now", "Deleted /n now"},
		{"r/p", create("/p/n"), "Created /p/n now", "Deleted /p/n now"}, // never that children have changed
		{"r/p", set("/p/c"), "DataChanged /p/c now", "DataChanged /p/c now"},
		{"r/p", set("/p"), "DataChanged /p now", "DataChanged /p now"},
		{"r/p", set("/q"), "", ""},
		{"r/p d/p", set("/p"), "DataChanged /p now", "DataChanged /p now"},
		{"r/p c/p", create("/p/n"), "Created /p/n now, ChildrenChanged /p now", "Deleted /p/n now"},
	} {
		c := testCore()
		x, y := dial(t, c, zk.ConnectRequest{}), dial(t, c, zk.ConnectRequest{})
		for _, p := range []string{"/p", "/p/c", "/q"} {
			x.made(p, zk.Persistent)
		}
		for _, w := range strings.Fields(k.watches) {
			y.watch(w[0], w[1:])
		}
		x.others = []*client{y}
		nodes := len(c.tree.nodes)
		k.change(x)
		if got := strings.Join(y.told(), ", "); got != k.first {
			t.Errorf("%s: %q, want %q", k.watches, got, k.first)
		}
		switch {
		case len(c.tree.nodes) < nodes:
			x.made("/p/c", zk.Persistent)
		case len(c.tree.nodes) > nodes:
			for _, p := range []string{"/n", "/p/n"} {
				x.code(zk.OpDelete, &zk.VersionRequest{Path: p, Version: -1})
			}
		default:
			k.change(x)
		}
		if got := strings.Join(y.told(), ", "); got != k.second {
			t.Errorf("%s, then: %q, want %q", k.watches, got, k.second)
		}
	}
}

// TestEventBeforeTheReply: on one connection, with both requests sent in one go.
func TestEventBeforeTheReply(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{})
	x.made("/w", zk.Persistent)
	x.watch('d', "/w")
	events, err, _ := x.call(zk.OpSetData, &zk.SetDataRequest{Path: "/w", Version: -1})
	if err != zk.OK || fmt.Sprint(events) != "[NodeDataChanged /w]" {
		t.Errorf("before the reply: %v, %v", events, err)
	}
}

// TestEventsAreForWhoMayRead: since 3.9.2. The watch is used up all the same.
func TestEventsAreForWhoMayRead(t *testing.T) {
	c := testCore()
	x, y := dial(t, c, zk.ConnectRequest{}), dial(t, c, zk.ConnectRequest{})
	u := zk.ACL{Perms: zk.PermAll, ID: zk.DigestID("u", "p")}
	x.auth("u:p")
	y.watch('x', "/secret")
	y.watch('p', "/secret")
	x.others = []*client{y}
	x.made("/secret", zk.Persistent, u)
	x.call(zk.OpSetData, &zk.SetDataRequest{Path: "/secret", Version: -1})
	if got := y.told(); got != nil {
		t.Error(got)
	}
	y.auth("u:p")
	x.call(zk.OpSetData, &zk.SetDataRequest{Path: "/secret", Version: -1})
	if got := y.told(); fmt.Sprint(got) != "[DataChanged /secret now]" {
		t.Error(got)
	}
	if err := y.code(zk.OpCheckWatches, &zk.WatchRequest{Path: "/secret", Kind: int32(zk.WatcherData)}); err != zk.NoWatcher {
		t.Error(err)
	}
}

func TestWatchesEndWithTheConnection(t *testing.T) {
	c := testCore()
	x, y := dial(t, c, zk.ConnectRequest{}), dial(t, c, zk.ConnectRequest{TimeoutMillis: 4000})
	x.made("/p", zk.Persistent)
	for _, kind := range []byte("dcpr") {
		y.watch(kind, "/p")
	}
	z := dial(t, c, zk.ConnectRequest{TimeoutMillis: 4000, SessionID: y.resp.SessionID, Password: y.resp.Password})
	x.others = []*client{y, z}
	x.call(zk.OpSetData, &zk.SetDataRequest{Path: "/p", Version: -1})
	if len(y.got)+len(z.got) > 0 || c.watches.count != 0 || c.watches.recursive != 0 {
		t.Errorf("%d and %d packets, %d watches left", len(y.got), len(z.got), c.watches.count)
	}
}

func TestCheckAndRemoveWatches(t *testing.T) {
	set := map[byte]zk.WatcherType{'d': zk.WatcherData, 'c': zk.WatcherChildren, 'p': zk.WatcherPersistent, 'r': zk.WatcherPersistentRecursive}
	for kind := range set {
		for asked := zk.WatcherType(0); asked <= 6; asked++ {
			c := testCore()
			x := dial(t, c, zk.ConnectRequest{})
			x.made("/p", zk.Persistent)
			x.watch(kind, "/p")
			want := zk.NoWatcher
			switch {
			case asked < 1 || asked > 5:
				want = zk.MarshallingError
			case asked == set[kind] || asked == zk.WatcherAny:
				want = zk.OK
			}
			r := &zk.WatchRequest{Path: "/p", Kind: int32(asked)}
			for i, op := range []zk.Op{zk.OpCheckWatches, zk.OpCheckWatches, zk.OpRemoveWatches, zk.OpCheckWatches} {
				if i == 3 && want == zk.OK {
					want = zk.NoWatcher
				}
				if err := x.code(op, r); err != want {
					t.Errorf("%s, type %d with a watch of kind %c: %v, want %v", op, asked, kind, err, want)
				}
			}
		}
	}
	x := dial(t, testCore(), zk.ConnectRequest{})
	for mode, want := range map[int32]zk.Error{-1: zk.MarshallingError, 0: zk.OK, 1: zk.OK, 2: zk.MarshallingError} {
		if err := x.code(zk.OpAddWatch, &zk.WatchRequest{Path: "/none", Kind: mode}); err != want {
			t.Errorf("addWatch mode %d: %v, want %v", mode, err, want)
		}
	}
}

// TestSetWatches: what a client is told that was away since a transaction.
func TestSetWatches(t *testing.T) {
	for _, k := range []struct {
		data, exist, child string
		since              int64 // transactions: 1 and 2 sessions, 3 /p, 4 /p/c, 5 setData /p
		events             string
		watches            int
	}{
		{"/p", "", "", 4, "DataChanged /p -1", 0},
		{"/p", "", "", 5, "", 1},
		{"/none", "", "", 5, "Deleted /none -1", 0},
		{"", "/p", "", 5, "Created /p -1", 0},
		{"", "/none", "", 0, "", 1},
		{"", "", "/p", 3, "ChildrenChanged /p -1", 0},
		{"", "", "/p", 4, "", 1},
		{"", "", "/none", 5, "Deleted /none -1", 0},
		{"/p", "/p", "/p", 3, "DataChanged /p -1, Created /p -1, ChildrenChanged /p -1", 0},
	} {
		for _, op := range []zk.Op{zk.OpSetWatches, zk.OpSetWatches2} {
			c := testCore()
			x, y := dial(t, c, zk.ConnectRequest{}), dial(t, c, zk.ConnectRequest{})
			x.made("/p", zk.Persistent)
			x.made("/p/c", zk.Persistent)
			x.call(zk.OpSetData, &zk.SetDataRequest{Path: "/p", Version: -1})
			r := &zk.SetWatchesRequest{RelativeZxid: k.since, Data: strings.Fields(k.data), Exist: strings.Fields(k.exist), Child: strings.Fields(k.child)}
			if op == zk.OpSetWatches2 {
				r.WithPersistent, r.Persistent, r.PersistentRecursive = true, []string{"/a"}, []string{"/b"}
				k.watches += 2
			}
			h := zk.RequestHeader{Xid: zk.XidSetWatches, Op: op}
			c.Packet(y.p, r.Append(h.Append(nil)))
			y.collect()
			// the answer comes last, with the number that was sent
			last := y.got[len(y.got)-1]
			y.got = y.got[:len(y.got)-1]
			if want := (&zk.ReplyHeader{Xid: zk.XidSetWatches, Zxid: c.Zxid()}).Append(nil); !slices.Equal(last, want) {
				t.Errorf("%+v: answered by %x", k, last)
			}
			if got := strings.Join(y.told(), ", "); got != k.events || c.watches.count != k.watches {
				t.Errorf("%+v: %q, %d watches", k, got, c.watches.count)
			}
		}
	}
}

// TestSetWatchesAsksNobody: as in ZooKeeper, an event of setWatches is for who may not read the node too.
func TestSetWatchesAsksNobody(t *testing.T) {
	c := testCore()
	x, y := dial(t, c, zk.ConnectRequest{}).auth("u:p"), dial(t, c, zk.ConnectRequest{})
	x.made("/secret", zk.Persistent, zk.ACL{Perms: zk.PermAll, ID: zk.DigestID("u", "p")})
	events, err, _ := y.call(zk.OpSetWatches, &zk.SetWatchesRequest{Exist: []string{"/secret"}})
	if err != zk.OK || fmt.Sprint(events) != "[NodeCreated /secret]" {
		t.Error(events, err)
	}
}

func TestExistsWatchesOnlyWhatMayBeRead(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{})
	x.made("/secret", zk.Persistent, zk.ACL{Perms: zk.PermAll &^ zk.PermRead, ID: zk.Anyone})
	for _, k := range []struct {
		path string
		err  zk.Error
		n    int
	}{{"/secret", zk.NoAuth, 0}, {"/a\x00", zk.BadArguments, 0}, {"/none", zk.NoNode, 1}, {"//", zk.NoNode, 2}} {
		if err := x.watch('x', k.path); err != k.err || c.watches.count != k.n {
			t.Errorf("%q: %v, %d watches", k.path, err, c.watches.count)
		}
	}
}

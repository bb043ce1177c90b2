package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// The rules_ tests hold one rule each of what a ZooKeeper 3.9 does, as it was seen on the wire. That there are no others
// is for test/zookeeper to find out, which needs a real one.

// made creates a node and returns its path.
func (x *client) made(path string, mode zk.CreateMode, acl ...zk.ACL) string {
	x.t.Helper()
	if acl == nil {
		acl = zk.OpenACL
	}
	_, err, d := x.call(zk.OpCreate, &zk.CreateRequest{Path: path, Data: []byte{}, ACL: acl, Mode: mode})
	if err != zk.OK {
		x.t.Fatalf("create %s: %v", path, err)
	}
	return d.String()
}

// code is the error of a request.
func (x *client) code(op zk.Op, r zk.Record) zk.Error {
	x.t.Helper()
	_, err, _ := x.call(op, r)
	return err
}

func (x *client) stat(path string) (s zk.Stat) {
	x.t.Helper()
	_, err, d := x.call(zk.OpExists, &zk.ReadRequest{Path: path})
	if err != zk.OK {
		x.t.Fatalf("exists %s: %v", path, err)
	}
	s.Decode(d)
	return s
}

func (x *client) gone(paths ...string) {
	x.t.Helper()
	for _, p := range paths {
		if err := x.code(zk.OpDelete, &zk.VersionRequest{Path: p, Version: -1}); err != zk.OK {
			x.t.Fatalf("delete %s: %v", p, err)
		}
	}
}

// super makes the connection pass every check.
func (x *client) super() *client {
	x.t.Helper()
	x.c.limits.SuperDigest = zk.DigestID("super", "test").ID
	x.auth("super:test")
	return x
}

func (x *client) auth(password string) *client {
	x.t.Helper()
	if err := x.code(zk.OpAuth, &zk.AuthRequest{Scheme: "digest", Auth: []byte(password)}); err != zk.OK {
		x.t.Fatal(err)
	}
	return x
}

func TestWhatMakesAContainer(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{})
	for i, k := range []struct {
		op   zk.Op
		mode zk.CreateMode
		ttl  int64
		want kind
		err  zk.Error
	}{
		{zk.OpCreate, zk.Persistent, 0, persistent, zk.OK},
		{zk.OpCreate, zk.Ephemeral, 0, ephemeral, zk.OK},
		{zk.OpCreate, zk.Container, 0, persistent, zk.OK}, // the operation counts, not the mode
		{zk.OpCreate2, zk.Container, 0, persistent, zk.OK},
		{zk.OpCreateContainer, zk.Container, 0, container, zk.OK},
		{zk.OpCreateContainer, zk.Persistent, 0, container, zk.OK},
		{zk.OpCreateContainer, zk.Ephemeral, 0, container, zk.OK},
		{zk.OpCreateContainer, zk.PersistentSequential, 0, container, zk.OK},
		{zk.OpCreateContainer, zk.TTL, 0, 0, zk.BadArguments},
		{zk.OpCreate, zk.TTL, 0, 0, zk.BadArguments},
		{zk.OpCreateTTL, zk.TTL, 1, timed, zk.OK},
		{zk.OpCreateTTL, zk.TTLSequential, 1<<40 - 1, timed, zk.OK},
		{zk.OpCreateTTL, zk.TTL, 1 << 40, 0, zk.BadArguments},
		{zk.OpCreateTTL, zk.TTL, 0, 0, zk.BadArguments},
		{zk.OpCreateTTL, zk.TTL, -1, 0, zk.BadArguments},
		{zk.OpCreateTTL, zk.Persistent, 5, 0, zk.BadArguments},
		{zk.OpCreateTTL, zk.Persistent, -5, 0, zk.BadArguments}, // here a real one ends
		{zk.OpCreate, 7, 0, 0, zk.BadArguments},
		{zk.OpCreate, -1, 0, 0, zk.BadArguments},
	} {
		path := fmt.Sprintf("/k%d", i)
		_, err, d := x.call(k.op, &zk.CreateRequest{Path: path, ACL: zk.OpenACL, Mode: k.mode, TTLMillis: k.ttl, WithTTL: k.op == zk.OpCreateTTL})
		if err != k.err {
			t.Errorf("%s, mode %d, ttl %d: %v, want %v", k.op, k.mode, k.ttl, err, k.err)
			continue
		}
		if err != zk.OK {
			continue
		}
		made := d.String()
		if got := c.tree.nodes[made].kind; got != k.want {
			t.Errorf("%s, mode %d: kind %d, want %d", k.op, k.mode, got, k.want)
		}
		if owner := x.stat(made).EphemeralOwner; (owner != 0) != (k.want == ephemeral) {
			t.Errorf("%s, mode %d: owner %#x", k.op, k.mode, owner)
		}
		if hasStat := len(d.Left()) == 68; hasStat != (k.op != zk.OpCreate) {
			t.Errorf("%s: %d bytes behind the path", k.op, len(d.Left()))
		}
	}
	c.limits.TTLNodes = false
	if err := x.code(zk.OpCreateTTL, &zk.CreateRequest{Path: "/off", ACL: zk.OpenACL, Mode: zk.TTL, TTLMillis: 1, WithTTL: true}); err != zk.Unimplemented || x.end {
		t.Errorf("a time to live while that is off: %v, end %v", err, x.end)
	}
}

// TestOrderOfChecksInCreate: each request breaks the rule of its line and all that are below.
func TestOrderOfChecksInCreate(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{})
	x.made("/open", zk.Persistent)
	x.made("/open/there", zk.Persistent)
	x.made("/closed", zk.Persistent, zk.ACL{Perms: zk.PermAll &^ zk.PermCreate, ID: zk.Anyone})
	x.made("/e", zk.Ephemeral)
	bad := []zk.ACL{{Perms: zk.PermAll, ID: zk.ID{Scheme: "none"}}}
	for _, k := range []struct {
		path string
		mode zk.CreateMode
		acl  []zk.ACL
		want zk.Error
	}{
		{"none", 9, bad, zk.BadArguments},
		{"none", 0, bad, zk.BadArguments},
		{"/a\x00", 0, bad, zk.BadArguments},
		{"/none/a", 0, bad, zk.InvalidACL},
		{"/none/a", 0, nil, zk.InvalidACL},
		{"/none/a", 0, zk.OpenACL, zk.NoNode},
		{"/t//a", 0, zk.OpenACL, zk.NoNode},
		{"/t/../b", 0, zk.OpenACL, zk.NoNode},
		{"/closed/..", 0, zk.OpenACL, zk.NoAuth},
		{"/open/..", 0, zk.OpenACL, zk.BadArguments},
		{"/open/", 0, zk.OpenACL, zk.BadArguments},
		{"//", 0, zk.OpenACL, zk.BadArguments},
		{"/e/\x01", 0, zk.OpenACL, zk.BadArguments},
		{"/open/there", 0, zk.OpenACL, zk.NodeExists},
		{"/", 0, zk.OpenACL, zk.NodeExists},
		{"/e/a", 0, zk.OpenACL, zk.NoChildrenForEphemerals},
		{"/e/a", zk.Ephemeral, zk.OpenACL, zk.NoChildrenForEphemerals},
		{"/open/a", 0, zk.OpenACL, zk.OK},
	} {
		if err := x.code(zk.OpCreate, &zk.CreateRequest{Path: k.path, ACL: k.acl, Mode: k.mode}); err != k.want {
			t.Errorf("create %q, mode %d: %v, want %v", k.path, k.mode, err, k.want)
		}
	}
}

func TestSequences(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{})
	x.made("/q", zk.Persistent)
	// a plain child uses a number up, a delete does not
	for _, want := range []string{"/q/s-0000000000", "plain", "/q/s-0000000002", "gone", "/q/s-0000000003"} {
		switch want {
		case "plain":
			x.made("/q/plain", zk.Persistent)
		case "gone":
			x.gone("/q/plain")
		default:
			if got := x.made("/q/s-", zk.PersistentSequential); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
	if got := x.made("/q/", zk.EphemeralSequential); got != "/q/0000000004" {
		t.Errorf("a name of digits alone: %s", got)
	}
	// a failed multi gives its numbers back
	part := zk.Part{Op: zk.OpCreate, Request: &zk.CreateRequest{Path: "/q/s-", ACL: zk.OpenACL, Mode: zk.PersistentSequential}}
	x.call(zk.OpMulti, &zk.MultiRequest{Parts: []zk.Part{part, part, {Op: zk.OpDelete, Request: &zk.VersionRequest{Path: "/none"}}}})
	if got := x.made("/q/s-", zk.PersistentSequential); got != "/q/s-0000000005" {
		t.Error(got)
	}
	// the counter is a signed one of 32 bits
	c.tree.nodes["/q"].created = -5
	if got := x.made("/q/s", zk.PersistentSequential); got != "/q/s-000000005" {
		t.Error(got)
	}
}

func TestDelete(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{})
	x.made("/p", zk.Persistent)
	x.made("/p/c", zk.Persistent, zk.ACL{Perms: 0, ID: zk.Anyone})
	x.made("/nodelete", zk.Persistent, zk.ACL{Perms: zk.PermAll &^ zk.PermDelete, ID: zk.Anyone})
	x.made("/nodelete/c", zk.Persistent)
	for _, k := range []struct {
		path    string
		version int32
		want    zk.Error
	}{
		{"/", -1, zk.BadArguments}, {"/zookeeper", -1, zk.BadArguments}, {"/zookeeper/quota", -1, zk.BadArguments},
		{"/zookeeper/config", -1, zk.BadArguments}, {"a", -1, zk.BadArguments}, {"/a\x00", -1, zk.BadArguments}, {"", -1, zk.BadArguments},
		{"/none/c", -1, zk.NoNode}, {"/nodelete/c", -1, zk.NoAuth}, {"/nodelete/none", -1, zk.NoAuth}, {"/none", -1, zk.NoNode},
		{"/p/", -1, zk.NoNode}, {"/p", 3, zk.BadVersion}, {"/p", -1, zk.NotEmpty}, {"/p", -2, zk.BadVersion},
		{"/p/c", 0, zk.OK}, // what the node itself allows does not matter
	} {
		if err := x.code(zk.OpDelete, &zk.VersionRequest{Path: k.path, Version: k.version}); err != k.want {
			t.Errorf("delete %q version %d: %v, want %v", k.path, k.version, err, k.want)
		}
	}
}

// TestCounters: what the stat has of data, ACL and children.
func TestCounters(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{})
	if s := x.stat("/"); s.Cversion != -1 || s.NumChildren != 1 || s.Czxid != 0 || s.Pzxid != 0 {
		t.Errorf("the root at the start: %+v", s)
	}
	if s := x.stat("/zookeeper/config"); s.Aversion != -1 {
		t.Errorf("/zookeeper/config at the start: %+v", s)
	}
	x.made("/n", zk.Persistent)
	made := c.Zxid()
	for _, name := range strings.Fields("a b c d") {
		x.made("/n/"+name, zk.Persistent)
	}
	x.gone("/n/b")
	removed := c.Zxid()
	x.call(zk.OpSetData, &zk.SetDataRequest{Path: "/n", Data: []byte("xyz"), Version: 0})
	set := c.Zxid()
	x.call(zk.OpSetACL, &zk.SetACLRequest{Path: "/n", ACL: zk.OpenACL, Version: 0})
	x.call(zk.OpSetACL, &zk.SetACLRequest{Path: "/n", ACL: zk.OpenACL, Version: -1})
	want := zk.Stat{Czxid: made, Mzxid: set, Pzxid: removed, Ctime: c.wall, Mtime: c.wall, Version: 1, Cversion: 5, Aversion: 2, DataLength: 3, NumChildren: 3}
	if got := x.stat("/n"); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, k := range []struct {
		op zk.Op
		r  zk.Record
	}{
		{zk.OpSetData, &zk.SetDataRequest{Path: "/n", Version: 0}}, {zk.OpSetData, &zk.SetDataRequest{Path: "/n", Version: 2}},
		{zk.OpSetACL, &zk.SetACLRequest{Path: "/n", ACL: zk.OpenACL, Version: 1}}, {zk.OpSetData, &zk.SetDataRequest{Path: "/n", Version: -2}},
	} {
		if err := x.code(k.op, k.r); err != zk.BadVersion {
			t.Errorf("%s %+v: %v", k.op, k.r, err)
		}
	}
	if got := nextVersion(1<<31 - 1); got != 0 {
		t.Errorf("behind the largest version comes %d", got)
	}
}

// TestNullAndEmptyData: they are kept apart.
func TestNullAndEmptyData(t *testing.T) {
	x := dial(t, testCore(), zk.ConnectRequest{})
	for i, data := range [][]byte{nil, {}, {1}} {
		path := fmt.Sprintf("/d%d", i)
		x.call(zk.OpCreate, &zk.CreateRequest{Path: path, Data: data, ACL: zk.OpenACL})
		check := func(want []byte) {
			t.Helper()
			_, _, d := x.call(zk.OpGetData, &zk.ReadRequest{Path: path})
			if got := d.Buffer(); (got == nil) != (want == nil) || string(got) != string(want) {
				t.Errorf("%v came back as %v", want, got)
			}
		}
		check(data)
		x.call(zk.OpSetData, &zk.SetDataRequest{Path: path, Data: nil, Version: -1})
		check(nil)
		x.call(zk.OpSetData, &zk.SetDataRequest{Path: path, Data: data, Version: -1})
		check(data)
	}
}

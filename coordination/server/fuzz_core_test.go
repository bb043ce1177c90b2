package server

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// FuzzCore feeds the core from several connections with whatever there is: nothing panics, what comes out is packets, and
// the tree is one. What was logged gives the same tree again.
//
// The input is a list of events: a byte that says which connection and what happens, and for a packet a byte with
// its length and its bytes.
func FuzzCore(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(someInput(rand.New(rand.NewPCG(seed, 0)), 200))
	}
	f.Fuzz(func(t *testing.T, b []byte) { feed(t, b) })
}

// TestCoreSurvivesNoise is the fuzz test with inputs that are made, in each test run.
func TestCoreSurvivesNoise(t *testing.T) {
	for seed := range uint64(40) {
		feed(t, someInput(rand.New(rand.NewPCG(seed, 1)), 1000))
	}
}

// someInput has requests that mean something, mostly.
func someInput(r *rand.Rand, events int) (b []byte) {
	paths := []string{"/", "/a", "/a/b", "/a/b/c", "/b", "/b/a", "", "/zookeeper", "/none/a", "a", "/a/"}
	path := func() string { return paths[r.IntN(len(paths))] }
	acl := [][]zk.ACL{zk.OpenACL, zk.OpenACL, zk.OpenACL, {{Perms: zk.Perms(r.IntN(32)), ID: zk.Anyone}}, {{Perms: zk.PermAll, ID: zk.ID{Scheme: "auth"}}}, nil}
	create := func() *zk.CreateRequest {
		return &zk.CreateRequest{Path: path(), Data: make([]byte, r.IntN(9)), ACL: acl[r.IntN(len(acl))], Mode: zk.CreateMode(r.IntN(8))}
	}
	version := func() int32 { return int32(r.IntN(3)) - 1 }
	record := func(op zk.Op) zk.Record {
		switch op {
		case zk.OpCreate, zk.OpCreate2, zk.OpCreateContainer:
			return create()
		case zk.OpCreateTTL:
			c := create()
			c.WithTTL, c.TTLMillis = true, int64(r.IntN(3))
			return c
		case zk.OpDelete, zk.OpCheck:
			return &zk.VersionRequest{Path: path(), Version: version()}
		case zk.OpSetData:
			return &zk.SetDataRequest{Path: path(), Data: []byte("xyz"), Version: version()}
		case zk.OpSetACL:
			return &zk.SetACLRequest{Path: path(), ACL: acl[r.IntN(len(acl))], Version: version()}
		case zk.OpAuth:
			return &zk.AuthRequest{Scheme: "digest", Auth: []byte("u:p")}
		case zk.OpAddWatch, zk.OpRemoveWatches, zk.OpCheckWatches:
			return &zk.WatchRequest{Path: path(), Kind: int32(r.IntN(6))}
		case zk.OpSetWatches:
			return &zk.SetWatchesRequest{RelativeZxid: int64(r.IntN(20)), Data: []string{path()}, Exist: []string{path()}, Child: []string{path()}}
		case zk.OpGetACL, zk.OpSync, zk.OpGetEphemerals, zk.OpGetAllChildrenNumber:
			return &zk.PathRequest{Path: path()}
		}
		return &zk.ReadRequest{Path: path(), Watch: r.IntN(2) == 0}
	}
	writes := []zk.Op{zk.OpCreate, zk.OpCreate2, zk.OpCreateContainer, zk.OpCreateTTL, zk.OpDelete, zk.OpSetData}
	ops := append([]zk.Op{zk.OpSetACL, zk.OpAuth, zk.OpAddWatch, zk.OpRemoveWatches, zk.OpCheckWatches, zk.OpSetWatches, zk.OpGetACL, zk.OpSync,
		zk.OpGetEphemerals, zk.OpGetAllChildrenNumber, zk.OpExists, zk.OpGetData, zk.OpGetChildren, zk.OpGetChildren2, zk.OpPing, zk.OpWhoAmI}, writes...)
	for range events {
		b = append(b, byte(r.IntN(256)))
		if b[len(b)-1]&0x1f < eventPacket {
			continue
		}
		var p []byte
		switch n := r.IntN(100); {
		case n < 2:
			p = (&zk.RequestHeader{Xid: 1, Op: zk.OpCloseSession}).Append(nil)
		case n < 5:
			for range r.IntN(60) {
				p = append(p, byte(r.IntN(256)))
			}
		case n < 20:
			var m zk.MultiRequest
			for range 1 + r.IntN(3) {
				op := writes[r.IntN(len(writes))]
				m.Parts = append(m.Parts, zk.Part{Op: op, Request: record(op)})
			}
			p = m.Append((&zk.RequestHeader{Xid: 1, Op: zk.OpMulti}).Append(nil))
		default:
			op := ops[r.IntN(len(ops))]
			p = record(op).Append((&zk.RequestHeader{Xid: 1, Op: op}).Append(nil))
		}
		p = p[:min(len(p), 255)]
		b = append(append(b, byte(len(p))), p...)
	}
	return b
}

// What happens, in the low five bits of an event; the high three say on which connection.
const (
	eventClose  = 0 // the connection ends, and a new one comes
	eventTime   = 1
	eventFreeze = 2 // a snapshot is begun
	eventPacket = 3 // or more
)

func feed(t *testing.T, b []byte) {
	c := testCore()
	c.limits.ContainerCheck = time.Second
	again := testCore() // what a restart would make of the log
	var peers [8]*Peer
	open := func(i int) {
		peers[i] = c.Open([]zk.ID{{Scheme: "ip", ID: "127.0.0.1"}})
		c.Packet(peers[i], (&zk.ConnectRequest{TimeoutMillis: 4000, HasReadOnly: true}).Append(nil))
	}
	var snapshot frozen
	var want string
	for events := 0; len(b) > 0 && events < 2000; events++ {
		i, event := int(b[0]>>5), b[0]&0x1f
		b = b[1:]
		switch {
		case peers[i] == nil:
			open(i)
		case event == eventClose:
			c.Close(peers[i])
			open(i)
		case event == eventTime:
			c.Advance(time.Second, c.wall+1000)
			c.Expire()
		case event == eventFreeze:
			snapshot, want = c.tree.freeze(), describe(c.tree)
		case len(b) > 0:
			n := min(int(b[0]), len(b)-1)
			c.Packet(peers[i], b[1:1+n])
			b = b[1+n:]
		}
		take(t, c, again)
	}
	check(t, c)
	if got, want := describe(again.tree), describe(c.tree); got != want {
		t.Fatalf("the log gives another tree:\n%s\nthan there is:\n%s", got, want)
	}
	if want != "" && describeFrozen(&snapshot) != want {
		t.Fatalf("the snapshot has\n%s\nof the tree\n%s", describeFrozen(&snapshot), want)
	}
}

// take checks that what comes out is packets, and gives the log to again.
func take(t *testing.T, c, again *Core) {
	t.Helper()
	log, txns, out := c.Take()
	for _, o := range out {
		for b := o.Bytes; len(b) > 0; {
			if len(b) < 4 || len(b)-4 < int(binary.BigEndian.Uint32(b)) {
				t.Fatalf("no whole packet: %x", b)
			}
			n := int(binary.BigEndian.Uint32(b))
			if n < 16 {
				t.Fatalf("a packet of %d bytes", n)
			}
			b = b[4+n:]
		}
	}
	err := eachTxn(log, func(x *txn) error {
		txns--
		return again.replay(x)
	})
	if err != nil || txns != 0 {
		t.Fatalf("the log: %v, %d transactions more than were told", err, txns)
	}
}

// check looks at what must hold between nodes, sessions and watches.
func check(t *testing.T, c *Core) {
	t.Helper()
	bytes, children := int64(0), 0
	for path, n := range c.tree.nodes {
		bytes += int64(len(path) + len(n.data))
		children += len(n.children)
		for name := range n.children {
			if c.tree.nodes[zk.Join(path, name)] == nil {
				t.Errorf("%s has a child %s that is not there", path, name)
			}
		}
		if path != "/" {
			if _, ok := c.tree.nodes[zk.Parent(path)].children[zk.Base(path)]; !ok || zk.CheckPath(path) != nil {
				t.Errorf("%s is no child of its parent", path)
			}
		}
		_, owned := c.tree.owned[n.limit][path]
		_, ending := c.tree.ending[path]
		if owned != (n.kind == ephemeral) || ending != (n.kind == container || n.kind == timed) || n.kind == ephemeral && (c.sessions.byID[n.limit] == nil || len(n.children) > 0) {
			t.Errorf("%s of kind %d is listed: owned %v, ending %v", path, n.kind, owned, ending)
		}
		if n.mzxid > c.tree.zxid || n.pzxid > c.tree.zxid || n.czxid > n.mzxid || n.pzxid < n.czxid {
			t.Errorf("%s: %+v at %#x", path, n, c.tree.zxid)
		}
	}
	if children != len(c.tree.nodes)-1 || bytes != c.tree.bytes {
		t.Errorf("%d children of %d nodes; %d bytes, counted %d", children, len(c.tree.nodes), bytes, c.tree.bytes)
	}
	watched := 0
	for path, peers := range c.watches.at {
		for p, bits := range peers {
			if p.watches[path] != bits || bits == 0 || p.gone {
				t.Errorf("%s is watched with %b, the connection has %b", path, bits, p.watches[path])
			}
			watched++
		}
	}
	for p := range c.peers {
		watched -= len(p.watches)
		if s := p.session; s != nil && (s.peer != p || c.sessions.byID[s.id] != s) {
			t.Errorf("a connection holds session %#x, which does not know of it", s.id)
		}
	}
	if watched != 0 {
		t.Errorf("%d paths more are watched than connections watch", watched)
	}
}

func describe(t *tree) string {
	f := frozen{zxid: t.zxid}
	for path, n := range t.nodes {
		f.paths, f.nodes = append(f.paths, path), append(f.nodes, n)
	}
	return describeFrozen(&f)
}

func describeFrozen(f *frozen) string {
	list := map[string]string{} // printed in order
	for i, n := range f.nodes {
		list[f.paths[i]] = fmt.Sprintf("%q %v %d %d %d %d %d %d %d %d %d %d\n", n.data, n.acl, n.czxid, n.mzxid, n.pzxid, n.ctime, n.mtime, n.limit, n.version,
			n.aversion, n.created, n.kind)
	}
	return fmt.Sprint(f.zxid, list)
}

// FuzzTransaction: no transaction of a log panics, and what is read from one is what would be written.
func FuzzTransaction(f *testing.F) {
	x := txn{zxid: 7, millis: 8, changes: []change{
		{op: opCreate, path: "/a", data: []byte("x"), acl: zk.OpenACL, kind: timed, limit: 9, version: 1}, {op: opRemove, path: "/b"},
		{op: opSetData, path: "/c", version: 2}, {op: opSetACL, path: "/d", acl: zk.OpenACL, version: 3}, {op: opOpenSession, session: 5, limit: 4000},
		{op: opCloseSession, session: 5}, {op: opNothing}}}
	f.Add(x.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var x, y txn
		if x.decode(zk.NewDecoder(b)) != nil {
			return
		}
		if err := y.decode(zk.NewDecoder(x.append(nil))); err != nil || fmt.Sprint(x) != fmt.Sprint(y) {
			t.Errorf("%+v came back as %+v (%v)", x, y, err)
		}
		c := testCore()
		_ = c.replay(&x) // an error, or not
	})
}

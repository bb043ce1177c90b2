package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func testCore() *Core {
	c := newCore(Limits{Tick: 2 * time.Second, MinSessionTimeout: 4 * time.Second, MaxSessionTimeout: 40 * time.Second,
		Watches: 1000, Nodes: 100_000, Depth: 100, ServerID: 1, TTLNodes: true}, []byte("key"))
	c.sessions.beginIDs(1, 1_700_000_000_000)
	c.Advance(0, 1_700_000_000_000)
	return c
}

// client is a connection that is driven by hand.
type client struct {
	t    *testing.T
	c    *Core
	p    *Peer
	xid  int32
	resp zk.ConnectResponse
	got  [][]byte // packets not looked at yet
	end  bool
	// others are given what x's requests make for them.
	others []*client
}

func dial(t *testing.T, c *Core, req zk.ConnectRequest) *client {
	x := &client{t: t, c: c, p: c.Open([]zk.ID{{Scheme: "ip", ID: "127.0.0.1"}})}
	req.HasReadOnly = true
	c.Packet(x.p, req.Append(nil))
	x.collect(x)
	if len(x.got) > 0 {
		d := zk.NewDecoder(x.got[0])
		x.resp.Decode(d)
		x.got = x.got[1:]
	}
	return x
}

// collect hands out what the core has for x and others.
func (x *client) collect(others ...*client) {
	_, _, out := x.c.Take()
	for _, o := range out {
		for _, y := range append(append(others, x), x.others...) {
			if y.p == o.Peer {
				y.take(o)
				break
			}
		}
	}
}

func (x *client) take(o Output) {
	for b := o.Bytes; len(b) > 0; {
		n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		x.got, b = append(x.got, b[4:4+n]), b[4+n:]
	}
	x.end = x.end || o.Close
}

// call sends a request and returns what came: events before it, then the reply.
func (x *client) call(op zk.Op, r zk.Record) (events []string, err zk.Error, body *zk.Decoder) {
	x.t.Helper()
	x.xid++
	h := zk.RequestHeader{Xid: x.xid, Op: op}
	b := h.Append(nil)
	if r != nil {
		b = r.Append(b)
	}
	x.c.Packet(x.p, b)
	x.collect()
	for len(x.got) > 0 {
		d := zk.NewDecoder(x.got[0])
		x.got = x.got[1:]
		var rh zk.ReplyHeader
		rh.Decode(d)
		if rh.Xid == zk.XidNotification {
			var e zk.Event
			e.Decode(d)
			events = append(events, fmt.Sprint(e.Type, " ", e.Path))
			continue
		}
		if rh.Xid != x.xid {
			x.t.Fatalf("answer to %d, want %d", rh.Xid, x.xid)
		}
		return events, rh.Err, d
	}
	x.t.Fatalf("%s: no answer", op)
	return nil, 0, nil
}

func TestFirstSteps(t *testing.T) {
	c := testCore()
	a := dial(t, c, zk.ConnectRequest{TimeoutMillis: 1})
	if a.resp.TimeoutMillis != 4000 || a.resp.SessionID == 0 {
		t.Fatalf("%+v", a.resp)
	}
	for i, want := range []string{"/s-0000000000", "/s-0000000001"} {
		_, err, d := a.call(zk.OpCreate, &zk.CreateRequest{Path: "/s-", Data: []byte("x"), ACL: zk.OpenACL, Mode: zk.EphemeralSequential})
		if got := d.String(); err != zk.OK || got != want {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
	}
	if _, err, _ := a.call(zk.OpGetChildren, &zk.ReadRequest{Path: "/", Watch: true}); err != zk.OK {
		t.Fatal(err)
	}
	events, err, _ := a.call(zk.OpDelete, &zk.VersionRequest{Path: "/s-0000000000", Version: -1})
	if err != zk.OK || fmt.Sprint(events) != "[NodeChildrenChanged /]" {
		t.Fatal(events, err)
	}
	// A multi that fails leaves nothing behind, not even a used number.
	before := c.Zxid()
	_, err, d := a.call(zk.OpMulti, &zk.MultiRequest{Parts: []zk.Part{
		{Op: zk.OpCreate, Request: &zk.CreateRequest{Path: "/m", ACL: zk.OpenACL}},
		{Op: zk.OpCreate, Request: &zk.CreateRequest{Path: "/m/s", ACL: zk.OpenACL, Mode: zk.PersistentSequential}},
		{Op: zk.OpDelete, Request: &zk.VersionRequest{Path: "/s-0000000001", Version: -1}},
		{Op: zk.OpCheck, Request: &zk.VersionRequest{Path: "/m", Version: 7}},
		{Op: zk.OpDelete, Request: &zk.VersionRequest{Path: "/none", Version: -1}},
	}})
	var resp zk.MultiResponse
	resp.Decode(d)
	if err != zk.OK || fmt.Sprint(resp.Results[0].Err, resp.Results[3].Err, resp.Results[4].Err) !=
		fmt.Sprint(zk.OK, zk.BadVersion, zk.RuntimeInconsistency) {
		t.Fatalf("%v %+v", err, resp)
	}
	if c.Zxid() != before || len(c.tree.nodes) != 5 || len(c.tree.owned) != 1 || c.tree.nodes["/"].created != 2 {
		t.Fatalf("the failed multi left %d nodes, %v, zxid %d", len(c.tree.nodes), c.tree.owned, c.Zxid())
	}
	// The end of the session takes its ephemerals along.
	if _, err, _ := a.call(zk.OpCloseSession, nil); err != zk.OK || !a.end || len(c.tree.owned) != 0 || len(c.tree.nodes) != 4 {
		t.Fatal(err, a.end, len(c.tree.nodes))
	}
}

// TestExpiry: never early, at most a tick late, and no time passes while the server itself stood still.
func TestExpiry(t *testing.T) {
	c := testCore()
	a := dial(t, c, zk.ConnectRequest{TimeoutMillis: 4000})
	a.call(zk.OpCreate, &zk.CreateRequest{Path: "/e", ACL: zk.OpenACL, Mode: zk.Ephemeral})
	c.Advance(time.Hour, 0) // a stall counts as one tick
	c.Expire()
	c.Advance(1999*time.Millisecond, 0)
	c.Expire()
	if c.tree.nodes["/e"] == nil {
		t.Fatal("over before its time")
	}
	c.Advance(2000*time.Millisecond, 0)
	c.Expire()
	a.collect()
	if c.tree.nodes["/e"] != nil || !a.end {
		t.Fatal("not over")
	}
	b := dial(t, c, zk.ConnectRequest{TimeoutMillis: 4000, SessionID: a.resp.SessionID, Password: a.resp.Password})
	if b.resp.SessionID != 0 || b.resp.TimeoutMillis != 0 || len(b.resp.Password) != 16 || !b.end {
		t.Fatalf("%+v", b.resp)
	}
}

// TestResume: the right password takes the session over, a wrong one knocks nobody off.
func TestResume(t *testing.T) {
	c := testCore()
	a := dial(t, c, zk.ConnectRequest{TimeoutMillis: 4000})
	b := dial(t, c, zk.ConnectRequest{TimeoutMillis: 4000, SessionID: a.resp.SessionID, Password: make([]byte, 16)})
	if b.resp.SessionID != 0 || a.p.session == nil {
		t.Fatalf("%+v", b.resp)
	}
	d := dial(t, c, zk.ConnectRequest{TimeoutMillis: 9000, SessionID: a.resp.SessionID, Password: a.resp.Password})
	if d.resp.SessionID != a.resp.SessionID || d.resp.TimeoutMillis != 9000 || !a.p.closing {
		t.Fatalf("%+v", d.resp)
	}
	if e := dial(t, c, zk.ConnectRequest{LastZxidSeen: 1 << 40}); len(e.got) > 0 || !e.end || e.resp.SessionID != 0 {
		t.Fatalf("%+v", e.resp)
	}
}

package server

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// send gives the core a packet as it is, and returns what comes and whether the connection ends.
func (x *client) send(b []byte) (got [][]byte, end bool) {
	x.c.Packet(x.p, b)
	x.collect()
	got, x.got = x.got, nil
	return got, x.end
}

func TestUnknownOperations(t *testing.T) {
	for _, op := range []zk.Op{0, 10, zk.OpCheck, zk.OpDeleteContainer, 23, 99, 108, 500, -1, -2, -10, -12, math.MinInt32} {
		x := dial(t, testCore(), zk.ConnectRequest{})
		h := zk.RequestHeader{Xid: 5, Op: op}
		got, end := x.send((&zk.VersionRequest{Path: "/", Version: -1}).Append(h.Append(nil)))
		want := (&zk.ReplyHeader{Xid: 5, Zxid: -1, Err: zk.Unimplemented}).Append(nil)
		if len(got) != 1 || !slices.Equal(got[0], want) || !end {
			t.Errorf("%s: %x, end %v", op, got, end)
		}
		if c := x.c; c.tree.nodes["/"] == nil || c.sessions.byID[x.resp.SessionID] == nil {
			t.Errorf("%s took the session along", op)
		}
		if got, _ := x.send(h.Append(nil)); len(got) > 0 {
			t.Errorf("%s: answered behind the end: %x", op, got)
		}
	}
}

// TestShortBodies: an error, and the connection stays; but for what is answered outside the order of requests.
func TestShortBodies(t *testing.T) {
	for op := range operations {
		x := dial(t, testCore(), zk.ConnectRequest{})
		want := zk.MarshallingError
		if op == zk.OpWhoAmI {
			want = zk.OK // has no body
		}
		if err := x.code(op, nil); err != want || x.end {
			t.Errorf("%s without a body: %v, end %v", op, err, x.end)
		}
	}
	for _, op := range []zk.Op{zk.OpAuth, zk.OpSASL} {
		x := dial(t, testCore(), zk.ConnectRequest{})
		if got, end := x.send((&zk.RequestHeader{Xid: 1, Op: op}).Append(nil)); len(got) > 0 || !end {
			t.Errorf("%s: %x, end %v", op, got, end)
		}
	}
	for n := range 8 {
		x := dial(t, testCore(), zk.ConnectRequest{})
		if got, end := x.send(make([]byte, n)); len(got) > 0 || !end {
			t.Errorf("a header of %d bytes: %x, end %v", n, got, end)
		}
	}
}

// TestNullPaths: what looks into the path before it looks whether there is one.
func TestNullPaths(t *testing.T) {
	null := zk.AppendInt(nil, -1)
	create := func(mode int32) []byte {
		return zk.AppendInt(zk.AppendACLs(zk.AppendBuffer(null, nil), zk.OpenACL), mode)
	}
	for _, k := range []struct {
		op   zk.Op
		body []byte
		want zk.Error
	}{
		{zk.OpCreate, create(0), zk.MarshallingError}, {zk.OpCreate, create(9), zk.BadArguments},
		{zk.OpDelete, zk.AppendInt(null, -1), zk.MarshallingError}, {zk.OpExists, append(null, 1), zk.MarshallingError},
		{zk.OpGetData, append(null, 1), zk.MarshallingError}, {zk.OpGetChildren, append(null, 1), zk.MarshallingError},
		{zk.OpGetACL, null, zk.MarshallingError}, {zk.OpGetAllChildrenNumber, null, zk.MarshallingError},
		{zk.OpSetData, zk.AppendInt(zk.AppendBuffer(null, nil), -1), zk.BadArguments},
		{zk.OpSetACL, zk.AppendInt(zk.AppendACLs(null, zk.OpenACL), -1), zk.BadArguments},
		{zk.OpGetEphemerals, null, zk.OK}, {zk.OpSync, null, zk.OK},
		{zk.OpReconfig, zk.AppendLong(slices.Concat(null, null, null), 0), zk.ReconfigDisabled},
		{zk.OpAddWatch, zk.AppendInt(null, 0), zk.MarshallingError},
		{zk.OpSetWatches, slices.Concat(zk.AppendLong(nil, 0), null, zk.AppendInt(nil, 0), zk.AppendInt(nil, 0)), zk.MarshallingError},
		// a vector of any other length below 0 is an empty one
		{zk.OpSetWatches, slices.Concat(zk.AppendLong(nil, 0), zk.AppendInt(nil, -2), zk.AppendInt(nil, math.MinInt32), zk.AppendInt(nil, 0)), zk.OK},
	} {
		c := testCore()
		x := dial(t, c, zk.ConnectRequest{})
		if err := x.code(k.op, raw(k.body)); err != k.want || x.end || c.watches.count > 0 {
			t.Errorf("%s: %v, want %v", k.op, err, k.want)
		}
	}
}

// raw is a body that is no record.
type raw []byte

func (r raw) Append(dst []byte) []byte { return append(dst, r...) }
func (r raw) Decode(*zk.Decoder)       {}

func TestAnswersOutsideTheTree(t *testing.T) {
	x := dial(t, testCore(), zk.ConnectRequest{})
	if err := x.code(zk.OpReconfig, &zk.ReconfigRequest{ConfigID: -1}); err != zk.ReconfigDisabled || x.end {
		t.Error(err)
	}
	h := zk.RequestHeader{Xid: 9, Op: zk.OpSASL}
	got, end := x.send(zk.AppendBuffer(h.Append(nil), []byte("token")))
	if want := zk.AppendInt((&zk.ReplyHeader{Xid: 9}).Append(nil), -1); end || len(got) != 1 || !slices.Equal(got[0], want) {
		t.Errorf("sasl: %x, end %v", got, end)
	}
	h = zk.RequestHeader{Xid: zk.XidAuth, Op: zk.OpAuth}
	got, _ = x.send((&zk.AuthRequest{Scheme: "digest", Auth: []byte("u:p")}).Append(h.Append(nil)))
	if want := (&zk.ReplyHeader{Xid: zk.XidAuth}).Append(nil); len(got) != 1 || !slices.Equal(got[0], want) {
		t.Errorf("auth is answered without a transaction: %x", got)
	}
}

func TestCounting(t *testing.T) {
	c := testCore()
	x, y := dial(t, c, zk.ConnectRequest{}), dial(t, c, zk.ConnectRequest{})
	for _, p := range strings.Fields("/a /a/b /a/b/c /ab /e/") {
		if p, ok := strings.CutSuffix(p, "/"); ok {
			x.made(p+"1", zk.Ephemeral)
			x.made(p+"2", zk.Ephemeral)
			continue
		}
		x.made(p, zk.Persistent)
	}
	for path, want := range map[string]int32{"/": 9, "": 10, "/a": 2, "/a/b": 1, "/ab": 0, "/zookeeper": 2} {
		_, err, d := x.call(zk.OpGetAllChildrenNumber, &zk.PathRequest{Path: path})
		if got := d.Int(); err != zk.OK || got != want {
			t.Errorf("getAllChildrenNumber %q: %d, %v; want %d", path, got, err, want)
		}
	}
	for path, want := range map[string]int{"": 2, "/": 2, " / ": 2, "/e": 2, "/e1": 1, "/none": 0} {
		if _, _, d := x.call(zk.OpGetEphemerals, &zk.PathRequest{Path: path}); len(d.Strings()) != want {
			t.Errorf("getEphemerals %q: not %d", path, want)
		}
		if _, _, d := y.call(zk.OpGetEphemerals, &zk.PathRequest{Path: path}); len(d.Strings()) != 0 {
			t.Errorf("getEphemerals %q of another session", path)
		}
	}
	// the empty path is the root's name too, but for watches
	if s, _, d := x.call(zk.OpGetChildren, &zk.ReadRequest{Path: "", Watch: true}); len(s) > 0 || len(d.Strings()) != 5 {
		t.Error("the root's children by its other name")
	}
	y.others = []*client{x}
	if y.made("/new", zk.Persistent); len(x.got) > 0 {
		t.Errorf("%x", x.got)
	}
}

package server

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func TestHandshake(t *testing.T) {
	c := testCore()
	for _, k := range []struct{ asked, got int32 }{{0, 4000}, {-5, 4000}, {1, 4000}, {18000, 18000}, {100_000, 40_000}, {1 << 30, 40_000}} {
		if x := dial(t, c, zk.ConnectRequest{TimeoutMillis: k.asked}); x.resp.TimeoutMillis != k.got || len(x.resp.Password) != 16 || x.resp.ReadOnly {
			t.Errorf("%d: %+v", k.asked, x.resp)
		}
	}
	before := c.Zxid()
	x := dial(t, c, zk.ConnectRequest{})
	if c.Zxid() != before+1 {
		t.Errorf("a session takes %d transactions", c.Zxid()-before)
	}
	// the handshake of 3.3 is a byte shorter, and so is its answer
	for size, want := range map[int]int{44: 36, 45: 37, 46: 37} {
		p := c.Open(nil)
		b := make([]byte, 100)
		b[27] = 16 // length of the password
		c.Packet(p, b[:size])
		_, _, out := c.Take()
		if len(out) != 1 || len(out[0].Bytes) != 4+want || out[0].Close {
			t.Errorf("%d bytes: %+v", size, out)
		}
	}
	refused := func(r zk.ConnectRequest) {
		t.Helper()
		y := dial(t, c, r)
		if !y.end || y.resp.SessionID != 0 || y.resp.TimeoutMillis != 0 || !slices.Equal(y.resp.Password, make([]byte, 16)) || !y.resp.HasReadOnly {
			t.Errorf("%+v: %+v, end %v", r, y.resp, y.end)
		}
	}
	refused(zk.ConnectRequest{SessionID: 12345, Password: x.resp.Password})
	for _, password := range [][]byte{nil, {}, x.resp.Password[:15], make([]byte, 16)} {
		refused(zk.ConnectRequest{SessionID: x.resp.SessionID, Password: password})
	}
	x.code(zk.OpCloseSession, nil)
	refused(zk.ConnectRequest{SessionID: x.resp.SessionID, Password: x.resp.Password})
	for _, b := range [][]byte{{}, make([]byte, 27), make([]byte, 4)} {
		p := c.Open(nil)
		c.Packet(p, b)
		if _, _, out := c.Take(); len(out) != 1 || len(out[0].Bytes) > 0 || !out[0].Close {
			t.Errorf("a handshake of %d bytes: %+v", len(b), out)
		}
	}
}

// TestPasswordsAndIDs: they are the session's alone, and never those of a node that lives for a time.
func TestPasswordsAndIDs(t *testing.T) {
	c := testCore()
	seen := map[string]bool{}
	for range 100 {
		x := dial(t, c, zk.ConnectRequest{})
		key := fmt.Sprint(x.resp.SessionID)
		if seen[key] || seen[string(x.resp.Password)] || uint64(x.resp.SessionID)>>56 != 1 {
			t.Fatalf("%+v", x.resp)
		}
		seen[key], seen[string(x.resp.Password)] = true, true
	}
}

// TestEndOfASession: all its ephemerals go in one transaction, and who watches is told before the answer.
func TestEndOfASession(t *testing.T) {
	for _, how := range []string{"close", "time"} {
		c := testCore()
		x, y := dial(t, c, zk.ConnectRequest{TimeoutMillis: 4000}), dial(t, c, zk.ConnectRequest{TimeoutMillis: 40_000})
		y.made("/p", zk.Persistent)
		for range 3 {
			x.made("/p/e", zk.EphemeralSequential)
		}
		y.watch('r', "/p")
		x.watch('x', "/p/e0000000001")
		before := c.Zxid()
		x.others = []*client{y}
		var own []string
		if how == "close" {
			own, _, _ = x.call(zk.OpCloseSession, nil)
		} else {
			for range 4 {
				c.Advance(2*time.Second, c.wall)
				c.Expire()
			}
			x.collect()
			own = x.told()
		}
		got := y.told()
		slices.Sort(got)
		if c.Zxid() != before+1 || !x.end || fmt.Sprint(got) != "[Deleted /p/e0000000000 now Deleted /p/e0000000001 now Deleted /p/e0000000002 now]" || len(own) != 1 {
			t.Errorf("%s: %d transactions, end %v, %v, own %v", how, c.Zxid()-before, x.end, got, own)
		}
		if s := y.stat("/p"); s.Cversion != 6 || s.Pzxid != c.Zxid() || s.NumChildren != 0 {
			t.Errorf("%s: the parent has %+v", how, s)
		}
	}
}

// TestAlive: anything that arrives keeps a session alive, whatever it is answered.
func TestAlive(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{TimeoutMillis: 4000})
	for i := range 20 {
		c.Advance(1900*time.Millisecond, c.wall)
		c.Expire()
		if i%2 == 0 {
			x.code(zk.OpGetData, &zk.ReadRequest{Path: "/none"})
		}
	}
	if x.end || x.p.session == nil {
		t.Error("over while it was heard of")
	}
}

func TestContainersAndTimedNodesEnd(t *testing.T) {
	c := testCore()
	c.limits.MaxSessionTimeout, c.limits.Tick = 24*time.Hour, time.Minute
	c.sessions.tick = time.Minute
	x := dial(t, c, zk.ConnectRequest{TimeoutMillis: 24 * 3600 * 1000})
	container := func(path string) {
		x.code(zk.OpCreateContainer, &zk.CreateRequest{Path: path, ACL: zk.OpenACL, Mode: zk.Container})
	}
	timed := func(path string, ttl time.Duration) {
		x.code(zk.OpCreateTTL, &zk.CreateRequest{Path: path, ACL: zk.OpenACL, Mode: zk.TTL, TTLMillis: ttl.Milliseconds(), WithTTL: true})
	}
	pass := func(minutes int) {
		for range minutes {
			c.Advance(time.Minute, c.wall+60_000)
			c.Expire()
			x.collect()
		}
	}
	container("/used")
	x.made("/used/c", zk.Persistent)
	container("/unused")
	timed("/short", time.Minute)
	timed("/parent", time.Minute)
	x.made("/parent/c", zk.Persistent)
	timed("/touched", 3*time.Minute)
	there := func(want string) {
		t.Helper()
		var got []string
		for _, p := range []string{"used", "unused", "short", "parent", "touched"} {
			if c.tree.nodes["/"+p] != nil {
				got = append(got, p)
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	pass(2)
	there("[used unused parent touched]") // what has children stays
	x.gone("/used/c")
	x.code(zk.OpSetData, &zk.SetDataRequest{Path: "/touched", Version: -1})
	pass(2)
	there("[unused parent touched]")
	x.gone("/parent/c")
	pass(4)
	there("[]")
}

func TestPingAndSync(t *testing.T) {
	x := dial(t, testCore(), zk.ConnectRequest{})
	for _, xid := range []int32{zk.XidPing, 77} { // the answer's is always the same
		h := zk.RequestHeader{Xid: xid, Op: zk.OpPing}
		x.c.Packet(x.p, h.Append(nil))
		x.collect()
		if want := (&zk.ReplyHeader{Xid: zk.XidPing, Zxid: x.c.Zxid()}).Append(nil); !slices.Equal(x.got[0], want) {
			t.Errorf("%x, want %x", x.got[0], want)
		}
		x.got = nil
	}
	for _, path := range []string{"/none", "", "no path", "/\xff"} {
		_, err, d := x.call(zk.OpSync, &zk.PathRequest{Path: path})
		if got := d.String(); err != zk.OK || got != string([]rune(path)) {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
}

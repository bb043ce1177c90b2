//go:build peers

package zookeeper

import (
	"fmt"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// recorder is a testing.TB that fails by saying so.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Helper()               {}

// TestDifferencesAreSeen: an answer, or an event, that is changed in any byte is reported, but where a field is a
// number of the server's own that was not seen before.
func TestDifferencesAreSeen(t *testing.T) {
	stat := zk.Stat{Czxid: 5, Mzxid: 6, Pzxid: 7, Ctime: 1005, Mtime: 1006, Version: 1, Cversion: 2, Aversion: 3, EphemeralOwner: 77, DataLength: 4, NumChildren: 5}
	multi := zk.MultiResponse{Results: []zk.PartResult{{Op: zk.OpCreate2, Path: "/a", Stat: stat}, {Op: zk.OpError, Err: zk.NoNode}}}
	header := func(xid int32, z int64) []byte { return (&zk.ReplyHeader{Xid: xid, Zxid: z}).Append(nil) }
	for name, p := range map[string]struct {
		op   zk.Op
		body []byte
	}{
		"event":    {0, (&zk.Event{Type: zk.EventCreated, State: zk.StateConnected, Path: "/a"}).Append(header(-1, 7))},
		"create2":  {zk.OpCreate2, stat.Append(zk.AppendString(header(3, 9), "/a"))},
		"getData":  {zk.OpGetData, stat.Append(zk.AppendBuffer(header(3, 9), []byte("xy")))},
		"null":     {zk.OpGetData, stat.Append(zk.AppendBuffer(header(3, 9), nil))},
		"getACL":   {zk.OpGetACL, stat.Append(zk.AppendACLs(header(3, 9), zk.OpenACL))},
		"children": {zk.OpGetChildren2, stat.Append(zk.AppendStrings(header(3, 9), []string{"a", "b"}))},
		"multi":    {zk.OpMulti, multi.Append(header(3, 9))},
		"number":   {zk.OpGetAllChildrenNumber, zk.AppendInt(header(3, 9), 4)},
		"nothing":  {zk.OpDelete, header(3, 9)},
	} {
		if !alike(p.op, p.body, p.body) {
			t.Errorf("%s: is not like itself", name)
		}
		for i := range p.body {
			changed := append([]byte{}, p.body...)
			changed[i] ^= 0x40
			if alike(p.op, p.body, changed) && !ownNumber(p.op, i) {
				t.Errorf("%s: byte %d may be %#x or %#x", name, i, p.body[i], changed[i])
			}
		}
		if alike(p.op, p.body, append(p.body[:len(p.body):len(p.body)], 0)) || alike(p.op, p.body, p.body[:len(p.body)-1]) {
			t.Errorf("%s: may be longer or shorter", name)
		}
	}
}

// ownNumber tells whether byte i is of the present transaction: the first one that is seen may be any.
func ownNumber(op zk.Op, i int) bool { return op != 0 && i >= 4 && i < 12 }

// alike compares two packets in a world that knows the transactions 5 to 7 and session 77.
func alike(op zk.Op, a, b []byte) bool {
	r := &recorder{}
	w := &world{t: r, counts: map[string]int{}, sessions: []*session{{n: 1, id: [2]int64{77, 77}}}}
	w.pairs.init()
	for z := int64(5); z <= 7; z++ {
		w.pairs.transaction(z, z)
		for side := range sideNames {
			w.pairs.time(side, z, 1000+z)
		}
	}
	w.compare(&conn{}, []*request{{op: op, text: fmt.Sprint(op)}}, [2][]packet{{{bytes: a}}, {{bytes: b}}}, false)
	return !r.failed
}

package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// part is one of a multi, in words: "create /p 0" with a mode, "delete /p -1" and so on with a version.
func part(text string) zk.Part {
	var op, path string
	var n int32
	_, _ = fmt.Sscan(text, &op, &path, &n) // a part that says less has zeros
	create := zk.CreateRequest{Path: path, Data: []byte{}, ACL: zk.OpenACL, Mode: zk.CreateMode(n)}
	switch op {
	case "create":
		return zk.Part{Op: zk.OpCreate, Request: &create}
	case "create2":
		return zk.Part{Op: zk.OpCreate2, Request: &create}
	case "container":
		return zk.Part{Op: zk.OpCreateContainer, Request: &create}
	case "nullACL":
		create.ACL = nil
		return zk.Part{Op: zk.OpCreate, Request: &create}
	case "ttl":
		create.WithTTL, create.TTLMillis = true, 1000
		return zk.Part{Op: zk.OpCreateTTL, Request: &create}
	case "delete":
		return zk.Part{Op: zk.OpDelete, Request: &zk.VersionRequest{Path: path, Version: n}}
	case "check":
		return zk.Part{Op: zk.OpCheck, Request: &zk.VersionRequest{Path: path, Version: n}}
	case "set":
		return zk.Part{Op: zk.OpSetData, Request: &zk.SetDataRequest{Path: path, Data: []byte("xyz"), Version: n}}
	case "get":
		return zk.Part{Op: zk.OpGetData, Request: &zk.ReadRequest{Path: path}}
	case "children":
		return zk.Part{Op: zk.OpGetChildren, Request: &zk.ReadRequest{Path: path}}
	}
	panic("BUG: " + text)
}

// multi sends parts, which are separated by semicolons, and returns the answer in words.
func (x *client) multi(op zk.Op, text string) string {
	x.t.Helper()
	var r zk.MultiRequest
	for p := range strings.SplitSeq(text, "; ") {
		if p != "" {
			r.Parts = append(r.Parts, part(p))
		}
	}
	_, err, d := x.call(op, &r)
	if err != zk.OK {
		return err.Error()
	}
	var m zk.MultiResponse
	if m.Decode(d); d.Err() != nil || len(d.Left()) > 0 {
		x.t.Errorf("%s: an answer of another form", text)
	}
	var out []string
	for _, p := range m.Results {
		switch p.Op {
		case zk.OpError:
			out = append(out, fmt.Sprint(int32(p.Err)))
		case zk.OpCreate2:
			out = append(out, fmt.Sprint(p.Op, " ", p.Path, " ", p.Stat.Czxid == x.c.Zxid()))
		case zk.OpSetData:
			out = append(out, fmt.Sprint(p.Op, " ", p.Stat.Version))
		case zk.OpGetChildren:
			out = append(out, fmt.Sprint(p.Op, " ", p.Children))
		default:
			out = append(out, strings.TrimSpace(fmt.Sprint(p.Op, " ", p.Path)))
		}
	}
	return strings.Join(out, "; ")
}

func TestMulti(t *testing.T) {
	for _, k := range []struct{ parts, want string }{
		{"", ""},
		{"check /p 0; check /p -1", "check; check"},
		{"create /n 0; create2 /n/c 1; delete /n/c -1; set /n -1; check /n 1", "create /n; create2 /n/c true; delete; setData 1; check"},
		{"create /p/s 2; create /p/s 3; create /p/ 2", "create /p/s0000000001; create /p/s0000000002; create /p/0000000003"},
		{"set /p 0; set /p 1; set /p 2", "setData 1; setData 2; setData 3"},
		{"container /k 4; ttl /t 5; create /a 4; create2 /b 4", "create2 /k true; create2 /t true; create2 /a true; create2 /b true"},
		{"container /k 0; ttl /t 0; ttl /u 4", "create2 /k true; create /t; create2 /u true"},
		// what fails takes all along: 0 before it, its own error, -2 behind it
		{"check /p 9", "-103"},
		{"create /n 0; create /n 0; delete /p/c -1", "0; -110; -2"},
		{"delete /p -1; create /n 0", "-111; -2"},
		{"delete /p/c -1; delete /p -1; create /n/c 0", "0; 0; -101"},
		{"create /e 1; create /e/c 0", "0; -108"},
		{"create /n 0; ttl /t 9", "0; -8"},
		// what is not of a multi's form has no results
		{"create /n 9", "zookeeper: marshalling error"},
		{"create /n 5", "zookeeper: marshalling error"},
		{"nullACL /n 0", "zookeeper: marshalling error"},
		{"get /p", "zookeeper: marshalling error"},
		{"create /n 0; get /p", "zookeeper: marshalling error"},
	} {
		c := testCore()
		x := dial(t, c, zk.ConnectRequest{})
		x.made("/p", zk.Persistent)
		x.made("/p/c", zk.Persistent)
		before, nodes := c.Zxid(), len(c.tree.nodes)
		if got := x.multi(zk.OpMulti, k.parts); got != k.want {
			t.Errorf("%s:\n%s, want\n%s", k.parts, got, k.want)
		}
		failed := strings.ContainsAny(k.want, "-:")
		if failed && (c.Zxid() != before || len(c.tree.nodes) != nodes) || c.Zxid() > before+1 {
			t.Errorf("%s: %d transactions, %d nodes", k.parts, c.Zxid()-before, len(c.tree.nodes)-nodes)
		}
	}
}

// TestMultiRead: each part has an error of its own.
func TestMultiRead(t *testing.T) {
	x := dial(t, testCore(), zk.ConnectRequest{})
	x.made("/p", zk.Persistent)
	x.made("/p/c", zk.Persistent)
	x.made("/secret", zk.Persistent, zk.ACL{Perms: zk.PermWrite, ID: zk.Anyone})
	for parts, want := range map[string]string{
		"": "", "children /p; get /none; get /p; get /secret; children /p/c": "getChildren [c]; -101; getData; -102; getChildren []",
		"get /p; create /n 0": "zookeeper: marshalling error", "delete /p/c -1": "zookeeper: marshalling error",
	} {
		if got := x.multi(zk.OpMultiRead, parts); got != want {
			t.Errorf("%s: %s, want %s", parts, got, want)
		}
	}
}

// TestMultiTellsAtOnce: the events of a multi are of its one transaction, and none if it fails.
func TestMultiTellsAtOnce(t *testing.T) {
	c := testCore()
	x, y := dial(t, c, zk.ConnectRequest{}), dial(t, c, zk.ConnectRequest{})
	x.made("/p", zk.Persistent)
	y.watch('r', "/")
	y.watch('c', "/p")
	x.others = []*client{y}
	x.multi(zk.OpMulti, "create /p/a 0; set /p -1; create /p/b 0; delete /none -1")
	if got := y.told(); got != nil {
		t.Error(got)
	}
	x.multi(zk.OpMulti, "create /p/a 0; set /p -1; create /p/b 0; delete /p/a -1")
	if got := strings.Join(y.told(), ", "); got != "Created /p/a now, ChildrenChanged /p now, DataChanged /p now, Created /p/b now, Deleted /p/a now" {
		t.Error(got)
	}
}

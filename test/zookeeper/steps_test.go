//go:build peers

package zookeeper

import (
	"fmt"
	"math"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func pick[T any](w *world, list []T) T { return list[w.rng.IntN(len(list))] }

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// option changes a request.
type option func(*request)

func ends(r *request)     { r.ends = true }
func anyOrder(r *request) { r.group = true }

// request makes one whose body is the same on both sides.
func (w *world) request(c *conn, op zk.Op, body []byte, options ...option) *request {
	r := &request{op: op, body: [2][]byte{body, body}}
	c.xid++
	r.xid = c.xid
	switch {
	case op == zk.OpAuth && w.chance(50):
		r.xid = zk.XidAuth
	case (op == zk.OpSetWatches || op == zk.OpSetWatches2) && w.chance(50):
		r.xid = zk.XidSetWatches
	case op == zk.OpPing && w.chance(50):
		r.xid = zk.XidPing
	}
	r.text = fmt.Sprintf("%s xid %d %s", op, r.xid, bytesText(body))
	for _, o := range options {
		o(r)
	}
	return r
}

// step makes one thing happen.
func (w *world) step() {
	c := pick(w, w.conns)
	if !c.connected() {
		w.arrive(c)
		return
	}
	if len(w.live.list) > 300 {
		w.prune(c)
		return
	}
	switch n := w.rng.IntN(1000); {
	case n < 15:
		w.leave(c)
	case n < 30:
		w.authenticate(c)
	case n < 60:
		w.malformed(c)
	case n < 150:
		var list []*request
		for range 2 + w.rng.IntN(8) {
			// what comes right behind these two is known to differ
			if r := w.ordinary(c); r.op != zk.OpSetACL && r.op != zk.OpCreateContainer {
				list = append(list, r)
			}
		}
		if len(list) > 0 {
			w.learn(list, w.ask(c, list...))
		}
	default:
		r := w.ordinary(c)
		w.learn([]*request{r}, w.ask(c, r))
	}
}

// learn keeps the list of what is there.
func (w *world) learn(reqs []*request, replies []reply) {
	for i, a := range replies {
		if i >= len(reqs) || a.err != zk.OK {
			continue
		}
		d := zk.NewDecoder(a.body)
		switch reqs[i].op {
		case zk.OpCreate, zk.OpCreate2, zk.OpCreateContainer, zk.OpCreateTTL:
			w.live.add(d.String())
		case zk.OpMulti:
			var m zk.MultiResponse
			m.Decode(d)
			for _, p := range m.Results {
				if p.Op == zk.OpCreate || p.Op == zk.OpCreate2 {
					w.live.add(p.Path)
				}
			}
		}
	}
}

// prune deletes as the super user, the deepest first, until the tree is small again.
func (w *world) prune(c *conn) {
	if !c.super {
		auth := zk.AuthRequest{Scheme: "digest", Auth: []byte("super:test")}
		w.ask(c, w.request(c, zk.OpAuth, auth.Append(nil)))
		c.super = true
	}
	for len(w.live.list) > 60 && !w.failed && c.connected() {
		longest := w.live.list[0]
		for _, p := range w.live.list {
			if len(p) > len(longest) {
				longest = p
			}
		}
		w.live.remove(longest)
		r := zk.VersionRequest{Path: longest, Version: -1}
		w.ask(c, w.request(c, zk.OpDelete, r.Append(nil)))
	}
}

// ordinary is a request that leaves the connection alive.
func (w *world) ordinary(c *conn) *request {
	type kind struct {
		weight int
		make   func(*conn) *request
	}
	kinds := []kind{
		{170, w.create}, {110, w.delete}, {110, w.setData}, {200, w.read}, {40, w.getACL}, {40, w.setACL}, {20, w.sync}, {110, w.multi},
		{20, w.multiRead}, {30, w.setWatches}, {60, w.watching}, {30, w.counting}, {10, w.ping}, {6, w.reconfig},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	n := w.rng.IntN(total)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			return k.make(c)
		}
	}
	panic("BUG: the weights do not add up")
}

// null stands for a string of length -1.
const null = "\xfe null"

func appendString(dst []byte, s string) []byte {
	if s == null {
		return zk.AppendInt(dst, -1)
	}
	return zk.AppendString(dst, s)
}

var oddPaths = []string{"", "a", "a/b", "//", "/a/", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a/.b", "/a/b.", "/a\x00b", "/\x01", "/\x1f",
	"/\x7f", "/\u009f", "/ä", "/\ud7ff", "/\ue000", "/\uf8ff", "/\uffef", "/\ufff0", "/ ", "/a b", "/\xff", "/x\xffy\xff", null}

var fixedPaths = []string{"/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota", "/zookeeper/x"}

var names = []string{"a", "b", "c", "d"}

// path is one that is often there.
func (w *world) path() string {
	switch n := w.rng.IntN(100); {
	case n < 75 && len(w.live.list) > 0:
		return pick(w, w.live.list)
	case n < 96:
		p := ""
		for range 1 + w.rng.IntN(3) {
			p += "/" + pick(w, names)
		}
		return p
	case n < 98:
		return pick(w, fixedPaths)
	}
	return pick(w, oddPaths)
}

// newPath is one that is often not there, but its parent.
func (w *world) newPath() string {
	switch n := w.rng.IntN(100); {
	case n < 50 && len(w.live.list) > 0:
		return pick(w, w.live.list) + "/" + pick(w, names)
	case n < 90:
		return "/" + pick(w, names)
	}
	return w.path()
}

func (w *world) data() []byte {
	switch n := w.rng.IntN(20); {
	case n == 0:
		return nil
	case n == 1:
		return []byte{}
	case n == 2 && w.chance(20):
		return make([]byte, 20_000)
	}
	b := make([]byte, w.rng.IntN(20))
	for i := range b {
		b[i] = byte(w.rng.IntN(256))
	}
	return b
}

func (w *world) version() int32 {
	if w.chance(75) {
		return -1
	}
	return pick(w, []int32{0, 0, 1, 2, 3, -2, math.MaxInt32, math.MinInt32})
}

// passwords are what connections authenticate with.
var passwords = []string{"u1:p1", "u2:p2", "u1:wrong", "super:test", "noColon", ":x", "x:", "", "a:b:c"}

var aclEntries = []zk.ACL{
	{Perms: zk.PermAll, ID: zk.Anyone}, {Perms: zk.PermRead, ID: zk.Anyone}, {Perms: zk.PermAll &^ zk.PermRead, ID: zk.Anyone},
	{Perms: zk.PermAll &^ zk.PermAdmin, ID: zk.Anyone}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "auth"}},
	{Perms: zk.PermRead | zk.PermWrite, ID: zk.ID{Scheme: "auth", ID: "ignored"}}, {Perms: zk.PermAll, ID: zk.DigestID("u1", "p1")},
	{Perms: zk.PermAdmin, ID: zk.DigestID("u2", "p2")}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "127.0.0.1"}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "127.1.2.3/8"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "10.0.0.0/8"}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "::1"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "127.0.0.1/32"}},
	{Perms: 0, ID: zk.Anyone}, {Perms: 0x7fff, ID: zk.Anyone},
}

var badEntries = []zk.ACL{
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "world", ID: "someone"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "none", ID: "x"}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "digest", ID: "noColon"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "digest", ID: "a:b:c"}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "digest", ID: "u:"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "digest", ID: ":h"}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "digest", ID: "a:b::"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "digest", ID: ""}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "host"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "1.2.3"}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "1.2.3.4/33"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "1.2.3.4/-1"}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "ip", ID: "1.2.3.400"}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "sasl", ID: "x"}},
	{Perms: zk.PermAll, ID: zk.ID{Scheme: "super", ID: ""}}, {Perms: zk.PermAll, ID: zk.ID{Scheme: "", ID: ""}},
}

func (w *world) acl() []zk.ACL {
	switch n := w.rng.IntN(20); {
	case n < 15:
		return zk.OpenACL
	case n == 15 && w.chance(50):
		return pick(w, [][]zk.ACL{nil, {}, {pick(w, badEntries)}, {zk.OpenACL[0], pick(w, badEntries)}})
	}
	var list []zk.ACL
	for range 1 + w.rng.IntN(3) {
		list = append(list, pick(w, aclEntries))
	}
	return list
}

// createBody has a mode that op may have.
func (w *world) createBody(op zk.Op, inMulti bool) []byte {
	r := zk.CreateRequest{Data: w.data(), ACL: w.acl(), WithTTL: op == zk.OpCreateTTL}
	modes := []zk.CreateMode{0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4}
	if w.chance(6) {
		modes = []zk.CreateMode{5, 6, 7, -1, 100}
	}
	switch {
	case r.WithTTL:
		// A flag that has no time to live with a negative one ends a real server's life.
		modes = []zk.CreateMode{zk.TTL, zk.TTLSequential}
		r.TTLMillis = pick(w, []int64{1 << 30, 1 << 30, 1<<40 - 1, 1 << 40, 0, -1, math.MinInt64})
	case op == zk.OpCreateContainer && inMulti:
		modes = []zk.CreateMode{0, 4, 4, 4, 2}
	case op == zk.OpCreateContainer:
		modes = []zk.CreateMode{0, 1, 2, 3, 4, 4, 4, 5, 9}
	}
	r.Mode = pick(w, modes)
	path := w.newPath()
	if r.Mode.Sequential() && w.chance(50) {
		path += pick(w, []string{"s-", "/", "/s-"})
	}
	b := appendString(nil, path)
	return append(b, r.Append(nil)[4:]...)
}

func (w *world) create(c *conn) *request {
	op := pick(w, []zk.Op{zk.OpCreate, zk.OpCreate, zk.OpCreate, zk.OpCreate2, zk.OpCreate2, zk.OpCreateContainer, zk.OpCreateTTL})
	return w.request(c, op, w.createBody(op, false))
}

func (w *world) delete(c *conn) *request {
	path := w.path()
	if w.chance(70) {
		w.live.remove(path)
	}
	return w.request(c, zk.OpDelete, zk.AppendInt(appendString(nil, path), w.version()))
}

func (w *world) setData(c *conn) *request {
	return w.request(c, zk.OpSetData, zk.AppendInt(zk.AppendBuffer(appendString(nil, w.path()), w.data()), w.version()))
}

func (w *world) read(c *conn) *request {
	op := pick(w, []zk.Op{zk.OpExists, zk.OpExists, zk.OpGetData, zk.OpGetData, zk.OpGetChildren, zk.OpGetChildren2})
	return w.request(c, op, append(appendString(nil, w.path()), byte(w.rng.IntN(3))))
}

func (w *world) getACL(c *conn) *request {
	return w.request(c, zk.OpGetACL, appendString(nil, w.path()))
}

func (w *world) setACL(c *conn) *request {
	path := w.path()
	if path == "/" || path == "" {
		path = "/a" // the root stays open, else the stream is about -102 only
	}
	return w.request(c, zk.OpSetACL, zk.AppendInt(zk.AppendACLs(appendString(nil, path), w.acl()), w.version()))
}

func (w *world) sync(c *conn) *request {
	path := w.path()
	if path == null {
		path = ""
	}
	return w.request(c, zk.OpSync, appendString(nil, path))
}

func multiHeader(dst []byte, op zk.Op, done bool) []byte {
	return zk.AppendInt(zk.AppendBool(zk.AppendInt(dst, int32(op)), done), -1)
}

func (w *world) multi(c *conn) *request {
	var b []byte
	for range w.rng.IntN(7) {
		op := pick(w, []zk.Op{zk.OpCreate, zk.OpCreate, zk.OpCreate2, zk.OpCreateContainer, zk.OpCreateTTL, zk.OpDelete, zk.OpDelete, zk.OpSetData,
			zk.OpSetData, zk.OpCheck})
		if w.chance(1) {
			op = pick(w, []zk.Op{zk.OpGetData, zk.OpGetChildren, zk.OpExists, 77})
		}
		b = multiHeader(b, op, false)
		switch op {
		case zk.OpCreate, zk.OpCreate2, zk.OpCreateContainer, zk.OpCreateTTL:
			b = append(b, w.createBody(op, true)...)
		case zk.OpDelete, zk.OpCheck:
			b = zk.AppendInt(appendString(b, w.path()), w.version())
		case zk.OpSetData:
			b = zk.AppendInt(zk.AppendBuffer(appendString(b, w.path()), w.data()), w.version())
		default:
			b = append(appendString(b, w.path()), 0)
		}
	}
	return w.request(c, zk.OpMulti, multiHeader(b, zk.OpError, true))
}

func (w *world) multiRead(c *conn) *request {
	var b []byte
	for range w.rng.IntN(5) {
		op, path := pick(w, []zk.Op{zk.OpGetData, zk.OpGetChildren}), w.path()
		if path == null {
			path = ""
		}
		b = append(appendString(multiHeader(b, op, false), path), byte(w.rng.IntN(2)))
	}
	if w.chance(4) { // not both reads and writes
		b = append(appendString(multiHeader(b, zk.OpGetData, false), "/"), 0)
		b = zk.AppendInt(appendString(multiHeader(b, zk.OpDelete, false), w.path()), -1)
	}
	return w.request(c, zk.OpMultiRead, multiHeader(b, zk.OpError, true))
}

// setWatches has a transaction in it: each side's own number.
func (w *world) setWatches(c *conn) *request {
	r := zk.SetWatchesRequest{WithPersistent: w.chance(40)}
	for _, list := range []*[]string{&r.Data, &r.Exist, &r.Child, &r.Persistent, &r.PersistentRecursive} {
		for range w.rng.IntN(3) {
			if p := w.path(); p != null {
				*list = append(*list, p)
			}
		}
	}
	op := zk.OpSetWatches
	if r.WithPersistent {
		op = zk.OpSetWatches2
	}
	seen := [2]int64{0, 0}
	switch n := len(w.pairs.known); {
	case w.chance(10):
		seen = [2]int64{math.MaxInt64, math.MaxInt64}
	case n > 0:
		seen = w.pairs.known[max(0, n-1-w.rng.IntN(50))]
	}
	q := w.request(c, op, r.Append(nil))
	for i := range q.body {
		r.RelativeZxid = seen[i]
		q.body[i] = r.Append(nil)
	}
	q.text += fmt.Sprintf(" since %#x", seen)
	return q
}

func (w *world) watching(c *conn) *request {
	op := pick(w, []zk.Op{zk.OpAddWatch, zk.OpAddWatch, zk.OpCheckWatches, zk.OpRemoveWatches})
	path := w.path()
	if path == null {
		path = "/"
	}
	return w.request(c, op, zk.AppendInt(appendString(nil, path), pick(w, []int32{0, 1, 1, 2, 3, 4, 5, 6, -1})))
}

func (w *world) counting(c *conn) *request {
	switch w.rng.IntN(3) {
	case 0:
		return w.request(c, zk.OpGetEphemerals, appendString(nil, pick(w, []string{"", "/", " / ", w.path(), null})))
	case 1:
		return w.request(c, zk.OpGetAllChildrenNumber, appendString(nil, pick(w, []string{"/", "", w.path()})))
	}
	return w.request(c, zk.OpWhoAmI, nil)
}

func (w *world) ping(c *conn) *request { return w.request(c, zk.OpPing, nil) }

func (w *world) reconfig(c *conn) *request {
	r := zk.ReconfigRequest{Joining: "server.1=a:1:2", ConfigID: -1}
	b := r.Append(nil)
	return w.request(c, zk.OpReconfig, b[:len(b)-w.rng.IntN(2)])
}

func (w *world) sasl(c *conn) *request {
	return w.request(c, zk.OpSASL, zk.AppendBuffer(nil, []byte("token")))
}

// authenticate, and sasl with it, is apart from what requests are sent together: a real server answers it before requests that are under
// way.
func (w *world) authenticate(c *conn) {
	if w.chance(10) {
		w.ask(c, w.sasl(c))
		return
	}
	if w.chance(85) {
		scheme, auth := "digest", pick(w, passwords)
		if w.chance(15) {
			scheme = "ip"
		}
		c.super = c.super || scheme == "digest" && auth == "super:test"
		r := zk.AuthRequest{Type: int32(w.rng.IntN(2)), Scheme: scheme, Auth: []byte(auth)}
		w.ask(c, w.request(c, zk.OpAuth, r.Append(nil)))
		return
	}
	scheme := pick(w, []string{"", "world", "auth", "super", "sasl", "none", "Digest", null})
	b := zk.AppendBuffer(appendString(zk.AppendInt(nil, 0), scheme), []byte("u1:p1"))
	if w.chance(20) {
		b = zk.AppendBuffer(zk.AppendString(zk.AppendInt(nil, 0), "digest"), nil)
	}
	w.ask(c, w.request(c, zk.OpAuth, b, ends))
}

// malformed sends what no client would.
func (w *world) malformed(c *conn) {
	switch w.rng.IntN(6) {
	case 0: // a body that is cut
		r := w.ordinary(c)
		if r.op == zk.OpPing || r.op == zk.OpWhoAmI {
			return
		}
		cut := 1 + w.rng.IntN(6)
		for i := range r.body {
			r.body[i] = r.body[i][:max(0, len(r.body[i])-cut)]
		}
		r.text += fmt.Sprintf(" cut by %d", cut)
		w.ask(c, r)
	case 1: // noise
		op := pick(w, []zk.Op{zk.OpCreate, zk.OpDelete, zk.OpExists, zk.OpGetData, zk.OpSetData, zk.OpGetACL, zk.OpSetACL, zk.OpGetChildren,
			zk.OpGetChildren2, zk.OpMulti, zk.OpMultiRead, zk.OpSetWatches, zk.OpAddWatch, zk.OpRemoveWatches, zk.OpGetAllChildrenNumber})
		b := make([]byte, w.rng.IntN(40))
		for i := range b {
			b[i] = byte(w.rng.IntN(256))
		}
		if len(b) > 3 && w.chance(70) {
			copy(b, []byte{0, 0, 0, byte(w.rng.IntN(len(b)))})
		}
		w.ask(c, w.request(c, op, b))
	case 2: // bytes behind the body
		r := w.ordinary(c)
		for i := range r.body {
			r.body[i] = append(r.body[i][:len(r.body[i]):len(r.body[i])], 0, 0, 0, 1, 0xff)
		}
		r.text += " and more"
		replies := w.ask(c, r)
		w.learn([]*request{r}, replies)
	case 3: // a type that there is not
		op := pick(w, []zk.Op{0, 10, zk.OpCheck, 23, 99, 108, 200, -1, -2, -3, 1000, -12, 500, math.MinInt32, math.MaxInt32})
		w.ask(c, w.request(c, op, w.request(c, zk.OpCheck, zk.AppendInt(zk.AppendString(nil, "/"), -1)).body[0], ends))
	case 4: // a header that is cut
		w.cut(c, frame(make([]byte, w.rng.IntN(8))), "a header that is cut")
	case 5: // a length that nobody may have
		n := pick(w, []int32{-1, math.MinInt32, zk.DefaultMaxPacket + 1, math.MaxInt32})
		w.cut(c, zk.AppendInt(nil, n), fmt.Sprintf("a packet of %d bytes", n))
	}
}

// cut sends bytes that end the connection without an answer.
func (w *world) cut(c *conn, b []byte, what string) {
	w.note("%d: %s", c.slot, what)
	w.counts[what]++
	c.write([2][]byte{b, b})
	var got [2][]packet
	for i := range got {
		got[i] = c.collect(i, 0, true)
	}
	w.compare(c, nil, got, false)
	c.hangUp()
}

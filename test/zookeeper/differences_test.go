//go:build peers

package zookeeper

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// difference is one that is meant. The stream of the cross-check keeps away from all of them, so that it needs no
// exceptions; here each is shown.
type difference struct {
	name         string
	reason       string
	show         func(w *world) [2]string
	ours, theirs string // what show has to give
}

var differences = []difference{
	{"a wrong password for a session that somebody holds", "who does not know it must not be able to knock the owner off",
		wrongPassword, "stays", "closed"},
	{"a create right behind a setACL", "ZooKeeper checks the next requests under way against the ACL before: its record of the change " +
		"lacks it. Ours has made the change", behindSetACL, "ok; not authorised", "ok; ok"},
	{"a child right behind a createContainer with an ephemeral mode", "ZooKeeper makes a container, and takes it for an ephemeral while " +
		"that is under way", behindContainer, "ok; ok", "ok; ephemerals have no children"},
	{"an answer to auth among others", "ZooKeeper answers auth and sasl at once, before requests that came earlier. Ours answers in order, " +
		"as the protocol's clients expect", authAmongOthers, "in order", "not in order"},
	{"a resume with another time-out", "it is a transaction of ours: after a restart the session has the time-out that its client was told",
		otherTimeout, "1 transactions", "0 transactions"},
	{"deleteContainer from a client", "a server's own operation, which asks for no right: any client could delete any node without children",
		ask(zk.OpDeleteContainer, zk.AppendString(nil, "/d"), true), "unimplemented; closed", "ok"},
	{"createSession from a client", "a server's own operation; ZooKeeper answers with a second handshake",
		createSession, "unimplemented; closed", "37 bytes without a header"},
	{"a multiRead that is malformed in its second part", "no answer with an error has a body, but this one of ZooKeeper's",
		multiReadError, "marshalling error, 0 bytes more", "marshalling error, 22 bytes more"},
	{"a character beyond U+FFFF", "ZooKeeper writes its two halves as if they were characters, which no other program reads. Ours is UTF-8",
		ask(zk.OpSync, zk.AppendString(nil, "/\U0001F600"), false), `ok path="/😀"`, `ok path="/` + strings.Repeat("\ufffd", 6) + `"`},
	{"addWatch without a path", "no path, no watch", ask(zk.OpAddWatch, zk.AppendInt(zk.AppendInt(nil, -1), 0), false), "marshalling error", "ok number=0"},
	{"sync without a path", "the answer's path is empty, not null", syncNull, "00000000", "ffffffff"},
	{"an ACL entry without an id", "an invalid ACL, as one with any other id that is none", ask(zk.OpCreate, nullID(), false), "invalid ACL", "marshalling error"},
	{"an ACL entry of scheme x509 without TLS", "a node may be made for those who come by TLS later",
		ask(zk.OpCreate, x509(), false), `ok path="/x509"`, "invalid ACL"},
	{"setWatches with a null list", "malformed requests do nothing", ask(zk.OpSetWatches, nullList(), false), "marshalling error",
		"NodeDeleted /none; marshalling error"},
	{"a path that is too deep", "coordinator.max.depth", deep, "bad arguments", "ok"},
	{"too many watches", "coordinator.max.watches", manyWatches, "quota exceeded", "no node"},
	{"too many nodes", "coordinator.max.nodes", manyNodes, "quota exceeded", "ok"},
	{"quota nodes", "the nodes can be made, and nothing is counted in them", quotas, `""`, `"count=1,bytes=0"`},
	{"the date in srvr", "ZooKeeper's own is not what its clients look for", srvr, "slashes", "dashes"},
	{"createTTL with a mode that has none and a negative time", "ZooKeeper ends", endsTheirs, "bad arguments; serves", "closed; gone"},
}

func TestKnownDifferences(t *testing.T) {
	address := [2]string{openOurs(t, func(c *server.Config) {
		c.Limits.Depth, c.Limits.Watches, c.Limits.Nodes = 10, 10, 60
	}), openTheirs(t)}
	w := newWorld(t, 1, 2, address)
	for _, d := range differences {
		for _, c := range w.conns {
			c.hangUp()
			w.connect(c, &handshake{password: [2][]byte{make([]byte, 16), make([]byte, 16)}}, "a new session")
		}
		if got := d.show(w); got != [2]string{d.ours, d.theirs} {
			t.Errorf("%s (%s):\nours   %s, listed %s\ntheirs %s, listed %s", d.name, d.reason, got[ours], d.ours, got[theirs], d.theirs)
		}
	}
}

// tell sends requests on both sides and returns what came, without what the servers must not share.
func (w *world) tell(c *conn, reqs ...*request) (got [2]string) {
	var b [2][]byte
	last := reqs[len(reqs)-1]
	for _, r := range reqs {
		for i := range b {
			b[i] = append(b[i], r.bytes(i)...)
		}
	}
	c.write(b)
	for i := range got {
		// where only one side ends the connection, the other has said all when it has answered
		list := c.collect(i, len(reqs), false)
		if last.ends && i == ours {
			list = append(list, c.collect(i, 0, true)...)
		}
		got[i] = short(list, reqs)
	}
	return got
}

func short(list []packet, reqs []*request) string {
	var out []string
	next := 0
	for i := range list {
		p := &list[i]
		if p.end != "" {
			out = append(out, p.end)
			continue
		}
		d := zk.NewDecoder(p.bytes)
		var h zk.ReplyHeader
		h.Decode(d)
		if p.isEvent() {
			var e zk.Event
			e.Decode(d)
			out = append(out, fmt.Sprint(e.Type, " ", e.Path))
			continue
		}
		text := strings.TrimPrefix(h.Err.Error(), "zookeeper: ")
		if h.Err == zk.OK && next < len(reqs) {
			var f fields
			f.body(reqs[next].op, d, nil)
			for _, x := range f.list {
				if x.kind == plain && !strings.Contains(x.name, "stat.") {
					text += " " + x.String()
				}
			}
		}
		next++
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// ask is a difference in the answer to one request.
func ask(op zk.Op, body []byte, oursEnds bool) func(*world) [2]string {
	return func(w *world) [2]string {
		c := w.conns[0]
		if op == zk.OpDeleteContainer {
			w.make(c, "/d", zk.OpenACL)
		}
		r := w.request(c, op, body)
		r.ends = oursEnds
		return w.tell(c, r)
	}
}

func (w *world) make(c *conn, path string, acl []zk.ACL) {
	r := zk.CreateRequest{Path: path, Data: []byte{}, ACL: acl}
	w.tell(c, w.request(c, zk.OpCreate, r.Append(nil)))
}

func wrongPassword(w *world) (got [2]string) {
	owner, stranger := w.conns[0], w.conns[1]
	s := owner.session
	stranger.hangUp()
	w.connect(stranger, &handshake{session: s, password: [2][]byte{make([]byte, 16), make([]byte, 16)}}, "a stranger")
	ping := w.request(owner, zk.OpPing, nil)
	owner.write([2][]byte{ping.bytes(ours), ping.bytes(theirs)})
	for i := range got {
		got[i] = "stays"
		if p := owner.read(i); p.end != "" {
			got[i] = p.end
		}
	}
	return got
}

func behindSetACL(w *world) [2]string {
	return behind(w, "/acl", func(path string) *request {
		w.make(w.conns[0], path, zk.OpenACL)
		set := zk.SetACLRequest{Path: path, ACL: []zk.ACL{{Perms: zk.PermRead, ID: zk.Anyone}}, Version: -1}
		return w.request(w.conns[0], zk.OpSetACL, set.Append(nil))
	})
}

func behindContainer(w *world) [2]string {
	return behind(w, "/container", func(path string) *request {
		r := zk.CreateRequest{Path: path, ACL: zk.OpenACL, Mode: zk.Ephemeral}
		return w.request(w.conns[0], zk.OpCreateContainer, r.Append(nil))
	})
}

// behind sends a request and with it one that creates a child. Theirs is only so while the first is on its way, so that is
// tried until it happens.
func behind(w *world, path string, first func(path string) *request) (got [2]string) {
	c := w.conns[0]
	for range 200 {
		create := zk.CreateRequest{Path: path + "/x", ACL: zk.OpenACL, Mode: zk.Ephemeral}
		got = w.tell(c, first(path), w.request(c, zk.OpCreate2, create.Append(nil)))
		for i := range got {
			one, two, _ := strings.Cut(got[i], "; ")
			one, _, _ = strings.Cut(one, " path=")
			two, _, _ = strings.Cut(two, " path=")
			got[i] = one + "; " + two
		}
		for _, p := range []string{path + "/x", path} {
			w.tell(c, w.request(c, zk.OpDelete, zk.AppendInt(zk.AppendString(nil, p), -1)))
		}
		if got[ours] != got[theirs] {
			break
		}
	}
	return got
}

func authAmongOthers(w *world) (got [2]string) {
	c := w.conns[0]
	auth := zk.AuthRequest{Scheme: "digest", Auth: []byte("u1:p1")}
	w.make(c, "/order", zk.OpenACL)
	for range 200 {
		set := w.request(c, zk.OpSetData, zk.AppendInt(zk.AppendBuffer(zk.AppendString(nil, "/order"), nil), -1))
		a := w.request(c, zk.OpAuth, auth.Append(nil))
		c.write([2][]byte{append(set.bytes(ours), a.bytes(ours)...), append(set.bytes(theirs), a.bytes(theirs)...)})
		for i := range got {
			var h zk.ReplyHeader
			h.Decode(zk.NewDecoder(c.collect(i, 2, false)[0].bytes))
			got[i] = "in order"
			if h.Xid != set.xid {
				got[i] = "not in order"
			}
		}
		if got[ours] != got[theirs] {
			break
		}
	}
	w.tell(c, w.request(c, zk.OpDelete, zk.AppendInt(zk.AppendString(nil, "/order"), -1)))
	return got
}

func otherTimeout(w *world) (got [2]string) {
	a, b := w.conns[0], w.conns[1]
	s := a.session
	present := func(c *conn) (z [2]int64) {
		ping := w.request(c, zk.OpPing, nil)
		c.write([2][]byte{ping.bytes(ours), ping.bytes(theirs)})
		for i := range z {
			var h zk.ReplyHeader
			h.Decode(zk.NewDecoder(c.read(i).bytes))
			z[i] = h.Zxid
		}
		return z
	}
	before := present(a)
	b.hangUp()
	w.connect(b, &handshake{session: s, password: s.password, timeout: maxTimeout}, "with another time-out")
	for i, z := range present(b) {
		got[i] = fmt.Sprintf("%d transactions", z-before[i])
	}
	return got
}

func createSession(w *world) (got [2]string) {
	c := w.conns[0]
	r := w.request(c, -10, zk.AppendInt(nil, minTimeout))
	c.write([2][]byte{r.bytes(ours), r.bytes(theirs)})
	got[ours] = short(c.collect(ours, 0, true), nil)
	got[theirs] = fmt.Sprintf("%d bytes without a header", len(c.read(theirs).bytes))
	return got
}

func multiReadError(w *world) (got [2]string) {
	c := w.conns[0]
	b := append(zk.AppendString(multiHeader(nil, zk.OpGetChildren, false), "/zookeeper/quota"), 0)
	b = append(zk.AppendInt(multiHeader(b, zk.OpGetData, false), -1), 0)
	r := w.request(c, zk.OpMultiRead, multiHeader(b, zk.OpError, true))
	c.write([2][]byte{r.bytes(ours), r.bytes(theirs)})
	for i := range got {
		p := c.read(i)
		got[i] = fmt.Sprintf("%s, %d bytes more", short([]packet{p}, nil), len(p.bytes)-16)
	}
	return got
}

func syncNull(w *world) (got [2]string) {
	c := w.conns[0]
	r := w.request(c, zk.OpSync, zk.AppendInt(nil, -1))
	c.write([2][]byte{r.bytes(ours), r.bytes(theirs)})
	for i := range got {
		got[i] = fmt.Sprintf("%x", c.read(i).bytes[16:])
	}
	return got
}

func nullID() []byte {
	b := zk.AppendInt(zk.AppendBuffer(zk.AppendString(nil, "/nullid"), nil), 1)
	b = zk.AppendString(zk.AppendInt(b, int32(zk.PermAll)), "digest")
	return zk.AppendInt(zk.AppendInt(b, -1), 0)
}

func x509() []byte {
	r := zk.CreateRequest{Path: "/x509", ACL: []zk.ACL{{Perms: zk.PermAll, ID: zk.ID{Scheme: "x509", ID: "CN=a"}}, zk.OpenACL[0]}, Mode: zk.Ephemeral}
	return r.Append(nil)
}

func nullList() []byte {
	b := zk.AppendStrings(zk.AppendLong(nil, 0), []string{"/none"})
	return zk.AppendInt(zk.AppendInt(b, -1), 0)
}

func deep(w *world) (got [2]string) {
	c := w.conns[0]
	path := ""
	for range 11 {
		path += "/d"
		r := zk.CreateRequest{Path: path, ACL: zk.OpenACL}
		got = w.tell(c, w.request(c, zk.OpCreate, r.Append(nil)))
	}
	for ; path != ""; path = strings.TrimSuffix(path, "/d") {
		w.tell(c, w.request(c, zk.OpDelete, zk.AppendInt(zk.AppendString(nil, path), -1)))
	}
	got[theirs], _, _ = strings.Cut(got[theirs], " path=")
	return got
}

func manyWatches(w *world) (got [2]string) {
	c := w.conns[0]
	for i := range 11 {
		got = w.tell(c, w.request(c, zk.OpExists, append(zk.AppendString(nil, fmt.Sprintf("/w%d", i)), 1)))
	}
	return got
}

func manyNodes(w *world) (got [2]string) {
	c := w.conns[0]
	for i := range 60 {
		r := zk.CreateRequest{Path: fmt.Sprintf("/n%d", i), ACL: zk.OpenACL, Mode: zk.Ephemeral}
		got = w.tell(c, w.request(c, zk.OpCreate, r.Append(nil)))
	}
	got[theirs], _, _ = strings.Cut(got[theirs], " path=")
	w.tell(c, w.request(c, zk.OpCloseSession, nil))
	c.session.over = true
	c.hangUp()
	return got
}

func quotas(w *world) (got [2]string) {
	c := w.conns[0]
	for _, p := range []string{"/zookeeper/quota/q", "/zookeeper/quota/q/zookeeper_limits", "/zookeeper/quota/q/zookeeper_stats", "/q"} {
		w.make(c, p, zk.OpenACL)
	}
	got = w.tell(c, w.request(c, zk.OpGetData, append(zk.AppendString(nil, "/zookeeper/quota/q/zookeeper_stats"), 0)))
	for i := range got {
		got[i] = strings.TrimPrefix(got[i], "ok data=")
	}
	return got
}

func srvr(w *world) (got [2]string) {
	for i, a := range w.address {
		n, err := net.DialTimeout("tcp", a, answerLimit)
		if err != nil {
			w.t.Fatal(err)
		}
		_ = n.SetDeadline(time.Now().Add(answerLimit))
		fmt.Fprint(n, "srvr")
		text, _ := io.ReadAll(n)
		n.Close()
		line, _, _ := strings.Cut(string(text), "\n")
		_, date, _ := strings.Cut(line, "built on ")
		got[i] = "dashes"
		if strings.Count(date, "/") == 2 {
			got[i] = "slashes"
		}
	}
	return got
}

// endsTheirs is the last: the real server is gone afterwards.
func endsTheirs(w *world) (got [2]string) {
	c := w.conns[0]
	r := zk.CreateRequest{Path: "/ttl", ACL: zk.OpenACL, WithTTL: true, TTLMillis: math.MinInt64}
	got = w.tell(c, w.request(c, zk.OpCreateTTL, r.Append(nil)))
	for i, a := range w.address {
		n, err := net.DialTimeout("tcp", a, answerLimit)
		if err == nil {
			_ = n.SetDeadline(time.Now().Add(answerLimit))
			h := handshake{password: [2][]byte{make([]byte, 16), make([]byte, 16)}}
			_, _ = n.Write(h.bytes(i))
			_, err = zk.ReadPacket(bufio.NewReader(n), nil, 1000)
			n.Close()
		}
		if err != nil {
			got[i] += "; gone"
		} else {
			got[i] += "; serves"
		}
	}
	return got
}

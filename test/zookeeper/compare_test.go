//go:build peers

package zookeeper

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// field is a part of a packet. Most are compared as texts; the others are numbers of which each server has its own.
type field struct {
	name string
	kind kind
	text string
	n    int64
	at   int64 // of a time: the transaction that it is of
}

type kind int

const (
	plain   kind = iota
	zxid         // of a transaction: the same one on both sides
	present      // the last transaction when the answer was made
	clock        // of a transaction: always the same for the same one
	owner        // a session
)

func (f field) String() string {
	if f.kind == plain {
		return f.name + "=" + f.text
	}
	return fmt.Sprintf("%s=%#x", f.name, f.n)
}

// fields flattens packets. err is set if a packet is not of the form that its operation's answer has, byte for byte.
type fields struct {
	list []field
	err  string
}

func (f *fields) text(name string, v any) {
	f.list = append(f.list, field{name: name, text: fmt.Sprint(v)})
}

func (f *fields) number(name string, k kind, n int64) {
	f.list = append(f.list, field{name: name, kind: k, n: n})
}

func (f *fields) stat(name string, s *zk.Stat) {
	f.number(name+".czxid", zxid, s.Czxid)
	f.number(name+".mzxid", zxid, s.Mzxid)
	f.number(name+".pzxid", zxid, s.Pzxid)
	f.list = append(f.list, field{name: name + ".ctime", kind: clock, n: s.Ctime, at: s.Czxid},
		field{name: name + ".mtime", kind: clock, n: s.Mtime, at: s.Mzxid})
	f.text(name+".versions", fmt.Sprint(s.Version, s.Cversion, s.Aversion))
	f.number(name+".ephemeralOwner", owner, s.EphemeralOwner)
	f.text(name+".lengths", fmt.Sprint(s.DataLength, s.NumChildren))
}

// set is a list without an order.
func (f *fields) set(name string, list []string) {
	list = slices.Clone(list)
	slices.Sort(list)
	f.text(name, fmt.Sprintf("%d %q", len(list), list))
}

func bytesText(b []byte) string {
	if b == nil {
		return "null"
	}
	if len(b) > 400 {
		return fmt.Sprintf("%d bytes, %q", len(b), b[:300])
	}
	return fmt.Sprintf("%q", b)
}

// flatten reads a packet that answers r; r is nil for an event.
func flatten(p *packet, r *request) (f fields) {
	if p.end != "" {
		f.text("connection", p.end)
		return f
	}
	d := zk.NewDecoder(p.bytes)
	var h zk.ReplyHeader
	h.Decode(d)
	f.text("xid", h.Xid)
	f.text("err", h.Err)
	again := h.Append(nil)
	if r == nil {
		f.number("zxid", zxid, h.Zxid)
		var e zk.Event
		e.Decode(d)
		f.text("event", e.Type)
		f.text("state", e.State)
		f.text("path", fmt.Sprintf("%q", e.Path))
		again = e.Append(again)
	} else {
		f.number("zxid", present, h.Zxid)
		if h.Err == zk.OK {
			again = f.body(r.op, d, again)
		}
	}
	switch {
	case d.Err() != nil:
		f.err = "too short: " + hex.EncodeToString(p.bytes)
	case string(again) != string(p.bytes):
		f.err = "of another form: " + hex.EncodeToString(p.bytes) + ", encoded again: " + hex.EncodeToString(again)
	}
	return f
}

// body reads what follows the header and appends it again.
func (f *fields) body(op zk.Op, d *zk.Decoder, again []byte) []byte {
	switch op {
	case zk.OpCreate, zk.OpSync:
		path := d.String()
		f.text("path", fmt.Sprintf("%q", path))
		return zk.AppendString(again, path)
	case zk.OpCreate2, zk.OpCreateContainer, zk.OpCreateTTL:
		path := d.String()
		f.text("path", fmt.Sprintf("%q", path))
		return f.statBody(d, zk.AppendString(again, path))
	case zk.OpExists, zk.OpSetData, zk.OpSetACL:
		return f.statBody(d, again)
	case zk.OpGetData:
		data := d.Buffer()
		f.text("data", bytesText(data))
		return f.statBody(d, zk.AppendBuffer(again, data))
	case zk.OpGetACL:
		acl := d.ACLs()
		f.set("acl", aclTexts(acl))
		return f.statBody(d, zk.AppendACLs(again, acl))
	case zk.OpGetChildren, zk.OpGetEphemerals:
		names := d.Strings()
		f.set("names", names)
		return zk.AppendStrings(again, names)
	case zk.OpGetChildren2:
		names := d.Strings()
		f.set("names", names)
		return f.statBody(d, zk.AppendStrings(again, names))
	case zk.OpGetAllChildrenNumber, zk.OpAddWatch:
		n := d.Int()
		f.text("number", n)
		return zk.AppendInt(again, n)
	case zk.OpSASL:
		token := d.Buffer()
		f.text("token", bytesText(token))
		return zk.AppendBuffer(again, token)
	case zk.OpWhoAmI:
		ids := d.IDs()
		var list []string
		for _, id := range ids {
			list = append(list, id.Scheme+":"+id.ID)
		}
		f.set("ids", list)
		return zk.AppendIDs(again, ids)
	case zk.OpMulti, zk.OpMultiRead:
		return f.multi(d, again)
	}
	return again
}

func (f *fields) statBody(d *zk.Decoder, again []byte) []byte {
	var s zk.Stat
	s.Decode(d)
	f.stat("stat", &s)
	return s.Append(again)
}

func (f *fields) multi(d *zk.Decoder, again []byte) []byte {
	var m zk.MultiResponse
	m.Decode(d)
	f.text("results", len(m.Results))
	for i := range m.Results {
		p := &m.Results[i]
		name := fmt.Sprint(i)
		f.text(name, fmt.Sprintf("%s %s %q %s", p.Op, p.Err, p.Path, bytesText(p.Data)))
		if p.Op == zk.OpCreate2 || p.Op == zk.OpSetData || p.Op == zk.OpGetData {
			f.stat(name, &p.Stat)
		}
		if p.Op == zk.OpGetChildren {
			f.set(name+".names", p.Children)
		}
	}
	return m.Append(again)
}

func aclTexts(acl []zk.ACL) (list []string) {
	for _, a := range acl {
		list = append(list, fmt.Sprintf("%d %s %q", int32(a.Perms), a.ID.Scheme, a.ID.ID))
	}
	return list
}

// reply is what the two answers to a request have in common, for what comes next.
type reply struct {
	err  zk.Error
	body []byte // ours
}

// compare looks at what came on one connection on both sides. With group the events before an answer may be in any
// order.
func (w *world) compare(c *conn, reqs []*request, got [2][]packet, group bool) (replies []reply) {
	w.t.Helper()
	for i := range got {
		if group {
			sortEvents(got[i])
		}
	}
	if len(got[ours]) != len(got[theirs]) {
		w.fail("connection %d was told:\nours:   %s\ntheirs: %s", c.slot, w.told(got[ours], reqs), w.told(got[theirs], reqs))
		return nil
	}
	next := 0
	for i := range got[ours] {
		a, b := &got[ours][i], &got[theirs][i]
		var r *request
		if !a.isEvent() && next < len(reqs) {
			r = reqs[next]
			next++
		}
		fa, fb := flatten(a, r), flatten(b, r)
		if why := w.differ(&fa, &fb); why != "" || a.isEvent() != b.isEvent() {
			w.fail("connection %d, packet %d of %d: %s\nours:   %s\ntheirs: %s\nall of ours:   %s\nall of theirs: %s", c.slot, i, len(got[ours]), why,
				line(&fa), line(&fb), w.told(got[ours], reqs), w.told(got[theirs], reqs))
			return nil
		}
		if a.end != "" {
			continue
		}
		if a.isEvent() {
			w.counts["events"]++
			continue
		}
		var h zk.ReplyHeader
		d := zk.NewDecoder(a.bytes)
		h.Decode(d)
		w.counts[h.Err.Error()]++
		replies = append(replies, reply{err: h.Err, body: d.Left()})
	}
	return replies
}

func line(f *fields) string {
	var list []string
	for _, x := range f.list {
		list = append(list, x.String())
	}
	return strings.Join(list, " ") + f.err
}

func (w *world) told(list []packet, reqs []*request) string {
	var b strings.Builder
	next := 0
	for i := range list {
		var r *request
		if !list[i].isEvent() && next < len(reqs) {
			r = reqs[next]
			next++
		}
		f := flatten(&list[i], r)
		fmt.Fprintf(&b, "[%s] ", line(&f))
	}
	return b.String()
}

// sortEvents orders runs of events by what they say.
func sortEvents(list []packet) {
	text := func(p packet) string {
		f := flatten(&p, nil)
		return line(&f)
	}
	slices.SortStableFunc(list, func(a, b packet) int {
		if !a.isEvent() || !b.isEvent() {
			return 0
		}
		// behind the transaction's number, which all have in common
		return cmp.Compare(text(a), text(b))
	})
}

// differ tells why two packets are not the same.
func (w *world) differ(a, b *fields) string {
	if a.err != "" || b.err != "" {
		return "an answer is not of its form"
	}
	if len(a.list) != len(b.list) {
		return "other fields"
	}
	for i := range a.list {
		x, y := a.list[i], b.list[i]
		if x.name != y.name || x.kind != y.kind || !w.same(&x, &y) {
			return fmt.Sprintf("%s is not %s", x, y)
		}
	}
	return ""
}

func (w *world) same(x, y *field) bool {
	switch x.kind {
	case zxid:
		return w.pairs.transaction(x.n, y.n)
	case present:
		return w.pairs.now(x.n, y.n)
	case clock:
		return w.pairs.time(ours, x.at, x.n) && w.pairs.time(theirs, y.at, y.n)
	case owner:
		return w.sessionOf(ours, x.n) == w.sessionOf(theirs, y.n)
	}
	return x.text == y.text
}

// sessionOf is the number of the session with that id, 0 for none, -1 for an unknown one.
func (w *world) sessionOf(side int, id int64) int {
	if id == 0 {
		return 0
	}
	for i := len(w.sessions) - 1; i >= 0; i-- {
		if w.sessions[i].id[side] == id {
			return w.sessions[i].n
		}
	}
	return -1
}

// pairing maps transactions of one side to those of the other, in the same order. A real ZooKeeper numbers failed
// writes too; those numbers are only seen as the present one.
type pairing struct {
	known []([2]int64) // in order
	last  [2]int64     // highest seen as the present one
	times [2]map[int64]int64
	alone int64 // transactions of ours that are known to have no like; see "a resume with another time-out"
}

func (p *pairing) init() { p.times = [2]map[int64]int64{{}, {}} }

// transaction tells whether a and b may be the same one; from then on they are.
func (p *pairing) transaction(a, b int64) bool {
	if a <= 0 || b <= 0 {
		return a == b
	}
	i, found := slices.BinarySearchFunc(p.known, a, func(x [2]int64, a int64) int { return cmp.Compare(x[ours], a) })
	if found {
		return p.known[i][theirs] == b
	}
	if i > 0 && p.known[i-1][theirs] >= b || i < len(p.known) && p.known[i][theirs] <= b {
		return false
	}
	p.known = slices.Insert(p.known, i, [2]int64{a, b})
	return true
}

// now tells whether a and b may be the last transaction when an answer is made: neither goes back, and ours goes on
// only where theirs does, or where that is known.
func (p *pairing) now(a, b int64) bool {
	if a <= 0 || b <= 0 {
		return a == b
	}
	ok := a >= p.last[ours] && b >= p.last[theirs] && (a <= p.last[ours]+p.alone || b > p.last[theirs])
	if a > p.last[ours] {
		p.alone = 0
	}
	p.last = [2]int64{a, b}
	return ok
}

// time tells whether a side gives a transaction the time that it gave it before.
func (p *pairing) time(side int, zxid, millis int64) bool {
	known, ok := p.times[side][zxid]
	if !ok {
		p.times[side][zxid] = millis
		return (zxid == 0) == (millis == 0)
	}
	return known == millis
}

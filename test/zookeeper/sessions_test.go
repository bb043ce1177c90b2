//go:build peers

package zookeeper

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// handshake is a connection's first packet, in the form of each side.
type handshake struct {
	session  *session // nil: a new one
	password [2][]byte
	timeout  int32
	seen     [2]int64
	readOnly bool
	old      bool // of 3.3, without the last field
	raw      []byte
}

func (h *handshake) bytes(side int) []byte {
	if h.raw != nil {
		return h.raw
	}
	r := zk.ConnectRequest{LastZxidSeen: h.seen[side], TimeoutMillis: h.timeout, Password: h.password[side], ReadOnly: h.readOnly,
		HasReadOnly: !h.old}
	if h.session != nil {
		r.SessionID = h.session.id[side]
	}
	return frame(r.Append(nil))
}

// connect opens c on both sides and compares what the handshakes are answered.
func (w *world) connect(c *conn, h *handshake, what string) {
	w.t.Helper()
	w.note("%d: connect: %s", c.slot, what)
	w.counts["connect"]++
	c.dial(w)
	c.write([2][]byte{h.bytes(ours), h.bytes(theirs)})
	var got [2]packet
	var resp [2]zk.ConnectResponse
	for i := range got {
		got[i] = c.read(i)
		d := zk.NewDecoder(got[i].bytes)
		resp[i].Decode(d)
		if got[i].end == "" && (d.Err() != nil || !bytes.Equal(resp[i].Append(nil), got[i].bytes)) {
			w.fail("%s: the answer to the handshake is %x", sideNames[i], got[i].bytes)
		}
	}
	if got[ours].end != got[theirs].end {
		w.fail("handshake: ours %q %+v, theirs %q %+v", got[ours].end, resp[ours], got[theirs].end, resp[theirs])
	}
	if got[ours].end != "" {
		c.hangUp()
		return
	}
	a, b := &resp[ours], &resp[theirs]
	if a.ProtocolVersion != b.ProtocolVersion || a.TimeoutMillis != b.TimeoutMillis || (a.SessionID == 0) != (b.SessionID == 0) ||
		len(a.Password) != len(b.Password) || a.ReadOnly != b.ReadOnly || a.HasReadOnly != b.HasReadOnly {
		w.fail("handshake: ours %+v, theirs %+v", a, b)
	}
	if a.SessionID == 0 {
		w.refused(c, &resp)
		return
	}
	w.granted(c, h, &resp)
	w.settle(c, false)
}

// refused checks an answer that gives no session: zeros, and then the end.
func (w *world) refused(c *conn, resp *[2]zk.ConnectResponse) {
	for i := range resp {
		if !bytes.Equal(resp[i].Password, make([]byte, zk.PasswordSize)) || resp[i].TimeoutMillis != 0 {
			w.fail("%s refuses a session with %+v", sideNames[i], resp[i])
		}
		if p := c.read(i); p.end != "closed" {
			w.fail("%s refuses a session and then: %q %x", sideNames[i], p.end, p.bytes)
		}
	}
	c.hangUp()
}

// granted notes whose session c has now. The connection that had it before ends.
func (w *world) granted(c *conn, h *handshake, resp *[2]zk.ConnectResponse) {
	s := h.session
	if s == nil {
		s = &session{n: len(w.sessions) + 1}
		w.sessions = append(w.sessions, s)
		for i := range resp {
			s.id[i], s.password[i] = resp[i].SessionID, resp[i].Password
		}
	}
	if timeout := resp[ours].TimeoutMillis; timeout != s.timeout {
		if s.timeout != 0 {
			w.pairs.alone++
		}
		s.timeout = timeout
	}
	for i := range resp {
		if resp[i].SessionID != s.id[i] || !bytes.Equal(resp[i].Password, s.password[i]) {
			w.fail("%s gives session %#x with another id or password: %+v", sideNames[i], s.id[i], resp[i])
		}
	}
	if old := s.holder; old != nil && old != c {
		for i := range resp {
			if p := old.read(i); p.end != "closed" {
				w.fail("%s: connection %d, whose session was taken over: %q %x", sideNames[i], old.slot, p.end, p.bytes)
			}
		}
		old.session = nil
		old.hangUp()
	}
	c.session, s.holder = s, c
}

// arrive connects c in one of the ways there are.
func (w *world) arrive(c *conn) {
	h := &handshake{timeout: pick(w, []int32{0, 1, -5, 4000, minTimeout, minTimeout + 12345, maxTimeout, 1 << 30}), readOnly: w.chance(10),
		old: w.chance(8)}
	for i := range h.password {
		h.password[i] = make([]byte, zk.PasswordSize)
	}
	if n := len(w.pairs.known); n > 0 && w.chance(30) {
		h.seen = w.pairs.known[w.rng.IntN(n)]
	}
	resume := func(ok func(*session) bool) bool {
		var list []*session
		for _, s := range w.sessions[max(0, len(w.sessions)-20):] {
			if ok(s) {
				list = append(list, s)
			}
		}
		if len(list) == 0 {
			return false
		}
		h.session = pick(w, list)
		for i := range h.password {
			h.password[i] = h.session.password[i]
		}
		return true
	}
	switch n := w.rng.IntN(100); {
	case n < 40:
		w.connect(c, h, "a new session")
	case n < 65 && resume(func(s *session) bool { return !s.over && s.holder == nil }):
		w.connect(c, h, fmt.Sprintf("session %d", h.session.n))
	case n < 72 && resume(func(s *session) bool { return !s.over && s.holder != nil }):
		w.connect(c, h, fmt.Sprintf("session %d, from connection %d", h.session.n, h.session.holder.slot))
	case n < 78 && resume(func(s *session) bool { return s.over }):
		w.connect(c, h, fmt.Sprintf("session %d, which is over", h.session.n))
	case n < 86 && resume(func(s *session) bool { return !s.over && s.holder == nil }):
		for i := range h.password {
			h.password[i] = slices.Clone(h.password[i])
			h.password[i][3] ^= 1
		}
		switch w.rng.IntN(3) {
		case 0:
			h.password = [2][]byte{}
		case 1:
			h.password = [2][]byte{{1, 2, 3}, {1, 2, 3}}
		}
		w.connect(c, h, fmt.Sprintf("session %d with a wrong password", h.session.n))
	case n >= 86 && n < 90:
		h.seen = [2]int64{1 << 50, 1 << 50}
		w.connect(c, h, "who has seen the future")
	case n >= 90 && n < 94:
		h.raw = frame(h.bytes(ours)[4:][:w.rng.IntN(28)])
		w.connect(c, h, "with a handshake that is cut")
	default:
		w.connect(c, h, "a new session")
	}
}

// leave ends the session of c, or only the connection.
func (w *world) leave(c *conn) {
	if w.chance(50) {
		w.note("%d: is cut", c.slot)
		w.counts["connection cut"]++
		c.hangUp()
		return
	}
	s := c.session
	w.ask(c, w.request(c, zk.OpCloseSession, nil, ends, anyOrder))
	s.over = true
}

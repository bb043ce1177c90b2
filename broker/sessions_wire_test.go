package broker

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/wire"
)

// session is a client with an incremental fetch session on topic t.
type session struct {
	c     *client
	id    int32
	epoch int32
}

// request is the session's next request with the partitions that change; it does not wait.
func (s *session) request(partitions ...wire.FetchPartition) *wire.FetchRequest {
	req := fetchOf("t", partitions...)
	if len(partitions) == 0 {
		req.Topics = nil
	}
	req.MaxWaitMillis, req.SessionID, req.SessionEpoch = 0, s.id, s.epoch
	s.epoch++
	return req
}

// told sends req and says which partitions the answer has: "index:batches", or "index!error".
func (s *session) told(req *wire.FetchRequest) string {
	s.c.t.Helper()
	resp := s.c.fetch(req)
	if resp.Error != wire.None {
		return resp.Error.String()
	}
	s.id = resp.SessionID
	var out []string
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.Error != wire.None {
				out = append(out, fmt.Sprintf("%d!%v", p.Index, p.Error))
			} else {
				out = append(out, fmt.Sprintf("%d:%d", p.Index, len(batches(s.c.t, p.Records))))
			}
		}
	}
	return strings.Join(out, " ")
}

func (s *session) expect(want string, req *wire.FetchRequest) {
	s.c.t.Helper()
	if got := s.told(req); got != want {
		s.c.t.Errorf("told %q, want %q", got, want)
	}
}

// kept is how many sessions there are, and the bytes charged for them.
func kept(b *Broker) (sessions int, bytes int64) {
	b.sessions.mu.Lock()
	defer b.sessions.mu.Unlock()
	return len(b.sessions.byID), b.sessions.bytes
}

func TestSessionTellsNews(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 3)
	s := &session{c: c}
	s.expect("0:0 1:0 2:0", s.request(want(0, 0), want(1, 0), want(2, 0)))
	if s.id == noSession {
		t.Fatal("no session")
	}
	s.expect("", s.request())
	c.append("t", 1, records(1, 10))
	s.expect("1:1", s.request())
	s.expect("1:1", s.request()) // the offset has not moved
	s.expect("", s.request(want(1, 1)))
	c.append("t", 1, records(1, 10))
	s.expect("1:1", s.request())
	forget := s.request()
	forget.Forgotten = []wire.ForgottenTopic{{Name: []byte("t"), Partitions: []int32{1, 9}}, {Name: []byte("x"), Partitions: []int32{0}}}
	s.expect("", forget)
	c.append("t", 1, records(1, 10))
	c.append("t", 2, records(1, 10))
	s.expect("2:1", s.request())
	s.expect("2:1 1:1", s.request(want(1, 2))) // added again, behind the others
	forget = s.request()
	forget.Forgotten = []wire.ForgottenTopic{{Name: []byte("t"), Partitions: []int32{0, 1, 2}}}
	s.expect("", forget)
	if n, bytes := kept(b); s.id != noSession || n != 0 || bytes != 0 {
		t.Errorf("a session of nothing is kept: %d, %d bytes", n, bytes)
	}
}

// TestSessionRotates asks for one batch at a time from partitions that all have some.
func TestSessionRotates(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 3)
	for range 3 {
		for i := range int32(3) {
			c.append("t", i, records(1, 10))
		}
	}
	s := &session{c: c}
	limited := func(partitions ...wire.FetchPartition) *wire.FetchRequest {
		req := s.request(partitions...)
		req.MaxBytes = 1
		return req
	}
	s.expect("0:1 1:0 2:0", limited(want(0, 0), want(1, 0), want(2, 0)))
	for _, step := range []string{"1:1", "2:1", "0:1", "1:1"} {
		s.expect(step, limited())
	}
}

func TestSessionErrorThenRecovery(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	s := &session{c: c}
	s.expect("0:0 1!UNKNOWN_TOPIC_OR_PARTITION", s.request(want(0, 0), want(1, 0)))
	s.expect("1!UNKNOWN_TOPIC_OR_PARTITION", s.request()) // each time
	c.delete("t")
	s.expect("0!UNKNOWN_TOPIC_OR_PARTITION 1!UNKNOWN_TOPIC_OR_PARTITION", s.request())
	c.create("t", 2)
	s.expect("0:0 1:0", s.request()) // that the error is over is news
	s.expect("", s.request())
	c.append("t", 1, records(1, 1))
	s.expect("1!OFFSET_OUT_OF_RANGE", s.request(want(1, 5)))
	s.expect("1:1", s.request(want(1, 0)))
}

func TestSessionIDsAndEpochs(t *testing.T) {
	b := startBroker(t, t.TempDir(), "max.incremental.fetch.session.cache.slots=2")
	c := dial(t, b)
	c.create("t", 1)
	s := &session{c: c}
	s.expect("0:0", s.request(want(0, 0)))
	old := s.id
	s.epoch = 7
	s.expect("INVALID_FETCH_SESSION_EPOCH", s.request())
	s.id, s.epoch = old+1, 1
	s.expect("FETCH_SESSION_ID_NOT_FOUND", s.request())
	s.id, s.epoch = old, 1
	other := &session{c: dial(t, b), id: old, epoch: 2} // a session is no connection's
	s.expect("", s.request())
	other.expect("", other.request())

	s.epoch = 0 // in place of the old one
	s.expect("0:0", s.request(want(0, 0)))
	if s.id == old || s.id == noSession {
		t.Errorf("session %d replaces %d", s.id, old)
	}
	other.id, other.epoch = old, 3
	other.expect("FETCH_SESSION_ID_NOT_FOUND", other.request())
	other.id, other.epoch = 0, 0
	other.expect("0:0", other.request(want(0, 0)))
	third := &session{c: c}
	third.expect("0:0", third.request(want(0, 0)))
	if third.id != noSession {
		t.Error("a third session, where there is room for two")
	}
	mine := s.id
	s.epoch = -1
	s.expect("0:0", s.request(want(0, 0)))
	s.id, s.epoch = mine, 1
	s.expect("FETCH_SESSION_ID_NOT_FOUND", s.request())
}

// TestSessionOvertaken sends a session's next request on another connection while one is parked.
func TestSessionOvertaken(t *testing.T) {
	b := startBroker(t, t.TempDir(), "num.network.threads=2")
	c := dial(t, b)
	c.create("t", 1)
	s := &session{c: c}
	s.expect("0:0", s.request(want(0, 0)))
	slow := s.request()
	slow.MaxWaitMillis = int32(longWait.Milliseconds())
	c.sendFetch(slow)
	untilParked(t, b, 1)
	other := &session{c: dial(t, b), id: s.id, epoch: s.epoch}
	other.expect("", other.request())
	other.c.append("t", 0, records(1, 1))
	if resp := c.fetchAnswer(fetchVersion); resp.Error != wire.InvalidFetchSessionEpoch || resp.SessionID != s.id {
		t.Errorf("overtaken: %v, session %d of %d", resp.Error, resp.SessionID, s.id)
	}
	other.expect("0:1", other.request())
}

// TestSessionMemory names one topic, as long as a name may be, with thousands of partitions: its name is kept once.
func TestSessionMemory(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	req := fetchOf(strings.Repeat("x", 32000))
	for i := range int32(20000) {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, want(i, 0))
	}
	req.MaxWaitMillis, req.SessionEpoch = 0, initialEpoch
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	if resp := c.fetch(req); resp.SessionID == noSession {
		t.Error("no session")
	}
	runtime.ReadMemStats(&m1)
	if n := m1.TotalAlloc - m0.TotalAlloc; n > 64<<20 {
		t.Errorf("%d bytes allocated", n)
	}
	b.sessions.mu.Lock()
	b.sessions.maxBytes = 8 << 20
	b.sessions.mu.Unlock()
	for i := range 3 { // each 3 MB
		req.Topics[0].Name = fmt.Appendf(nil, "x%d", i)
		c.fetch(req)
	}
	if n, bytes := kept(b); bytes > 8<<20 || n != 2 {
		t.Errorf("%d sessions with %d bytes", n, bytes)
	}
}

func TestSessionOutgrows(t *testing.T) {
	b := startBroker(t, t.TempDir())
	b.sessions.mu.Lock()
	b.sessions.maxBytes = topicBytes + 5*partBytes
	b.sessions.mu.Unlock()
	c := dial(t, b)
	c.create("t", 9)
	s := &session{c: c}
	s.expect("0:0 1:0 2:0 3:0", s.request(want(0, 0), want(1, 0), want(2, 0), want(3, 0)))
	s.expect("FETCH_SESSION_ID_NOT_FOUND", s.request(want(4, 0), want(5, 0)))
	if n, bytes := kept(b); n != 0 || bytes != 0 {
		t.Errorf("%d sessions of %d bytes are left", n, bytes)
	}
	s.id, s.epoch = 0, 0
	s.expect("0:0 1:0 2:0 3:0 4:0 5:0", s.request(want(0, 0), want(1, 0), want(2, 0), want(3, 0), want(4, 0), want(5, 0)))
	if s.id != noSession {
		t.Error("a session larger than all may be")
	}
}

package broker

import (
	"time"

	"github.com/sluice-mq/sluice/netpoll"
	"github.com/sluice-mq/sluice/wire"
)

// readCommitted is the isolation level of consumers that see no transaction before its commit; 0 is the other one.
const readCommitted = 1

// Fetch, versions 4 to 12: 5 log start offset, 7 sessions (KIP-227), 9 leader epoch, 10 zstd, 11 rack, 12 flexible.
func fetchAPI() api {
	return api{key: wire.KeyFetch, min: 4, max: 12, maxBody: maxMessageBody, handle: (*call).fetch}
}

func (c *call) fetch() {
	req := &c.loop.fetchRequest
	if err := req.Decode(c.version(), c.body); err != nil {
		c.hangUp("malformed request")
		return
	}
	f := c.loop.newFetch(c)
	f.maxBytes = min(int64(req.MaxBytes), c.b.limits.fetchMaxBytes)
	f.minBytes = min(int64(req.MinBytes), f.maxBytes)
	f.committed = req.IsolationLevel == readCommitted
	if code := f.openSession(req); code != wire.None {
		f.refuse(code)
		return
	}
	f.start(time.Duration(req.MaxWaitMillis) * time.Millisecond)
}

// openSession sets what to read: the partitions of the request, or those of its session as the request changed it.
func (f *fetch) openSession(req *wire.FetchRequest) wire.ErrorCode {
	sessions := f.loop.b.sessions
	f.epoch, f.full, f.session = req.SessionEpoch, true, nil
	if req.SessionEpoch == initialEpoch || req.SessionEpoch == finalEpoch {
		if req.SessionID != noSession {
			sessions.remove(req.SessionID)
		}
		f.addRequested(req)
		if req.SessionEpoch == initialEpoch {
			f.createSession()
		}
		return wire.None
	}
	s, code := sessions.resume(req.SessionID, req.SessionEpoch, f.loop.now)
	if code != wire.None {
		return code
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			s.set(t.Name, p.Index, p.FetchOffset, p.MaxBytes, p.CurrentLeaderEpoch)
		}
	}
	for i := range req.Forgotten {
		for _, index := range req.Forgotten[i].Partitions {
			s.forget(req.Forgotten[i].Name, index)
		}
	}
	for p := s.root.next; p != &s.root; p = p.next {
		f.parts = append(f.parts, fetchPart{
			topic: p.topic, index: p.index, offset: p.offset, maxBytes: p.maxBytes, epoch: p.epoch, cached: p,
		})
	}
	if len(f.parts) == 0 { // nothing left to remember
		sessions.remove(s.id)
		return wire.None
	}
	if !sessions.resized(s, len(f.parts), f.loop.now) {
		return wire.FetchSessionIDNotFound
	}
	f.session, f.full = s, false
	return wire.None
}

func (f *fetch) addRequested(req *wire.FetchRequest) {
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			f.parts = append(f.parts, fetchPart{
				topic: t.Name, index: p.Index, offset: p.FetchOffset, maxBytes: p.MaxBytes, epoch: p.CurrentLeaderEpoch,
			})
		}
	}
}

// createSession asks for a session that holds the request's partitions. Below version 7 requests carry none.
func (f *fetch) createSession() {
	if f.call.version() < 7 {
		return
	}
	s := f.loop.b.sessions.create(len(f.parts), f.loop.now)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range f.parts {
		p := &f.parts[i]
		p.cached = s.set(p.topic, p.index, p.offset, p.maxBytes, p.epoch)
	}
	if f.loop.b.sessions.resized(s, len(f.parts), f.loop.now) {
		f.session = s
	}
}

// answer sends what was found and ends the fetch.
func (f *fetch) answer() {
	w := wire.FetchWriter{Version: f.call.version()}
	out := f.call.begin()
	id := noSession
	if s := f.session; s != nil {
		id = s.id
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.epoch != nextEpoch(f.epoch) { // another request of the session overtook this one
			f.release()
			out.Buf = w.AppendHead(out.Buf, 0, wire.InvalidFetchSessionEpoch, s.id, 0)
			f.end(out, &w)
			return
		}
		f.omitUnchanged(s)
	}
	out.Buf = w.AppendHead(out.Buf, 0, wire.None, id, f.topicRuns())
	for i := 0; i < len(f.parts); {
		n := f.run(i)
		out.Buf = w.AppendTopic(out.Buf, f.parts[i].topic, [16]byte{}, n)
		for range n {
			f.write(out, &w, &f.parts[i])
			i++
		}
		out.Buf = w.AppendTopicEnd(out.Buf)
	}
	f.count()
	f.end(out, &w)
}

func (f *fetch) write(out *netpoll.Out, w *wire.FetchWriter, p *fetchPart) {
	r := &f.loop.fetchPart
	r.Reset(p.index)
	r.Error, r.HighWatermark, r.LastStableOffset, r.LogStartOffset = p.err, p.highWatermark, p.lastStable, p.logStart
	if f.committed && p.err == wire.None {
		r.Aborted = p.aborted
	}
	out.Buf = w.AppendPartition(out.Buf, r, p.n)
	for i := p.from; i < p.to; i++ {
		out.Splice(f.spans[i])
	}
	out.Buf = w.AppendPartitionEnd(out.Buf, r)
}

// noAborted is the list of aborted transactions at read_committed: empty, not null.
var noAborted = []wire.AbortedTransaction{}

func (f *fetch) end(out *netpoll.Out, w *wire.FetchWriter) {
	out.Buf = w.AppendTail(out.Buf)
	c, lp := f.call, f.loop
	f.spans = f.spans[:0] // their holds went with the reply
	lp.freeFetch(f)
	c.send()
}

// refuse answers with an error for the request as a whole.
func (f *fetch) refuse(code wire.ErrorCode) {
	w := wire.FetchWriter{Version: f.call.version()}
	out := f.call.begin()
	out.Buf = w.AppendHead(out.Buf, 0, code, noSession, 0)
	f.end(out, &w)
}

// omitUnchanged leaves in parts those that the client has to hear of: in an incremental answer, the ones with
// records, an error, or another high watermark or log start than it was told before (KIP-227).
func (f *fetch) omitUnchanged(s *fetchSession) {
	kept := f.parts[:0]
	for i := range f.parts {
		p := f.parts[i]
		c := p.cached
		news := p.n > 0 || p.err != wire.None || p.highWatermark != c.highWatermark || p.logStart != c.logStart
		c.highWatermark, c.logStart = p.highWatermark, p.logStart
		if p.n > 0 {
			s.moveToEnd(c)
		}
		if news || f.full {
			kept = append(kept, p)
		}
	}
	clear(f.parts[len(kept):])
	f.parts = kept
}

// run returns how many parts from i on are of one topic.
func (f *fetch) run(i int) int {
	n := 1
	for i+n < len(f.parts) && string(f.parts[i+n].topic) == string(f.parts[i].topic) {
		n++
	}
	return n
}

func (f *fetch) topicRuns() int {
	runs := 0
	for i := 0; i < len(f.parts); i += f.run(i) {
		runs++
	}
	return runs
}

//go:build peers

package differential

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchTopic prepares a topic with five batches of three records in partition 0, a large and a small batch in
// partition 1, a small one in 3, and nothing in 2.
func (p *pair) fetchTopic() string {
	p.Helper()
	const name = "fetch"
	p.topic(name, 4, nil)
	p.once("fill fetch", func() {
		for i := range 5 {
			p.fill(name, 0, batchOf{n: 3, size: 100, fill: byte(i)})
		}
		p.fill(name, 1, batchOf{n: 1, size: 100_000}, batchOf{n: 1})
		p.fill(name, 3, batchOf{n: 1})
	})
	return name
}

func fetchCases() (cs []testCase) {
	add := func(name string, run func(p *pair, v int16)) {
		cs = append(cs, perVersion("Fetch/"+name, 4, 12, run)...)
	}
	add("every offset", func(p *pair, v int16) {
		t := p.fetchTopic()
		for offset := int64(0); offset <= 15; offset++ {
			p.ask(fetch(v, fetchFrom{topic: t, offset: offset}))
		}
	})
	add("out of range", func(p *pair, v int16) {
		t := p.fetchTopic()
		for _, offset := range []int64{16, 1 << 40, -1, -2} {
			p.ask(fetch(v, fetchFrom{topic: t, offset: offset}))
		}
	})
	add("unknown", func(p *pair, v int16) {
		t := p.fetchTopic()
		p.ask(fetch(v, fetchFrom{topic: "fetch-unknown"}))
		p.ask(fetch(v, fetchFrom{topic: t, partition: 9}, fetchFrom{topic: t, partition: -1}))
		p.ask(fetch(v, fetchFrom{topic: "fetch-unknown"}, fetchFrom{topic: t}, fetchFrom{topic: "a b"}))
	})
	add("all partitions", func(p *pair, v int16) {
		t := p.fetchTopic()
		p.ask(fetch(v, fetchFrom{topic: t, partition: 0}, fetchFrom{topic: t, partition: 1}, fetchFrom{topic: t, partition: 2}, fetchFrom{topic: t, partition: 3}))
		p.ask(fetch(v, fetchFrom{topic: t, partition: 3}, fetchFrom{topic: t, partition: 2}, fetchFrom{topic: t, partition: 1}, fetchFrom{topic: t, partition: 0}))
	})
	for _, limit := range []int32{0, 1, 100, 500, 1200, 90_000, 101_000} {
		add(fmt.Sprintf("max bytes %d", limit), func(p *pair, v int16) {
			t := p.fetchTopic()
			r := fetch(v, fetchFrom{topic: t, partition: 2}, fetchFrom{topic: t, partition: 0}, fetchFrom{topic: t, partition: 3})
			r.MaxBytes = limit
			p.ask(r)
			r = fetch(v, fetchFrom{topic: t, partition: 1}, fetchFrom{topic: t, partition: 3})
			r.MaxBytes = limit
			p.ask(r)
		})
	}
	for _, limit := range []int32{1, 100, 500, 1200, 100_500} {
		add(fmt.Sprintf("partition max bytes %d", limit), func(p *pair, v int16) {
			t := p.fetchTopic()
			p.ask(fetch(v, fetchFrom{t, 0, 0, limit}, fetchFrom{t, 3, 0, limit}))
			p.ask(fetch(v, fetchFrom{t, 0, 4, limit}, fetchFrom{t, 1, 0, limit}))
			p.ask(fetch(v, fetchFrom{t, 1, 0, limit}, fetchFrom{t, 0, 0, limit}))
		})
	}
	add("no topics", func(p *pair, v int16) {
		r := fetch(v)
		p.ask(r)
		r.MinBytes = 1
		p.ask(r)
	})
	add("read committed", func(p *pair, v int16) {
		r := fetch(v, fetchFrom{topic: p.fetchTopic()}, fetchFrom{topic: p.fetchTopic(), partition: 2})
		r.IsolationLevel = 1
		p.ask(r)
	})
	add("negative limits", func(p *pair, v int16) {
		t := p.fetchTopic()
		r := fetch(v, fetchFrom{topic: t, max: -1})
		p.ask(r)
		r = fetch(v, fetchFrom{topic: t})
		r.MaxBytes = -1
		p.ask(r)
		r = fetch(v, fetchFrom{topic: t})
		r.MaxWaitMillis, r.MinBytes = -1, -1
		p.ask(r)
	})
	cs = append(cs, perVersion("Fetch/leader epoch", 9, 12, func(p *pair, v int16) {
		t := p.fetchTopic()
		for _, epoch := range []int32{-1, 0, 5} {
			r := fetch(v, fetchFrom{topic: t, offset: 14})
			r.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
			p.ask(r)
		}
	})...)
	cs = append(cs, perVersion("Fetch/last fetched epoch", 12, 12, func(p *pair, v int16) {
		t := p.fetchTopic()
		for _, offset := range []int64{0, 14, 15} {
			r := fetch(v, fetchFrom{topic: t, offset: offset})
			r.Topics[0].Partitions[0].LastFetchedEpoch = 0
			p.ask(r)
		}
	})...)
	return append(cs, waitingCases()...)
}

// waitingCases is about when an answer comes. The waits are short, and the comparison is coarse: at least the
// wait, or less than it.
func waitingCases() (cs []testCase) {
	const wait = 300 * time.Millisecond
	add := func(name string, request func(t string, v int16) *kmsg.FetchRequest) {
		cs = append(cs, perVersion("Fetch/wait/"+name, 4, 12, func(p *pair, v int16) {
			r := request(p.fetchTopic(), v)
			r.MaxWaitMillis = int32(wait.Milliseconds())
			p.askTimed(wait, r)
		})...)
	}
	min := func(n int32, r *kmsg.FetchRequest) *kmsg.FetchRequest {
		r.MinBytes = n
		return r
	}
	add("nothing there", func(t string, v int16) *kmsg.FetchRequest { return min(1, fetch(v, fetchFrom{topic: t, partition: 2})) })
	add("nothing there, none wanted", func(t string, v int16) *kmsg.FetchRequest { return fetch(v, fetchFrom{topic: t, partition: 2}) })
	add("enough", func(t string, v int16) *kmsg.FetchRequest { return min(1, fetch(v, fetchFrom{topic: t})) })
	add("not enough", func(t string, v int16) *kmsg.FetchRequest { return min(1<<20, fetch(v, fetchFrom{topic: t})) })
	add("enough in sum", func(t string, v int16) *kmsg.FetchRequest {
		return min(100_500, fetch(v, fetchFrom{topic: t}, fetchFrom{topic: t, partition: 1}))
	})
	add("error beside", func(t string, v int16) *kmsg.FetchRequest {
		return min(1, fetch(v, fetchFrom{topic: t, partition: 2}, fetchFrom{topic: "fetch-unknown"}))
	})
	add("out of range beside", func(t string, v int16) *kmsg.FetchRequest {
		return min(1, fetch(v, fetchFrom{topic: t, partition: 2}, fetchFrom{topic: t, offset: 99}))
	})
	add("no topics", func(t string, v int16) *kmsg.FetchRequest { return min(1, fetch(v)) })
	cs = append(cs, perVersion("Fetch/wait/woken by a produce", 4, 12, func(p *pair, v int16) {
		name := versioned("fetch-woken", v)
		p.topic(name, 1, nil)
		r := fetch(v, fetchFrom{topic: name})
		r.MinBytes, r.MaxWaitMillis = 1, 4000
		var a [2]*answer
		for i, s := range p.sides {
			other := &side{name: s.name, address: s.address, topics: s.topics, node: s.node, cluster: s.cluster}
			done := make(chan *answer)
			go func() { done <- s.exchange(r, answerLimit) }()
			// An answer on another connection makes it likely that the fetch is parked by now; if it is not, it
			// finds the records at once and the case shows less, but does not fail.
			other.exchange(kmsg.NewPtrApiVersionsRequest(), answerLimit)
			other.exchange(produce(7, 1, name, 0, batchOf{n: 2}.bytes()), answerLimit)
			other.hangUp()
			a[i] = <-done
			a[i].fields["<wait>"] = fmt.Sprint(a[i].took > 2*time.Second)
		}
		p.compare(r.Key(), v, a)
	})...)
	return cs
}

// session asks with a session of each side's own; change is applied to the request.
func (p *pair) session(v int16, sessions [2]int32, epoch int32, froms ...fetchFrom) [2]int32 {
	p.Helper()
	return p.sessionForget(v, sessions, epoch, nil, froms...)
}

func (p *pair) sessionForget(v int16, sessions [2]int32, epoch int32, forget []kmsg.FetchRequestForgottenTopic, froms ...fetchFrom) (ids [2]int32) {
	p.Helper()
	answers := p.askEach(func(s *side) kmsg.Request {
		r := fetch(v, froms...)
		r.SessionID, r.SessionEpoch, r.ForgottenTopics = sessions[0], epoch, forget
		if s == p.sides[1] {
			r.SessionID = sessions[1]
		}
		return r
	})
	for i, a := range answers {
		if f, ok := a.(*kmsg.FetchResponse); ok {
			ids[i] = f.SessionID
		}
	}
	return ids
}

func sessionCases() (cs []testCase) {
	add := func(name string, run func(p *pair, v int16, t string)) {
		cs = append(cs, perVersion("Fetch/session/"+name, 7, 12, func(p *pair, v int16) { run(p, v, p.fetchTopic()) })...)
	}
	none := [2]int32{}
	add("created, empty rounds", func(p *pair, v int16, t string) {
		id := p.session(v, none, 0, fetchFrom{topic: t, offset: 15}, fetchFrom{topic: t, partition: 2})
		p.session(v, id, 1)
		p.session(v, id, 2)
	})
	add("created without partitions", func(p *pair, v int16, t string) { p.session(v, none, 0) })
	add("records stay new until fetched", func(p *pair, v int16, t string) {
		id := p.session(v, none, 0, fetchFrom{topic: t, offset: 12}, fetchFrom{topic: t, partition: 2})
		p.session(v, id, 1)
		p.session(v, id, 2, fetchFrom{topic: t, offset: 15})
		p.session(v, id, 3)
	})
	add("news", func(p *pair, v int16, _ string) {
		name := versioned("session", v)
		p.topic(name, 2, nil)
		id := p.session(v, none, 0, fetchFrom{topic: name}, fetchFrom{topic: name, partition: 1})
		p.fill(name, 1, batchOf{n: 2})
		p.session(v, id, 1)
		p.session(v, id, 2, fetchFrom{topic: name, partition: 1, offset: 2})
	})
	add("partition added and forgotten", func(p *pair, v int16, t string) {
		id := p.session(v, none, 0, fetchFrom{topic: t, partition: 2})
		p.session(v, id, 1, fetchFrom{topic: t, offset: 3})
		forget := kmsg.NewFetchRequestForgottenTopic()
		forget.Topic, forget.Partitions = t, []int32{0}
		p.sessionForget(v, id, 2, []kmsg.FetchRequestForgottenTopic{forget})
		p.session(v, id, 3)
		forget.Partitions = []int32{2}
		p.sessionForget(v, id, 4, []kmsg.FetchRequestForgottenTopic{forget})
	})
	add("wrong epoch", func(p *pair, v int16, t string) {
		id := p.session(v, none, 0, fetchFrom{topic: t})
		p.session(v, id, 5)
		p.session(v, id, 1)
		p.session(v, id, 1)
	})
	add("unknown id", func(p *pair, v int16, t string) {
		for _, epoch := range []int32{1, 0, -1} {
			p.session(v, [2]int32{424242, 424242}, epoch, fetchFrom{topic: t, offset: 14})
		}
	})
	add("closed", func(p *pair, v int16, t string) {
		id := p.session(v, none, 0, fetchFrom{topic: t})
		p.session(v, id, -1)
		p.session(v, id, 1)
	})
	add("closed with a last fetch", func(p *pair, v int16, t string) {
		id := p.session(v, none, 0, fetchFrom{topic: t})
		p.session(v, id, -1, fetchFrom{topic: t, offset: 14})
	})
	add("replaced", func(p *pair, v int16, t string) {
		id := p.session(v, none, 0, fetchFrom{topic: t})
		p.session(v, id, 0, fetchFrom{topic: t, partition: 1})
		p.session(v, id, 1)
	})
	add("with errors", func(p *pair, v int16, t string) {
		id := p.session(v, none, 0, fetchFrom{topic: "fetch-unknown"}, fetchFrom{topic: t, offset: 99})
		p.session(v, id, 1)
		p.session(v, id, 2, fetchFrom{topic: t, offset: 15})
	})
	add("id 0, later epoch", func(p *pair, v int16, t string) { p.session(v, none, 3, fetchFrom{topic: t, offset: 14}) })
	return cs
}

//go:build peers

package differential

import "github.com/twmb/franz-go/pkg/kmsg"

func createPartitions(v int16, topic string, n int32, assignment ...[]int32) *kmsg.CreatePartitionsRequest {
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.Version, r.TimeoutMillis = v, 5000
	t := kmsg.CreatePartitionsRequestTopic{Topic: topic, Count: n}
	for _, replicas := range assignment {
		t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
	}
	r.Topics = append(r.Topics, t)
	return r
}

func partitionsCases() (cs []testCase) {
	each := func(name string, run func(p *pair, v int16, topic string)) {
		cs = append(cs, perVersion("CreatePartitions/"+name, 0, 3, func(p *pair, v int16) {
			t := versioned("grow-"+name, v)
			p.topic(t, 2, nil)
			run(p, v, t)
		})...)
	}
	each("more", func(p *pair, v int16, t string) {
		p.ask(createPartitions(v, t, 4))
		for _, s := range p.sides {
			s.awaitLeaders(p, t, 4)
		}
		p.ask(metadata(12, t))
		p.fill(t, 3, batchOf{n: 3})
	})
	each("refused", func(p *pair, v int16, t string) {
		for _, n := range []int32{2, 1, 0, -1} {
			p.ask(createPartitions(v, t, n))
		}
		p.ask(createPartitions(v, "nowhere", 3))
		p.ask(createPartitions(v, "a b", 3))
		p.ask(createPartitions(v, t, 4, []int32{1}))
		p.ask(createPartitions(v, t, 3, []int32{77}))
		p.ask(createPartitions(v, t, 3, []int32{}))
		p.ask(metadata(12, t))
	})
	each("assigned, only validated", func(p *pair, v int16, t string) {
		p.askEach(func(s *side) kmsg.Request {
			r := createPartitions(v, t, 3, []int32{s.node})
			r.ValidateOnly = true
			return r
		})
		p.ask(metadata(12, t))
	})
	each("topic twice", func(p *pair, v int16, t string) {
		r := createPartitions(v, t, 3)
		r.Topics = append(r.Topics, createPartitions(v, "nowhere", 3).Topics[0], r.Topics[0])
		p.ask(r)
		p.ask(metadata(12, t))
	})
	each("none", func(p *pair, v int16, _ string) {
		r := createPartitions(v, "", 0)
		r.Topics = nil
		p.ask(r)
	})
	return cs
}

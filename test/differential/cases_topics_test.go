//go:build peers

package differential

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicCases() (cs []testCase) {
	add := func(name string, from int16, run func(p *pair, v int16, topic string)) {
		cs = append(cs, perVersion("CreateTopics/"+name, from, 7, func(p *pair, v int16) { run(p, v, versioned("create-"+name, v)) })...)
	}
	refused := func(name string, from int16, topic func(name string) kmsg.CreateTopicsRequestTopic) {
		add(name, from, func(p *pair, v int16, t string) {
			p.settle(p.ask(createTopics(v, topic(t))))
			p.ask(metadata(8, t))
		})
	}
	add("plain", 2, func(p *pair, v int16, t string) {
		p.ask(createTopics(v, newTopic(t, 3, 1)))
		p.sides[0].awaitLeaders(p, t, 3)
		p.sides[1].awaitLeaders(p, t, 3)
		p.ask(metadata(12, t))
		p.ask(createTopics(v, newTopic(t, 3, 1))) // exists
	})
	add("defaults", 2, func(p *pair, v int16, t string) { p.ask(createTopics(v, newTopic(t, -1, -1))) })
	add("several", 2, func(p *pair, v int16, t string) {
		p.ask(createTopics(v, newTopic(t, 1, 1), newTopic("a b", 1, 1), newTopic(t+"-b", 2, 1), newTopic(t+"-c", 0, 1)))
	})
	add("a name twice", 2, func(p *pair, v int16, t string) {
		p.settle(p.ask(createTopics(v, newTopic(t, 1, 1), newTopic(t+"-b", 1, 1), newTopic(t, 2, 1))))
		p.ask(metadata(8, t))
	})
	add("none", 2, func(p *pair, v int16, t string) { p.ask(createTopics(v)) })
	add("only validated", 2, func(p *pair, v int16, t string) {
		r := createTopics(v, newTopic(t, 2, 1), newTopic("a b", 2, 1))
		r.ValidateOnly = true
		p.ask(r)
		p.ask(metadata(8, t))
	})
	for i, name := range badNames {
		add(fmt.Sprintf("bad name %d", i), 2, func(p *pair, v int16, _ string) { p.ask(createTopics(v, newTopic(name, 1, 1))) })
	}
	add("names that collide as metrics", 2, func(p *pair, v int16, t string) {
		p.ask(createTopics(v, newTopic(t+".a", 1, 1)))
		p.ask(createTopics(v, newTopic(t+"_a", 1, 1)))
	})
	for _, n := range []int32{0, -2, -100} {
		refused(fmt.Sprintf("partitions %d", n), 2, func(t string) kmsg.CreateTopicsRequestTopic { return newTopic(t, n, 1) })
	}
	for _, n := range []int16{0, -2, 2, 100} {
		refused(fmt.Sprintf("replicas %d", n), 2, func(t string) kmsg.CreateTopicsRequestTopic { return newTopic(t, 1, n) })
	}
	add("assigned", 2, func(p *pair, v int16, t string) {
		p.settle(p.askEach(func(s *side) kmsg.Request {
			return createTopics(v, assigned(newTopic(t, -1, -1), []int32{s.node}, []int32{s.node}))
		}))
		p.ask(metadata(8, t))
	})
	for name, topic := range map[string]kmsg.CreateTopicsRequestTopic{
		"assigned and counted":          assigned(newTopic("x", 2, 1), []int32{1}, []int32{1}),
		"assigned, gap":                 gap(assigned(newTopic("x", -1, -1), []int32{1}, []int32{1})),
		"assigned to nobody":            assigned(newTopic("x", -1, -1), []int32{}),
		"assigned to an unknown node":   assigned(newTopic("x", -1, -1), []int32{77}),
		"assigned to one node twice":    assigned(newTopic("x", -1, -1), []int32{77, 77}),
		"configs, unknown key":          configured(newTopic("x", 1, 1), "no.such.key", "1"),
		"configs, bad value":            configured(newTopic("x", 1, 1), "segment.bytes", "many"),
		"configs, value out of range":   configured(newTopic("x", 1, 1), "segment.bytes", "1"),
		"configs, bad cleanup policy":   configured(newTopic("x", 1, 1), "cleanup.policy", "burn"),
		"configs, null value":           nullConfig(newTopic("x", 1, 1)),
		"configs, min ISR 0":            configured(newTopic("x", 1, 1), "min.insync.replicas", "0"),
		"configs, key twice":            configured(configured(newTopic("x", 1, 1), "segment.ms", "1000"), "segment.ms", "2000"),
		"configs, bad compression":      configured(newTopic("x", 1, 1), "compression.type", "rar"),
		"configs, max message negative": configured(newTopic("x", 1, 1), "max.message.bytes", "-1"),
	} {
		refused(name, 2, func(t string) kmsg.CreateTopicsRequestTopic {
			topic.Topic = t
			return topic
		})
	}
	refused("configs, good", 2, func(t string) kmsg.CreateTopicsRequestTopic {
		return configured(configured(newTopic(t, 1, 1), "segment.bytes", "2097152"), "retention.ms", "3600000")
	})
	return append(cs, deleteCases()...)
}

// settle waits until the topics that were created are there: Kafka answers before its brokers know of them.
func (p *pair) settle(answers [2]kmsg.Response) {
	p.Helper()
	for i, a := range answers {
		if r, ok := a.(*kmsg.CreateTopicsResponse); ok {
			for _, t := range r.Topics {
				if t.ErrorCode == 0 {
					p.sides[i].awaitLeaders(p, t.Topic, 1)
				}
			}
		}
	}
}

func assigned(t kmsg.CreateTopicsRequestTopic, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	for i, r := range replicas {
		t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
	}
	return t
}

func gap(t kmsg.CreateTopicsRequestTopic) kmsg.CreateTopicsRequestTopic {
	t.ReplicaAssignment[1].Partition = 2
	return t
}

func configured(t kmsg.CreateTopicsRequestTopic, key, value string) kmsg.CreateTopicsRequestTopic {
	t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value})
	return t
}

func nullConfig(t kmsg.CreateTopicsRequestTopic) kmsg.CreateTopicsRequestTopic {
	t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: "segment.ms"})
	return t
}

func deleteCases() (cs []testCase) {
	add := func(name string, from, to int16, run func(p *pair, v int16, topic string)) {
		cs = append(cs, perVersion("DeleteTopics/"+name, from, to, func(p *pair, v int16) { run(p, v, versioned("delete-"+name, v)) })...)
	}
	add("one", 1, 6, func(p *pair, v int16, t string) {
		p.topic(t, 2, nil)
		p.ask(deleteTopics(v, t))
		p.ask(deleteTopics(v, t))
	})
	add("gone afterwards", 1, 6, func(p *pair, v int16, t string) {
		p.topic(t, 1, nil)
		p.fill(t, 0, batchOf{n: 1})
		p.ask(deleteTopics(v, t))
		for _, s := range p.sides {
			eventually(p.T, s.name+" has forgotten "+t, func() bool {
				a := s.exchange(produce(9, 1, t, 0, batchOf{n: 1}.bytes()), answerLimit)
				return a.fields["Topics["+t+"].Partitions[0].ErrorCode"] == "3"
			})
		}
		p.ask(metadata(12, t))
		p.ask(fetch(12, fetchFrom{topic: t}))
		p.ask(listOffsets(7, t, 0, -1))
	})
	add("several", 1, 6, func(p *pair, v int16, t string) {
		p.topic(t, 1, nil)
		p.ask(deleteTopics(v, "delete-unknown", t, "a b"))
	})
	add("a name twice", 1, 6, func(p *pair, v int16, t string) {
		p.topic(t, 1, nil)
		p.ask(deleteTopics(v, t, t))
		p.ask(metadata(12, t))
	})
	add("none", 1, 6, func(p *pair, v int16, t string) { p.ask(deleteTopics(v)) })
	add("made anew", 1, 6, func(p *pair, v int16, t string) {
		p.topic(t, 1, nil)
		p.fill(t, 0, batchOf{n: 3})
		p.ask(deleteTopics(v, t))
		for _, s := range p.sides {
			eventually(p.T, s.name+" makes "+t+" anew", func() bool {
				a := s.exchange(createTopics(7, newTopic(t, 1, 1)), answerLimit)
				return a.response.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode == 0
			})
			s.awaitLeaders(p, t, 1)
		}
		p.ask(listOffsets(7, t, 0, -1))
	})
	add("by id", 6, 6, func(p *pair, v int16, t string) {
		p.topic(t, 1, nil)
		byID := func(s *side) kmsg.Request {
			r := deleteTopics(v)
			for id, name := range s.topics {
				if name == t {
					r.Topics = append(r.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: id})
				}
			}
			return r
		}
		p.askEach(byID)
		p.askEach(byID)
	})
	add("by unknown id", 6, 6, func(p *pair, v int16, t string) {
		r := deleteTopics(v)
		r.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: [16]byte{9, 9}}}
		p.ask(r)
	})
	add("by id and name", 6, 6, func(p *pair, v int16, t string) {
		p.topic(t, 1, nil)
		r := deleteTopics(v, t)
		r.Topics[0].TopicID = [16]byte{9, 9}
		p.ask(r)
	})
	add("by neither", 6, 6, func(p *pair, v int16, t string) {
		r := deleteTopics(v)
		r.Topics = []kmsg.DeleteTopicsRequestTopic{{}}
		p.ask(r)
	})
	return cs
}

package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/coordination/registry"
)

func topicOf(name string, replicas ...[]int32) registry.Topic {
	t := registry.Topic{Name: name, ID: registry.TopicID{1}}
	for _, r := range replicas {
		t.Partitions = append(t.Partitions, registry.Assignment{Replicas: r})
	}
	return t
}

func brokers(ids ...int32) map[int32]int64 {
	m := map[int32]int64{}
	for _, id := range ids {
		m[id] = int64(id) * 100
	}
	return m
}

// show is what effects say, one word for each.
func show(effects []Effect) string {
	var words []string
	for _, e := range effects {
		switch e := e.(type) {
		case WriteStates:
			for _, s := range e.States {
				words = append(words, fmt.Sprintf("%s-%d:leader=%d,epoch=%d,isr=%v,at=%d", s.Topic, s.Index, s.Leader, s.LeaderEpoch, s.ISR, s.Epoch))
			}
		default:
			words = append(words, fmt.Sprintf("%T%v", e, e))
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "controller.", "")
}

// perform has writes succeed, and returns what the core wants then.
func perform(c *Core, effects []Effect) (next []Effect) {
	for _, e := range effects {
		if w, ok := e.(WriteStates); ok {
			done := slices.Clone(w.States)
			for i := range done {
				done[i].Epoch++
			}
			next = append(next, c.Step(StatesWritten{done})...)
		}
	}
	return next
}

func wantEffects(t *testing.T, what string, got []Effect, want string) {
	t.Helper()
	if s := show(got); s != want {
		t.Errorf("%s: %s\nwant %s", what, s, want)
	}
}

func TestLeaders(t *testing.T) {
	c := New(true)
	if out := c.Step(TopicsChanged{Topics: []registry.Topic{topicOf("early", []int32{1})}}); out != nil || c.Active() {
		t.Errorf("without being elected: %s", show(out))
	}
	out := c.Step(Elected{Epoch: 7, Live: brokers(1, 2), Topics: []registry.Topic{topicOf("t", []int32{3, 2, 1}, []int32{3}, []int32{2})},
		States: []State{{Partition{"t", 2}, registry.PartitionState{Leader: 2, ISR: []int32{2}, LeaderEpoch: 5, Epoch: 9}}}})
	wantEffects(t, "elected", out, "t-0:leader=2,epoch=0,isr=[2 1],at=-1")
	perform(c, out)
	wantEffects(t, "the same again", c.Step(TopicsChanged{Topics: []registry.Topic{topicOf("t", []int32{3, 2, 1}, []int32{3}, []int32{2})}}), "")
	out = c.Step(TopicsChanged{Topics: []registry.Topic{topicOf("t", []int32{3, 2, 1}, []int32{3}, []int32{2}, []int32{1})}})
	wantEffects(t, "grown", out, "t-3:leader=1,epoch=0,isr=[1],at=-1")
	perform(c, out)
	out = c.Step(BrokersChanged{brokers(1)})
	wantEffects(t, "a leader gone", out, "t-0:leader=1,epoch=1,isr=[1],at=0 t-2:leader=-1,epoch=6,isr=[2],at=9")
	perform(c, out)
	wantEffects(t, "told again", c.Step(BrokersChanged{brokers(1)}), "")
	out = c.Step(BrokersChanged{brokers(1, 2, 3)})
	wantEffects(t, "all there", out, "t-1:leader=3,epoch=0,isr=[3],at=-1 t-2:leader=2,epoch=7,isr=[2],at=10")
	perform(c, out)
	out = c.Step(BrokersChanged{brokers()})
	wantEffects(t, "nobody there", out, "t-0:leader=-1,epoch=2,isr=[1],at=1 t-1:leader=-1,epoch=1,isr=[3],at=0 "+
		"t-2:leader=-1,epoch=8,isr=[2],at=11 t-3:leader=-1,epoch=1,isr=[1],at=0")
	c.Step(Resigned{})
	if out := c.Step(BrokersChanged{brokers(1)}); out != nil || c.Active() {
		t.Errorf("after the end of the role: %s", show(out))
	}
}

func TestDeletion(t *testing.T) {
	c := New(true)
	c.Step(Elected{Epoch: 1, Live: brokers(1, 2)})
	perform(c, c.Step(TopicsChanged{Topics: []registry.Topic{topicOf("here", []int32{1}), topicOf("both", []int32{1, 2}, []int32{2}),
		topicOf("away", []int32{3}), topicOf("empty")}}))
	wantEffects(t, "unknown", c.Step(DeletionAsked{[]string{"nowhere"}}), "Unmark{nowhere}")
	wantEffects(t, "here", c.Step(DeletionAsked{[]string{"here"}}), "DeleteReplicas{here 1}")
	wantEffects(t, "asked again", c.Step(DeletionAsked{[]string{"here"}}), "")
	wantEffects(t, "deleted", c.Step(ReplicasDeleted{Topic: "here", Broker: 1}), "RemoveTopic{here}")
	wantEffects(t, "removed", c.Step(TopicRemoved{"here"}), "")
	wantEffects(t, "the mark is left", c.Step(DeletionAsked{[]string{"here"}}), "Unmark{here}")
	wantEffects(t, "empty", c.Step(DeletionAsked{[]string{"empty"}}), "RemoveTopic{empty}")
	c.Step(TopicRemoved{"empty"})

	wantEffects(t, "both", c.Step(DeletionAsked{[]string{"both"}}), "DeleteReplicas{both 1} DeleteReplicas{both 2}")
	wantEffects(t, "one has", c.Step(ReplicasDeleted{Topic: "both", Broker: 1}), "")
	wantEffects(t, "the other failed", c.Step(ReplicasDeleted{Topic: "both", Broker: 2, Failed: true}), "")
	wantEffects(t, "late states", c.Step(StatesWritten{[]State{{Partition{"both", 0}, registry.PartitionState{Leader: 1, ISR: []int32{1}}}}}), "")
	wantEffects(t, "the other is gone", c.Step(BrokersChanged{brokers(1)}), "")
	wantEffects(t, "and back", c.Step(BrokersChanged{brokers(1, 2)}), "DeleteReplicas{both 2}")
	wantEffects(t, "deleted at last", c.Step(ReplicasDeleted{Topic: "both", Broker: 2}), "RemoveTopic{both}")

	wantEffects(t, "which failed", c.Step(BrokersChanged{brokers(1)}), "RemoveTopic{both}")
	c.Step(TopicRemoved{"both"})
	c.Step(BrokersChanged{brokers(1, 2)})

	wantEffects(t, "away", c.Step(DeletionAsked{[]string{"away"}}), "")
	wantEffects(t, "its broker comes", c.Step(BrokersChanged{brokers(1, 2, 3)}), "DeleteReplicas{away 3}")
	wantEffects(t, "taken away meanwhile", c.Step(TopicsChanged{Gone: []string{"away"}}), "")
	wantEffects(t, "and then deleted", c.Step(ReplicasDeleted{Topic: "away", Broker: 3}), "")

	c = New(false)
	c.Step(Elected{Epoch: 1, Live: brokers(1), Topics: []registry.Topic{topicOf("t", []int32{1})}})
	wantEffects(t, "forbidden", c.Step(DeletionAsked{[]string{"t"}}), "Unmark{t}")
}

// TestElectedAmidDeletion: the next controller goes on where the last one was.
func TestElectedAmidDeletion(t *testing.T) {
	c := New(true)
	out := c.Step(Elected{Epoch: 2, Live: brokers(1), Topics: []registry.Topic{topicOf("t", []int32{1}, []int32{1})}, Deleting: []string{"t", "gone"},
		States: []State{{Partition{"t", 0}, registry.PartitionState{Leader: 1, ISR: []int32{1}}}}})
	wantEffects(t, "elected", out, "t-1:leader=1,epoch=0,isr=[1],at=-1 DeleteReplicas{t 1} Unmark{gone}")
	wantEffects(t, "deleted", c.Step(ReplicasDeleted{Topic: "t", Broker: 1}), "RemoveTopic{t}")
}

func TestForbiddenChange(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.HasPrefix(fmt.Sprint(r), "BUG:") {
			t.Errorf("%v", r)
		}
	}()
	p := partition{}
	p.become(OnlinePartition)
}

package registry

import (
	"errors"
	"reflect"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func testTopic(name string, partitions int) Topic {
	t := Topic{Name: name, ID: NewTopicID()}
	for range partitions {
		t.Partitions = append(t.Partitions, Assignment{Replicas: []int32{1}})
	}
	return t
}

func testStates(topic string, partitions int) []StateUpdate {
	var list []StateUpdate
	for p := range partitions {
		list = append(list, StateUpdate{TopicPartition: TopicPartition{topic, int32(p)},
			State: PartitionState{Leader: 1, ISR: []int32{1}}})
	}
	return list
}

// elected is a registry whose broker is the controller.
func elected(t *testing.T, tr *tree) (*Registry, Controller) {
	t.Helper()
	r := tr.open(1)
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, won, err := r.Elect(t.Context(), 1)
	if err != nil || !won {
		t.Fatal(won, err)
	}
	return r, c
}

func TestTopicFromCreationToDeletion(t *testing.T) {
	var c Controller
	var empty map[string]string
	everyFault(t, func(tr *tree) {
		_, c = elected(t, tr)
		empty = tr.dump()
	}, func(tr *tree) error {
		ctx, r := t.Context(), tr.open(1)
		topic := testTopic("t", 3)
		if err := r.CreateTopic(ctx, topic, map[string]string{"retention.ms": "5"}); err != nil {
			return err
		}
		list := testStates("t", 3)
		if err := r.CreatePartitionStates(ctx, c, list); err != nil {
			return err
		}
		for i := range list {
			if list[i].Err != nil || list[i].State.Epoch != 0 || list[i].State.ControllerEpoch != c.Epoch {
				t.Errorf("created %+v", list[i])
			}
			list[i].State.LeaderEpoch++
		}
		if err := r.UpdatePartitionStates(ctx, c, list); err != nil {
			return err
		}
		for i := range list {
			if list[i].Err != nil || list[i].State.Epoch != 1 {
				t.Errorf("updated %+v", list[i])
			}
		}
		topic.Partitions = append(topic.Partitions, Assignment{Replicas: []int32{1}})
		if err := r.SetTopic(ctx, c, &topic); err != nil || topic.Version != 1 {
			return errors.Join(err, errors.New("version"))
		}
		all, err := r.LoadCluster(ctx)
		if err != nil {
			return err
		}
		got := all.Topics["t"]
		if got == nil || len(got.States) != 4 || got.States[3] != nil || got.States[2].Epoch != 1 || got.Config["retention.ms"] != "5" || got.ID != topic.ID {
			t.Errorf("%+v", got)
		}
		if err := r.MarkTopicDeleted(ctx, "t"); err != nil {
			return err
		}
		if err := r.CreateTopic(ctx, testTopic("t", 1), nil); !errors.Is(err, ErrTopicDeleting) {
			t.Error(err)
		}
		return r.DeleteTopic(ctx, c, "t")
	}, func(t *testing.T, tr *tree) {
		if got := tr.dump(); !reflect.DeepEqual(got, empty) {
			t.Errorf("left: %v", got)
		}
	})
}

func TestCreateTopicThatExists(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r := tr.open(1)
	first := testTopic("t", 1)
	if err := r.CreateTopic(ctx, first, map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	if err := r.CreateTopic(ctx, testTopic("t", 2), map[string]string{"a": "2"}); !errors.Is(err, ErrTopicExists) {
		t.Error(err)
	}
	// Its configuration is what it was.
	if values, err := r.Config(ctx, TopicEntity("t")); err != nil || values["a"] != "1" {
		t.Error(values, err)
	}
	if err := r.CreateTopic(ctx, first, nil); err != nil {
		t.Errorf("the same once more: %v", err)
	}
	tr.nodes[TopicPath("broken")] = &node{data: []byte("{")}
	if err := r.CreateTopic(ctx, testTopic("broken", 1), nil); !errors.Is(err, ErrTopicExists) {
		t.Error(err)
	}
	for _, name := range []string{"", "a/b", "..", "a\x00"} {
		if err := r.CreateTopic(ctx, testTopic(name, 1), nil); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := r.CreateTopic(ctx, Topic{Name: "x"}, nil); err == nil {
		t.Error("a topic without an id was created")
	}
	if err := r.MarkTopicDeleted(ctx, "nowhere"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestStatesOfWhichSomeAreInTheWay(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r, c := elected(t, tr)
	for _, name := range []string{"t", "u"} {
		if err := r.CreateTopic(ctx, testTopic(name, 4), nil); err != nil {
			t.Fatal(err)
		}
	}
	before := testStates("t", 2)
	before[1].State.Leader = 9
	if err := r.CreatePartitionStates(ctx, c, before); err != nil {
		t.Fatal(err)
	}
	list := append(testStates("t", 3), testStates("nowhere", 1)...)
	list = append(list, testStates("u", 1)...)
	if err := r.CreatePartitionStates(ctx, c, list); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, ErrChanged, nil, ErrNotFound, nil} {
		if !errors.Is(list[i].Err, want) {
			t.Errorf("%v: %v, want %v", list[i].TopicPartition, list[i].Err, want)
		}
	}
	// Updates: one at the right epoch, one that somebody was quicker with, one that is not there.
	one := testStates("t", 1)
	if err := r.UpdatePartitionStates(ctx, c, one); err != nil || one[0].State.Epoch != 1 {
		t.Fatal(one, err)
	}
	list = testStates("t", 4)
	for i := range list {
		list[i].State.LeaderEpoch = 7
	}
	if err := r.UpdatePartitionStates(ctx, c, list); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{ErrChanged, nil, nil, ErrNotFound} {
		if !errors.Is(list[i].Err, want) {
			t.Errorf("%v: %v, want %v", list[i].TopicPartition, list[i].Err, want)
		}
	}
	states, err := r.PartitionStates(ctx, []TopicPartition{{"t", 1}, {"t", 3}, {"u", 0}})
	if err != nil || states[0].LeaderEpoch != 7 || states[0].Epoch != 1 || states[1] != nil || states[2] == nil {
		t.Error(states, err)
	}
	tr.nodes[StatePath("t", 1)].data = []byte("[]")
	var bad *DecodeError
	if states, err = r.PartitionStates(ctx, []TopicPartition{{"t", 1}, {"u", 0}}); !errors.As(err, &bad) || states[0] != nil || states[1] == nil {
		t.Error(states, err)
	}
}

// A state that was written by a try whose reply was lost, and then by somebody else, is not ours any more.
func TestUpdateThatWasOvertaken(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r, c := elected(t, tr)
	if err := r.CreateTopic(ctx, testTopic("t", 1), nil); err != nil {
		t.Fatal(err)
	}
	list := testStates("t", 1)
	if err := r.CreatePartitionStates(ctx, c, list); err != nil {
		t.Fatal(err)
	}
	list[0].State.LeaderEpoch = 1
	lost := tr.calls
	tr.fault = func(call int) (bool, bool) { return true, call == lost }
	tr.before = func(call int) {
		if call != lost+1 {
			return
		}
		other := list[0].State
		other.LeaderEpoch = 2
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if _, _, err := tr.apply(2, opSet(StatePath("t", 0), other.encode(), -1)); err != nil {
			t.Error(err)
		}
	}
	if err := r.UpdatePartitionStates(ctx, c, list); err != nil || !errors.Is(list[0].Err, ErrChanged) {
		t.Error(list[0].Err, err)
	}
}

func TestTopicWatches(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r, c := elected(t, tr)
	names, more, err := r.TopicsW(ctx)
	if err != nil || len(names) != 0 {
		t.Fatal(names, err)
	}
	if err := r.CreateTopic(ctx, testTopic("t", 1), nil); err != nil {
		t.Fatal(err)
	}
	<-more
	topic, changed, err := r.TopicW(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	topic.Partitions = append(topic.Partitions, Assignment{Replicas: []int32{2}})
	if err := r.SetTopic(ctx, c, topic); err != nil {
		t.Fatal(err)
	}
	if e := <-changed; e.Type != zk.EventDataChanged {
		t.Error(e)
	}
	topic.Version = 0
	if err := r.SetTopic(ctx, c, topic); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
	_, marks, err := r.DeletedTopicsW(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.MarkTopicDeleted(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	<-marks
	if err := r.DropDeletion(ctx, c, "t"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.TopicW(ctx, "u"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := r.CreatePartitionStates(ctx, c, testStates("t", 1)); err != nil {
		t.Fatal(err)
	}
	_, moved, err := r.PartitionStateW(ctx, TopicPartition{"t", 0})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.UpdatePartitionStates(ctx, c, testStates("t", 1)); err != nil {
		t.Fatal(err)
	}
	<-moved
}

// Transactions stay below what a packet may have, and all partitions arrive.
func TestManyPartitionsInBoundedTransactions(t *testing.T) {
	const n = 3000
	tr, ctx := newTree(), t.Context()
	r, c := elected(t, tr)
	if err := r.CreateTopic(ctx, testTopic("t", n), nil); err != nil {
		t.Fatal(err)
	}
	calls := tr.calls
	list := testStates("t", n)
	if err := r.CreatePartitionStates(ctx, c, list); err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for i := range list {
		a, b := r.opCreate(PartitionPath("t", int32(i)), nil, 0), r.opCreate(StatePath("t", int32(i)), list[i].State.encode(), 0)
		bytes += a.size() + b.size()
	}
	want := bytes/batchBytes + 1
	if got := tr.calls - calls - 1; got < want || got > want+1 {
		t.Errorf("%d transactions for %d bytes, want about %d", got, bytes, want)
	}
	all, err := r.LoadCluster(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for p, s := range all.Topics["t"].States {
		if s == nil || s.Leader != 1 {
			t.Fatalf("partition %d: %+v", p, s)
		}
	}
	if err := r.DeleteTopic(ctx, c, "t"); err != nil {
		t.Fatal(err)
	}
}

func TestSizeOfAPartIsNotLessThanItIs(t *testing.T) {
	r := newTree().open(1)
	r.opt.SecureACLs = true
	for _, o := range []op{r.opCreate("/a", nil, 0), r.opCreate("/brokers/x", []byte("12345"), 0), opSet("/a", []byte("1"), 1), opDelete("/a"), opCheck("/a", 1)} {
		var p zk.Record = &zk.VersionRequest{Path: o.path}
		switch o.kind {
		case zk.OpCreate:
			p = &zk.CreateRequest{Path: o.path, Data: o.data, ACL: o.acl}
		case zk.OpSetData:
			p = &zk.SetDataRequest{Path: o.path, Data: o.data}
		}
		if n := 9 + len(p.Append(nil)); o.size() < n || o.size() > n+64 {
			t.Errorf("%v has %d bytes, taken as %d", o.kind, n, o.size())
		}
	}
}

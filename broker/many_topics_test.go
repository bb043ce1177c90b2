package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// TestManyTopics: one request makes and one deletes many topics; what is wrong with one hinders no other, and each
// answer stands where its question did.
func TestManyTopics(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	c := dial(t, b)
	c.create("old", 1)
	create := kmsg.NewPtrCreateTopicsRequest()
	want := map[int]wire.ErrorCode{7: wire.TopicAlreadyExists, 11: wire.InvalidTopicException, 13: wire.InvalidPartitions}
	const n = 40
	for i := range n {
		r := kmsg.NewCreateTopicsRequestTopic()
		r.Topic, r.NumPartitions, r.ReplicationFactor = fmt.Sprintf("t%d", i), int32(1+i%3), 1
		switch i {
		case 7:
			r.Topic = "old"
		case 11:
			r.Topic = "a/b"
		case 13:
			r.NumPartitions = 0
		}
		create.Topics = append(create.Topics, r)
	}
	call := &call{b: b} // of no connection: these handlers only ask the catalogue
	call.header.Version = 6
	made := createTopics(call, create).(*kmsg.CreateTopicsResponse)
	for i, r := range made.Topics {
		if r.Topic != create.Topics[i].Topic || r.ErrorCode != int16(want[i]) || want[i] == 0 && r.NumPartitions != int32(1+i%3) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if s := b.Stats(); s.Topics != 1+n-len(want) || len(local(b).state.Unfinished) != 0 {
		t.Errorf("%d topics, unfinished %v", s.Topics, local(b).state.Unfinished)
	}
	remove := kmsg.NewPtrDeleteTopicsRequest()
	for i := range 10 {
		r := kmsg.NewDeleteTopicsRequestTopic()
		name := fmt.Sprintf("t%d", i)
		r.Topic = &name
		remove.Topics = append(remove.Topics, r)
	}
	again := kmsg.NewDeleteTopicsRequestTopic() // of a topic that is named already
	again.TopicID = b.catalog.Image().TopicNamed("t3").ID
	remove.Topics = append(remove.Topics, again)
	gone := deleteTopics(call, remove).(*kmsg.DeleteTopicsResponse)
	for i, r := range gone.Topics {
		code := wire.None
		switch i {
		case 7:
			code = wire.UnknownTopicOrPartition
		case 10:
			code = wire.UnknownTopicID
		}
		if r.ErrorCode != int16(code) {
			t.Errorf("%d: %+v", i, r)
		}
	}
	left := 1 + n - len(want) - 9
	if s := b.Stats(); s.Topics != left {
		t.Errorf("%d topics are left", s.Topics)
	}
	stop(t, b)
	if s := startBroker(t, dir).Stats(); s.Topics != left {
		t.Errorf("%d topics after a restart", s.Topics)
	}
}

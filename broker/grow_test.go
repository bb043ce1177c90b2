package broker

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

func (c *client) grow(topic string, n int32, validateOnly bool, assignment ...[]int32) wire.ErrorCode {
	c.t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.ValidateOnly = 3, validateOnly
	x := kmsg.CreatePartitionsRequestTopic{Topic: topic, Count: n}
	for _, replicas := range assignment {
		x.Assignment = append(x.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
	}
	req.Topics = append(req.Topics, x)
	return wire.ErrorCode(c.ask(req).(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode)
}

func TestGrow(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	c := dial(t, b)
	id := c.createWith("t", 2, map[string]string{"max.message.bytes": "1000"}).TopicID
	c.append("t", 1, records(1, 10))
	for _, x := range []struct {
		n          int32
		assignment [][]int32
		want       wire.ErrorCode
	}{
		{2, nil, wire.InvalidPartitions}, {1, nil, wire.InvalidPartitions}, {0, nil, wire.InvalidPartitions}, {maxPartitions + 1, nil, wire.InvalidPartitions},
		{4, [][]int32{{1}}, wire.InvalidReplicaAssignment}, {3, [][]int32{{9}}, wire.InvalidReplicaAssignment}, {3, [][]int32{{1}}, wire.None},
	} {
		if got := c.grow("t", x.n, true, x.assignment...); got != x.want {
			t.Errorf("%d %v: %v, want %v", x.n, x.assignment, got, x.want)
		}
	}
	if got := c.grow("nowhere", 2, false); got != wire.UnknownTopicOrPartition {
		t.Error(got)
	}
	if got := c.grow("t", 5, false); got != wire.None {
		t.Fatal(got)
	}
	if got := c.describe("t", false); len(got.Partitions) != 5 || got.TopicID != id {
		t.Errorf("%+v", got)
	}
	if p := c.produceOne("t", 4, acksLeader, records(1, 2000)); p.Error != wire.MessageTooLarge {
		t.Errorf("the topic's settings do not reach the new partition: %v", p.Error)
	}
	c.append("t", 4, records(1, 10))
	after := crashed(t, dir)
	stop(t, b)
	for _, dir := range []string{dir, after} {
		c := dial(t, startBroker(t, dir))
		if got := c.describe("t", false); len(got.Partitions) != 5 || got.TopicID != id {
			t.Errorf("%+v", got)
		}
		if at := c.append("t", 1, records(1, 10)); at != 1 {
			t.Errorf("partition 1 goes on at %d", at)
		}
		if at := c.append("t", 4, records(1, 10)); at != 1 {
			t.Errorf("partition 4 goes on at %d", at)
		}
	}
}

// TestGrowthCutShort: a crash between two of the new partitions leaves the old ones, with what is in them.
func TestGrowthCutShort(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, withoutCoordinator)
	c := dial(t, b)
	id := c.createWith("t", 2, nil).TopicID
	c.append("t", 1, records(1, 10))
	if got := c.grow("t", 4, false); got != wire.None {
		t.Fatal(got)
	}
	dir = crashed(t, dir)
	file := filepath.Join(dir, catalogStateFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s catalogState
	if err := json.Unmarshal(text, &s); err != nil || len(s.Unfinished) != 0 || s.Version != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	s.Version, s.Unfinished = 2, []unfinished{{Topic: "t", ID: hex.EncodeToString(id[:]), From: 2}}
	text, _ = json.Marshal(s)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	c = dial(t, startBroker(t, dir, withoutCoordinator))
	if got := c.describe("t", false); len(got.Partitions) != 2 || got.TopicID != id {
		t.Errorf("%+v", got)
	}
	if at := c.append("t", 1, records(1, 10)); at != 1 {
		t.Errorf("partition 1 goes on at %d", at)
	}
	if got := c.grow("t", 3, false); got != wire.None {
		t.Error(got)
	}
}

package broker

import (
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

func TestTopicNames(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "A.b_c-9": true, "__consumer_offsets": true, strings.Repeat("x", 249): true, "...": true,
		"": false, ".": false, "..": false, strings.Repeat("x", 250): false, "a b": false, "a/b": false, "é": false, "a\x00": false,
	} {
		if r := checkTopicName(name); (r == nil) != good {
			t.Errorf("%q: %v", name, r)
		}
	}
	n := topicNames{}
	n.add("a.b")
	if n.collision("a_b") != "a.b" || n.collision("a") != "" || n.collision("a-b") != "" {
		t.Error("collisions")
	}
}

func TestNewTopicRules(t *testing.T) {
	d := topicRules{&config.Broker{NodeID: 7, NumPartitions: 3, ReplicationFactor: 1}}
	im := (&Image{Nodes: []Node{{ID: 7}, {ID: 9}}}).withTopics([]*Topic{{Name: "have.it"}})
	for _, c := range []struct {
		what string
		spec TopicSpec
		n    int
		code wire.ErrorCode
	}{
		{"defaults", TopicSpec{Name: "t", Partitions: -1, Replication: -1}, 3, wire.None},
		{"given", TopicSpec{Name: "t", Partitions: 5, Replication: 1}, 5, wire.None},
		{"exists", TopicSpec{Name: "have.it", Partitions: 1, Replication: 1}, 0, wire.TopicAlreadyExists},
		{"collision", TopicSpec{Name: "have_it", Partitions: 1, Replication: 1}, 0, wire.InvalidTopicException},
		{"name", TopicSpec{Name: "/", Partitions: 1, Replication: 1}, 0, wire.InvalidTopicException},
		{"no partitions", TopicSpec{Name: "t", Partitions: 0, Replication: 1}, 0, wire.InvalidPartitions},
		{"negative partitions", TopicSpec{Name: "t", Partitions: -2, Replication: 1}, 0, wire.InvalidPartitions},
		{"too many partitions", TopicSpec{Name: "t", Partitions: maxPartitions + 1, Replication: 1}, 0, wire.InvalidPartitions},
		{"no replicas", TopicSpec{Name: "t", Partitions: 1, Replication: 0}, 0, wire.InvalidReplicationFactor},
		{"too many replicas", TopicSpec{Name: "t", Partitions: 1, Replication: 2}, 0, wire.InvalidReplicationFactor},
		{"assigned", TopicSpec{Name: "t", Partitions: -1, Replication: -1, Assignment: map[int32][]int32{0: {7}, 1: {7}}}, 2, wire.None},
		{"assigned and counted", TopicSpec{Name: "t", Partitions: 2, Replication: -1, Assignment: map[int32][]int32{0: {7}}}, 0, wire.InvalidRequest},
		{"assigned and replicated", TopicSpec{Name: "t", Partitions: -1, Replication: 1, Assignment: map[int32][]int32{0: {7}}}, 0, wire.InvalidRequest},
		{"assigned with a gap", TopicSpec{Name: "t", Partitions: -1, Replication: -1, Assignment: map[int32][]int32{1: {7}}}, 0, wire.InvalidReplicaAssignment},
		{"assigned to nobody", TopicSpec{Name: "t", Partitions: -1, Replication: -1, Assignment: map[int32][]int32{0: {}}}, 0, wire.InvalidReplicaAssignment},
		{"assigned to a stranger", TopicSpec{Name: "t", Partitions: -1, Replication: -1, Assignment: map[int32][]int32{0: {8}}}, 0, wire.InvalidReplicaAssignment},
		{"assigned to another broker", TopicSpec{Name: "t", Partitions: -1, Replication: -1, Assignment: map[int32][]int32{0: {9}}}, 0, wire.InvalidReplicaAssignment},
		{"assigned twice", TopicSpec{Name: "t", Partitions: -1, Replication: -1, Assignment: map[int32][]int32{0: {7, 7}}}, 0, wire.InvalidReplicaAssignment},
	} {
		n, err := d.check(im, takenNames(im), &c.spec)
		if n != c.n || (err == nil) != (c.code == wire.None) || err != nil && codeOf(err) != c.code {
			t.Errorf("%s: %d, %v; want %d, %v", c.what, n, err, c.n, c.code)
		}
	}
}

func TestSoftwareWord(t *testing.T) {
	for word, good := range map[string]bool{
		"apache-kafka-java": true, "4.3.0": true, "x": true,
		"": false, "-a": false, "a-": false, ".a": false, "a b": false, "a_b": false, "ä": false,
	} {
		if softwareWord(word) != good {
			t.Errorf("%q: %v", word, !good)
		}
	}
}

package registry

import (
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// kafkaTree is the tree that Kafka has left, with sessions 1 and up for the owners of ephemeral nodes.
func kafkaTree(t *testing.T) *tree {
	t.Helper()
	data, err := os.ReadFile("testdata/tree-3.9.1.tsv")
	if err != nil {
		t.Fatal(err)
	}
	tr := newTree()
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if line[0] == '#' {
			continue
		}
		n := &node{data: []byte(f[3])}
		if f[3] == "(null)" {
			n.data = nil
		}
		version, err := strconv.ParseInt(f[1], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		tr.zxid++
		n.stat = zk.Stat{Czxid: tr.zxid, Version: int32(version)}
		if f[2] == "ephemeral" {
			n.stat.EphemeralOwner = tr.zxid
		}
		tr.nodes[f[0]] = n
	}
	return tr
}

func TestLoadClusterOfKafka(t *testing.T) {
	c, err := kafkaTree(t).open(1).LoadCluster(t.Context())
	if err != nil || len(c.Broken) > 0 {
		t.Fatal(err, c.Broken)
	}
	if c.ID != "HXZX4xIkSfCfyYOXrnoYsA" || c.Controller.ID != 1 || c.Controller.KRaftEpoch != -1 || c.ControllerEpoch != 1 {
		t.Errorf("%q, %+v, %d", c.ID, c.Controller, c.ControllerEpoch)
	}
	if len(c.Brokers) != 2 || c.Brokers[1].Rack != "r1" || c.Brokers[1].Epoch == 0 ||
		c.Brokers[1].Endpoints[0] != (Endpoint{"PLAINTEXT", "127.0.0.1", 46093, "PLAINTEXT"}) {
		t.Errorf("%+v", c.Brokers)
	}
	if len(c.Topics) != 3 || len(c.Deleted) != 0 {
		t.Errorf("%d topics, deleted %v", len(c.Topics), c.Deleted)
	}
	many := c.Topics["many"]
	if len(many.Partitions) != 14 || many.ID.String() != "Y9y-ikg4Q2OwbR8X3lP7iQ" || many.Version != 4 || many.States[13].Leader != 2 ||
		!reflect.DeepEqual(many.States[0], &PartitionState{Leader: 1, LeaderEpoch: 2, ControllerEpoch: 1, ISR: []int32{1, 2}, Epoch: 3}) {
		t.Errorf("%+v", many)
	}
	if got := c.Topics["t"].Config; !reflect.DeepEqual(got, map[string]string{"cleanup.policy": "compact", "retention.ms": "1000"}) {
		t.Error(got)
	}
	want := map[Entity]map[string]string{
		BrokerEntity(1):                  {"log.cleaner.threads": "2"},
		ClientEntity("c/1"):              {"consumer_byte_rate": "4096"},
		IPEntity("127.0.0.1"):            {"connection_creation_rate": "1000"},
		UserEntity(Default):              {"producer_byte_rate": "2048"},
		UserEntity("alice b/*"):          {"producer_byte_rate": "1024"},
		UserClientEntity("bob", Default): {"consumer_byte_rate": "8192"},
	}
	if !reflect.DeepEqual(c.Configs, want) {
		t.Errorf("got %v, want %v", c.Configs, want)
	}
}

func TestReadTheRestOfKafkasTree(t *testing.T) {
	ctx, r := t.Context(), kafkaTree(t).open(1)
	changes, _, err := r.ConfigChanges(ctx, 2)
	want := []Change[Entity]{{3, ClientEntity("c/1"), nil}, {4, UserClientEntity("bob", Default), nil}, {5, IPEntity("127.0.0.1"), nil}}
	if err != nil || !reflect.DeepEqual(changes, want) {
		t.Errorf("got %v, %v, want %v", changes, err, want)
	}
	acls, err := r.AllACLs(ctx)
	wantACLs := map[Resource][]ACL{
		{"Topic", "t", false}:             {{"User:alice", "Allow", "*", "DescribeConfigs"}, {"User:alice", "Allow", "*", "Read"}},
		{"TransactionalId", "tx1", false}: {{"User:alice", "Allow", "*", "Write"}},
		{"Group", "g-", true}:             {{"User:*", "Deny", "*", "All"}},
	}
	if err != nil || !reflect.DeepEqual(acls, wantACLs) {
		t.Errorf("got %v, %v", acls, err)
	}
	literal, _, err := r.ACLChanges(ctx, false, -1)
	if err != nil || len(literal) != 2 || literal[1].What != (Resource{"TransactionalId", "tx1", false}) {
		t.Error(literal, err)
	}
	prefixed, _, err := r.ACLChanges(ctx, true, -1)
	if err != nil || len(prefixed) != 1 || prefixed[0].What != (Resource{"Group", "g-", true}) {
		t.Error(prefixed, err)
	}
	f, found, err := r.Feature(ctx)
	if err != nil || !found || !f.Enabled || len(f.Levels) != 0 {
		t.Error(f, found, err)
	}
	b, found, err := r.ProducerIDs(ctx)
	if err != nil || !found || b != (ProducerIDBlock{2, 1000, 1999}) {
		t.Error(b, found, err)
	}
}

// TestKafkasTreeByteForByte reads each node of Kafka's and writes it again. Only where the keys are data does the order
// differ, which is that of Java's hash codes there.
func TestKafkasTreeByteForByte(t *testing.T) {
	reordered := []string{"/brokers/topics/many", "/config/topics/__consumer_offsets"}
	for path, data := range kafkaTree(t).dump() {
		got, ok := rewrite(t, path, []byte(data))
		if !ok || got == data {
			continue
		}
		var a, b any
		if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(data), &b) != nil || !reflect.DeepEqual(a, b) ||
			path != reordered[0] && path != reordered[1] {
			t.Errorf("%s:\n got %s\nwant %s", path, got, data)
		}
	}
}

// rewrite decodes and encodes a node; ok is false if there is nothing in it to decode.
func rewrite(t *testing.T, path string, data []byte) (again string, ok bool) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	name := zk.Base(path)
	switch parent := zk.Parent(path); {
	case len(data) == 0 || path == FeaturePath || parent == ACLChangesPath:
		return "", false
	case parent == BrokerIDsPath:
		id, err := strconv.ParseInt(name, 10, 32)
		must(err)
		b, err := decodeBroker(int32(id), data)
		must(err)
		return string(b.encode()), true
	case parent == TopicsPath:
		v, err := decodeTopic(name, data)
		must(err)
		return string(v.encode()), true
	case name == "state":
		s, err := decodeState(path, data, 0)
		must(err)
		return string(s.encode()), true
	case path == ControllerPath:
		c, err := decodeController(data)
		must(err)
		return string(c.encode()), true
	case path == ControllerEpochPath:
		e, err := decodeControllerEpoch(data)
		must(err)
		return strconv.Itoa(int(e)), true
	case path == ClusterIDPath:
		id, err := decodeClusterID(data)
		must(err)
		return string(encodeClusterID(id)), true
	case path == ProducerIDsPath:
		b, err := decodeProducerIDs(data)
		must(err)
		return string(b.encode()), true
	case parent == ConfigChangesPath:
		e, err := decodeConfigChange(path, data)
		must(err)
		return string(encodeConfigChange(e)), true
	case strings.HasPrefix(path, ConfigPath):
		v, err := decodeConfig(path, data)
		must(err)
		return string(encodeConfig(v)), true
	case parent == ACLExtendedChanges:
		v, err := decodeACLChangeExtended(path, data)
		must(err)
		return string(v.encodeChange()), true
	case strings.HasPrefix(path, ACLPath):
		v, err := decodeACLs(path, data)
		must(err)
		return string(encodeACLs(v)), true
	}
	t.Errorf("%s has %q, which nothing here reads", path, data)
	return "", false
}

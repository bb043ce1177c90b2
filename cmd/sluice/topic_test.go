package main

import (
	"slices"
	"strings"
	"testing"
)

func TestTopicLife(t *testing.T) {
	addr := fake(t)
	r := sluice(t, "", "topic", "create", "a", "b", "-p", "3", "-r", "2", "--config", "retention.ms=3600000", "-b", addr, "-o", "json")
	created := fromJSON[[]topicResult](t, r)
	if r.code != exitOK || len(created) != 2 || created[0].Name != "a" || created[0].Status != "created" || created[1].Partitions != 3 {
		t.Fatalf("create: %+v %s", created, r.stderr)
	}
	list := fromJSON[[]topicSummary](t, sluice(t, "", "topic", "list", "-b", addr, "-o", "json"))
	names := []string{}
	for _, s := range list {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"a", "b", "orders"}) || list[0].Partitions != 3 || list[0].ReplicationFactor != 2 || list[0].ID != created[0].ID {
		t.Errorf("list: %+v", list)
	}
	r = sluice(t, "", "topic", "delete", "a", "b", "-b", addr)
	r.want(t, exitOK, "deleted", "")
	sluice(t, "", "topic", "list", "-b", addr, "-o", "csv").want(t, exitOK, "name,partitions,replication_factor,id,internal\norders,4,", "")
}

func TestTopicCreateFailuresNameTheErrorAndDoTheRest(t *testing.T) {
	addr := fake(t)
	r := sluice(t, "", "topic", "create", "orders", "fresh", "-b", addr)
	r.want(t, exitKafka, "fresh", "topic orders: TOPIC_ALREADY_EXISTS (36): ")
	if !strings.Contains(r.stderr, "--if-not-exists") || strings.Contains(r.stderr, "fresh") {
		t.Errorf("stderr: %s", r.stderr)
	}
	sluice(t, "", "topic", "create", "orders", "--if-not-exists", "-b", addr).want(t, exitOK, "exists", "")
}

func TestTopicDeleteOfMissing(t *testing.T) {
	addr := fake(t)
	sluice(t, "", "topic", "delete", "nope", "-b", addr).want(t, exitKafka, "failed", "topic nope: UNKNOWN_TOPIC_OR_PARTITION (3)")
	sluice(t, "", "topic", "delete", "nope", "--if-exists", "-b", addr).want(t, exitOK, "missing", "")
}

func TestTopicDescribe(t *testing.T) {
	addr := fake(t)
	sluice(t, "one\ntwo\n", "produce", "orders", "-p", "2", "-b", addr).want(t, exitOK, "", "")
	d := fromJSON[[]topicDescription](t, sluice(t, "", "topic", "describe", "orders", "-b", addr, "-o", "json"))
	if len(d) != 1 || len(d[0].Partitions) != 4 {
		t.Fatalf("%+v", d)
	}
	p := d[0].Partitions[2]
	if p.Partition != 2 || p.StartOffset != 0 || p.EndOffset != 2 || len(p.Replicas) == 0 || !slices.Contains(p.ISR, p.Leader) {
		t.Errorf("%+v", p)
	}
	r := sluice(t, "", "topic", "describe", "orders", "nope", "-b", addr)
	r.want(t, exitKafka, "TOPIC", "topic nope: UNKNOWN_TOPIC_OR_PARTITION (3)")
	sluice(t, "", "topic", "describe", "orders", "-b", addr, "-o", "yaml").want(t, exitOK, "- name: orders\n", "")
	sluice(t, "", "topic", "describe", "nope", "-b", addr, "-o", "json").want(t, exitKafka, "[]", "topic nope")
}

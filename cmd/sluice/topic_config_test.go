package main

import (
	"strings"
	"testing"
)

func TestTopicConfig(t *testing.T) {
	addr := fake(t)
	sluice(t, "", "topic", "create", "a", "--config", "retention.ms=3600000", "-b", addr).want(t, exitOK, "created", "")
	r := sluice(t, "", "topic", "config", "a", "--set", "retention.ms=7200000", "--set", "max.message.bytes=1000", "-b", addr, "-o", "json")
	got := fromJSON[topicConfig](t, r)
	if r.code != exitOK || got.Topic != "a" || len(got.Settings) != 2 || got.Settings[1].Name != "retention.ms" ||
		*got.Settings[1].Value != "7200000" || got.Settings[1].Source != "topic" {
		t.Errorf("%+v %s", got, r.stderr)
	}
	sluice(t, "", "topic", "config", "a", "--delete", "retention.ms", "-b", addr, "-o", "csv").
		want(t, exitOK, "name,value,source,inherited\nmax.message.bytes,1000,topic,", "")
	r = sluice(t, "", "topic", "config", "a", "--all", "-b", addr)
	r.want(t, exitOK, "retention.ms", "")
	if !strings.Contains(r.stdout, "default") {
		t.Errorf("no defaults: %s", r.stdout)
	}
	sluice(t, "", "topic", "config", "nope", "-b", addr).want(t, exitKafka, "", "topic nope: UNKNOWN_TOPIC_OR_PARTITION (3)")
	sluice(t, "", "topic", "config", "nope", "--set", "retention.ms=1", "-b", addr).want(t, exitKafka, "", "UNKNOWN_TOPIC_OR_PARTITION (3)")
	for _, bad := range [][]string{{"--set", "x"}, {"--delete", "a=b"}, {"--validate-only"}, {"b"}} {
		sluice(t, "", append([]string{"topic", "config", "a", "-b", addr}, bad...)...).want(t, exitUsage, "", "")
	}
}

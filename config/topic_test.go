package config

import (
	"errors"
	"testing"
	"time"
)

func TestTopicTakesTheBrokersValues(t *testing.T) {
	v := mustLoad(t, Input{Sets: []string{"log.roll.hours=2", "log.retention.minutes=3", "log.retention.hours=9", "message.max.bytes=99", "min.insync.replicas=2"}})
	c, err := Topic(map[string]string{"max.message.bytes": "7", "cleanup.policy": "compact, delete", "message.timestamp.type": "LogAppendTime"}, v)
	if err != nil {
		t.Fatal(err)
	}
	if c.SegmentAge != 2*time.Hour || c.RetentionMillis != 180000 || c.MaxMessageBytes != 7 || c.MinInSyncReplicas != 2 ||
		!c.Compact || !c.Delete || !c.LogAppendTime || c.SegmentBytes != 1<<30 {
		t.Errorf("%+v", c)
	}
	v = mustLoad(t, Input{Sets: []string{"log.retention.hours=-1", "log.roll.ms=5", "log.roll.hours=2"}})
	if c, _ = Topic(nil, v); c.RetentionMillis != -1 || c.SegmentAge != 5*time.Millisecond {
		t.Errorf("%+v", c)
	}
}

func TestTopicEntries(t *testing.T) {
	v := mustLoad(t, Input{Sets: []string{"log.roll.hours=2"}})
	got := map[string]TopicEntry{}
	last := ""
	for _, e := range TopicEntries(map[string]string{"retention.ms": "5"}, v) {
		if e.Key.Name <= last {
			t.Errorf("%s after %s", e.Key.Name, last)
		}
		last = e.Key.Name
		got[last] = e
	}
	for name, want := range map[string]struct {
		text   string
		source TopicSource
	}{"retention.ms": {"5", SourceTopic}, "segment.ms": {"7200000", SourceStaticBroker}, "segment.bytes": {"1073741824", SourceDefault}} {
		if e := got[name]; e.Text != want.text || e.Source != want.source {
			t.Errorf("%s = %s from %v, want %s from %v", name, e.Text, e.Source, want.text, want.source)
		}
	}
	if len(got) != len(topicKeys) {
		t.Errorf("%d entries", len(got))
	}
}

func TestTopicErrorsReadLikeKafkas(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"foo", "1", "Unknown topic config name: foo"},
		{"log.retention.ms", "1", "Unknown topic config name: log.retention.ms"},
		{"retention.ms", "soon", "Invalid value soon for configuration retention.ms: Not a number of type LONG"},
		{"segment.bytes", "5", "Invalid value 5 for configuration segment.bytes: Value must be at least 1048576"},
		{"min.cleanable.dirty.ratio", "2", "Invalid value 2 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{"preallocate", "1", "Invalid value 1 for configuration preallocate: Expected value to be either true or false"},
		{"cleanup.policy", "delete,burn", "Invalid value delete,burn for configuration cleanup.policy: String must be one of: compact, delete"},
		{"leader.replication.throttled.replicas", "0:1,x", "Invalid value 0:1,x for configuration leader.replication.throttled.replicas: " +
			"leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: " +
			"[partitionId]:[brokerId],[partitionId]:[brokerId],..."},
		{"min.compaction.lag.ms", "9223372036854775807", ""},
		{"remote.storage.enable", "true", "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
	} {
		_, err := Topic(map[string]string{c.key: c.value}, nil)
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || err.Error() != c.want || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s=%s: %v, want %s", c.key, c.value, err, c.want)
		}
	}
	if w := TopicWarnings(map[string]string{"compression.type": "zstd", "segment.bytes": "5", "flush.messages": longMax}); len(w) != 1 {
		t.Errorf("%q", w)
	}
}

func TestMillis(t *testing.T) {
	if Millis(-1) != Forever || Millis(1<<62) != Forever || Millis(1500) != 1500*time.Millisecond || Millis(0) != 0 {
		t.Error("Millis")
	}
}

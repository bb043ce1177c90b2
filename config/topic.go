package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrInvalid is the error (wrapped) of topic settings that Kafka answers with
// INVALID_CONFIG. The text is Kafka's and meant for the client.
var ErrInvalid = errors.New("invalid config")

type invalid string

func (e invalid) Error() string        { return string(e) }
func (e invalid) Is(target error) bool { return target == ErrInvalid }

// TopicConfig is the typed form of a topic's settings that the broker and its log
// act on or keep for later.
type TopicConfig struct {
	MaxMessageBytes    int32
	MinInSyncReplicas  int32
	SegmentBytes       int64
	SegmentAge         time.Duration // Forever for never
	IndexIntervalBytes int
	IndexMaxBytes      int
	LogAppendTime      bool  // message.timestamp.type
	TimestampBeforeMax int64 // ms; math.MaxInt64 for any
	TimestampAfterMax  int64 // ms; math.MaxInt64 for any
	Compact, Delete    bool  // cleanup.policy
	MinDirtyRatio      float64
	MinCompactionLag   time.Duration
	MaxCompactionLag   time.Duration // Forever for none
	DeleteRetention    time.Duration // of tombstones
	RetentionMillis    int64         // -1 for ever
	RetentionBytes     int64         // -1 for all
	DeleteDelay        time.Duration
	Preallocate        bool
	FlushPolicy        string // FlushOS and so on
	FlushMessages      int64
	FlushInterval      time.Duration // Forever for never
	CompressionType    string
}

// The values of flush.policy.
const (
	FlushOS       = "os"       // an acknowledged record is in the page cache
	FlushInterval = "interval" // that, and flushed before long
	FlushFsync    = "fsync"    // on the device
)

// TopicSource says where a topic's value came from; the numbers are those of the
// DescribeConfigs and CreateTopics responses.
type TopicSource int8

// The sources a topic's value can have here.
const (
	SourceTopic        TopicSource = 1 // set on the topic
	SourceBroker       TopicSource = 2 // set on the broker while it ran
	SourceCluster      TopicSource = 3 // set for all brokers while they ran
	SourceStaticBroker TopicSource = 4 // the broker's configuration
	SourceDefault      TopicSource = 5
)

func (s TopicSource) String() string {
	switch s {
	case SourceTopic:
		return "topic"
	case SourceBroker, SourceStaticBroker:
		return "broker"
	case SourceCluster:
		return "cluster"
	}
	return "default"
}

// TopicEntry is one setting of a topic as responses list it.
type TopicEntry struct {
	Key    *Key
	Text   string
	Source TopicSource
}

// TopicEntries lists all settings of a topic in order of names. It does not check
// overrides.
func TopicEntries(overrides map[string]string, broker *Values) []TopicEntry {
	keys := TopicKeys()
	out := make([]TopicEntry, len(keys))
	for i, k := range keys {
		out[i] = k.resolve(overrides, broker)
	}
	return out
}

// resolve finds a topic key's value: the topic's, else the strongest synonym that
// the broker was given, else the default.
func (k *Key) resolve(overrides map[string]string, broker *Values) TopicEntry {
	if text, ok := overrides[k.Name]; ok {
		return TopicEntry{k, strings.TrimSpace(text), SourceTopic}
	}
	for _, syn := range k.Synonyms {
		if broker == nil || !broker.IsSet(syn) {
			continue
		}
		v := broker.Get(syn)
		return TopicEntry{k, toMillis(syn, v.Text), v.Source.Origin.source()}
	}
	return TopicEntry{k, k.Default, SourceDefault}
}

// source is the origin as responses number it.
func (o Origin) source() TopicSource {
	switch o {
	case FromDefault:
		return SourceDefault
	case FromCluster:
		return SourceCluster
	case FromBroker:
		return SourceBroker
	}
	return SourceStaticBroker
}

// toMillis converts the value of a broker key in hours or minutes to the unit of
// the topic key. Negative stays: it means never.
func toMillis(key, text string) string {
	var unit time.Duration
	switch {
	case strings.HasSuffix(key, ".hours"):
		unit = time.Hour
	case strings.HasSuffix(key, ".minutes"):
		unit = time.Minute
	default:
		return text
	}
	n, err := strconv.ParseInt(text, 10, 32) // so the product fits
	if err != nil || n < 0 {
		return text
	}
	return strconv.FormatInt(n*unit.Milliseconds(), 10)
}

// CheckTopic reports the first thing wrong with a topic's settings, in order of
// names, as Kafka words it (LogConfig.validate). Its error is ErrInvalid.
func CheckTopic(overrides map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		k, ok := topicByName[name]
		if !ok {
			return invalid("Unknown topic config name: " + name)
		}
		if err := k.check(overrides[name]); err != nil {
			return invalid(fmt.Sprintf("Invalid value %s for configuration %s: %v", overrides[name], name, err))
		}
	}
	if strings.EqualFold(strings.TrimSpace(overrides["remote.storage.enable"]), "true") {
		return invalid("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return nil
}

// TopicWarnings returns one line for each setting of a topic that changes nothing
// yet.
func TopicWarnings(overrides map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if k, ok := topicByName[name]; ok && !k.takesEffect(strings.TrimSpace(overrides[name])) {
			out = append(out, fmt.Sprintf("%s=%s has no effect yet: %s", name, overrides[name], k.Pending))
		}
	}
	return out
}

// Topic checks a topic's settings and returns their typed form, with the broker's
// values (nil for none) as defaults. Its error is ErrInvalid.
func Topic(overrides map[string]string, broker *Values) (TopicConfig, error) {
	if err := CheckTopic(overrides); err != nil {
		return TopicConfig{}, err
	}
	text := func(key string) string { return topicByName[key].resolve(overrides, broker).Text }
	integer := func(key string) int64 {
		n, _ := strconv.ParseInt(text(key), 10, 64) // checked above, or by Load
		return n
	}
	if err := together(text, integer); err != nil {
		return TopicConfig{}, err
	}
	policy := splitList(text("cleanup.policy"))
	ratio, _ := strconv.ParseFloat(text("min.cleanable.dirty.ratio"), 64)
	t := TopicConfig{
		MaxMessageBytes:    int32(integer("max.message.bytes")),
		MinInSyncReplicas:  int32(integer("min.insync.replicas")),
		SegmentBytes:       integer("segment.bytes"),
		SegmentAge:         Millis(integer("segment.ms")),
		IndexIntervalBytes: int(integer("index.interval.bytes")),
		IndexMaxBytes:      int(integer("segment.index.bytes")),
		LogAppendTime:      text("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMax: integer("message.timestamp.before.max.ms"),
		TimestampAfterMax:  integer("message.timestamp.after.max.ms"),
		Compact:            slices.Contains(policy, "compact"),
		Delete:             slices.Contains(policy, "delete"),
		MinDirtyRatio:      ratio,
		MinCompactionLag:   Millis(integer("min.compaction.lag.ms")),
		MaxCompactionLag:   Millis(integer("max.compaction.lag.ms")),
		DeleteRetention:    Millis(integer("delete.retention.ms")),
		RetentionMillis:    integer("retention.ms"),
		RetentionBytes:     integer("retention.bytes"),
		DeleteDelay:        Millis(integer("file.delete.delay.ms")),
		FlushPolicy:        text("flush.policy"),
		Preallocate:        text("preallocate") == "true",
		FlushMessages:      integer("flush.messages"),
		FlushInterval:      Millis(integer("flush.ms")),
		CompressionType:    text("compression.type"),
	}
	return t, nil
}

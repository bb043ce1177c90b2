package broker

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

var ownBroker, allOfThem = resource{kmsg.ConfigResourceTypeBroker, "1"}, resource{kmsg.ConfigResourceTypeBroker, ""}

func topicResource(name string) resource { return resource{kmsg.ConfigResourceTypeTopic, name} }

// tryAlter sets key=value for each argument, deletes where there is no equals sign, and appends and subtracts with
// += and -=.
func (c *client) tryAlter(r resource, validateOnly bool, changes ...string) wire.ErrorCode {
	c.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version, req.ValidateOnly = 1, validateOnly
	x := kmsg.NewIncrementalAlterConfigsRequestResource()
	x.ResourceType, x.ResourceName = r.kind, r.name
	for _, change := range changes {
		key, value, isSet := strings.Cut(change, "=")
		k := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		k.Name, k.Value = strings.TrimRight(key, "+-"), &value
		switch {
		case !isSet:
			k.Op, k.Value = kmsg.IncrementalAlterConfigOpDelete, nil
		case strings.HasSuffix(key, "+"):
			k.Op = kmsg.IncrementalAlterConfigOpAppend
		case strings.HasSuffix(key, "-"):
			k.Op = kmsg.IncrementalAlterConfigOpSubtract
		}
		x.Configs = append(x.Configs, k)
	}
	req.Resources = append(req.Resources, x)
	return wire.ErrorCode(c.ask(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode)
}

func (c *client) alter(r resource, changes ...string) {
	c.t.Helper()
	if code := c.tryAlter(r, false, changes...); code != wire.None {
		c.t.Fatalf("%s: %v", changes, code)
	}
}

// replace is AlterConfigs of key, value, …
func (c *client) replace(r resource, settings ...string) wire.ErrorCode {
	c.t.Helper()
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Version = 2
	x := kmsg.NewAlterConfigsRequestResource()
	x.ResourceType, x.ResourceName = r.kind, r.name
	for i := 0; i < len(settings); i += 2 {
		x.Configs = append(x.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: settings[i], Value: &settings[i+1]})
	}
	req.Resources = append(req.Resources, x)
	return wire.ErrorCode(c.ask(req).(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode)
}

// setting is a key's value and source, "" where there is none.
func (c *client) setting(r resource, key string) (string, kmsg.ConfigSource) {
	c.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: r.kind, ResourceName: r.name, ConfigNames: []string{key}}}
	got := c.ask(req).(*kmsg.DescribeConfigsResponse).Resources[0]
	if got.ErrorCode != 0 || len(got.Configs) != 1 || got.Configs[0].Value == nil {
		return "", 0
	}
	return *got.Configs[0].Value, got.Configs[0].Source
}

func (c *client) wantSetting(r resource, key, value string, source kmsg.ConfigSource) {
	c.t.Helper()
	if v, s := c.setting(r, key); v != value || s != source {
		c.t.Errorf("%s of %q: %q from %v, want %q from %v", key, r.name, v, s, value, source)
	}
}

func TestAlterTopic(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	c := dial(t, b)
	id := c.createWith("t", 2, map[string]string{"retention.ms": "5000", "cleanup.policy": "delete"}).TopicID
	r := topicResource("t")
	c.alter(r, "retention.ms=6000", "max.message.bytes=1000", "cleanup.policy+=compact")
	for key, value := range map[string]string{"retention.ms": "6000", "max.message.bytes": "1000", "cleanup.policy": "delete,compact"} {
		c.wantSetting(r, key, value, kmsg.ConfigSourceDynamicTopicConfig)
	}
	c.alter(r, "retention.ms", "cleanup.policy-=delete")
	c.wantSetting(r, "retention.ms", "604800000", kmsg.ConfigSourceDefaultConfig)
	c.wantSetting(r, "cleanup.policy", "compact", kmsg.ConfigSourceDynamicTopicConfig)
	if code := c.tryAlter(r, true, "retention.ms=1"); code != wire.None {
		t.Error(code)
	}
	c.wantSetting(r, "retention.ms", "604800000", kmsg.ConfigSourceDefaultConfig)
	for changes, code := range map[string]wire.ErrorCode{
		"retention.ms=x": wire.InvalidConfig, "no.such=1": wire.InvalidConfig, "retention.ms+=1": wire.InvalidConfig,
		"retention.ms=1 retention.ms=2": wire.InvalidRequest, "min.compaction.lag.ms=2 max.compaction.lag.ms=1": wire.InvalidConfig,
	} {
		if got := c.tryAlter(r, false, strings.Fields(changes)...); got != code {
			t.Errorf("%s: %v, want %v", changes, got, code)
		}
	}
	for name, code := range map[string]wire.ErrorCode{"nowhere": wire.UnknownTopicOrPartition, "/": wire.InvalidTopicException, "": wire.InvalidRequest} {
		if got := c.tryAlter(topicResource(name), false, "retention.ms=1"); got != code {
			t.Errorf("%q: %v, want %v", name, got, code)
		}
	}
	if code := c.replace(r, "segment.ms", "7000"); code != wire.None {
		t.Error(code)
	}
	c.wantSetting(r, "segment.ms", "7000", kmsg.ConfigSourceDynamicTopicConfig)
	c.wantSetting(r, "max.message.bytes", "1048588", kmsg.ConfigSourceDefaultConfig)
	after := crashed(t, dir)
	stop(t, b)
	for _, dir := range []string{dir, after} {
		c := dial(t, startBroker(t, dir))
		c.wantSetting(r, "segment.ms", "7000", kmsg.ConfigSourceDynamicTopicConfig)
		c.wantSetting(r, "cleanup.policy", "delete", kmsg.ConfigSourceDefaultConfig)
		if got := c.describe("t", false); got.TopicID != id || len(got.Partitions) != 2 {
			t.Errorf("%+v", got)
		}
	}
}

// TestNamedTwice: Kafka 4.3 does not answer the older request at all, so the rule is that of the newer one.
func TestNamedTwice(t *testing.T) {
	c := dial(t, startBroker(t, t.TempDir()))
	c.create("t", 1)
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Version = 2
	for _, name := range []string{"t", "t", "nowhere"} {
		req.Resources = append(req.Resources, kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name})
	}
	var codes []wire.ErrorCode
	for _, r := range c.ask(req).(*kmsg.AlterConfigsResponse).Resources {
		codes = append(codes, wire.ErrorCode(r.ErrorCode))
	}
	if len(codes) != 3 || codes[0] != wire.InvalidRequest || codes[1] != wire.InvalidRequest || codes[2] != wire.UnknownTopicOrPartition {
		t.Error(codes)
	}
}

func TestAlterBroker(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, "log.retention.hours=1")
	c := dial(t, b)
	c.create("plain", 1)
	c.createWith("own", 1, map[string]string{"retention.ms": "77"})
	plain, own := topicResource("plain"), topicResource("own")
	check := func(c *client, value string, source kmsg.ConfigSource) {
		t.Helper()
		c.wantSetting(plain, "retention.ms", value, source)
		c.wantSetting(own, "retention.ms", "77", kmsg.ConfigSourceDynamicTopicConfig) // KAFKA-9254
	}
	if v, _ := c.setting(plain, "retention.ms"); v != "3600000" {
		t.Error(v)
	}
	c.alter(allOfThem, "log.retention.ms=1000", "message.max.bytes=500")
	check(c, "1000", kmsg.ConfigSourceDynamicDefaultBrokerConfig)
	c.alter(ownBroker, "log.retention.ms=2000")
	check(c, "2000", kmsg.ConfigSourceDynamicBrokerConfig)
	c.wantSetting(allOfThem, "log.retention.ms", "1000", kmsg.ConfigSourceDynamicDefaultBrokerConfig)
	for _, topic := range []string{"plain", "own"} {
		if p := c.produceOne(topic, 0, acksLeader, records(1, 600)); p.Error != wire.MessageTooLarge {
			t.Errorf("%s: %v", topic, p.Error)
		}
	}
	for changes, code := range map[string]wire.ErrorCode{
		"num.partitions=2": wire.InvalidRequest, "log.retention.ms=x": wire.InvalidRequest, "log.retention.ms=0": wire.InvalidRequest,
		"listeners=PLAINTEXT://127.0.0.1:1": wire.InvalidRequest, "log.retention.ms+=1": wire.InvalidConfig, "num.network.threads=9": wire.InvalidRequest,
	} {
		if got := c.tryAlter(ownBroker, false, changes); got != code {
			t.Errorf("%s: %v, want %v", changes, got, code)
		}
	}
	if code := c.tryAlter(resource{kmsg.ConfigResourceTypeBroker, "9"}, false, "log.retention.ms=1"); code != wire.InvalidRequest {
		t.Error(code)
	}
	if code := c.tryAlter(ownBroker, true, "log.retention.ms=3000"); code != wire.None {
		t.Error(code)
	}
	after := crashed(t, dir)
	stop(t, b)
	for _, dir := range []string{dir, after} {
		b := startBroker(t, dir)
		c := dial(t, b)
		check(c, "2000", kmsg.ConfigSourceDynamicBrokerConfig)
		if p := c.produceOne("plain", 0, acksLeader, records(1, 600)); p.Error != wire.MessageTooLarge {
			t.Error(p.Error)
		}
		c.alter(ownBroker, "log.retention.ms")
		check(c, "1000", kmsg.ConfigSourceDynamicDefaultBrokerConfig)
		c.alter(allOfThem, "log.retention.ms", "message.max.bytes")
		check(c, "604800000", kmsg.ConfigSourceDefaultConfig)
		stop(t, b)
	}
}

// TestStateFileVersions: a file is of version 2 only while an older release would lose something by it; what does not
// fit this release is kept, without keeping the broker from starting.
func TestStateFileVersions(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, catalogStateFile)
	read := func() (s catalogState) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	b := startBroker(t, dir, withoutCoordinator)
	c := dial(t, b)
	c.createWith("t", 1, map[string]string{"retention.ms": "77"})
	if v := read().Version; v != 1 {
		t.Errorf("version %d", v)
	}
	c.alter(ownBroker, "log.retention.ms=1000", "unknown.to.all=1")
	if s := read(); s.Version != 2 || s.Brokers["1"]["log.retention.ms"] != "1000" {
		t.Errorf("%+v", s)
	}
	stop(t, b)
	s := read()
	s.Brokers["1"]["log.retention.ms"], s.Brokers["1"]["log.retention.bytes"] = "soon", "5"
	text, _ := json.Marshal(s)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	b = startBroker(t, dir, withoutCoordinator)
	c = dial(t, b)
	c.wantSetting(ownBroker, "log.retention.bytes", "5", kmsg.ConfigSourceDynamicBrokerConfig)
	if v := read().Brokers["1"]["log.retention.ms"]; v != "soon" {
		t.Errorf("%q", v)
	}
	if code := c.replace(ownBroker); code != wire.None {
		t.Error(code)
	}
	if s := read(); s.Version != 1 || s.Brokers != nil {
		t.Errorf("%+v", s)
	}
}

func TestBrokerLimitsChangeWhileRunning(t *testing.T) {
	b := startBroker(t, t.TempDir(), "max.connections=0")
	c := dial(t, b)
	c.alter(ownBroker, "max.connections=1")
	until(t, "a refused connection", func() bool {
		dial(t, b)
		return b.Stats().Net.RefusedTotal > 0
	})
	c.alter(ownBroker, "max.connections")
	dial(t, b).create("t", 1)
	c.alter(ownBroker, "max.connections.per.ip=1")
	until(t, "a refused connection", func() bool {
		dial(t, b)
		return b.Stats().Net.RefusedPerIP > 0
	})
}

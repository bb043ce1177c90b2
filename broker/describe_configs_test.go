package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

func TestDescribeConfigs(t *testing.T) {
	b := startBroker(t, t.TempDir(), "message.max.bytes=5000")
	c := dial(t, b)
	c.createWith("t", 1, map[string]string{"max.message.bytes": "1000"})
	c.create("plain", 1)
	describe := func(version int16, kind kmsg.ConfigResourceType, name string, keys ...string) kmsg.DescribeConfigsResponseResource {
		t.Helper()
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version, req.IncludeSynonyms = version, true
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: keys}}
		return c.ask(req).(*kmsg.DescribeConfigsResponse).Resources[0]
	}
	for version := int16(0); version <= 4; version++ {
		all := describe(version, kmsg.ConfigResourceTypeTopic, "t")
		if all.ErrorCode != 0 || len(all.Configs) < 20 {
			t.Fatalf("version %d: error %d, %d settings", version, all.ErrorCode, len(all.Configs))
		}
	}
	for _, x := range []struct {
		topic, value string
		source       kmsg.ConfigSource
		synonyms     int // the topic's own, the broker's, the default
	}{{"t", "1000", kmsg.ConfigSourceDynamicTopicConfig, 3}, {"plain", "5000", kmsg.ConfigSourceStaticBrokerConfig, 2}} {
		r := describe(4, kmsg.ConfigResourceTypeTopic, x.topic, "max.message.bytes")
		if len(r.Configs) != 1 {
			t.Fatalf("%s: %d settings for one key", x.topic, len(r.Configs))
		}
		k := r.Configs[0]
		if *k.Value != x.value || k.Source != x.source || len(k.ConfigSynonyms) != x.synonyms {
			t.Errorf("%s: %s from %v with %d synonyms, want %s from %v with %d", x.topic, *k.Value, k.Source, len(k.ConfigSynonyms),
				x.value, x.source, x.synonyms)
		}
	}
	own := describe(4, kmsg.ConfigResourceTypeBroker, "1", "message.max.bytes")
	if len(own.Configs) != 1 || *own.Configs[0].Value != "5000" {
		t.Errorf("the broker's own: %+v", own)
	}
	for _, x := range []struct {
		kind kmsg.ConfigResourceType
		name string
		code wire.ErrorCode
	}{
		{kmsg.ConfigResourceTypeTopic, "nowhere", wire.UnknownTopicOrPartition},
		{kmsg.ConfigResourceTypeTopic, "/", wire.InvalidTopicException},
		{kmsg.ConfigResourceTypeBroker, "7", wire.InvalidRequest},
		{kmsg.ConfigResourceTypeBroker, "x", wire.InvalidRequest},
		{kmsg.ConfigResourceTypeUnknown, "t", wire.InvalidRequest},
	} {
		if got := wire.ErrorCode(describe(4, x.kind, x.name).ErrorCode); got != x.code {
			t.Errorf("%v %q: %v, want %v", x.kind, x.name, got, x.code)
		}
	}
}

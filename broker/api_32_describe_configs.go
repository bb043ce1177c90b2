package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// DescribeConfigs, versions 0 to 4: 1 sources and synonyms, 3 types and documentation, 4 flexible. Topics, this
// broker, and what is set for all brokers.
func describeConfigsAPI() api {
	return api{key: wire.KeyDescribeConfigs, min: 0, max: 4, maxBody: maxMessageBody, handle: blocking(describeConfigs)}
}

func describeConfigs(c *call, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	unknown := slices.IndexFunc(req.Resources, func(r kmsg.DescribeConfigsRequestResource) bool { return !knownKind(r.ResourceType) })
	for i := range req.Resources {
		want := &req.Resources[i]
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName = want.ResourceType, want.ResourceName
		all, err := c.b.settingsOf(want)
		if unknown >= 0 { // Kafka then describes nothing
			bad := &req.Resources[unknown]
			all, err = nil, refuse(wire.InvalidRequest, "Unexpected resource type %d for resource %s", bad.ResourceType, bad.ResourceName)
		}
		text := "" // not null, as in Kafka
		if err != nil {
			r.ErrorCode, text = int16(codeOf(err)), err.Error()
		}
		r.ErrorMessage = &text
		for j := range all {
			if s := &all[j]; len(want.ConfigNames) == 0 || slices.Contains(want.ConfigNames, s.name) {
				r.Configs = append(r.Configs, s.entry(c.version(), req))
			}
		}
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

// knownKind tells the kinds of resources that Kafka has settings of.
func knownKind(k kmsg.ConfigResourceType) bool {
	return k == kmsg.ConfigResourceTypeTopic || k == kmsg.ConfigResourceTypeBroker || k == kmsg.ConfigResourceTypeBrokerLogger ||
		k == kmsg.ConfigResourceTypeClientMetrics || k == kmsg.ConfigResourceTypeGroupConfig
}

// setting is one key of a resource with its value. from says where that is set; the first place counts.
type setting struct {
	name  string
	key   *config.Key // nil: set while running, under a name that nothing knows
	value string
	set   bool // false: there is no value
	from  []config.Synonym
}

func (b *Broker) settingsOf(want *kmsg.DescribeConfigsRequestResource) ([]setting, error) {
	im := b.catalog.Image()
	switch want.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if r := checkTopicName(want.ResourceName); r != nil {
			return nil, r
		}
		t := im.TopicNamed(want.ResourceName)
		if t == nil {
			return nil, refuse(wire.UnknownTopicOrPartition, "") // without words, as Kafka
		}
		return topicSettings(t, im.Config), nil
	case kmsg.ConfigResourceTypeBroker:
		if want.ResourceName == "" {
			return clusterSettings(im.Config), nil
		}
		if err := b.checkOwnID(want.ResourceName, "Broker"); err != nil {
			return nil, err
		}
		return brokerSettings(im.Config), nil
	}
	return nil, refuse(wire.InvalidRequest, "Unsupported resource type: %d", want.ResourceType)
}

func topicSettings(t *Topic, v *config.Values) []setting {
	entries := config.TopicEntries(t.Overrides, v)
	out := make([]setting, len(entries))
	for i, e := range entries {
		s := setting{name: e.Key.Name, key: e.Key, value: e.Key.Canonical(e.Text), set: true}
		if e.Source == config.SourceTopic {
			s.from = append(s.from, config.Synonym{Name: s.name, Text: s.value, Source: e.Source})
		}
		if len(e.Key.Synonyms) > 0 {
			s.from = append(s.from, v.Synonyms(e.Key.Synonyms[0])...)
		}
		out[i] = s
	}
	return out
}

func brokerSettings(v *config.Values) (out []setting) {
	for _, e := range v.Entries() {
		out = append(out, setting{e.Key.Name, e.Key, e.Key.Canonical(e.Value.Text), e.Value.Set, v.Synonyms(e.Key.Name)})
	}
	for _, layer := range []map[string]string{v.Dynamic().Cluster, v.Dynamic().Broker} {
		for name := range layer {
			_, known := config.Lookup(name)
			listed := slices.ContainsFunc(out, func(s setting) bool { return s.name == name })
			if !known && !listed {
				out = append(out, setting{name: name, from: v.Synonyms(name)})
			}
		}
	}
	return out
}

// clusterSettings are those that were set for all brokers, and nothing else.
func clusterSettings(v *config.Values) (out []setting) {
	for name, text := range v.Dynamic().Cluster {
		key, _ := config.Lookup(name)
		from := slices.DeleteFunc(v.Synonyms(name), func(s config.Synonym) bool { return s.Source != config.SourceCluster })
		out = append(out, setting{name, key, text, true, from})
	}
	return out
}

func (s *setting) entry(version int16, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	k := kmsg.NewDescribeConfigsResponseResourceConfig()
	k.Name = s.name
	k.Source = kmsg.ConfigSourceDefaultConfig
	if len(s.from) > 0 {
		k.Source = kmsg.ConfigSource(s.from[0].Source)
	}
	k.IsDefault = k.Source == kmsg.ConfigSourceDefaultConfig
	// What nothing is known of may be a secret, as in Kafka (KafkaConfig.maybeSensitive).
	k.IsSensitive, k.ReadOnly = true, true
	if s.key != nil {
		k.ConfigType = kmsg.ConfigType(s.key.Type)
		k.IsSensitive = s.key.Type == config.Password
		k.ReadOnly = !s.key.Topic && s.key.Update == config.ReadOnly
		if req.IncludeDocumentation && version >= 3 {
			k.Documentation = &s.key.Doc
		}
	}
	if s.set && !k.IsSensitive {
		k.Value = &s.value
	}
	if !req.IncludeSynonyms {
		return k
	}
	for i := range s.from {
		y := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		y.Name, y.Source = s.from[i].Name, kmsg.ConfigSource(s.from[i].Source)
		if !k.IsSensitive {
			y.Value = &s.from[i].Text
		}
		k.ConfigSynonyms = append(k.ConfigSynonyms, y)
	}
	return k
}

package broker

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// DescribeConfigs, versions 0 to 4: 1 sources and synonyms, 3 types and documentation, 4 flexible. Topics and this
// broker; nothing can be altered yet.
func describeConfigsAPI() api {
	return api{key: wire.KeyDescribeConfigs, min: 0, max: 4, maxBody: maxMessageBody, handle: message(describeConfigs)}
}

func describeConfigs(c *call, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for i := range req.Resources {
		want := &req.Resources[i]
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName = want.ResourceType, want.ResourceName
		all, err := c.settingsOf(want)
		if err != nil {
			text := err.Error()
			r.ErrorCode, r.ErrorMessage = int16(codeOf(err)), &text
		}
		for _, s := range all {
			if want.ConfigNames == nil || slices.Contains(want.ConfigNames, s.key.Name) {
				r.Configs = append(r.Configs, s.entry(c.version(), req))
			}
		}
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

// setting is one key of a resource; the first of values is the one in force, the others are what it would be
// without those before.
type setting struct {
	key    *config.Key
	values []settingValue
}

type settingValue struct {
	name   string // the key that has the value: the setting's or a synonym's
	text   string
	source config.TopicSource
}

func (c *call) settingsOf(want *kmsg.DescribeConfigsRequestResource) ([]setting, error) {
	switch want.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if r := checkTopicName(want.ResourceName); r != nil {
			return nil, r
		}
		t := c.b.catalog.Image().TopicNamed(want.ResourceName)
		if t == nil {
			return nil, refuse(wire.UnknownTopicOrPartition, "%s", wire.UnknownTopicOrPartition.Message())
		}
		return c.b.topicSettings(t), nil
	case kmsg.ConfigResourceTypeBroker:
		switch id, err := strconv.Atoi(want.ResourceName); {
		case want.ResourceName == "": // what is set for all brokers: nothing
			return nil, nil
		case err != nil:
			return nil, refuse(wire.InvalidRequest, "Broker id must be an integer, but it is: %s", want.ResourceName)
		case int32(id) != c.b.catalog.Image().Controller:
			return nil, refuse(wire.InvalidRequest, "Unexpected broker id, expected %d or empty string, but received %s",
				c.b.catalog.Image().Controller, want.ResourceName)
		}
		return c.b.ownSettings(), nil
	}
	return nil, refuse(wire.InvalidRequest, "Unsupported resource type: %d", want.ResourceType)
}

func (b *Broker) topicSettings(t *Topic) []setting {
	own, inherited := config.TopicEntries(t.Overrides, b.values), config.TopicEntries(nil, b.values)
	defaults := config.TopicEntries(nil, nil)
	out := make([]setting, len(own))
	for i, e := range own {
		s := setting{key: e.Key}
		for _, v := range []config.TopicEntry{e, inherited[i], defaults[i]} {
			if n := len(s.values); n == 0 || s.values[n-1].source != v.Source {
				s.values = append(s.values, settingValue{nameAt(v), v.Text, v.Source})
			}
		}
		out[i] = s
	}
	return out
}

// nameAt is the key that a topic's value comes from: the broker's, unless it is set on the topic.
func nameAt(e config.TopicEntry) string {
	if e.Source != config.SourceTopic && len(e.Key.Synonyms) > 0 {
		return e.Key.Synonyms[0]
	}
	return e.Key.Name
}

func (b *Broker) ownSettings() []setting {
	var out []setting
	for _, e := range b.values.Entries() {
		s := setting{key: e.Key}
		if b.values.IsSet(e.Key.Name) {
			s.values = append(s.values, settingValue{e.Key.Name, e.Value.Text, config.SourceStaticBroker})
		}
		if !e.Key.Null {
			s.values = append(s.values, settingValue{e.Key.Name, e.Key.Default, config.SourceDefault})
		}
		out = append(out, s)
	}
	return out
}

func (s *setting) entry(version int16, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	k := kmsg.NewDescribeConfigsResponseResourceConfig()
	k.Name, k.ConfigType = s.key.Name, kmsg.ConfigType(s.key.Type)
	k.Source, k.IsDefault = kmsg.ConfigSourceDefaultConfig, true
	k.IsSensitive = s.key.Type == config.Password
	k.ReadOnly = !s.key.Topic && s.key.Update == config.ReadOnly
	if len(s.values) > 0 {
		v := s.values[0]
		k.Source, k.IsDefault = kmsg.ConfigSource(v.source), v.source == config.SourceDefault
		if !k.IsSensitive {
			k.Value = &v.text
		}
	}
	if req.IncludeDocumentation && version >= 3 {
		k.Documentation = &s.key.Doc
	}
	if !req.IncludeSynonyms {
		return k
	}
	for _, v := range s.values {
		y := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		y.Name, y.Source = v.name, kmsg.ConfigSource(v.source)
		if !k.IsSensitive {
			y.Value = &v.text
		}
		k.ConfigSynonyms = append(k.ConfigSynonyms, y)
	}
	return k
}

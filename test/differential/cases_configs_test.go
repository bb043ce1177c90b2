//go:build peers

package differential

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// configOf is a resource to describe or alter. The name of a broker is "own" for the broker asked.
type configOf struct {
	kind kmsg.ConfigResourceType
	name string
}

const (
	topicKind  = kmsg.ConfigResourceTypeTopic
	brokerKind = kmsg.ConfigResourceTypeBroker
)

func (s *side) resourceName(r configOf) string {
	if r.kind == brokerKind && r.name == "own" {
		return strconv.Itoa(int(s.node))
	}
	return r.name
}

func describeConfigs(s *side, v int16, r configOf, keys ...string) *kmsg.DescribeConfigsRequest {
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.Version, q.IncludeSynonyms, q.IncludeDocumentation = v, true, v >= 3
	q.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: r.kind, ResourceName: s.resourceName(r), ConfigNames: keys}}
	return q
}

// describe asks both for a resource's settings.
func (p *pair) describe(v int16, r configOf, keys ...string) {
	p.Helper()
	p.askEach(func(s *side) kmsg.Request { return describeConfigs(s, v, r, keys...) })
}

func alterConfigs(s *side, v int16, r configOf, settings ...string) *kmsg.AlterConfigsRequest {
	q := kmsg.NewPtrAlterConfigsRequest()
	q.Version = v
	x := kmsg.AlterConfigsRequestResource{ResourceType: r.kind, ResourceName: s.resourceName(r)}
	for i := 0; i < len(settings); i += 2 {
		x.Configs = append(x.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: settings[i], Value: &settings[i+1]})
	}
	q.Resources = append(q.Resources, x)
	return q
}

// op is one change of IncrementalAlterConfigs.
type op struct {
	key   string
	op    kmsg.IncrementalAlterConfigOp
	value string // "-": null
}

func set(key, value string) op { return op{key, kmsg.IncrementalAlterConfigOpSet, value} }
func del(key string) op        { return op{key, kmsg.IncrementalAlterConfigOpDelete, "-"} }
func add(key, value string) op { return op{key, kmsg.IncrementalAlterConfigOpAppend, value} }
func cut(key, value string) op { return op{key, kmsg.IncrementalAlterConfigOpSubtract, value} }

func incremental(s *side, v int16, r configOf, ops ...op) *kmsg.IncrementalAlterConfigsRequest {
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	q.Version = v
	x := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: r.kind, ResourceName: s.resourceName(r)}
	for _, o := range ops {
		c := kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: o.key, Op: o.op, Value: &o.value}
		if o.value == "-" {
			c.Value = nil
		}
		x.Configs = append(x.Configs, c)
	}
	q.Resources = append(q.Resources, x)
	return q
}

// alter changes settings on both, compares, and waits until the Kafkas have heard of it themselves. Then it compares
// the descriptions of what was changed.
func (p *pair) alter(v int16, r configOf, ops ...op) {
	p.Helper()
	p.askEach(func(s *side) kmsg.Request { return incremental(s, v, r, ops...) })
	p.settleConfigs()
	var keys []string
	for _, o := range ops {
		keys = append(keys, o.key)
	}
	p.describe(4, r, keys...)
}

// settleConfigs waits until each broker has seen what was altered: a marker, altered afterwards, shows.
func (p *pair) settleConfigs() {
	p.Helper()
	const marker = "config-marker"
	p.topic(marker, 1, nil)
	p.settled++
	value := fmt.Sprint(p.settled)
	for _, s := range p.sides {
		r := configOf{topicKind, marker}
		s.exchange(incremental(s, 1, r, set("flush.messages", value)), answerLimit)
		eventually(p.T, s.name+" shows "+marker, func() bool {
			a := s.exchange(describeConfigs(s, 4, r, "flush.messages"), answerLimit)
			return a.fields["Resources[#0].Configs[flush.messages].Value"] == strconv.Quote(value)
		})
	}
}

func configCases() (cs []testCase) {
	return append(append(describeCases(), alterTopicCases()...), alterBrokerCases()...)
}

func describeCases() (cs []testCase) {
	each := func(name string, run func(p *pair, v int16)) {
		cs = append(cs, perVersion("DescribeConfigs/"+name, 1, 4, run)...)
	}
	each("topic", func(p *pair, v int16) {
		p.topic("config-plain", 1, nil)
		p.describe(v, configOf{topicKind, "config-plain"})
	})
	each("topic with settings", func(p *pair, v int16) {
		p.topic("config-set", 1, topicConfig{"retention.ms": "3600000", "cleanup.policy": "compact, delete", "segment.bytes": " 2097152",
			"min.cleanable.dirty.ratio": ".25", "preallocate": "FALSE", "compression.type": "producer"})
		p.describe(v, configOf{topicKind, "config-set"})
	})
	each("some keys", func(p *pair, v int16) {
		p.topic("config-plain", 1, nil)
		p.describe(v, configOf{topicKind, "config-plain"}, "retention.ms", "no.such.key", "segment.bytes", "retention.ms")
		p.describe(v, configOf{topicKind, "config-plain"}, []string{}...)
		p.describe(v, configOf{brokerKind, "own"}, "log.retention.ms", "log.retention.hours", "message.max.bytes", "retention.ms")
	})
	each("broker", func(p *pair, v int16) { p.describe(v, configOf{brokerKind, "own"}) })
	each("all brokers", func(p *pair, v int16) { p.describe(v, configOf{brokerKind, ""}) })
	each("without synonyms", func(p *pair, v int16) {
		p.topic("config-plain", 1, nil)
		p.askEach(func(s *side) kmsg.Request {
			q := describeConfigs(s, v, configOf{topicKind, "config-plain"})
			q.IncludeSynonyms, q.IncludeDocumentation = false, false
			return q
		})
	})
	for _, r := range []configOf{{topicKind, "nowhere"}, {topicKind, ""}, {topicKind, "a b"}, {brokerKind, "77"}, {brokerKind, "-1"},
		{brokerKind, "x"}, {0, "x"}, {3, "x"}, {99, "x"}} {
		each(fmt.Sprintf("unknown %d %q", r.kind, r.name), func(p *pair, v int16) { p.describe(v, r) })
	}
	each("several", func(p *pair, v int16) {
		p.topic("config-plain", 1, nil)
		for _, odd := range []configOf{{topicKind, "nowhere"}, {99, "x"}} {
			p.askEach(func(s *side) kmsg.Request {
				q := describeConfigs(s, v, configOf{topicKind, "config-plain"}, "retention.ms")
				q.Resources = append(q.Resources, describeConfigs(s, v, odd).Resources[0], q.Resources[0])
				return q
			})
		}
	})
	each("none", func(p *pair, v int16) { q := kmsg.NewPtrDescribeConfigsRequest(); q.Version = v; p.ask(q) })
	return cs
}

func alterTopicCases() (cs []testCase) {
	legacy := func(name string, run func(p *pair, v int16, topic configOf)) {
		cs = append(cs, perVersion("AlterConfigs/"+name, 0, 2, func(p *pair, v int16) {
			t := versioned("alter-"+name, v)
			p.topic(t, 1, topicConfig{"retention.ms": "5000", "segment.ms": "7000"})
			run(p, v, configOf{topicKind, t})
		})...)
	}
	replace := func(p *pair, v int16, r configOf, settings ...string) {
		p.Helper()
		p.askEach(func(s *side) kmsg.Request { return alterConfigs(s, v, r, settings...) })
		p.settleConfigs()
		p.describe(4, r)
	}
	legacy("replaced", func(p *pair, v int16, t configOf) {
		replace(p, v, t, "retention.ms", "9000", "max.message.bytes", "1000")
	})
	legacy("none left", func(p *pair, v int16, t configOf) { replace(p, v, t) })
	legacy("unknown key", func(p *pair, v int16, t configOf) { replace(p, v, t, "retention.ms", "9000", "no.such.key", "1") })
	legacy("bad value", func(p *pair, v int16, t configOf) { replace(p, v, t, "retention.ms", "soon") })
	legacy("key twice", func(p *pair, v int16, t configOf) { replace(p, v, t, "retention.ms", "1", "retention.ms", "2") })
	legacy("only validated", func(p *pair, v int16, t configOf) {
		for _, value := range []string{"1", "x"} {
			p.askEach(func(s *side) kmsg.Request {
				q := alterConfigs(s, v, t, "retention.ms", value)
				q.ValidateOnly = true
				return q
			})
		}
		p.describe(4, t)
	})
	legacy("null value", func(p *pair, v int16, t configOf) {
		p.askEach(func(s *side) kmsg.Request {
			q := alterConfigs(s, v, t, "retention.ms", "1")
			q.Resources[0].Configs[0].Value = nil
			return q
		})
	})
	legacy("several", func(p *pair, v int16, t configOf) {
		p.askEach(func(s *side) kmsg.Request {
			q := alterConfigs(s, v, t, "retention.ms", "6000")
			for _, r := range []configOf{{topicKind, "nowhere"}, {topicKind, "a b"}, {topicKind, ""}} {
				q.Resources = append(q.Resources, alterConfigs(s, v, r, "retention.ms", "1").Resources[0])
			}
			return q
		})
		p.settleConfigs()
		p.describe(4, t)
	})
	legacy("no topic", func(p *pair, v int16, t configOf) {
		for _, r := range []configOf{{brokerKind, "77"}, {brokerKind, "x"}, {99, "x"}, {0, "x"}} {
			p.askEach(func(s *side) kmsg.Request { return alterConfigs(s, v, r, "retention.ms", "1") })
		}
	})
	legacy("no resources", func(p *pair, v int16, t configOf) { q := kmsg.NewPtrAlterConfigsRequest(); q.Version = v; p.ask(q) })
	return append(cs, incrementalCases()...)
}

func incrementalCases() (cs []testCase) {
	each := func(name string, run func(p *pair, v int16, topic configOf)) {
		cs = append(cs, perVersion("IncrementalAlterConfigs/"+name, 0, 1, func(p *pair, v int16) {
			t := versioned("increment-"+strings.ReplaceAll(name, ":", ""), v)
			p.topic(t, 1, topicConfig{"retention.ms": "5000", "cleanup.policy": "compact"})
			run(p, v, configOf{topicKind, t})
		})...)
	}
	ops := func(name string, ops ...op) {
		each(name, func(p *pair, v int16, t configOf) {
			p.alter(v, t, ops...)
			p.describe(4, t)
		})
	}
	ops("set", set("retention.ms", "6000"), set("max.message.bytes", "1000"))
	ops("set the same", set("retention.ms", "5000"))
	ops("delete", del("retention.ms"))
	ops("delete what is not set", del("segment.ms"))
	ops("delete with a value", op{"retention.ms", kmsg.IncrementalAlterConfigOpDelete, "1"})
	ops("delete an unknown key", del("no.such.key"))
	ops("append", add("cleanup.policy", "delete"))
	ops("append what is there", add("cleanup.policy", "compact,delete"))
	ops("append to the default", add("follower.replication.throttled.replicas", "0:1,1:1"))
	ops("append a bad element", add("cleanup.policy", "burn"))
	ops("append to a number", add("retention.ms", "1"))
	ops("append to an unknown key", add("no.such.key", "1"))
	ops("subtract", add("cleanup.policy", "delete"), set("retention.ms", "1"))
	ops("subtract all", cut("cleanup.policy", "compact"))
	ops("subtract what is not there", cut("cleanup.policy", "delete"))
	ops("subtract from the default", cut("follower.replication.throttled.replicas", "0:1"))
	ops("subtract from a number", cut("retention.ms", "1"))
	ops("unknown key", set("no.such.key", "1"), set("retention.ms", "6000"))
	ops("key of a broker", set("log.retention.ms", "1"))
	ops("null value", set("retention.ms", "-"))
	ops("key twice", set("retention.ms", "1"), del("retention.ms"))
	ops("no such operation", op{"retention.ms", 9, "1"})
	ops("nothing")
	for key, values := range map[string][]string{
		"retention.ms": {"", "x", "-2", "-1", "0", "9223372036854775808"}, "segment.bytes": {"1048575", "1048576", "2147483648"},
		"cleanup.policy": {"", "delete,delete", "burn", "delete, compact"}, "min.cleanable.dirty.ratio": {"1.5", "1e-1", "1e-5"},
		"preallocate": {"yes", "TRUE"}, "message.timestamp.type": {"logappendtime", "LogAppendTime"}, "compression.type": {"gzip", "rar", "none"},
		"min.insync.replicas": {"0", "2"}, "max.message.bytes": {"-1", "0"}, "retention.bytes": {"-5"}, "flush.ms": {"-1", "0"},
		"segment.ms": {"0"}, "segment.index.bytes": {"3", "4"}, "index.interval.bytes": {"-1", "0"}, "file.delete.delay.ms": {"-1"},
		"unclean.leader.election.enable": {"maybe"}, "remote.storage.enable": {"true"}, "delete.retention.ms": {"-1"},
		"message.timestamp.after.max.ms": {"-1", "0"}, "follower.replication.throttled.replicas": {"x", "*", "0:1"},
	} {
		for _, value := range values {
			ops(fmt.Sprintf("%s=%s", key, value), set(key, value))
		}
	}
	ops("lags in conflict", set("min.compaction.lag.ms", "10"), set("max.compaction.lag.ms", "9"))
	each("names", func(p *pair, v int16, t configOf) {
		for _, r := range []configOf{{topicKind, "nowhere"}, {topicKind, "a b"}, {topicKind, ""}, {99, "x"}, {0, "x"}, {brokerKind, "77"}, {brokerKind, "x"}} {
			for _, o := range []op{set("retention.ms", "1"), set("no.such.key", "1"), add("retention.ms", "1")} {
				p.askEach(func(s *side) kmsg.Request { return incremental(s, v, r, o) })
			}
		}
	})
	each("only validated", func(p *pair, v int16, t configOf) {
		for _, o := range []op{set("retention.ms", "1"), set("retention.ms", "x"), del("retention.ms")} {
			p.askEach(func(s *side) kmsg.Request {
				q := incremental(s, v, t, o)
				q.ValidateOnly = true
				return q
			})
		}
		p.describe(4, t)
	})
	each("resource twice", func(p *pair, v int16, t configOf) {
		p.askEach(func(s *side) kmsg.Request {
			q := incremental(s, v, t, set("retention.ms", "1"))
			q.Resources = append(q.Resources, q.Resources[0], incremental(s, v, configOf{topicKind, "nowhere"}).Resources[0])
			return q
		})
		p.describe(4, t)
	})
	each("in use", func(p *pair, v int16, t configOf) {
		p.alter(v, t, set("max.message.bytes", "100"), set("cleanup.policy", "delete"))
		p.ask(produce(9, -1, t.name, 0, batchOf{n: 5, size: 100}.bytes()))
		p.alter(v, t, del("max.message.bytes"))
		p.ask(produce(9, -1, t.name, 0, batchOf{n: 5, size: 100}.bytes()))
		p.alter(v, t, set("message.timestamp.type", "LogAppendTime"), set("min.insync.replicas", "2"))
		p.ask(produce(9, -1, t.name, 0, batchOf{n: 1}.bytes()))
		p.ask(produce(9, 1, t.name, 0, batchOf{n: 1}.bytes()))
	})
	return cs
}

// alterBrokerCases leave the brokers as they were.
func alterBrokerCases() (cs []testCase) {
	each := func(name string, run func(p *pair, v int16)) {
		cs = append(cs, perVersion("IncrementalAlterConfigs/brokers, "+name, 0, 1, func(p *pair, v int16) {
			p.topic("config-plain", 1, nil)
			p.topic("config-own", 1, topicConfig{"retention.ms": "77777"})
			run(p, v)
		})...)
	}
	own, all := configOf{brokerKind, "own"}, configOf{brokerKind, ""}
	look := func(p *pair) {
		p.Helper()
		p.describe(4, configOf{topicKind, "config-plain"})
		p.describe(4, configOf{topicKind, "config-own"})
	}
	each("layers", func(p *pair, v int16) {
		p.alter(v, all, set("log.retention.ms", "1000000"), set("message.max.bytes", "900000"))
		look(p)
		p.describe(4, own, "log.retention.ms", "log.retention.hours", "message.max.bytes")
		p.alter(v, own, set("log.retention.ms", "2000000"))
		look(p)
		p.describe(4, all)
		p.alter(v, all, del("log.retention.ms"))
		look(p)
		p.alter(v, own, del("log.retention.ms"))
		p.alter(v, all, del("message.max.bytes"))
		look(p)
		p.describe(4, all)
	})
	for _, r := range []configOf{own, all} {
		for _, o := range []op{
			set("num.partitions", "2"), set("log.retention.ms", "soon"), set("log.retention.ms", "0"), set("log.retention.hours", "1"),
			set("log.retention.ms", "-"), del("num.partitions"), add("log.retention.ms", "1"), add("no.such.key", "1"),
			set("log.cleanup.policy", "burn"), set("log.segment.bytes", "1"), set("retention.ms", "1"), set("message.max.bytes", "-1"),
			{"log.retention.ms", 9, "1"}, set("log.message.timestamp.type", "x"),
		} {
			each(fmt.Sprintf("%q %d %s=%s", r.name, o.op, o.key, o.value), func(p *pair, v int16) {
				p.alter(v, r, o)
				p.askEach(func(s *side) kmsg.Request { return incremental(s, v, r, del(o.key)) })
				p.settleConfigs()
			})
		}
	}
	each("unknown key", func(p *pair, v int16) {
		p.alter(v, own, set("no.such.key", "1"))
		p.describe(4, own, "no.such.key")
		p.alter(v, own, del("no.such.key"))
	})
	each("lists", func(p *pair, v int16) {
		p.alter(v, own, add("log.cleanup.policy", "compact"))
		look(p)
		p.alter(v, own, cut("log.cleanup.policy", "delete"))
		look(p)
		p.alter(v, own, del("log.cleanup.policy"))
	})
	cs = append(cs, perVersion("AlterConfigs/brokers", 0, 2, func(p *pair, v int16) {
		p.topic("config-plain", 1, nil)
		p.topic("config-own", 1, topicConfig{"retention.ms": "77777"})
		for _, settings := range [][]string{{"log.retention.ms", "5000000", "log.roll.ms", "6000000"}, {"log.roll.ms", "7000000"}, {"num.partitions", "3"}, {}} {
			p.askEach(func(s *side) kmsg.Request { return alterConfigs(s, v, own, settings...) })
			p.settleConfigs()
			look(p)
			p.describe(4, own, "log.retention.ms", "log.roll.ms", "log.roll.hours")
		}
	})...)
	return cs
}

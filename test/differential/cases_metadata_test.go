//go:build peers

package differential

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var badNames = []string{"", ".", "..", "a b", "a/b", "ä", "a:b", strings.Repeat("x", 250), "a\x00b"}

func metadataCases() (cs []testCase) {
	add := func(name string, from, to int16, run func(p *pair, v int16)) {
		cs = append(cs, perVersion("Metadata/"+name, from, to, run)...)
	}
	add("one topic", 0, 12, func(p *pair, v int16) {
		p.topic("metadata", 3, nil)
		p.ask(metadata(v, "metadata"))
	})
	add("several, one twice", 0, 12, func(p *pair, v int16) {
		p.topic("metadata", 3, nil)
		p.topic("metadata-b", 1, nil)
		p.ask(metadata(v, "metadata-b", "metadata", "metadata-b"))
	})
	add("no topics", 1, 12, func(p *pair, v int16) { p.ask(metadata(v)) })
	add("all topics", 0, 12, func(p *pair, v int16) {
		p.topic("metadata", 3, nil)
		r := metadata(v)
		if v > 0 {
			r.Topics = nil
		}
		p.askAll(r)
	})
	add("unknown", 4, 12, func(p *pair, v int16) { p.ask(metadata(v, "metadata-unknown")) })
	add("known and unknown", 4, 12, func(p *pair, v int16) {
		p.topic("metadata", 3, nil)
		p.ask(metadata(v, "metadata-unknown", "metadata"))
	})
	add("auto-creation", 0, 12, func(p *pair, v int16) {
		name := versioned("auto", v)
		r := metadata(v, name)
		r.AllowAutoTopicCreation = true
		p.ask(r)
		for _, s := range p.sides {
			eventually(p.T, s.name+" has created "+name, func() bool {
				return s.exchange(metadata(10, name), answerLimit).fields["Topics["+name+"].ErrorCode"] == "0"
			})
			s.awaitLeaders(p, name, 1)
		}
		p.ask(r)
	})
	for i, name := range badNames {
		add(fmt.Sprintf("bad name %d", i), 0, 12, func(p *pair, v int16) {
			r := metadata(v, name)
			p.ask(r)
			r.AllowAutoTopicCreation = true
			p.ask(r)
		})
	}
	add("operations of topics", 8, 12, func(p *pair, v int16) {
		p.topic("metadata", 3, nil)
		r := metadata(v, "metadata", "metadata-unknown")
		r.IncludeTopicAuthorizedOperations = true
		p.ask(r)
	})
	add("operations of the cluster", 8, 10, func(p *pair, v int16) {
		r := metadata(v)
		r.IncludeClusterAuthorizedOperations = true
		p.ask(r)
	})
	add("by id", 10, 12, func(p *pair, v int16) {
		p.topic("metadata", 3, nil)
		p.askEach(func(s *side) kmsg.Request {
			r := metadata(v)
			for id, name := range s.topics {
				if name == "metadata" {
					r.Topics = append(r.Topics, kmsg.MetadataRequestTopic{TopicID: id})
				}
			}
			return r
		})
	})
	add("by unknown id", 10, 12, func(p *pair, v int16) {
		r := metadata(v)
		r.Topics = append(r.Topics, kmsg.MetadataRequestTopic{TopicID: [16]byte{1, 2, 3}})
		p.ask(r)
	})
	add("by id and name", 10, 12, func(p *pair, v int16) {
		p.topic("metadata", 3, nil)
		r := metadata(v, "metadata")
		r.Topics[0].TopicID = [16]byte{1, 2, 3}
		p.ask(r)
	})
	return cs
}

// askAll compares only the topics that both brokers were told of: Kafka's list has its internal ones too, and what
// an earlier run left.
func (p *pair) askAll(r *kmsg.MetadataRequest) {
	p.Helper()
	a := p.exchangeEach(func(*side) kmsg.Request { return r })
	for i := range p.sides {
		known := p.knownToBoth()
		delete(a[i].fields, "Topics")
		for path := range a[i].fields {
			if name, ok := strings.CutPrefix(path, "Topics["); ok && !known[name[:strings.Index(name, "]")]] {
				delete(a[i].fields, path)
			}
		}
	}
	p.compare(r.Key(), r.Version, a)
}

func (p *pair) knownToBoth() map[string]bool {
	left, both := map[string]bool{}, map[string]bool{}
	for _, name := range p.sides[0].topics {
		left[name] = true
	}
	for _, name := range p.sides[1].topics {
		both[name] = left[name]
	}
	return both
}

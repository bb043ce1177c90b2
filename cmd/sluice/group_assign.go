package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/coordination/registry"
)

// assignor divides the partitions of topics among the members of a group: those of each thread, id-number, by the
// subscriptions. All members compute the same.
type assignor func(members []*registry.Consumer, partitions map[string]int) map[string][]registry.TopicPartition

// assignors are the values of partition.assignment.strategy that the old consumer had.
var assignors = map[string]assignor{"range": assignRange, "roundrobin": assignRoundRobin}

// threads are the names of a topic's threads in order: the members that subscribe to it have so many each.
func threads(members []*registry.Consumer, topic string) []string {
	var names []string
	for _, m := range members {
		for i := range m.Subscription[topic] {
			names = append(names, fmt.Sprintf("%s-%d", m.ID, i))
		}
	}
	slices.Sort(names)
	return names
}

// assignRange gives each thread of a topic as many neighbouring partitions; the first ones get one more if it does not
// come out even (RangeAssignor).
func assignRange(members []*registry.Consumer, partitions map[string]int) map[string][]registry.TopicPartition {
	out := map[string][]registry.TopicPartition{}
	for topic, n := range partitions {
		names := threads(members, topic)
		for i, name := range names {
			each, more := n/len(names), n%len(names)
			first := each*i + min(i, more)
			last := first + each
			if i < more {
				last++
			}
			for p := first; p < last; p++ {
				out[name] = append(out[name], registry.TopicPartition{Topic: topic, Partition: int32(p)})
			}
		}
	}
	return out
}

// assignRoundRobin deals all partitions of all topics out in turn, in the order of their names' hashes, passing over
// threads that do not want the topic (RoundRobinAssignor).
func assignRoundRobin(members []*registry.Consumer, partitions map[string]int) map[string][]registry.TopicPartition {
	var all []registry.TopicPartition
	wants := map[string]map[string]bool{} // topic, thread
	every := map[string]bool{}
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		wants[topic] = map[string]bool{}
		for _, name := range threads(members, topic) {
			wants[topic][name], every[name] = true, true
		}
		for p := range partitions[topic] {
			all = append(all, registry.TopicPartition{Topic: topic, Partition: int32(p)})
		}
	}
	slices.SortStableFunc(all, func(a, b registry.TopicPartition) int {
		return cmp.Compare(javaHash(fmt.Sprintf("[%s,%d]", a.Topic, a.Partition)), javaHash(fmt.Sprintf("[%s,%d]", b.Topic, b.Partition)))
	})
	names := slices.Sorted(maps.Keys(every))
	out := map[string][]registry.TopicPartition{}
	turn := 0
	for _, p := range all {
		if len(wants[p.Topic]) == 0 {
			continue
		}
		for !wants[p.Topic][names[turn%len(names)]] {
			turn++
		}
		name := names[turn%len(names)]
		out[name] = append(out[name], p)
		turn++
	}
	return out
}

// matchTopics makes a subscription by pattern one to the topics that match: those of the regular expression, where a comma
// is an alternative too, or all others (TopicFilter). Kafka's internal topics are not among them.
func matchTopics(c *registry.Consumer, topics []string) error {
	subscription := map[string]int32{}
	for pattern, n := range c.Subscription {
		r, err := regexp.Compile("^(?:" + strings.ReplaceAll(strings.ReplaceAll(pattern, " ", ""), ",", "|") + ")$")
		if err != nil {
			return err
		}
		for _, topic := range topics {
			if r.MatchString(topic) == (c.Pattern == registry.WhiteList) && topic != "__consumer_offsets" && topic != "__transaction_state" {
				subscription[topic] = n
			}
		}
	}
	c.Subscription, c.Pattern = subscription, registry.StaticPattern
	return nil
}

// javaHash is String.hashCode of a text in ASCII, which the names of topics are.
func javaHash(s string) (h int32) {
	for _, c := range []byte(s) {
		h = 31*h + int32(c)
	}
	return h
}

//go:build peers

package differential

import (
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// exception is one allowed difference. `*` in a text stands for anything.
type exception struct {
	api      kmsg.Key
	from, to int16  // versions
	cases    string // names of cases, "" for all of them
	path     string // of the field
	sluice   string // value there, "nothing" if the field is not in the answer
	kafka    string
	reason   string

	used int
}

func (e *exception) covers(name string, key, version int16, d difference) bool {
	return (e.cases == "" || like(e.cases, name)) && int16(e.api) == key && e.from <= version && version <= e.to &&
		like(e.path, d.path) && like(e.sluice, d.left) && like(e.kafka, d.right)
}

func like(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^(?s:" + strings.Join(parts, ".*") + ")$").MatchString(text)
}

const (
	groupsLater   = "consumer groups are not there yet: no coordinator to name"
	olderClients  = "Kafka 4 dropped these versions; Sluice still answers clients that send them"
	notServed     = "this API is not served yet, so it is not advertised"
	lowerMaximum  = "a lower maximum is legal: every client negotiates down to it"
	notOpened     = "Sluice does not decompress what no rule needs to see; Kafka opens every batch and fails"
	wholeBatches  = "Kafka fills the bytes that are left with a part of a batch, which clients throw away; Sluice gives whole ones"
	clusterWide   = "Kafka 4 writes min.insync.replicas into the cluster's own configuration when it formats its storage (KIP-966)"
	otherKeys     = "which broker settings there are differs: those of what is not served are missing, and Sluice has some of its own"
	ownValues     = "what the two brokers were started with"
	ownDefault    = "a default that differs on purpose, or that cannot be changed while running; config explain says why"
	ownSetting    = "flush.policy, a setting of Sluice's own"
	kraftFeatures = "the feature belongs to Kafka's own metadata quorum or to an API that is not served yet"
)

// exceptions is the whole list of differences between Sluice and Kafka 4.3.0 in the APIs that Sluice serves.
func exceptions() []*exception {
	es := []*exception{
		{api: kmsg.FindCoordinator, from: 0, to: 3, path: "ErrorCode", sluice: "15", kafka: "0", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 0, to: 3, path: "NodeID", sluice: "-1", kafka: "this broker", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 0, to: 3, path: "Host", sluice: `""`, kafka: "own host", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 0, to: 3, path: "Port", sluice: "-1", kafka: "own port", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 1, to: 3, path: "ErrorMessage", sluice: "*", kafka: "*", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 4, to: 4, path: "Coordinators[*].ErrorCode", sluice: "15", kafka: "0", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 4, to: 4, path: "Coordinators[*].NodeID", sluice: "-1", kafka: "this broker", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 4, to: 4, path: "Coordinators[*].Host", sluice: `""`, kafka: "own host", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 4, to: 4, path: "Coordinators[*].Port", sluice: "-1", kafka: "own port", reason: groupsLater},
		{api: kmsg.FindCoordinator, from: 4, to: 4, path: "Coordinators[*].ErrorMessage", sluice: "*", kafka: "*", reason: groupsLater},
	}
	es = append(es, produceExceptions()...)
	for _, path := range []string{"RecordBatches", "RecordBatches[0]"} {
		es = append(es, &exception{api: kmsg.Fetch, from: 4, to: 12, cases: "Fetch/max*bytes*", path: "Topics[fetch].Partitions[3]." + path,
			sluice: "*", kafka: "*", reason: wholeBatches})
	}
	es = append(es, &exception{api: kmsg.CreateTopics, from: 5, to: 7, path: "Topics[*].Configs[min.insync.replicas].Source",
		sluice: "5", kafka: "3", reason: clusterWide})
	es = append(es, &exception{api: kmsg.CreateTopics, from: 5, to: 7, path: "Topics[*].Configs", sluice: "34 elements", kafka: "33 elements",
		reason: ownSetting})
	es = append(es, &exception{api: kmsg.CreateTopics, from: 5, to: 7, path: "Topics[*].Configs[flush.policy].*", sluice: "*", kafka: "nothing",
		reason: ownSetting})
	es = append(es, configExceptions()...)
	return append(es, apiListExceptions()...)
}

// twoKafkas are the differences between two brokers of the same kind.
func twoKafkas() (es []*exception) {
	for _, key := range []string{"log.dirs", "listeners", "advertised.listeners", "controller.quorum.voters"} {
		for _, field := range []string{".Value", ".ConfigSynonyms[*"} {
			es = append(es, &exception{api: kmsg.DescribeConfigs, from: 1, to: 4, cases: "DescribeConfigs/broker/*",
				path: "Resources[*].Configs[" + key + "]" + field, sluice: "*", kafka: "*", reason: ownValues})
		}
	}
	return es
}

// configExceptions are about which settings there are, and values that differ on purpose.
func configExceptions() (es []*exception) {
	add := func(cases, path, sluice, kafka, reason string) {
		es = append(es, &exception{api: kmsg.DescribeConfigs, from: 1, to: 4, cases: cases, path: "Resources[*]" + path,
			sluice: sluice, kafka: kafka, reason: reason})
	}
	add("", ".Configs", "34 elements", "33 elements", ownSetting)
	add("", ".Configs[flush.policy].*", "*", "nothing", ownSetting)
	const minISR = ".Configs[min.insync.replicas]"
	add("", minISR+".Source", "DEFAULT_CONFIG", "DYNAMIC_DEFAULT_BROKER_CONFIG", clusterWide)
	add("", minISR+".ConfigSynonyms", "* elements", "* elements", clusterWide)
	add("", minISR+".ConfigSynonyms[*", "*", "*", clusterWide)
	const own = "DescribeConfigs/broker/*"
	add("DescribeConfigs/all brokers/*", ".Configs", "0 elements", "1 elements", clusterWide)
	add("*brokers, layers/*", ".Configs", "* elements", "* elements", clusterWide)
	for _, cases := range []string{"DescribeConfigs/all brokers/*", "*brokers, layers/*"} {
		add(cases, minISR+"*", "nothing", "*", clusterWide)
	}
	add(own, ".Configs", "* elements", "* elements", otherKeys)
	add(own, ".Configs[*", "nothing", "*", otherKeys)
	for _, key := range []string{"log.flush.policy", "log.tail.bytes", "admin.listener", "producer.id.max.count", "producer.id.expiration.check.interval.ms",
		"log.dir.free.bytes.min", "log.scrub.bytes.per.second", "log.scrub.interval.ms", "log.writeback.bytes",
		"socket.frame.timeout.ms", "socket.max.requests", "socket.max.pending.bytes", "shutdown.drain.timeout.ms",
		"coordinator.*", "coordination.on.loss", "zookeeper.*"} {
		add(own, ".Configs["+key+"].*", "*", "nothing", otherKeys)
	}
	for _, key := range []string{"node.id", "broker.id", "listener.security.protocol.map", "advertised.listeners"} {
		add(own, ".Configs["+key+"].Source", "DEFAULT_CONFIG", "STATIC_BROKER_CONFIG", ownValues)
	}
	for _, key := range []string{"broker.id", "log.dir", "log.dirs", "listeners", "listener.security.protocol.map", "advertised.listeners"} {
		add(own, ".Configs["+key+"].Value", "*", "*", ownValues)
	}
	for _, key := range []string{"node.id", "broker.id", "log.dir", "log.dirs", "listeners", "listener.security.protocol.map", "advertised.listeners"} {
		add(own, ".Configs["+key+"].ConfigSynonyms*", "*", "*", ownValues)
	}
	for _, key := range []string{"socket.send.buffer.bytes", "socket.receive.buffer.bytes", "num.network.threads"} {
		add(own, ".Configs["+key+"].*", "*", "*", ownDefault)
	}
	return es
}

// produceExceptions are about compressed batches that are not what their header says.
func produceExceptions() (es []*exception) {
	add := func(api kmsg.Key, from, to int16, path, sluice, kafka string) {
		es = append(es, &exception{api: api, from: from, to: to, cases: "Produce/refused/*that*is*none*", path: path,
			sluice: sluice, kafka: kafka, reason: notOpened})
	}
	add(kmsg.Produce, 3, 11, "Topics[*].Partitions[0].ErrorCode", "0", "-1")
	add(kmsg.Produce, 3, 11, "Topics[*].Partitions[0].BaseOffset", "*", "-1")
	add(kmsg.ListOffsets, 5, 5, "Topics[*].Partitions[0].Offset", "*", "0")
	return es
}

// notServedKeys are the APIs that a Kafka 4.3 broker lists and Sluice does not.
var notServedKeys = []int16{
	8, 9, 11, 12, 13, 14, 15, 16, 17, 23, 24, 25, 26, 27, 28, 29, 30, 31, 34, 36, 38, 39, 40, 41, 42, 43, 45,
	46, 47, 48, 49, 50, 51, 55, 57, 61, 64, 65, 66, 68, 69, 74, 75, 76, 77, 78, 79, 80, 81, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92,
}

// apiListExceptions is what differs in the list of APIs itself.
func apiListExceptions() (es []*exception) {
	list := func(path, sluice, kafka, reason string) {
		es = append(es, &exception{api: kmsg.ApiVersions, from: 0, to: 4, path: path, sluice: sluice, kafka: kafka, reason: reason})
	}
	list("ApiKeys", "* elements", "* elements", notServed)
	for _, k := range []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.InitProducerID,
		kmsg.FindCoordinator, kmsg.DescribeCluster, kmsg.DescribeLogDirs} {
		list("ApiKeys["+k.Name()+"].MaxVersion", "*", "*", lowerMaximum)
	}
	list("ApiKeys[CreateTopics].MinVersion", "0", "2", olderClients)
	list("ApiKeys[DeleteTopics].MinVersion", "0", "1", olderClients)
	list("ApiKeys[DescribeConfigs].MinVersion", "0", "1", olderClients)
	for _, k := range notServedKeys {
		list("ApiKeys["+kmsg.NameForKey(k)+"].*", "nothing", "*", notServed)
	}
	features := func(path, sluice, kafka string) {
		es = append(es, &exception{api: kmsg.ApiVersions, from: 3, to: 4, path: path, sluice: sluice, kafka: kafka, reason: kraftFeatures})
	}
	for _, which := range []string{"SupportedFeatures", "FinalizedFeatures"} {
		features(which, "0 elements", "* elements")
		for _, name := range []string{"metadata.version", "kraft.version", "group.version", "transaction.version", "share.version",
			"streams.version", "eligible.leader.replicas.version"} {
			if which != "FinalizedFeatures" || name != "kraft.version" {
				features(which+"["+name+"].*", "nothing", "*")
			}
		}
	}
	features("FinalizedFeaturesEpoch", "-1", "an epoch")
	return es
}

// reportExceptions prints the list, and fails for those that nothing needed.
func reportExceptions(t *testing.T, es []*exception) {
	for _, e := range es {
		t.Logf("%4d times: %s %d-%d %s: Sluice %s, Kafka %s: %s", e.used, e.api.Name(), e.from, e.to, e.path, e.sluice, e.kafka, e.reason)
		if e.used == 0 {
			t.Errorf("exception not needed: %s %d-%d %s", e.api.Name(), e.from, e.to, e.path)
		}
	}
}

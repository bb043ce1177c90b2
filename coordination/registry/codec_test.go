package registry

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// goldens reads lines of a name, a tab and a content. Lines that begin with # say where they are from.
func goldens(t testing.TB, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, content, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if ok && !strings.HasPrefix(name, "#") {
			all[name] = content
		}
	}
	return all
}

var (
	plain       = Endpoint{"PLAINTEXT", "h1", 9092, "PLAINTEXT"}
	replication = Endpoint{"REPLICATION", "::1", 9093, "SSL"}
	topicID     = TopicID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10}
)

const goldenTime = 1_700_000_000_000

func goldenTopic(id TopicID, moving bool) *Topic {
	t := &Topic{Name: "t", ID: id, Partitions: []Assignment{{Replicas: []int32{1, 2}}, {Replicas: []int32{1, 2}}, {Replicas: []int32{1, 2}}}}
	if moving {
		t.Partitions[1] = Assignment{[]int32{3, 1, 2}, []int32{3}, []int32{1}}
		t.Partitions[2] = Assignment{[]int32{2, 3, 1}, []int32{3}, []int32{1}}
	}
	return t
}

// twoWays is a value that Kafka has encoded, and how to read it back.
type twoWays struct {
	value  any
	encode func() []byte
	decode func(data []byte) (any, error) // nil if it cannot be read back
}

func forms() map[string]twoWays {
	broker := func(b BrokerInfo) twoWays {
		b.ID, b.Timestamp = 1, goldenTime
		return twoWays{&b, b.encode, func(data []byte) (any, error) {
			b, err := decodeBroker(1, data)
			if b != nil && len(b.Features) == 0 {
				b.Features = nil
			}
			return b, err
		}}
	}
	topic := func(v *Topic) twoWays {
		return twoWays{v, v.encode, func(data []byte) (any, error) { return decodeTopic("t", data) }}
	}
	state := func(v PartitionState) twoWays {
		return twoWays{&v, v.encode, func(data []byte) (any, error) { return decodeState("p", data, 0) }}
	}
	config := func(v map[string]string) twoWays {
		return twoWays{v, func() []byte { return encodeConfig(v) }, func(data []byte) (any, error) { return decodeConfig("p", data) }}
	}
	partitions := []TopicPartition{{"t", 0}, {"u", 3}}
	partitionList := twoWays{partitions, func() []byte { return encodePartitions(partitions) },
		func(data []byte) (any, error) { return decodePartitions("p", data) }}
	reassign := []Reassignment{{TopicPartition{"t", 0}, []int32{1, 2}}, {TopicPartition{"u", 1}, []int32{3}}}
	ids := ProducerIDBlock{1, 2000, 2999}
	controller := ControllerInfo{ID: 3, Timestamp: goldenTime, KRaftEpoch: -1}
	acls := []ACL{{"User:alice", "Allow", "*", "DescribeConfigs"}}
	literal, prefixed := Resource{"TransactionalId", "tx:1", false}, Resource{"TransactionalId", "tx", true}
	token := &Token{ID: "tok", Owner: "User:a b/*", Requester: "User:v", Renewers: []string{"User:v", "User:a b/*"},
		Issued: 1, Expires: 2, Ends: 3}
	change := UserClientEntity("a b", Default)
	return map[string]twoWays{
		"broker":           broker(BrokerInfo{Endpoints: []Endpoint{plain}, JMXPort: NoJMX}),
		"broker rack":      broker(BrokerInfo{Endpoints: []Endpoint{replication, plain}, JMXPort: 9999, Rack: `dc"1/é`}),
		"broker noplain":   broker(BrokerInfo{Endpoints: []Endpoint{replication}, JMXPort: NoJMX}),
		"controller":       {controller, controller.encode, func(data []byte) (any, error) { return decodeController(data) }},
		"controller_epoch": {int32(7), func() []byte { return []byte("7") }, func(data []byte) (any, error) { return decodeControllerEpoch(data) }},
		"topic":            topic(goldenTopic(topicID, false)),
		"topic moving":     topic(goldenTopic(topicID, true)),
		"topic noid":       topic(goldenTopic(TopicID{}, true)),
		"topic empty":      topic(&Topic{Name: "t", ID: topicID, Partitions: []Assignment{}}),
		"state":            state(PartitionState{Leader: 2, LeaderEpoch: 5, ControllerEpoch: 4, ISR: []int32{2, 1}}),
		"state none":       state(PartitionState{Leader: NoLeader, LeaderEpoch: 5, ControllerEpoch: 4, ISR: []int32{2}}),
		"state recovering": state(PartitionState{Leader: 2, LeaderEpoch: 5, ControllerEpoch: 4, ISR: []int32{2}, Recovery: Recovering}),
		"config":           config(map[string]string{"cleanup.policy": "compact", "x": "a\"b\\c\n\x01/<é\x7f😀"}),
		"config empty":     config(map[string]string{}),
		"config change":    {change, func() []byte { return encodeConfigChange(change) }, func(data []byte) (any, error) { return decodeConfigChange("p", data) }},
		"isr change":       partitionList,
		"preferred":        partitionList,
		"reassign":         {reassign, func() []byte { return encodeReassignments(reassign) }, func(data []byte) (any, error) { return decodeReassignments(data) }},
		"log dir":          {int32(4), func() []byte { return encodeLogDirFailure(4) }, func(data []byte) (any, error) { return decodeLogDirFailure("p", data) }},
		"cluster": {"W2mCUT3nSYOzjI_cfXI3Zw", func() []byte { return encodeClusterID("W2mCUT3nSYOzjI_cfXI3Zw") },
			func(data []byte) (any, error) { return decodeClusterID(data) }},
		"producer ids":        {ids, ids.encode, func(data []byte) (any, error) { return decodeProducerIDs(data) }},
		"acl":                 {acls, func() []byte { return encodeACLs(acls) }, func(data []byte) (any, error) { return decodeACLs("p", data) }},
		"acl path":            {value: nil, encode: func() []byte { return []byte(literal.Path()) }},
		"acl path prefixed":   {value: nil, encode: func() []byte { return []byte(prefixed.Path()) }},
		"acl change path":     {value: nil, encode: func() []byte { return []byte(ACLExtendedChanges + "/" + aclChangePrefix) }},
		"acl change":          {literal, literal.encodeChange, func(data []byte) (any, error) { return decodeACLChange("p", data) }},
		"acl change prefixed": {prefixed, prefixed.encodeChange, func(data []byte) (any, error) { return decodeACLChangeExtended("p", data) }},
		"token":               {token, token.encode, func(data []byte) (any, error) { return decodeToken("p", data) }},
	}
}

func TestEncodersWriteWhatKafkaWrites(t *testing.T) {
	want := goldens(t, "testdata/encoders-3.9.1.tsv")
	for name, f := range forms() {
		if got := string(f.encode()); got != want[name] {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want[name])
		}
	}
	for name, escaped := range want {
		if plain, ok := strings.CutPrefix(name, "sanitize "); ok {
			if got := sanitize(plain); got != escaped || desanitize(got) != plain {
				t.Errorf("sanitize(%q) = %q, want %q", plain, got, escaped)
			}
		}
	}
}

func TestDecodersReadWhatKafkaWrites(t *testing.T) {
	want := goldens(t, "testdata/encoders-3.9.1.tsv")
	for name, f := range forms() {
		if f.decode == nil {
			continue
		}
		got, err := f.decode([]byte(want[name]))
		if err != nil || !reflect.DeepEqual(got, f.value) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, f.value)
		}
	}
}

// The document shows contents that Kafka has written, and nothing else.
func TestDocumentShowsKafkasContents(t *testing.T) {
	text, err := os.ReadFile("ZNODES.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, content := range goldens(t, "testdata/encoders-3.9.1.tsv") {
		known[content] = true
	}
	for _, content := range kafkaTree(t).dump() {
		known[content] = true
	}
	shown := 0
	for i, s := range strings.Split(string(text), "`") {
		if i%2 == 1 && strings.HasPrefix(s, "{") {
			if shown++; !known[s] {
				t.Errorf("Kafka has not written %s", s)
			}
		}
	}
	if shown < 15 {
		t.Errorf("%d contents", shown)
	}
}

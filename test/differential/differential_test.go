//go:build peers

package differential

import (
	"maps"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func TestSluiceAgreesWithKafka(t *testing.T) {
	kafka := testkit.Kafka(t)
	subject := environment("SUBJECT", func() string { return testkit.Start(t, t.TempDir()).Kafka })
	w := newWorld(t, subject, kafka, exceptions())
	if t.Run("cases", w.run) {
		reportExceptions(t, w.exceptions) // only then: a failed case may have left exceptions unused
	}
}

func TestKafkaAgreesWithKafka(t *testing.T) {
	w := newWorld(t, testkit.StartKafka(t), testkit.StartKafka(t), twoKafkas())
	w.twins = true
	w.run(t)
	if !t.Failed() {
		reportExceptions(t, w.exceptions)
	}
}

func TestDifferencesAreSeen(t *testing.T) {
	s := &side{address: "127.0.0.1:1", node: 1, cluster: "c"}
	r := kmsg.NewPtrFetchResponse()
	topic := kmsg.NewFetchResponseTopic()
	partition := kmsg.NewFetchResponseTopicPartition()
	partition.RecordBatches = batchOf{n: 2}.bytes()
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, partition)
	r.Topics = append(r.Topics, topic)
	flat := func() map[string]string {
		fields := map[string]string{}
		s.flatten(fields, r)
		return fields
	}
	right := flat()
	if ds := differences(maps.Clone(right), right); len(ds) != 0 {
		t.Errorf("equal answers differ: %v", ds)
	}
	p := &r.Topics[0].Partitions[0]
	for path, change := range map[string]func(){
		"Topics[t].Partitions[0].ErrorCode":        func() { p.ErrorCode = 3 },
		"Topics[t].Partitions[0].HighWatermark":    func() { p.HighWatermark++ },
		"Topics[t].Partitions[0].RecordBatches[0]": func() { p.RecordBatches[7] = 9 }, // base offset
		"ThrottleMillis":                           func() { r.ThrottleMillis = 1 },
		"SessionID":                                func() { r.SessionID = 5 },
	} {
		before := flat()
		change()
		if ds := differences(flat(), before); len(ds) != 1 || ds[0].path != path {
			t.Errorf("changed %s, reported %v", path, ds)
		}
	}
	p.RecordBatches = []byte{}
	if ds := differences(flat(), right); len(ds) == 0 {
		t.Error("a Fetch without its records is not reported")
	}
}

func TestExceptionsAreNarrow(t *testing.T) {
	e := &exception{api: kmsg.Fetch, from: 4, to: 6, cases: "Fetch/a/*", path: "Topics[*].ErrorCode", sluice: "3", kafka: "0"}
	d := difference{"Topics[a].ErrorCode", "3", "0"}
	if !e.covers("Fetch/a/v4", 1, 4, d) {
		t.Error("does not cover what it names")
	}
	for _, d := range []difference{{"Topics[a].ErrorMessage", "3", "0"}, {d.path, "4", "0"}, {d.path, "3", "5"}} {
		if e.covers("Fetch/a/v4", 1, 4, d) {
			t.Errorf("covers %v", d)
		}
	}
	if e.covers("Fetch/a/v7", 1, 7, d) || e.covers("Fetch/a/v4", 0, 4, d) || e.covers("Fetch/b/v4", 1, 4, d) {
		t.Error("covers another version, API or case")
	}
}

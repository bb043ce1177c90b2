package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func TestEmbedded(t *testing.T) { serve(t) }

func TestSeparate(t *testing.T) {
	c := testkit.StartCoordinator(t, t.TempDir())
	serve(t, "zookeeper.connect="+c.Coordinator)
	c.Terminate()
}

// serve has a broker live through what brokers live through.
func serve(t *testing.T, settings ...string) {
	dir := t.TempDir()
	b := testkit.Start(t, dir, settings...)
	id := b.ClusterID
	cl, admin := clients(t, b)
	must(t)(admin.CreateTopic(t.Context(), 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")}, "t"))
	produce(t, cl, "t", 100)
	must(t)(admin.CreatePartitions(t.Context(), 2, "t"))
	b.Kill()
	b = testkit.Start(t, dir, settings...) // takes over what the killed one has left
	cl, admin = clients(t, b)
	if b.ClusterID != id {
		t.Errorf("cluster %s became %s", id, b.ClusterID)
	}
	produce(t, cl, "t", 10)
	described, err := admin.ListTopics(t.Context(), "t")
	if err != nil || len(described["t"].Partitions) != 5 {
		t.Errorf("%v: %+v", err, described)
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), "t")
	if err != nil || !slices.ContainsFunc(configs[0].Configs, func(c kadm.Config) bool { return c.Key == "retention.ms" && c.MaybeValue() == "-1" }) {
		t.Errorf("%v: settings of the topic are lost", err)
	}
	must(t)(admin.DeleteTopic(t.Context(), "t"))
	ready(t, b)
	b.Terminate()
	b = testkit.Start(t, dir, settings...)
	_, admin = clients(t, b)
	if list, err := admin.ListTopics(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v: %v", err, list)
	}
	b.Terminate()
}

func clients(t *testing.T, b *testkit.Broker) (*kgo.Client, *kadm.Client) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl, kadm.NewClient(cl)
}

// must fails the test on an error of a call of kadm.
func must(t *testing.T) func(resp any, err error) {
	t.Helper()
	return func(resp any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := resp.(kadm.CreatePartitionsResponses); ok && r.Error() != nil {
			t.Fatal(r.Error())
		}
	}
}

func produce(t *testing.T, cl *kgo.Client, topic string, n int) {
	t.Helper()
	for i := range n {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d", i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// ready checks that the broker finds nothing wrong with itself.
func ready(t *testing.T, b *testkit.Broker) {
	t.Helper()
	r, err := http.Get("http://" + b.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct {
		Status   string
		Problems []string
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || answer.Status != "ok" {
		t.Errorf("%v: %+v", err, answer)
	}
}

func TestKilledAmidChangesEmbedded(t *testing.T) { killAmidChanges(t) }

func TestKilledAmidChangesSeparate(t *testing.T) {
	c := testkit.StartCoordinator(t, t.TempDir())
	killAmidChanges(t, "zookeeper.connect="+c.Coordinator)
}

// killAmidChanges kills a broker while topics are made, grown and deleted, several times, and looks at what the next one
// makes of it: what was answered is so, what was not is whole or not there, and no log is without a topic.
func killAmidChanges(t *testing.T, settings ...string) {
	dir := t.TempDir()
	const rounds = 6
	topics := map[string]int{} // that are certainly there, with their partitions
	for round := range rounds {
		b := testkit.Start(t, dir, settings...)
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.Kafka), kgo.RequestRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		unsure := change(t.Context(), kadm.NewClient(cl), topics, round, 10+7*round, b.Kill)
		cl.Close()
		b = testkit.Start(t, dir, settings...)
		_, admin := clients(t, b)
		list, err := admin.ListTopics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range topics {
			if got := len(list[name].Partitions); got != n && !slices.Contains(unsure, name) {
				t.Errorf("round %d: topic %s has %d partitions, want %d", round, name, got, n)
			}
		}
		for name, d := range list {
			if _, known := topics[name]; !known && !slices.Contains(unsure, name) {
				t.Errorf("round %d: topic %s is there, though its deletion was answered", round, name)
			}
			for _, p := range d.Partitions {
				if p.Err != nil || p.Leader != b.NodeID {
					t.Errorf("round %d: partition %s-%d: %v, leader %d", round, name, p.Partition, p.Err, p.Leader)
				}
			}
			topics[name] = len(d.Partitions)
		}
		for name := range topics {
			if _, there := list[name]; !there {
				delete(topics, name)
			}
		}
		onDisk(t, dir, list)
		ready(t, b)
		b.Kill()
	}
}

// change makes changes until one is not answered, because kill was called behind the n-th. It returns the topics whose
// state is not known.
func change(ctx context.Context, admin *kadm.Client, topics map[string]int, round, n int, kill func()) (unsure []string) {
	ended := make(chan struct{})
	for i := 0; ; i++ {
		if i == n {
			go func() { defer close(ended); kill() }()
		}
		name := fmt.Sprintf("t-%d-%d", round, i/3)
		var err error
		switch i % 3 {
		case 0:
			if _, err = admin.CreateTopic(ctx, int32(1+i%5), 1, nil, name); err == nil {
				topics[name] = 1 + i%5
			}
		case 1:
			var r kadm.CreatePartitionsResponses
			if r, err = admin.UpdatePartitions(ctx, topics[name]+3, name); err == nil {
				err = r.Error()
			}
			if err == nil {
				topics[name] += 3
			}
		default:
			if i%2 == 0 {
				continue
			}
			if _, err = admin.DeleteTopic(ctx, name); err == nil {
				delete(topics, name)
			}
		}
		var answered *kerr.Error
		if err != nil && (i >= n || !errors.As(err, &answered)) {
			if i < n {
				kill()
			} else {
				<-ended
			}
			return append(unsure, name)
		}
		if err != nil {
			unsure = append(unsure, name)
		}
	}
}

// onDisk checks that there is a log for each partition and for nothing else.
func onDisk(t *testing.T, dir string, list kadm.TopicDetails) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() && !strings.HasSuffix(e.Name(), "-delete") {
			there[e.Name()] = true
		}
	}
	for name, d := range list {
		for _, p := range d.Partitions {
			log := fmt.Sprintf("%s-%d", name, p.Partition)
			if !there[log] {
				t.Errorf("no log %s", log)
			}
			delete(there, log)
		}
	}
	for log := range there {
		t.Errorf("log %s is of no topic", log)
	}
}

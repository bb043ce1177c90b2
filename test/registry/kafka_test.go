//go:build peers

package registry

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// waitLimit is how long something that happens in another process may take on a busy machine.
const waitLimit = 60 * time.Second

// kafka is a cluster of Kafka 3.9 brokers in ZooKeeper mode.
type kafka struct {
	t         *testing.T
	base      string // of test/peers/kafka.sh
	bootstrap string
}

func startKafka(t *testing.T, zookeeper string, brokers int) *kafka {
	t.Helper()
	k := &kafka{t: t, base: t.TempDir()}
	t.Cleanup(func() {
		for i := range brokers {
			log, _ := os.ReadFile(filepath.Join(k.node(i+1), "log"))
			if t.Failed() {
				t.Logf("end of the log of Kafka broker %d:\n%s", i+1, log[max(0, len(log)-3000):])
			}
		}
		testkit.Peer(t, "clean", "--data", k.base)
	})
	k.bootstrap = strings.TrimSpace(testkit.Peer(t, "start", "--zookeeper", zookeeper, "--brokers", strconv.Itoa(brokers), "--port", "0",
		"--data", k.base, "--heap", "384M", "--set", "zookeeper.session.timeout.ms=6000", "--set", "offsets.topic.num.partitions=1",
		"--set", "transaction.state.log.num.partitions=1", "--set", "controlled.shutdown.enable=false"))
	return k
}

func (k *kafka) node(id int) string { return filepath.Join(k.base, "node-"+strconv.Itoa(id)) }

// tool runs one of Kafka's command line tools.
func (k *kafka) tool(stdin string, args ...string) string {
	k.t.Helper()
	cmd := exec.Command(filepath.Join(testkit.Root(k.t), "test", "peers", "kafka.sh"), append([]string{"cli", args[0], "--bootstrap-server", k.bootstrap}, args[1:]...)...)
	cmd.Env = append(os.Environ(), "KAFKA_CLI_HEAP=128M", "KAFKA_CLI_TIER=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		k.t.Fatalf("kafka-%s: %v\n%s%s", strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

// produce has a tool write lines to a topic.
func (k *kafka) produce(topic string, lines ...string) {
	k.t.Helper()
	k.tool(strings.Join(lines, "\n")+"\n", "console-producer", "--topic", topic, "--command-property", "acks=all")
}

// consume has a tool read a topic from its start, which has to have these lines, in any order.
func (k *kafka) consume(topic string, lines ...string) {
	k.t.Helper()
	got := strings.Fields(k.tool("", "console-consumer", "--topic", topic, "--from-beginning", "--max-messages", strconv.Itoa(len(lines)),
		"--timeout-ms", "30000"))
	slices.Sort(got)
	if !slices.Equal(got, lines) {
		k.t.Errorf("read %q from %s, written was %q", got, topic, lines)
	}
}

// client is one of the cluster.
func (k *kafka) client() *kgo.Client {
	k.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(k.bootstrap, ",")...))
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(cl.Close)
	return cl
}

// metadata asks the first broker, by its address, since the client keeps answers that it has.
func metadata(ctx context.Context, cl *kgo.Client, topics ...string) *kmsg.MetadataResponse {
	req := kmsg.NewMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range topics {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	}
	resp, err := req.RequestWith(ctx, cl.SeedBrokers()[0])
	if err != nil {
		return &kmsg.MetadataResponse{}
	}
	return resp
}

// until asks again and again, which is all one can do with a process that tells nothing by itself.
func until(t *testing.T, what string, ok func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !ok(ctx) {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited %v for %s", waitLimit, what)
		}
	}
}

// await reads, and reads again when that is stale, until it is as it should be.
func await[T any](t *testing.T, what string, read func(context.Context) (T, <-chan zk.Event, error), ok func(T) bool) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	for {
		v, stale, err := read(ctx)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if ok(v) {
			return v
		}
		select {
		case <-stale:
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %+v", waitLimit, what, v)
		}
	}
}

func load(t *testing.T, r *registry.Registry) *registry.Cluster {
	t.Helper()
	c, err := r.LoadCluster(t.Context())
	if err != nil || len(c.Broken) > 0 {
		t.Fatal(err, c)
	}
	return c
}

// TestOneKafkaBroker boots Kafka on the coordinator, has its tools do things, reads what it wrote, and then does such
// things by the registry, for Kafka to see.
func TestOneKafkaBroker(t *testing.T) {
	oneKafkaBroker(t, testkit.StartCoordinator(t, t.TempDir()).Coordinator)
}

// TestOneKafkaBrokerOnZooKeeper does the same on a real ZooKeeper, to compare.
func TestOneKafkaBrokerOnZooKeeper(t *testing.T) { oneKafkaBroker(t, testkit.ZooKeeper(t)) }

func oneKafkaBroker(t *testing.T, zookeeper string) {
	k := startKafka(t, zookeeper+"/kafka", 1)
	r := openAt(t, zookeeper, "/kafka")
	k.tool("", "topics", "--create", "--topic", "t", "--partitions", "12", "--config", "retention.ms=123456789")
	_, err := kadm.NewClient(k.client()).AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: "log.cleaner.threads", Value: kadm.StringPtr("2")}})
	if err != nil {
		t.Fatal(err)
	}
	k.tool("", "configs", "--alter", "--entity-type", "users", "--entity-name", "a b", "--entity-type", "clients", "--entity-default",
		"--add-config", "producer_byte_rate=1024")
	k.produce("t", "one", "two", "three")
	k.consume("t", "one", "three", "two")
	readKafkasTree(t, r)
	kafkaSeesOurs(t, k, r)
}

func readKafkasTree(t *testing.T, r *registry.Registry) {
	t.Helper()
	c := load(t, r)
	if len(c.ID) != 22 || len(c.Brokers) != 1 || c.Brokers[0].ID != 1 || c.Brokers[0].Epoch == 0 || c.Controller.ID != 1 || c.ControllerEpoch != 1 {
		t.Errorf("%+v", c)
	}
	topic := c.Topics["t"]
	if topic == nil || len(topic.Partitions) != 12 || topic.Config["retention.ms"] != "123456789" || topic.ID == (registry.TopicID{}) {
		t.Fatalf("%+v", topic)
	}
	for p, s := range topic.States {
		if s == nil || s.Leader != 1 || s.ControllerEpoch != 1 || !slices.Equal(s.ISR, []int32{1}) {
			t.Errorf("partition %d: %+v", p, s)
		}
	}
	if c.Topics["__consumer_offsets"] == nil {
		t.Error("no topic for offsets")
	}
	if c.Configs[registry.DefaultBroker]["log.cleaner.threads"] != "2" ||
		c.Configs[registry.UserClientEntity("a b", registry.Default)]["producer_byte_rate"] != "1024" {
		t.Error(c.Configs)
	}
	ctx := t.Context()
	if f, found, err := r.Feature(ctx); err != nil || !found || !f.Enabled || len(f.Levels) != 0 {
		t.Error(f, found, err)
	}
	if b, found, err := r.ProducerIDs(ctx); err != nil || !found || b.Broker != 1 {
		t.Error(b, found, err)
	}
	changes, _, err := r.ConfigChanges(ctx, -1)
	if err != nil || len(changes) != 2 || changes[0].What != registry.DefaultBroker || changes[1].Err != nil {
		t.Error(changes, err)
	}
}

// kafkaSeesOurs registers a broker, makes a topic, changes a configuration and deletes a topic, and waits for Kafka to
// take note.
func kafkaSeesOurs(t *testing.T, k *kafka, r *registry.Registry) {
	t.Helper()
	ctx, cl := t.Context(), k.client()
	beside := broker(100, 9)
	beside.Endpoints[0].Host = "127.0.0.1" // where nobody listens
	if _, err := r.Register(ctx, beside, 0); err != nil {
		t.Fatal(err)
	}
	until(t, "Kafka to name the broker registered beside it", func(ctx context.Context) bool {
		m := metadata(ctx, cl)
		return m.ControllerID == 1 && slices.ContainsFunc(m.Brokers, func(b kmsg.MetadataResponseBroker) bool {
			return b.NodeID == 100 && b.Host == "127.0.0.1" && b.Port == 9
		})
	})
	ours, _ := topic("ours", 3)
	if err := r.CreateTopic(ctx, ours, map[string]string{"retention.ms": "777777777"}); err != nil {
		t.Fatal(err)
	}
	until(t, "Kafka's controller to make leaders", func(ctx context.Context) bool {
		m := metadata(ctx, cl, "ours")
		return len(m.Topics) == 1 && m.Topics[0].TopicID == ours.ID && len(m.Topics[0].Partitions) == 3 &&
			!slices.ContainsFunc(m.Topics[0].Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader != 1 })
	})
	k.produce("ours", "a", "b")
	k.consume("ours", "a", "b")
	if got := load(t, r).Topics["ours"]; got == nil || got.ID != ours.ID || got.States[2] == nil || got.States[2].Leader != 1 {
		t.Errorf("%+v", got)
	}
	if err := r.SetConfig(ctx, registry.TopicEntity("t"), map[string]string{"retention.ms": "543210000"}); err != nil {
		t.Fatal(err)
	}
	until(t, "Kafka to show the changed configuration", func(ctx context.Context) bool {
		all, err := kadm.NewClient(cl).DescribeTopicConfigs(ctx, "t")
		return err == nil && len(all) == 1 && slices.ContainsFunc(all[0].Configs, func(c kadm.Config) bool {
			return c.Key == "retention.ms" && c.MaybeValue() == "543210000"
		})
	})
	if err := r.MarkTopicDeleted(ctx, "ours"); err != nil {
		t.Fatal(err)
	}
	await(t, "Kafka to delete the topic", r.DeletedTopicsW, func(names []string) bool { return len(names) == 0 })
	if values, err := r.Config(ctx, registry.TopicEntity("ours")); err != nil || len(values) != 0 || load(t, r).Topics["ours"] != nil {
		t.Error("left after the deletion:", values, err)
	}
	if list := k.tool("", "topics", "--list"); strings.Contains(list, "ours") || !strings.Contains(list, "t\n") {
		t.Errorf("topics: %q", list)
	}
}

// TestThreeKafkaBrokers has a cluster lose its controller, and then the coordinator be killed and come back.
func TestThreeKafkaBrokers(t *testing.T) {
	dir := t.TempDir()
	coordinator := testkit.StartCoordinator(t, dir)
	address := coordinator.Coordinator
	k := startKafka(t, address, 3)
	r := openAt(t, address, "")
	k.tool("", "topics", "--create", "--topic", "t", "--partitions", "6", "--replication-factor", "3")
	k.produce("t", "one", "two")
	k.consume("t", "one", "two") // which also makes the topic for offsets, while there are brokers enough
	first, err := r.Controller(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k.kill(first.ID)
	killed := time.Now()
	second := await(t, "another controller", r.ControllerW, func(c registry.ControllerInfo) bool {
		return c.ID != first.ID && c.ID != registry.NoController
	})
	t.Logf("controller %d was killed, %d elected after %v", first.ID, second.ID, time.Since(killed).Round(time.Millisecond))
	for p := range 6 {
		await(t, "a living leader", func(ctx context.Context) (*registry.PartitionState, <-chan zk.Event, error) {
			return r.PartitionStateW(ctx, registry.TopicPartition{Topic: "t", Partition: int32(p)})
		}, func(s *registry.PartitionState) bool {
			return s.Leader != first.ID && s.Leader != registry.NoLeader && !slices.Contains(s.ISR, first.ID)
		})
	}
	c := load(t, r)
	if len(c.Brokers) != 2 || c.ControllerEpoch != 2 {
		t.Errorf("%d brokers, controller epoch %d", len(c.Brokers), c.ControllerEpoch)
	}
	k.produce("t", "three")
	k.consume("t", "one", "three", "two")

	// No session ends by the coordinator's own absence, and nothing is elected anew.
	coordinator.Kill()
	testkit.StartCoordinator(t, dir, "--set=coordinator.listeners="+address)
	k.tool("", "topics", "--create", "--topic", "u", "--partitions", "2", "--replication-factor", "2")
	if _, err := kadm.NewClient(k.client()).DeleteTopics(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	await(t, "the dead broker to keep the topic from being deleted", r.DeletedTopicsW, func(names []string) bool {
		return slices.Equal(names, []string{"t"})
	})
	after := load(t, r)
	if after.ControllerEpoch != 2 || len(after.Brokers) != 2 || after.Brokers[0].Epoch != c.Brokers[0].Epoch || after.Brokers[1].Epoch != c.Brokers[1].Epoch {
		t.Errorf("controller epoch %d, brokers %+v, were %+v", after.ControllerEpoch, after.Brokers, c.Brokers)
	}
	if err := k.client().ProduceSync(t.Context(), &kgo.Record{Topic: "u", Value: []byte("x")}).FirstErr(); err != nil {
		t.Error(err)
	}
}

// kill sends SIGKILL to a broker.
func (k *kafka) kill(id int32) {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(k.node(int(id)), "pid"))
	if err != nil {
		k.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		k.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		k.t.Fatal(err)
	}
}

// openAt is a registry below a chroot.
func openAt(t testing.TB, address, chroot string) *registry.Registry {
	t.Helper()
	return registry.New(session(t, client.Config{Servers: []string{address}, Chroot: chroot}), registry.Options{})
}

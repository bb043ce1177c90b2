package coordination

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// groupPartitions is how many the topic of these tests has.
const groupPartitions = 6

// cluster starts brokers, registers them and the topic orders, and returns a producer.
func cluster(t *testing.T, s *client.Session) *kgo.Client {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(groupPartitions, "orders"))
	must(t, err)
	t.Cleanup(k.Close)
	r := registry.New(s, registry.Options{})
	must(t, r.Prepare(t.Context()))
	host, port, err := net.SplitHostPort(k.ListenAddrs()[0])
	must(t, err)
	n, err := strconv.Atoi(port)
	must(t, err)
	_, err = r.Register(t.Context(), registry.BrokerInfo{ID: 1, JMXPort: registry.NoJMX,
		Endpoints: []registry.Endpoint{{Name: "PLAINTEXT", Host: host, Port: int32(n), Protocol: "PLAINTEXT"}}}, 0)
	must(t, err)
	topic := registry.Topic{Name: "orders", ID: registry.NewTopicID(), Partitions: make([]registry.Assignment, groupPartitions)}
	for p := range topic.Partitions {
		topic.Partitions[p].Replicas = []int32{1}
	}
	must(t, r.CreateTopic(t.Context(), topic, nil))
	c, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("orders"))
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// consumed is what all members have written together.
type consumed struct {
	mu    sync.Mutex
	by    map[string]map[string]bool // record, member
	total int
	more  chan struct{} // capacity 1
}

func (c *consumed) add(record, member string) {
	c.mu.Lock()
	if c.by[record] == nil {
		c.by[record] = map[string]bool{}
	}
	c.by[record][member] = true
	c.total++
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// await waits until so many different records were written.
func (c *consumed) await(t *testing.T, n int) {
	t.Helper()
	for limit := time.After(time.Minute); ; {
		c.mu.Lock()
		got := len(c.by)
		c.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-c.more:
		case <-limit:
			t.Fatalf("%d records, want %d", got, n)
		}
	}
}

// consume starts a member as a process.
func (c *consumed) consume(t *testing.T, name, zk string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(testkit.Binary(t), "consume", "orders", "--zookeeper", zk, "--group", "g", "--session-timeout", "2s",
		"--commit-interval", "100ms", "--rebalance-backoff", "100ms", "--rebalance-retries", "100")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(out); in.Scan(); {
			c.add(in.Text(), name)
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // has ended, mostly
		<-read
		_ = cmd.Wait()
	})
	return cmd
}

// owners waits until the partitions are shared by so many members, none of which is one of not.
func owners(t *testing.T, s *client.Session, different int, not ...string) (names []string) {
	t.Helper()
	w, err := s.AddWatch(t.Context(), "/consumers", true)
	must(t, err)
	defer w.Close(t.Context()) // it goes with the session
	r := registry.New(s, registry.Options{})
	for {
		found := map[string]bool{}
		for p := range int32(groupPartitions) {
			owner, err := r.Owner(t.Context(), "g", registry.TopicPartition{Topic: "orders", Partition: p})
			must(t, err)
			found[owner] = true
		}
		gone := true
		for _, n := range append(not, "") {
			gone = gone && !found[n]
		}
		if gone && len(found) == different {
			for n := range found {
				names = append(names, n)
			}
			return names
		}
		<-w.C
	}
}

// Members are killed and cut off while records come: others take over, and no record is missed.
func TestGroupWhoseMembersDie(t *testing.T) {
	k := start(t)
	p := through(t, k)
	s := k.open()
	producer := cluster(t, s)
	all := &consumed{by: map[string]map[string]bool{}, more: make(chan struct{}, 1)}
	sent := 0
	produce := func(n int) {
		t.Helper()
		var records []*kgo.Record
		for range n {
			records = append(records, &kgo.Record{Partition: int32(sent % groupPartitions), Value: fmt.Appendf(nil, "record-%d", sent)})
			sent++
		}
		must(t, producer.ProduceSync(context.Background(), records...).FirstErr())
	}
	a := all.consume(t, "a", k.addr+k.chroot)
	first := owners(t, s, 1)
	all.consume(t, "b", k.addr+k.chroot)
	all.consume(t, "c", p.l.Addr().String()+k.chroot)
	owners(t, s, 3)
	produce(600)
	all.await(t, sent)
	produce(600)
	must(t, a.Process.Signal(syscall.SIGKILL))
	produce(600)
	all.await(t, sent)
	owners(t, s, 2, first...)

	// c hears nothing any more: it stops reading, and b has everything.
	p.setDeaf()
	left := owners(t, s, 1)
	produce(600)
	all.await(t, sent)
	p.hear()
	if now := owners(t, s, 2); strings.Join(now, " ") == strings.Join(left, " ") {
		t.Errorf("%q", now)
	}
	produce(60)
	all.await(t, sent)
	all.mu.Lock()
	defer all.mu.Unlock()
	by := map[string]int{}
	for _, members := range all.by {
		for name := range members {
			by[name]++
		}
	}
	if len(by) != 3 {
		t.Errorf("%v", by)
	}
	t.Logf("%d records, written %d times, by %v", sent, all.total, by)
}

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
)

func TestAssignors(t *testing.T) {
	member := func(id string, topics ...string) *registry.Consumer {
		c := &registry.Consumer{ID: id, Subscription: map[string]int32{}}
		for _, topic := range topics {
			c.Subscription[topic]++
		}
		return c
	}
	for _, c := range []struct {
		name       string
		members    []*registry.Consumer
		partitions map[string]int
		want       string
	}{
		{"range", []*registry.Consumer{member("c1", "t", "t"), member("c2", "t", "t")}, map[string]int{"t": 5},
			"c1-0: t0 t1; c1-1: t2; c2-0: t3; c2-1: t4"},
		{"range", []*registry.Consumer{member("b", "t", "u"), member("a", "t")}, map[string]int{"t": 3, "u": 2, "v": 1},
			"a-0: t0 t1; b-0: t2 u0 u1"},
		{"range", []*registry.Consumer{member("a", "t"), member("b", "t")}, map[string]int{"t": 1}, "a-0: t0"},
		{"range", nil, map[string]int{"t": 1}, ""},
		// By the hashes of [t,0], [t,1], …: in the order of the numbers while they have one digit.
		{"roundrobin", []*registry.Consumer{member("a", "t"), member("b", "t")}, map[string]int{"t": 5}, "a-0: t0 t2 t4; b-0: t1 t3"},
		{"roundrobin", []*registry.Consumer{member("a", "t", "u"), member("b", "t")}, map[string]int{"t": 2, "u": 2, "v": 9},
			"a-0: t0 u0 u1; b-0: t1"},
		{"roundrobin", nil, map[string]int{"t": 1}, ""},
	} {
		got := assignors[c.name](c.members, c.partitions)
		var lines []string
		for thread, list := range got {
			line := thread + ":"
			slices.SortFunc(list, func(a, b registry.TopicPartition) int {
				return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
			})
			for _, p := range list {
				line += fmt.Sprintf(" %s%d", p.Topic, p.Partition)
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		if text := strings.Join(lines, "; "); text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
	if h := javaHash("[t,0]"); h != 87540032 {
		t.Errorf("hash %d", h)
	}
}

func TestMatchTopics(t *testing.T) {
	topics := []string{"__consumer_offsets", "a", "ab", "b"}
	for _, c := range []struct{ kind, pattern, want string }{
		{registry.WhiteList, "a.*", "a ab"}, {registry.WhiteList, "a, b", "a b"}, {registry.BlackList, "a", "ab b"}, {registry.WhiteList, ".*", "a ab b"},
	} {
		m := &registry.Consumer{Subscription: map[string]int32{c.pattern: 2}, Pattern: c.kind}
		if err := matchTopics(m, topics); err != nil {
			t.Error(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(m.Subscription)), " "); got != c.want || m.Subscription["b"] == 1 {
			t.Errorf("%s %s: %s, want %s", c.kind, c.pattern, got, c.want)
		}
	}
	if err := matchTopics(&registry.Consumer{Subscription: map[string]int32{"(": 1}}, topics); err == nil {
		t.Error("no error")
	}
}

// groupRig is a coordinator that knows the brokers and the topic of a fake cluster.
func groupRig(t *testing.T) (zk, kafka string, s *client.Session) {
	t.Helper()
	kafka = fake(t)
	addr, _ := fakeZK(t)
	s = zkSession(t, addr)
	r := registry.New(s, registry.Options{})
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, b := range strings.Split(kafka, ",") {
		host, port, _ := strings.Cut(b, ":")
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Register(t.Context(), registry.BrokerInfo{ID: int32(i), Endpoints: []registry.Endpoint{
			{Name: "PLAINTEXT", Host: host, Port: int32(n), Protocol: "PLAINTEXT"}}, JMXPort: registry.NoJMX}, 0); err != nil {
			t.Fatal(err)
		}
	}
	topic := registry.Topic{Name: "orders", ID: registry.NewTopicID(), Partitions: make([]registry.Assignment, 4)}
	for p := range topic.Partitions {
		topic.Partitions[p].Replicas = []int32{0}
	}
	if err := r.CreateTopic(t.Context(), topic, nil); err != nil {
		t.Fatal(err)
	}
	return addr, kafka, s
}

// groupMember runs consume as a member.
type groupMember struct {
	lines *lineCounter
	stop  context.CancelFunc
	code  chan int
}

func startMember(t *testing.T, lines *lineCounter, zk string, args ...string) *groupMember {
	ctx, cancel := context.WithCancel(t.Context())
	m := &groupMember{lines, cancel, make(chan int, 1)}
	go func() {
		m.code <- run(ctx, program{args: append([]string{"consume", "orders", "--zookeeper", zk, "-g", "g",
			"--rebalance-backoff", "50ms", "--rebalance-retries", "100"}, args...), stdout: lines, stderr: t.Output()})
	}()
	return m
}

func (m *groupMember) end(t *testing.T) {
	t.Helper()
	m.stop()
	if c := <-m.code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
}

// lineCounter counts the lines that were written, and tells of each.
type lineCounter struct {
	buffer
	more chan struct{} // capacity 1
}

func (l *lineCounter) Write(p []byte) (int, error) {
	n, err := l.buffer.Write(p)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return n, err
}

func (l *lineCounter) await(t *testing.T, n int) []string {
	t.Helper()
	for limit := time.After(30 * time.Second); ; {
		if lines := strings.Fields(l.String()); len(lines) >= n {
			slices.Sort(lines)
			return lines
		}
		select {
		case <-l.more:
		case <-limit:
			t.Fatalf("%d lines, want %d", len(strings.Fields(l.String())), n)
		}
	}
}

func produceLines(t *testing.T, kafka string, from, to int) (want []string) {
	t.Helper()
	var b strings.Builder
	for i := from; i < to; i++ {
		line := fmt.Sprintf("r%06d", i)
		fmt.Fprintf(&b, "%d:%s\n", i%4, line)
		want = append(want, line)
	}
	sluice(t, b.String(), "produce", "orders", "-f", `%p:%v\n`, "-q", "-b", kafka).want(t, exitOK, "", "")
	return want
}

// owners waits until the owner nodes say so many different members.
func owners(t *testing.T, s *client.Session, different int) map[string]int {
	t.Helper()
	w, err := s.AddWatch(t.Context(), "/consumers", true)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	r := registry.New(s, registry.Options{})
	for {
		found := map[string]int{}
		for p := range int32(4) {
			owner, err := r.Owner(t.Context(), "g", registry.TopicPartition{Topic: "orders", Partition: p})
			if err != nil {
				t.Fatal(err)
			}
			found[owner]++
		}
		if found[""] == 0 && len(found) == different {
			return found
		}
		<-w.C
	}
}

// Members come and go, and what each wrote is together all that there is, once.
func TestGroupSharesATopic(t *testing.T) {
	zk, kafka, s := groupRig(t)
	want := produceLines(t, kafka, 0, 400)
	out := &lineCounter{more: make(chan struct{}, 1)}
	a := startMember(t, out, zk)
	if lines := out.await(t, 400); !slices.Equal(lines, want) {
		t.Errorf("%d lines", len(lines))
	}
	b := startMember(t, out, zk)
	owners(t, s, 2)
	c := startMember(t, out, zk)
	if shares := owners(t, s, 3); len(shares) != 3 {
		t.Errorf("%v", shares)
	}
	want = append(want, produceLines(t, kafka, 400, 800)...)
	if lines := out.await(t, 800); !slices.Equal(lines, want) {
		t.Errorf("%d lines", len(lines))
	}
	a.end(t)
	owners(t, s, 2)
	want = append(want, produceLines(t, kafka, 800, 1200)...)
	if lines := out.await(t, 1200); !slices.Equal(lines, want) {
		t.Errorf("%d lines", len(lines))
	}
	b.end(t)
	c.end(t)
	r := registry.New(s, registry.Options{})
	for p := range int32(4) {
		at := registry.TopicPartition{Topic: "orders", Partition: p}
		offset, found, err := r.Offset(t.Context(), "g", at)
		if err != nil || !found || offset != 300 {
			t.Errorf("partition %d: committed %d, %v, %v", p, offset, found, err)
		}
		if owner, err := r.Owner(t.Context(), "g", at); owner != "" || err != nil {
			t.Errorf("partition %d: owner %q, %v", p, owner, err)
		}
	}
	members, _, err := s.Children(t.Context(), "/consumers/g/ids")
	if err != nil || len(members) != 0 {
		t.Errorf("%q, %v", members, err)
	}
	// A member that comes later begins where the others ended.
	want = produceLines(t, kafka, 1200, 1210)
	r1 := sluice(t, "", "consume", "orders", "--zookeeper", zk, "-g", "g", "-e", "--assignor", "roundrobin")
	if lines := strings.Fields(r1.stdout); r1.code != exitOK || len(lines) != len(want) {
		t.Errorf("code %d, %d lines, want %d: %s", r1.code, len(lines), len(want), r1.stderr)
	}
}

func TestGroupUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"t --zookeeper z", "--zookeeper needs --group"},
		{"t -g g", "--group needs --zookeeper"},
		{"t --zookeeper z -g a/b", "has no /"},
		{"t/0 --zookeeper z -g g", "the group divides the partitions"},
		{"t --zookeeper z -g g -b x", "exclude each other"},
		{"t --zookeeper z -g g --from 3", "want start or end"},
		{"t --zookeeper z -g g --assignor sticky", "want range or roundrobin"},
		{"t --zookeeper z -g g --commit-interval 0", "at least 1ms"},
		{"t --zookeeper z -g g --rebalance-retries -1", "0 or more"},
	} {
		sluice(t, "", append([]string{"consume"}, strings.Fields(c.args)...)...).want(t, exitUsage, "", c.want)
	}
	zk, _, s := groupRig(t)
	sluice(t, "", "consume", "nope", "--zookeeper", zk, "-g", "g").want(t, exitKafka, "", "topic nope: UNKNOWN_TOPIC_OR_PARTITION (3)")
	sluice(t, "", "consume", "orders", "--zookeeper", zk, "-g", "g", "-X", "security.protocol=SSL").want(t, exitFailed, "", "none of the 3 registered brokers has a listener for SSL")
	// Somebody who is in no group has a partition: it is waited for, and not for ever.
	r := registry.New(s, registry.Options{})
	if err := r.ClaimPartition(t.Context(), "g", registry.TopicPartition{Topic: "orders", Partition: 2}, "stranger", 0); err != nil {
		t.Fatal(err)
	}
	sluice(t, "", "consume", "orders", "--zookeeper", zk, "-g", "g", "--rebalance-backoff", "10ms", "--rebalance-retries", "3").
		want(t, exitKafka, "", "node exists")
}

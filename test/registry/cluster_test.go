package registry

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// start runs a coordinator in this process and returns its address.
func start(t testing.TB) string {
	t.Helper()
	s, err := server.Open(server.Config{Dir: t.TempDir(), Listen: []string{"127.0.0.1:0"}, MaxPacket: zk.DefaultMaxPacket,
		SnapshotEvery: 100_000, SnapshotsKept: 3, Version: "test", Logger: slog.New(slog.DiscardHandler),
		Limits: server.Limits{Tick: 100 * time.Millisecond, MinSessionTimeout: 200 * time.Millisecond, MaxSessionTimeout: time.Minute,
			Watches: 100_000, Nodes: 1_000_000, Depth: 100, ServerID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Addrs()[0]
}

// open is a registry on a session that is closed with the test.
func open(t testing.TB, address string, o registry.Options, auth ...client.Auth) (*registry.Registry, *client.Session) {
	t.Helper()
	s := session(t, client.Config{Servers: []string{address}, Auth: auth})
	return registry.New(s, o), s
}

func session(t testing.TB, c client.Config) *client.Session {
	t.Helper()
	c.Timeout, c.Logger = 10*time.Second, slog.New(slog.DiscardHandler)
	s, err := client.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx) // an error if the server is gone
	})
	return s
}

func broker(id, port int32) registry.BrokerInfo {
	return registry.BrokerInfo{ID: id, JMXPort: registry.NoJMX,
		Endpoints: []registry.Endpoint{{Name: "PLAINTEXT", Host: "h", Port: port, Protocol: "PLAINTEXT"}}}
}

func topic(name string, partitions int) (registry.Topic, []registry.StateUpdate) {
	t := registry.Topic{Name: name, ID: registry.NewTopicID()}
	var states []registry.StateUpdate
	for p := range partitions {
		t.Partitions = append(t.Partitions, registry.Assignment{Replicas: []int32{1}})
		states = append(states, registry.StateUpdate{TopicPartition: registry.TopicPartition{Topic: name, Partition: int32(p)},
			State: registry.PartitionState{Leader: 1, ISR: []int32{1}}})
	}
	return t, states
}

// elect makes broker 1 the controller.
func elect(t testing.TB, r *registry.Registry) registry.Controller {
	t.Helper()
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, won, err := r.Elect(t.Context(), 1)
	if err != nil || !won {
		t.Fatal(won, err)
	}
	return c
}

func TestBrokersTopicsAndFailOver(t *testing.T) {
	address, ctx := start(t), t.Context()
	one, session := open(t, address, registry.Options{})
	two, _ := open(t, address, registry.Options{})
	c := elect(t, one)
	for i, r := range []*registry.Registry{one, two} {
		if _, err := r.Register(ctx, broker(int32(i+1), int32(9092+i)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := two.Register(ctx, broker(1, 9999), 0); !errors.Is(err, registry.ErrBrokerExists) {
		t.Error(err)
	}
	t1, states := topic("t", 20)
	if err := two.CreateTopic(ctx, t1, map[string]string{"retention.ms": "1"}); err != nil {
		t.Fatal(err)
	}
	if err := one.CreatePartitionStates(ctx, c, states); err != nil {
		t.Fatal(err)
	}
	_, gone, err := two.ControllerW(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, fewer, err := two.BrokersW(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Close(ctx); err != nil {
		t.Fatal(err)
	}
	<-gone
	<-fewer
	c2, won, err := two.Elect(ctx, 2)
	if err != nil || !won || c2.Epoch != 2 {
		t.Fatal(c2, won, err)
	}
	for i := range states {
		states[i].State.Leader, states[i].State.ISR = 2, []int32{2}
		states[i].State.LeaderEpoch++
	}
	if err := two.UpdatePartitionStates(ctx, c, states); !errors.Is(err, registry.ErrFenced) {
		t.Errorf("with the old controller's epoch: %v", err)
	}
	if err := two.UpdatePartitionStates(ctx, c2, states); err != nil {
		t.Fatal(err)
	}
	all, err := two.LoadCluster(ctx)
	if err != nil || len(all.Broken) > 0 || len(all.Brokers) != 1 || all.Controller.ID != 2 || all.ControllerEpoch != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	for p, s := range all.Topics["t"].States {
		if s == nil || s.Leader != 2 || s.LeaderEpoch != 1 || s.ControllerEpoch != 2 || s.Epoch != 1 {
			t.Fatalf("partition %d: %+v", p, s)
		}
	}
	if err := two.MarkTopicDeleted(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	if err := two.DeleteTopic(ctx, c2, "t"); err != nil {
		t.Fatal(err)
	}
	if all, err = two.LoadCluster(ctx); err != nil || len(all.Topics)+len(all.Deleted) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// With zookeeper.set.acl others may look, but not touch; and not even look where secrets may be.
func TestSecureNodes(t *testing.T) {
	address, ctx := start(t), t.Context()
	mine, _ := open(t, address, registry.Options{SecureACLs: true}, client.Auth{Scheme: "digest", Data: []byte("kafka:secret")})
	other, _ := open(t, address, registry.Options{})
	if err := mine.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	if err := mine.SetConfig(ctx, registry.BrokerEntity(1), map[string]string{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Config(ctx, registry.BrokerEntity(1)); !errors.Is(err, zk.NoAuth) {
		t.Error(err)
	}
	if names, err := other.Topics(ctx); err != nil || len(names) != 0 {
		t.Error(names, err)
	}
	tp, _ := topic("t", 1)
	if err := other.CreateTopic(ctx, tp, nil); !errors.Is(err, zk.NoAuth) {
		t.Error(err)
	}
	if err := other.SetOffset(ctx, "g", registry.TopicPartition{Topic: "t"}, 5); err != nil {
		t.Error(err)
	}
}

const manyPartitions = 10_000

func BenchmarkCreate10000Partitions(b *testing.B) {
	r, _ := open(b, start(b), registry.Options{})
	c := elect(b, r)
	for b.Loop() {
		t, states := topic("t", manyPartitions)
		if err := r.CreateTopic(b.Context(), t, nil); err != nil {
			b.Fatal(err)
		}
		if err := r.CreatePartitionStates(b.Context(), c, states); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := r.DeleteTopic(b.Context(), c, "t"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// ready has a cluster of one topic with many partitions, or of many with one.
func ready(b *testing.B, topics int) (*registry.Registry, registry.Controller, []registry.StateUpdate) {
	r, _ := open(b, start(b), registry.Options{})
	c := elect(b, r)
	var all []registry.StateUpdate
	for i := range topics {
		t, states := topic("t"+string(rune('a'+i%26))+string(rune('a'+i/26%26)), manyPartitions/topics)
		if err := r.CreateTopic(b.Context(), t, nil); err != nil {
			b.Fatal(err)
		}
		all = append(all, states...)
	}
	if err := r.CreatePartitionStates(b.Context(), c, all); err != nil {
		b.Fatal(err)
	}
	return r, c, all
}

func BenchmarkLoad10000PartitionsOf1Topic(b *testing.B)    { benchmarkLoad(b, 1) }
func BenchmarkLoad10000PartitionsOf500Topics(b *testing.B) { benchmarkLoad(b, 500) }

func benchmarkLoad(b *testing.B, topics int) {
	r, _, _ := ready(b, topics)
	for b.Loop() {
		if c, err := r.LoadCluster(b.Context()); err != nil || len(c.Topics) != topics {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate10000States(b *testing.B) {
	r, c, all := ready(b, 1)
	for b.Loop() {
		if err := r.UpdatePartitionStates(b.Context(), c, all); err != nil || all[0].Err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDelete10000Partitions(b *testing.B) {
	r, _ := open(b, start(b), registry.Options{})
	c := elect(b, r)
	for b.Loop() {
		b.StopTimer()
		t, states := topic("t", manyPartitions)
		if err := errors.Join(r.CreateTopic(b.Context(), t, nil), r.CreatePartitionStates(b.Context(), c, states)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := r.DeleteTopic(b.Context(), c, "t"); err != nil {
			b.Fatal(err)
		}
	}
}

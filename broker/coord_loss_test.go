package broker

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/config"
	zkclient "github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/clock"
	"github.com/sluice-mq/sluice/wire"
)

// away is a coordinator of a test's own, that can be stopped, and a broker on it whose clock the test moves.
type away struct {
	t      *testing.T
	dir    string
	addr   string
	server *server.Server
	skip   atomic.Int64 // what the clock is ahead
	b      *Broker
}

func startAway(t *testing.T, sets ...string) *away {
	t.Helper()
	a := &away{t: t, dir: t.TempDir()}
	a.server = openCoordinator(a.dir, "127.0.0.1:0")
	a.addr = a.server.Addrs()[0]
	t.Cleanup(func() { a.server.Close() })
	a.b = a.broker(t.TempDir(), sets...)
	t.Cleanup(func() {
		if err := a.b.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *away) broker(dir string, sets ...string) *Broker {
	a.t.Helper()
	values, err := config.Load(config.Input{Sets: append([]string{
		"log.dirs=" + dir, "listeners=PLAINTEXT://127.0.0.1:0", "admin.listener=", "num.network.threads=1",
		"zookeeper.connect=" + a.addr, "zookeeper.session.timeout.ms=2000",
	}, sets...)})
	if err != nil {
		a.t.Fatal(err)
	}
	cfg, err := values.Broker()
	if err != nil {
		a.t.Fatal(err)
	}
	cfg.ZooKeeper.Clock = func() time.Duration { return clock.Boot() + time.Duration(a.skip.Load()) }
	b, err := Start(cfg, values, slog.New(slog.DiscardHandler))
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

func (a *away) stop() {
	a.t.Helper()
	if err := a.server.Close(); err != nil {
		a.t.Fatal(err)
	}
	a.until("the loss", func(s CoordinatorStats) bool { return s.State != zkclient.Connected })
}

// start opens the coordinator again, with what is in dir.
func (a *away) start(dir, addr string) {
	a.server = openCoordinator(dir, addr)
}

func (a *away) until(what string, ok func(CoordinatorStats) bool) {
	a.t.Helper()
	until(a.t, what, func() bool { return ok(*a.b.Stats().Coordinator) })
}

func member(s CoordinatorStats) bool {
	return s.State == zkclient.Connected && s.Registered && s.Controller && !s.Fenced && !s.Behind
}

// serves checks produce with each acks, and fetch.
func serves(t *testing.T, c *client, topic string) {
	t.Helper()
	for _, acks := range []int16{acksLeader, acksAll} {
		if r := c.produceOne(topic, 0, acks, records(1, 10)); r.Error != wire.None {
			t.Errorf("produce with acks=%d: %v", acks, r.Error)
		}
	}
	if r := c.fetch(fetchOf(topic, want(0, 0))).Topics[0].Partitions[0]; r.Error != wire.None || len(r.Records) == 0 {
		t.Errorf("fetch: %v, %d bytes", r.Error, len(r.Records))
	}
}

// refusesChanges checks that what needs the coordinator is refused at once, with errors on which clients try again.
func refusesChanges(t *testing.T, c *client) {
	t.Helper()
	began := time.Now()
	if r := c.createWith("refused", 1, nil); wire.ErrorCode(r.ErrorCode) != wire.NotController {
		t.Errorf("create: %v", wire.ErrorCode(r.ErrorCode))
	}
	if code := c.delete("t"); code != wire.NotController {
		t.Errorf("delete: %v", code)
	}
	if code := c.grow("t", 9, false); code != wire.NotController {
		t.Errorf("grow: %v", code)
	}
	if code := c.tryAlter(topicResource("t"), false, "retention.ms=1"); code != wire.NotController {
		t.Errorf("alter: %v", code)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("refusals took %v", took)
	}
}

// TestCoordinatorAway: while the coordinator is away, however long, produce and fetch go on, and what needs it is
// refused; when it is back all is as it was, in the same session.
func TestCoordinatorAway(t *testing.T) {
	a := startAway(t)
	c := dial(t, a.b)
	c.create("t", 1)
	serves(t, c, "t")
	session := a.b.coordinated.link.Load().session.ID()
	a.stop()
	serves(t, c, "t")
	refusesChanges(t, c)
	a.skip.Add(int64(10 * time.Minute))
	a.until("the deadline", func(s CoordinatorStats) bool { return s.State == zkclient.Lapsed && !s.Controller })
	serves(t, c, "t")
	refusesChanges(t, c)
	if p := strings.Join(a.b.Problems(), " "); !strings.Contains(p, "cannot be reached") || a.b.Ready() != nil {
		t.Errorf("%q %v", p, a.b.Ready())
	}
	a.start(a.dir, a.addr)
	a.until("the return", member)
	if now := a.b.coordinated.link.Load().session.ID(); now != session {
		t.Errorf("session %#x became %#x", session, now)
	}
	serves(t, c, "t")
	c.create("u", 2)
	serves(t, c, "u")
	if p := a.b.Problems(); len(p) != 0 {
		t.Error(p)
	}
}

// TestFenceOnLoss: with coordination.on.loss=fence what might be old is not served from the deadline on.
func TestFenceOnLoss(t *testing.T) {
	a := startAway(t, "coordination.on.loss=fence")
	c := dial(t, a.b)
	c.create("t", 1)
	serves(t, c, "t")
	a.stop()
	serves(t, c, "t")
	parked := dial(t, a.b)
	parked.sendFetch(fetchOf("t", want(0, 4)))
	untilParked(t, a.b, 1)
	a.skip.Add(int64(time.Minute))
	a.until("the fence", func(s CoordinatorStats) bool { return s.Fenced })
	if p := parked.fetchAnswer(fetchVersion).Topics[0].Partitions[0]; p.Error != wire.NotLeaderOrFollower {
		t.Errorf("the fetch that waited: %v", p.Error)
	}
	if r := c.produceOne("t", 0, acksLeader, records(1, 10)); r.Error != wire.NotLeaderOrFollower {
		t.Errorf("acks=1: %v", r.Error)
	}
	if r := c.produceOne("t", 0, acksAll, records(1, 10)); r.Error != wire.None {
		t.Errorf("acks=all: %v", r.Error)
	}
	if r := c.fetch(fetchOf("t", want(0, 0))).Topics[0].Partitions[0]; r.Error != wire.NotLeaderOrFollower {
		t.Errorf("fetch: %v", r.Error)
	}
	a.start(a.dir, a.addr)
	a.until("the return", member)
	serves(t, c, "t")
}

// TestExpired: a broker that is told that its session has ended leads nothing until it is registered again, with a
// higher broker epoch.
func TestExpired(t *testing.T) {
	a := startAway(t, "zookeeper.session.timeout.ms=300")
	c := dial(t, a.b)
	c.create("t", 1)
	serves(t, c, "t")
	epoch := a.b.coordinated.epochs[1]
	a.stop()
	a.start(a.dir, "127.0.0.1:0") // where the broker does not find it
	until(t, "the end of the session", func() bool {
		f, err := a.server.Figures()
		return err == nil && f.Sessions == 0
	})
	if err := a.server.Close(); err != nil {
		t.Fatal(err)
	}
	a.start(a.dir, a.addr)
	a.until("the return", func(s CoordinatorStats) bool { return s.Expires == 1 && member(s) })
	serves(t, c, "t")
	c.create("u", 1)
	unlock := lock(a.b)
	if now := a.b.coordinated.epochs[1]; now <= epoch {
		t.Errorf("broker epoch %d after %d", now, epoch)
	}
	unlock()
}

// TestCoordinatorLost: one that has forgotten everything, or is of another cluster, is not joined; what was led is
// served on.
func TestCoordinatorLost(t *testing.T) {
	for what, prepare := range map[string]func(*testing.T, *zkclient.Session){
		"empty": func(*testing.T, *zkclient.Session) {},
		"of another cluster": func(t *testing.T, s *zkclient.Session) {
			for _, x := range []struct{ path, data string }{{"/cluster", ""}, {"/cluster/id", `{"version":"1","id":"another"}`}, {"/x", ""}} {
				if _, _, err := s.Create(t.Context(), x.path, []byte(x.data), nil, zk.Persistent); err != nil {
					t.Fatal(err)
				}
			}
			for range 200 { // beyond what the broker has seen
				if _, err := s.Set(t.Context(), "/x", nil, -1); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			a := startAway(t)
			c := dial(t, a.b)
			c.create("t", 1)
			a.stop()
			other := t.TempDir()
			a.start(other, "127.0.0.1:0")
			s, err := zkclient.Open(waitContext(t), zkclient.Config{Servers: a.server.Addrs(), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			prepare(t, s)
			s.Close(waitContext(t))
			if err := a.server.Close(); err != nil {
				t.Fatal(err)
			}
			a.start(other, a.addr)
			a.until("the broker to notice", func(s CoordinatorStats) bool { return s.Behind })
			until(t, "what was led", func() bool { return partitionOf(a.b, "t", 0) != nil })
			serves(t, c, "t")
			refusesChanges(t, c)
			if p := strings.Join(a.b.Problems(), " "); !strings.Contains(p, "has lost what it had") {
				t.Errorf("%q", p)
			}
			if err := a.server.Close(); err != nil {
				t.Fatal(err)
			}
			a.start(a.dir, a.addr)
			a.until("the return", member)
			serves(t, c, "t")
			c.create("u", 1)
		})
	}
}

// TestConflict: a broker id that a living broker has is refused, and so is a coordinator of another cluster; what the
// broker itself has left there when it was killed is not in the way.
func TestConflict(t *testing.T) {
	a := startAway(t)
	c := dial(t, a.b)
	c.create("t", 1)
	connect := "zookeeper.connect=" + a.addr
	if _, err := tryBroker(t.TempDir(), connect); err == nil || !strings.Contains(err.Error(), "broker id 1 is registered") {
		t.Errorf("a second broker with the same id: %v", err)
	}
	used := t.TempDir()
	stop(t, startBroker(t, used))
	if _, err := tryBroker(used, connect, "node.id=1"); err == nil || !strings.Contains(err.Error(), "cluster id") {
		t.Errorf("a directory of another cluster: %v", err)
	}
	b, err := tryBroker(t.TempDir(), connect, "node.id=2")
	if err != nil {
		t.Fatal(err)
	}
	second := dial(t, b)
	if m := second.ask(newMetadata()).(*kmsg.MetadataResponse); len(m.Brokers) != 2 || m.ControllerID != 1 || m.Brokers[0].Port == m.Brokers[1].Port {
		t.Errorf("%+v", m)
	}
	if r := second.createWith("u", 1, nil); wire.ErrorCode(r.ErrorCode) != wire.NotController {
		t.Errorf("create at a broker that is not the controller: %v", wire.ErrorCode(r.ErrorCode))
	}
	if r := second.produceOne("t", 0, acksLeader, records(1, 10)); r.Error != wire.NotLeaderOrFollower {
		t.Errorf("produce at a broker that does not lead: %v", r.Error)
	}
	c.create("u", 2)
	until(t, "the second broker to learn of the topic", func() bool { return b.catalog.Image().TopicNamed("u") != nil })
	if got := second.describe("u", false); got.ErrorCode != 0 || got.Partitions[0].Leader != 1 || got.Partitions[0].ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	stop(t, a.b) // the second one takes over
	until(t, "the second broker to be the controller", func() bool { return b.Stats().Coordinator.Controller })
	second.create("v", 1)
	serves(t, second, "v")
	if got := second.describe("t", false); got.Partitions[0].ErrorCode != int16(wire.LeaderNotAvailable) {
		t.Errorf("a topic whose broker is gone: %+v", got)
	}
	stop(t, b)
}

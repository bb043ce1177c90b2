package coordination

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// coordinator is a server that can be stopped and started again at its address.
type coordinator struct {
	t      *testing.T
	dir    string
	addr   string
	chroot string // of the test's sessions, "" but on a real ZooKeeper
	tick   time.Duration
	s      *server.Server
}

// elsewhere makes the coordinator of a test, instead of start's own; nil but while a test runs on a real ZooKeeper.
var elsewhere func(t *testing.T) *coordinator

func start(t *testing.T) *coordinator {
	t.Helper()
	if elsewhere != nil {
		return elsewhere(t)
	}
	k := &coordinator{t: t, dir: t.TempDir(), addr: "127.0.0.1:0", tick: 100 * time.Millisecond}
	k.start()
	t.Cleanup(k.stop)
	return k
}

func (k *coordinator) start() {
	k.t.Helper()
	var err error
	k.s, err = server.Open(server.Config{Dir: k.dir, Listen: []string{k.addr}, MaxPacket: zk.DefaultMaxPacket,
		SnapshotEvery: 100_000, SnapshotsKept: 3, Words: []string{"srvr"}, Version: "test", Logger: slog.New(slog.DiscardHandler),
		Limits: server.Limits{Tick: k.tick, MinSessionTimeout: 2 * k.tick, MaxSessionTimeout: time.Minute, Watches: 100_000,
			Nodes: 1_000_000, Depth: 100, ServerID: 1, TTLNodes: true}})
	if err != nil {
		k.t.Fatal(err)
	}
	k.addr = k.s.Addrs()[0]
}

func (k *coordinator) stop() {
	if k.s == nil {
		return
	}
	if err := k.s.Close(); err != nil {
		k.t.Error(err)
	}
	k.s = nil
}

// open opens a session that is closed with the test.
func (k *coordinator) open(change ...func(*client.Config)) *client.Session {
	k.t.Helper()
	cfg := client.Config{Servers: []string{k.addr}, Chroot: k.chroot, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	s, err := client.Open(k.t.Context(), cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx) // an error if the coordinator is gone
	})
	return s
}

func want(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRequests(t *testing.T) {
	s := start(t).open()
	ctx := t.Context()
	path, stat, err := s.Create(ctx, "/a", []byte("1"), nil, zk.Persistent)
	must(t, err)
	if path != "/a" || stat.Czxid == 0 || stat.Czxid != s.LastZxid() {
		t.Errorf("%s %+v, last %d", path, stat, s.LastZxid())
	}
	_, _, err = s.Create(ctx, "/a", nil, nil, zk.Persistent)
	want(t, err, zk.NodeExists)
	path, stat, err = s.Create(ctx, "/a/e-", nil, nil, zk.EphemeralSequential)
	must(t, err)
	if path != "/a/e-0000000000" || stat.EphemeralOwner != s.ID() {
		t.Errorf("%s %+v", path, stat)
	}
	_, _, err = s.Create(ctx, "/a/", nil, nil, zk.PersistentSequential)
	must(t, err)
	names, stat, err := s.Children(ctx, "/a")
	slices.Sort(names)
	if must(t, err); !slices.Equal(names, []string{"0000000001", "e-0000000000"}) || stat.NumChildren != 2 {
		t.Errorf("%q %+v", names, stat)
	}
	stat, err = s.Set(ctx, "/a", []byte("2"), 0)
	if must(t, err); stat.Version != 1 {
		t.Errorf("%+v", stat)
	}
	_, err = s.Set(ctx, "/a", []byte("2"), 0)
	want(t, err, zk.BadVersion)
	data, stat, err := s.Get(ctx, "/a")
	if must(t, err); string(data) != "2" || stat.Version != 1 {
		t.Errorf("%s %+v", data, stat)
	}
	_, found, err := s.Exists(ctx, "/b")
	if must(t, err); found {
		t.Error("/b is there")
	}
	_, err = s.Set(ctx, "b", nil, -1)
	want(t, err, zk.BadArguments)
	results, err := s.Multi(ctx, client.CheckOp("/a", 1), client.CreateOp("/b", nil, nil, zk.Ephemeral), client.SetOp("/b", []byte("x"), 0), client.DeleteOp("/a/0000000001", -1))
	if must(t, err); results[1].Path != "/b" || results[2].Stat.Version != 1 || results[1].Stat.Czxid != results[2].Stat.Mzxid {
		t.Errorf("%+v", results)
	}
	results, err = s.Multi(ctx, client.DeleteOp("/b", -1), client.CheckOp("/a", 0), client.SetOp("/b", nil, -1))
	want(t, err, zk.BadVersion)
	if results[0].Err != nil || results[1].Err != zk.BadVersion || results[2].Err != zk.RuntimeInconsistency {
		t.Errorf("%+v", results)
	}
	must(t, s.Delete(ctx, "/b", 1))
	want(t, s.Delete(ctx, "/a", -1), zk.NotEmpty)
	own, err := s.Ephemerals(ctx, "/")
	if must(t, err); !slices.Equal(own, []string{"/a/e-0000000000"}) {
		t.Errorf("%q", own)
	}
	n, err := s.AllChildrenNumber(ctx, "/a")
	if must(t, err); n != 1 {
		t.Error(n)
	}
	must(t, s.Sync(ctx, "/nowhere"))
	must(t, s.Close(ctx))
	want(t, s.Delete(ctx, "/a", -1), client.ErrClosed)
}

func TestWatchesFireOnceAndBeforeTheAnswer(t *testing.T) {
	s := start(t).open()
	ctx := t.Context()
	_, found, created, err := s.ExistsW(ctx, "/w")
	if must(t, err); found {
		t.Fatal("found")
	}
	_, _, _, err = s.GetW(ctx, "/w")
	want(t, err, zk.NoNode)
	_, _, err = s.Create(ctx, "/w", nil, nil, zk.Persistent)
	must(t, err)
	expect(t, created, zk.EventCreated, "/w")
	_, _, data, err := s.GetW(ctx, "/w")
	must(t, err)
	_, _, children, err := s.ChildrenW(ctx, "/w")
	must(t, err)
	_, _, err = s.Create(ctx, "/w/c", nil, nil, zk.Persistent)
	must(t, err)
	expect(t, children, zk.EventChildrenChanged, "/w")
	_, err = s.Set(ctx, "/w", nil, -1)
	must(t, err)
	expect(t, data, zk.EventDataChanged, "/w")
	_, _, data, err = s.GetW(ctx, "/w")
	must(t, err)
	must(t, s.Close(ctx))
	if _, ok := <-data; ok {
		t.Error("an event")
	}
}

// expect wants the event to be there already.
func expect(t *testing.T, c <-chan zk.Event, kind zk.EventType, path string) {
	t.Helper()
	select {
	case e := <-c:
		if e.Type != kind || e.Path != path {
			t.Errorf("event %v of %s, want %v of %s", e.Type, e.Path, kind, path)
		}
	default:
		t.Errorf("no event, want %v of %s", kind, path)
	}
}

func TestTheServerComesBack(t *testing.T) {
	k := start(t)
	s := k.open()
	ctx := t.Context()
	_, _, err := s.Create(ctx, "/e", nil, nil, zk.Ephemeral)
	must(t, err)
	_, _, changed, err := s.GetW(ctx, "/e")
	must(t, err)
	id := s.ID()
	k.stop()
	await(t, s, client.Disconnected)
	k.start()
	_, err = s.Set(ctx, "/e", []byte("again"), 0)
	must(t, err)
	expect(t, changed, zk.EventDataChanged, "/e")
	if s.ID() != id {
		t.Errorf("session %x, had %x", s.ID(), id)
	}
}

func await(t *testing.T, s *client.Session, state client.State) {
	t.Helper()
	for s.State() != state {
		select {
		case <-s.Changes():
		case <-time.After(20 * time.Second):
			t.Fatalf("state %v, want %v", s.State(), state)
		}
	}
}

// A server that comes back without its data is not taken for the one that was there.
func TestTheServerComesBackWithoutItsData(t *testing.T) {
	k := start(t)
	s := k.open()
	for range 10 {
		_, _, err := s.Create(t.Context(), "/n-", nil, nil, zk.PersistentSequential)
		must(t, err)
	}
	k.stop()
	k.dir = t.TempDir()
	k.start()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := s.Delete(ctx, "/n-0000000000", -1)
	want(t, err, client.ErrBehind)
	want(t, s.Trouble(), client.ErrBehind)
	seen := s.LastZxid()
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = client.Open(ctx, client.Config{Servers: []string{k.addr}, LastZxid: seen, Logger: slog.New(slog.DiscardHandler)})
	want(t, err, client.ErrBehind)
}

// Many requests of many goroutines share few packets and system calls; see also BenchmarkPipelined.
func TestPipelining(t *testing.T) {
	k := start(t)
	s := k.open()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			path := fmt.Sprintf("/p%d", i)
			if _, _, err := s.Create(t.Context(), path, nil, nil, zk.Ephemeral); err != nil {
				t.Error(err)
			}
			for j := range 50 {
				stat, err := s.Set(t.Context(), path, []byte{byte(j)}, int32(j))
				if err != nil || stat.Version != int32(j+1) {
					t.Errorf("%s: version %d, %v", path, stat.Version, err)
				}
				data, _, err := s.Get(t.Context(), path)
				if err != nil || len(data) != 1 || data[0] != byte(j) {
					t.Errorf("%s: %v, %v", path, data, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPipelined(b *testing.B) {
	for _, inFlight := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(inFlight), func(b *testing.B) {
			k := &coordinator{t: new(testing.T), dir: b.TempDir(), addr: "127.0.0.1:0", tick: time.Second}
			k.start()
			defer k.stop()
			s, err := client.Open(b.Context(), client.Config{Servers: []string{k.addr}, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close(b.Context()) // the benchmark is over
			if _, _, err := s.Create(b.Context(), "/a", make([]byte, 100), nil, zk.Persistent); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			var n atomic.Int64
			for range inFlight {
				wg.Go(func() {
					for n.Add(1) <= int64(b.N) {
						if _, _, err := s.Get(context.Background(), "/a"); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

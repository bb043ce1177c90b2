package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	zkclient "github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/logstore"
)

// The tests of this package run on one coordinator: ours in this process, or what BROKER_TEST_ZOOKEEPER names, which must be
// empty (host:port[,host:port]: a separate coordinator, a real ZooKeeper, an ensemble). Each log directory has its part of the tree, below a node of its
// own, and finds it again when another broker is started on it.

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "coordinator")
	if err != nil {
		panic(err)
	}
	shared.server = openCoordinator(dir, "127.0.0.1:0")
	shared.connect = cmp.Or(os.Getenv("BROKER_TEST_ZOOKEEPER"), shared.server.Addrs()[0])
	code := m.Run()
	shared.server.Close()
	os.RemoveAll(dir)
	os.Exit(code)
}

func openCoordinator(dir, addr string) *server.Server {
	s, err := server.Open(server.Config{Dir: dir, Listen: []string{addr}, MaxPacket: 1 << 20, SnapshotEvery: 100_000, SnapshotsKept: 3,
		Words: []string{"*"}, Version: "test", Logger: slog.New(slog.DiscardHandler),
		Limits: server.Limits{Tick: 100 * time.Millisecond, MinSessionTimeout: 200 * time.Millisecond, MaxSessionTimeout: time.Hour,
			Watches: 200_000, Nodes: 1_000_000, Depth: 100, ServerID: 1}})
	if err != nil {
		panic(err)
	}
	return s
}

var shared struct {
	server  *server.Server
	connect string // where the coordinator is

	mu    sync.Mutex
	roots map[string]string // of directories
}

// coordinatorOf is zookeeper.connect for a broker with these log.dirs: that of any of them which was used before, or is a
// copy of one that was.
func coordinatorOf(dirs string) string {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.roots == nil {
		shared.roots = map[string]string{}
	}
	root := fmt.Sprintf("/%d", len(shared.roots))
	for dir := range strings.SplitSeq(dirs, ",") {
		if known := shared.roots[dir]; known != "" {
			root = known
			break
		}
		o, err := logstore.OriginOf(dir)
		for other, known := range shared.roots {
			if x, _ := logstore.OriginOf(other); err == nil && o.ClusterID != "" && x.ClusterID == o.ClusterID {
				root = known
			}
		}
	}
	for dir := range strings.SplitSeq(dirs, ",") {
		shared.roots[dir] = root
	}
	return shared.connect + root
}

// withoutCoordinator is a setting for a broker whose topics are what lies in its log directories.
const withoutCoordinator = "zookeeper.connect="

// cloneRoot copies what the coordinator holds for the broker of the directory from, for one on a copy of that directory.
func cloneRoot(t *testing.T, from, to string) {
	t.Helper()
	shared.mu.Lock()
	root := shared.roots[from]
	copied := fmt.Sprintf("/%d", len(shared.roots))
	shared.roots[to] = copied
	shared.mu.Unlock()
	if root == "" {
		return // it has none
	}
	ctx := waitContext(t)
	s, err := zkclient.Open(ctx, zkclient.Config{Servers: strings.Split(shared.connect, ","), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(ctx)
	var clone func(path string)
	clone = func(path string) {
		data, stat, err := s.Get(ctx, root+path)
		if errors.Is(err, zk.NoNode) || stat.EphemeralOwner != 0 {
			return
		}
		if err == nil {
			_, _, err = s.Create(ctx, copied+path, data, nil, zk.Persistent)
		}
		if err != nil {
			t.Fatal(err)
		}
		names, _, err := s.Children(ctx, root+path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			clone(path + "/" + name)
		}
	}
	clone("")
}

// local is what the catalogue keeps in the log directories.
func local(b *Broker) *replicas {
	if d, ok := b.catalog.(*dirCatalog); ok {
		return d.replicas
	}
	return b.coordinated.replicas
}

// lock keeps the broker's catalogue from changing until it is called back.
func lock(b *Broker) (unlock func()) {
	mu := &b.coordinated.mu
	mu.Lock()
	return mu.Unlock
}

func waitContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

//go:build peers

package membership

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	zkclient "github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestZooKeeper(t *testing.T) {
	z := testkit.StartZooKeeper(t)
	t.Run("serve", func(t *testing.T) { serve(t, "zookeeper.connect="+z+"/serve") })
	t.Run("killed", func(t *testing.T) { killAmidChanges(t, "zookeeper.connect="+z+"/killed") })
}

// TestEnsemble kills the leader of an ensemble with an observer while clients write: no produce fails, topics can be made
// again when there is another leader, and the broker's registration is the same.
func TestEnsemble(t *testing.T) {
	data := t.TempDir()
	t.Cleanup(func() { testkit.ZooKeeperScript(t, "clean", "--data", data) })
	servers := strings.TrimSpace(testkit.ZooKeeperScript(t, "start", "--port", "0", "--servers", "5", "--observer", "--data", data))
	b := testkit.Start(t, t.TempDir(), "zookeeper.connect="+servers+"/kafka")
	cl, admin := clients(t, b)
	must(t)(admin.CreateTopic(t.Context(), 1, 1, nil, "t"))
	before := registration(t, servers)

	var written, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for ctx.Err() == nil {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
				failed.Add(1)
			}
			written.Add(1)
		}
	}()
	killLeader(t, servers, data)
	at := written.Load()
	for i := 0; ; i++ { // until there is another leader
		if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, fmt.Sprintf("u%d", i)); err == nil {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("no topic can be made")
		}
	}
	for written.Load() < at+100 {
		if t.Context().Err() != nil {
			t.Fatal("nothing is written")
		}
	}
	stop()
	<-writing
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d produce requests failed", n, written.Load())
	}
	if now := registration(t, servers); now != before {
		t.Errorf("broker epoch %d became %d", before, now)
	}
	t.Logf("%d records", written.Load())
	b.Terminate()
}

// registration is the broker epoch.
func registration(t *testing.T, servers string) int64 {
	t.Helper()
	s, err := zkclient.Open(t.Context(), zkclient.Config{Servers: strings.Split(servers, ","), Chroot: "/kafka"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	stat, found, err := s.Exists(t.Context(), "/brokers/ids/1")
	if err != nil || !found {
		t.Fatalf("%v: the broker is not registered", err)
	}
	return stat.Czxid
}

func killLeader(t *testing.T, servers, data string) {
	t.Helper()
	pids := strings.Fields(testkit.ZooKeeperScript(t, "pids", "--data", data))
	for i, addr := range strings.Split(servers, ",") {
		_, port, _ := strings.Cut(addr, ":")
		if !strings.Contains(testkit.ZooKeeperScript(t, "4lw", "srvr", port), "Mode: leader") {
			continue
		}
		pid, err := strconv.Atoi(pids[i])
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no leader")
}

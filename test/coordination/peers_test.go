//go:build peers

package coordination

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// zookeeper runs the script with a data directory of the test's own and returns what it prints.
func zookeeper(t *testing.T, dir string, args ...string) string {
	t.Helper()
	script := filepath.Join(testkit.Root(t), "test", "peers", "zookeeper.sh")
	cmd := exec.Command(script, args...)
	if dir != "" {
		cmd.Args = append(cmd.Args, "--data", dir)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zookeeper.sh %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// What the client does with our server it does with a real one.
func TestOnZooKeeper(t *testing.T) {
	dir := t.TempDir()
	addr := zookeeper(t, dir, "start", "--port", "0", "--set", "tickTime=500", "--set", "extendedTypesEnabled=true", "--set", "maxClientCnxns=0")
	t.Cleanup(func() { zookeeper(t, dir, "clean") })
	n := 0
	elsewhere = func(t *testing.T) *coordinator {
		n++
		k := &coordinator{t: t, addr: addr, chroot: fmt.Sprintf("/test-%d", n)}
		s := k.open()
		must(t, s.MakeChroot(t.Context()))
		return k
	}
	defer func() { elsewhere = nil }()
	for name, test := range map[string]func(t *testing.T){
		"Requests": TestRequests, "Watches": TestWatchesFireOnceAndBeforeTheAnswer, "Election": TestElection,
		"LeaderThatIsCutOff": TestLeaderThatIsCutOff, "LostAnswers": TestTicketsWhoseAnswersAreLost, "GivenUp": TestTicketThatIsGivenUp,
		"Lock": TestLockExcludes, "Group": TestGroup, "Counter": TestCounter, "CloseDuringEverything": TestCloseDuringEverything,
		"Pipelining": TestPipelining, "PersistentWatches": TestPersistentWatches, "WatchesSetAgain": TestWatchesAfterReconnect,
		"Consumers": TestGroupWhoseMembersDie,
	} {
		t.Run(name, test)
	}
}

// An ensemble loses its leader while a client writes: no write fails for good, and the session and its node live.
func TestEnsembleLosesItsLeader(t *testing.T) {
	dir := t.TempDir()
	connect := zookeeper(t, dir, "start", "--port", "0", "--servers", "3")
	t.Cleanup(func() { zookeeper(t, dir, "clean") })
	servers, _, err := client.ParseConnect(connect)
	must(t, err)
	s, err := client.Open(t.Context(), client.Config{Servers: servers, Timeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer s.Close(context.Background()) // the test is over
	_, _, err = s.Create(t.Context(), "/e", nil, nil, zk.Ephemeral)
	must(t, err)
	_, _, changed, err := s.GetW(t.Context(), "/e")
	must(t, err)
	id, sets := s.ID(), 0
	set := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		must(t, client.Retry(ctx, func() error {
			_, err := s.Set(ctx, "/n", []byte(strconv.Itoa(sets)), -1)
			return err
		}))
		sets++
	}
	_, _, err = s.Create(t.Context(), "/n", nil, nil, zk.Persistent)
	must(t, err)
	set()
	pids := strings.Fields(zookeeper(t, dir, "pids"))
	killed := false
	for i, addr := range servers {
		_, port, _ := strings.Cut(addr, ":")
		if strings.Contains(zookeeper(t, "", "4lw", "srvr", port), "Mode: leader") {
			pid, err := strconv.Atoi(pids[i])
			must(t, err)
			must(t, syscall.Kill(pid, syscall.SIGKILL))
			killed = true
		}
	}
	if !killed {
		t.Fatal("no leader")
	}
	began := time.Now()
	set()
	t.Logf("the next write was done after %v", time.Since(began).Round(time.Millisecond))
	for range 100 {
		set()
	}
	if s.ID() != id || s.Err() != nil {
		t.Errorf("session %x, was %x: %v", s.ID(), id, s.Err())
	}
	select {
	case e := <-changed:
		t.Errorf("%+v", e)
	default:
	}
	_, err = s.Set(t.Context(), "/e", nil, -1)
	must(t, err)
	if e := <-changed; e.Type != zk.EventDataChanged {
		t.Errorf("%+v", e)
	}
}

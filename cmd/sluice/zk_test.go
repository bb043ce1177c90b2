package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/client"
	zkserver "github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// fakeZK runs a coordinator and returns its address and what stops it.
func fakeZK(t *testing.T) (addr string, stop func()) {
	t.Helper()
	s, err := zkserver.Open(zkserver.Config{Dir: t.TempDir(), Listen: []string{"127.0.0.1:0"}, MaxPacket: zk.DefaultMaxPacket,
		SnapshotEvery: 100_000, SnapshotsKept: 3, Logger: slog.New(slog.DiscardHandler),
		Limits: zkserver.Limits{Tick: 100 * time.Millisecond, MinSessionTimeout: 200 * time.Millisecond, MaxSessionTimeout: time.Minute,
			Watches: 100_000, Nodes: 1_000_000, Depth: 100, ServerID: 1, TTLNodes: true}})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return s.Addrs()[0], stop
}

// zkSession is a session of the test's own.
func zkSession(t *testing.T, addr string) *client.Session {
	t.Helper()
	s, err := client.Open(t.Context(), client.Config{Servers: []string{addr}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { zkClose(s) })
	return s
}

func TestZKNodes(t *testing.T) {
	addr, _ := fakeZK(t)
	z := func(stdin string, args ...string) result {
		t.Helper()
		return sluice(t, stdin, append(append([]string{"zk"}, args...), "-s", addr)...)
	}
	z("", "create", "/a/b", "one").want(t, exitKafka, "", "/a/b: no node (-101); see `sluice zk ls`")
	z("", "create", "/a/b", "one", "-p").want(t, exitOK, "/a/b  created", "")
	z("", "create", "/a/b", "two").want(t, exitKafka, "", "/a/b: node exists (-110)")
	z("", "create", "/a/b", "two", "--if-not-exists").want(t, exitOK, "exists", "")
	z("", "get", "/a/b").want(t, exitOK, "one", "")
	z("from\x00stdin", "set", "/a/b", "-", "--version", "0").want(t, exitOK, "set", "")
	z("", "set", "/a/b", "x", "--version", "0").want(t, exitKafka, "", "bad version (-103)")
	if r := z("", "get", "/a/b"); r.stdout != "from\x00stdin" {
		t.Errorf("%q", r.stdout)
	}
	z("\xff", "set", "/a/b", "-").want(t, exitOK, "", "")
	n := fromJSON[zkNode](t, z("", "get", "/a/b", "-o", "json", "--acl"))
	if string(n.DataBase64) != "\xff" || n.Stat.Version != 2 || !slices.Equal(n.ACL, []string{"world:anyone:cdrwa"}) {
		t.Errorf("%+v", n)
	}
	changes := fromJSON[[]zkChange](t, z("", "create", "/a/q-", "--sequential", "-o", "json"))
	if changes[0].Path != "/a/q-0000000001" || changes[0].Stat.Version != 0 {
		t.Errorf("%+v", changes)
	}
	z("", "create", "/a/", "--sequential").want(t, exitOK, "/a/0000000002", "")
	z("", "create", "/c", "-c").want(t, exitOK, "created", "")
	z("", "create", "/t", `{"x": 1}`, "--ttl", "1h").want(t, exitOK, "created", "")
	z("", "ls", "/a", "-o", "csv").want(t, exitOK, "path,children,bytes,version,owner,modified,czxid,mzxid\n/a/0000000002,0,0,0,,", "")
	var paths []string
	for _, n := range fromJSON[[]zkNode](t, z("", "ls", "-r", "-o", "json")) {
		if !strings.HasPrefix(n.Path, "/zookeeper") {
			paths = append(paths, n.Path)
		}
	}
	if want := []string{"/a", "/a/0000000002", "/a/b", "/a/q-0000000001", "/c", "/t"}; !slices.Equal(paths, want) {
		t.Errorf("%q", paths)
	}
	z("", "ls", "/nope").want(t, exitKafka, "", "/nope: no node (-101)")
	z("", "tree", "/a", "-d").want(t, exitOK, "/a\n├── 0000000002\n├── b = \"\\xff\"\n└── q-0000000001\n", "")
	tree := fromJSON[zkNode](t, z("", "tree", "--depth", "1", "-o", "json"))
	if len(tree.Children) != 4 || len(tree.Children[0].Children) != 0 || tree.Children[0].Path != "/a" {
		t.Errorf("%+v", tree)
	}
	z("", "stat", "/t").want(t, exitOK, "ephemeral_owner  none", "")
	dump := fromJSON[[]zkNode](t, z("", "dump"))
	i := slices.IndexFunc(dump, func(n zkNode) bool { return n.Path == "/t" })
	var x struct{ X int }
	if len(dump) != 7 || dump[0].Path != "/" || i < 0 || json.Unmarshal(dump[i].JSON, &x) != nil || x.X != 1 || dump[i].Data != nil {
		t.Errorf("%+v", dump)
	}
	z("", "dump", "--all").want(t, exitOK, "/zookeeper/config", "")
	z("", "delete", "/a").want(t, exitKafka, "", "/a: node has children (-111); delete what is below it as well with --recursive")
	r := z("", "delete", "/a", "/nope", "/c", "-r", "--if-exists", "-o", "json")
	if c := fromJSON[[]zkChange](t, r); len(c) != 3 || c[0].Nodes != 4 || c[1].Status != "missing" || c[2].Status != "deleted" {
		t.Errorf("%+v", c)
	}
	z("", "delete", "/t", "--version", "3").want(t, exitKafka, "", "bad version (-103)")
	z("", "rm", "/nope", "/t").want(t, exitKafka, "/t    deleted", "/nope: no node (-101)")
}

func TestZKChrootAndACL(t *testing.T) {
	addr, _ := fakeZK(t)
	sluice(t, "", "zk", "create", "/k/x", "-p", "-s", addr).want(t, exitOK, "", "")
	environ := []string{envZooKeeper + "=" + addr + "/k"}
	sluiceWith(t.Context(), nil, environ, "zk", "create", "/secret", "s", "--auth", "digest:me:pw", "--acl", "auth::rw", "--acl", "ip:10.0.0.0/8:r").
		want(t, exitOK, "/secret", "")
	sluiceWith(t.Context(), nil, environ, "zk", "get", "/secret").want(t, exitKafka, "", "/secret: not authorised (-102); log in as somebody else with --auth")
	sluiceWith(t.Context(), nil, environ, "zk", "get", "/secret", "--auth", "digest:me:pw").want(t, exitOK, "s", "")
	sluiceWith(t.Context(), nil, environ, "zk", "ls", "/", "--auth", "sasl:x").want(t, exitKafka, "", "does not take --auth")
	sluiceWith(t.Context(), nil, environ, "zk", "create", "/y", "--acl", "auth::rw").want(t, exitKafka, "", "invalid ACL (-114)")
}

func TestZKUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"ls a", `path "a" does not begin with /`},
		{"get /a/", "ends with /"},
		{"get", "accepts 1 arg(s)"},
		{"create /a -e -c", "exclude each other"},
		{"create /a -c --sequential", "exclude each other"},
		{"create /a --ttl 1us", "want at least 1ms"},
		{"create /a --acl x", "want scheme:id:perms"},
		{"create /a --acl world:anyone:x", "letters of cdrwa"},
		{"delete / -r", "the root cannot be deleted"},
		{"delete /a -r --version 1", "exclude each other"},
		{"tree --depth -2", "want -1 or more"},
		{"watch -n -1", "want 0 or more"},
		{"lock /a --signal NONE -- true", "want TERM"},
		{"lock /a --wait -1s -- true", "0 or more"},
		{"ls -s host:1:2", "is no host:port"},
		{"ls -s a,,b", "a host is empty"},
		{"ls -s a/b//c", "empty name"},
		{"ls --auth me", "want scheme:credentials"},
		{"ls --session-timeout 0", "want at least 1ms"},
		{"ls --connect-timeout 0", "want more than 0"},
		{"ls --tls-cert x", "come together"},
		{"ls -o xml", "output formats are"},
	} {
		sluice(t, "", append([]string{"zk"}, strings.Fields(c.args)...)...).want(t, exitUsage, "", c.want)
	}
}

func TestNoCoordinator(t *testing.T) {
	sluice(t, "", "zk", "ls", "-s", "127.0.0.1:1", "--connect-timeout", "200ms").want(t, exitUnreachable, "", "no coordinator answers at 127.0.0.1:1")
	addr, stop := fakeZK(t)
	r, w := io.Pipe()
	code := make(chan int)
	go func() {
		code <- run(t.Context(), program{args: []string{"zk", "create", "/e", "-e", "-s", addr, "--session-timeout", "1s"}, stdout: w, stderr: io.Discard})
	}()
	out := bufio.NewReader(r)
	for line := ""; !strings.HasPrefix(line, "/e"); {
		line, _ = out.ReadString('\n')
	}
	stop()
	if c := <-code; c != exitUnreachable {
		t.Errorf("exit code %d", c)
	}
}

func TestZKEphemeralUntilInterrupted(t *testing.T) {
	addr, _ := fakeZK(t)
	s := zkSession(t, addr)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	code := make(chan int)
	go func() {
		code <- run(ctx, program{args: []string{"zk", "create", "/e", "-e", "-s", addr}, stdout: w, stderr: io.Discard})
	}()
	out := bufio.NewReader(r)
	for line := ""; !strings.HasPrefix(line, "/e"); { // it was created, and the command waits
		var err error
		if line, err = out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	_, _, gone, err := s.GetW(t.Context(), "/e")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
	<-gone
}

func TestZKWatch(t *testing.T) {
	addr, _ := fakeZK(t)
	s := zkSession(t, addr)
	r, w := io.Pipe()
	out, line := io.Pipe()
	code := make(chan int)
	go func() {
		code <- run(t.Context(), program{args: []string{"zk", "watch", "/w", "-r", "-n", "3", "-o", "json", "-s", addr}, stdout: line, stderr: w})
	}()
	if got, err := bufio.NewReader(r).ReadString('\n'); got != "watching /w\n" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	go io.Copy(io.Discard, r) // a pipe of the test's own
	for _, path := range []string{"/w", "/w/x", "/other"} {
		if _, _, err := s.Create(t.Context(), path, nil, nil, zk.Persistent); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Set(t.Context(), "/w/x", nil, -1); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(out)
	for _, want := range []string{"NodeCreated /w", "NodeCreated /w/x", "NodeDataChanged /w/x"} {
		var e zkEvent
		if err := d.Decode(&e); err != nil || e.Type+" "+e.Path != want {
			t.Errorf("%+v %v, want %s", e, err, want)
		}
	}
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sluiceWith(ctx, nil, nil, "zk", "watch", "-s", addr).want(t, exitOK, "", "")
}

func TestZKLockRunsACommand(t *testing.T) {
	addr, _ := fakeZK(t)
	environ := append(os.Environ(), envZooKeeper+"="+addr)
	lock := func(args ...string) result {
		return sluiceWith(t.Context(), strings.NewReader("input\n"), environ, append([]string{"zk"}, args...)...)
	}
	lock("lock", "/l", "--", "sh", "-c", `cat; echo "$ZK_NODE" >&2; test "$ZK_ZXID" -gt 0 && exit 7`).want(t, 7, "input\n", "/l/lock-0000000000\n")
	lock("lock", "/l", "--", "/no/such/command").want(t, exitFailed, "", "starting the command")
	lock("lock", "/l", "-o", "json").want(t, exitOK, "[]\n", "")
	lock("elect", "/nobody", "-o", "json").want(t, exitOK, "[]\n", "")
	lock("elect", "/e", "--", "true").want(t, exitOK, "", "")
	lock("lock", "/l", "--", "sh", "-c", "kill -9 $$").want(t, 137, "", "")

	s := zkSession(t, addr)
	held, err := (&client.Lock{Session: s, Dir: "/l"}).Lock(t.Context(), []byte("me"))
	if err != nil {
		t.Fatal(err)
	}
	lock("lock", "/l", "--no-wait", "--", "true").want(t, exitFailed, "", "somebody else holds it")
	lock("lock", "/l", "--wait", "50ms", "--", "true").want(t, exitFailed, "", "it was somebody else's turn for 50ms")
	places := fromJSON[[]zkPlace](t, lock("lock", "/l", "-o", "json"))
	if len(places) == 0 || !places[0].Held || places[0].Data != "me" || places[0].Path != held.Path() {
		t.Errorf("%+v", places)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sluiceWith(ctx, nil, environ, "zk", "lock", "/l", "--", "true").want(t, exitInterrupted, "", "")
}

// The command is told when what it runs under is lost, and killed if it does not listen.
func TestZKLockThatIsLost(t *testing.T) {
	addr, _ := fakeZK(t)
	s := zkSession(t, addr)
	for _, c := range []struct {
		name, script, stdout string
	}{
		{"told", `trap 'echo told; exit 0' TERM; touch "$0"; while :; do sleep 0.01; done`, "told\n"},
		{"killed", `trap '' TERM; touch "$0"; while :; do sleep 0.01; done`, ""},
	} {
		began := filepath.Join(t.TempDir(), "began")
		done := make(chan result)
		go func() {
			done <- sluiceWith(t.Context(), nil, os.Environ(), "zk", "lock", "/l", "-s", addr, "--kill-after", "2s", "--", "sh", "-c", c.script, began)
		}()
		for {
			if _, err := os.Stat(began); err == nil {
				break
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-t.Context().Done():
				t.Fatal("it does not begin")
			}
		}
		line, err := s.Line(t.Context(), "/l", "lock-")
		if err != nil || len(line) != 1 {
			t.Fatalf("%+v %v", line, err)
		}
		if err := s.Delete(t.Context(), line[0].Path, -1); err != nil {
			t.Fatal(err)
		}
		r := <-done
		r.want(t, exitLost, c.stdout, "it was lost: zookeeper: the node that holds the place was deleted")
		if r.stdout != c.stdout {
			t.Errorf("%s: %q", c.name, r.stdout)
		}
	}
}

//go:build peers

package zookeeper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// ours and theirs index what exists on both sides.
const (
	ours   = 0
	theirs = 1
)

var sideNames = [2]string{"ours", "theirs"}

// answerLimit is how long a server may take for an answer or for closing a connection; longer is "silent".
const answerLimit = 10 * time.Second

// What both servers are started with. No session ends by time, and no container, while a stream runs.
const (
	minTimeout  = 600_000
	maxTimeout  = 900_000
	superDigest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=" // of super:test
)

// openOurs starts a coordinator in this process.
func openOurs(t testing.TB, change func(*server.Config)) string {
	t.Helper()
	address, _ := startOurs(t, change)
	return address
}

// startOurs returns what stops it and starts it again on its data, too.
func startOurs(t testing.TB, change func(*server.Config)) (address string, restart func()) {
	t.Helper()
	cfg := server.Config{
		Dir: t.TempDir() + "/coordinator", Listen: []string{"127.0.0.1:0"}, MaxPacket: zk.DefaultMaxPacket, SnapshotEvery: 1000,
		SnapshotsKept: 3, Words: []string{"*"}, Version: "test", Logger: slog.New(slog.DiscardHandler),
		Limits: server.Limits{Tick: 2 * time.Second, MinSessionTimeout: minTimeout * time.Millisecond,
			MaxSessionTimeout: maxTimeout * time.Millisecond, ContainerCheck: 24 * time.Hour, Watches: 100_000, Nodes: 1_000_000, Depth: 100,
			ServerID: 1, TTLNodes: true, SuperDigest: superDigest},
	}
	if change != nil {
		change(&cfg)
	}
	var s *server.Server
	start := func() {
		var err error
		if s, err = server.Open(cfg); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	start()
	t.Cleanup(func() { stop() })
	cfg.Listen = s.Addrs()
	return cfg.Listen[0], func() { stop(); start() }
}

// openTheirs starts a ZooKeeper.
func openTheirs(t testing.TB, args ...string) string {
	t.Helper()
	address, _ := startTheirs(t, args...)
	return address
}

// startTheirs returns what kills it and starts it again on its data, too.
func startTheirs(t testing.TB, args ...string) (address string, restart func()) {
	t.Helper()
	dir := t.TempDir()
	args = append([]string{"start", "--data", dir, "--set", "extendedTypesEnabled=true",
		"--set", "DigestAuthenticationProvider.superDigest=" + superDigest,
		"--set", fmt.Sprint("minSessionTimeout=", minTimeout), "--set", fmt.Sprint("maxSessionTimeout=", maxTimeout),
		"--jvm", "-Dznode.container.checkIntervalMs=86400000"}, args...)
	t.Cleanup(func() { testkit.ZooKeeperScript(t, "clean", "--data", dir) })
	address = strings.TrimSpace(testkit.ZooKeeperScript(t, append(args, "--port", "0")...))
	_, port, _ := strings.Cut(address, ":")
	return address, func() {
		n, err := strconv.Atoi(strings.TrimSpace(testkit.ZooKeeperScript(t, "pids", "--data", dir)))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := os.FindProcess(n); err == nil {
			_ = p.Kill() // it shows below
		}
		for { // a process that is ending has its sockets still when it has no command line any more
			c, err := net.Dial("tcp", address)
			if err != nil {
				break
			}
			c.Close()
		}
		testkit.ZooKeeperScript(t, append(args, "--port", port)...)
	}
}

// world is two servers and what is known of them.
type world struct {
	t        testing.TB
	seed     uint64
	rng      *rand.Rand
	address  [2]string
	restart  [2]func()
	conns    []*conn
	sessions []*session
	pairs    pairing
	live     paths
	trace    []string // of the last steps
	steps    int
	failed   bool
	counts   map[string]int // requests and errors, for the report
}

// conn is a connection that exists on both sides, or may.
type conn struct {
	slot    int
	net     [2]net.Conn // nil: not connected
	in      [2]*bufio.Reader
	session *session
	xid     int32
	super   bool
}

// session is one on each side.
type session struct {
	n        int
	id       [2]int64
	password [2][]byte
	timeout  int32
	over     bool
	holder   *conn
}

func newWorld(t testing.TB, seed uint64, conns int, address [2]string) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), address: address, counts: map[string]int{}}
	w.pairs.init()
	for i := range conns {
		w.conns = append(w.conns, &conn{slot: i})
	}
	t.Cleanup(func() {
		for _, c := range w.conns {
			c.hangUp()
		}
	})
	return w
}

func (c *conn) connected() bool { return c.net[ours] != nil }

// hangUp ends the connection on both sides. The session goes on.
func (c *conn) hangUp() {
	for i := range c.net {
		if c.net[i] != nil {
			c.net[i].Close()
			c.net[i] = nil
		}
	}
	if c.session != nil && c.session.holder == c {
		c.session.holder = nil
	}
	c.session, c.super = nil, false
}

func (c *conn) dial(w *world) {
	for i, a := range w.address {
		n, err := net.DialTimeout("tcp", a, answerLimit)
		if err != nil {
			w.t.Fatal(err)
		}
		c.net[i], c.in[i] = n, bufio.NewReader(n)
	}
	c.xid = 0
}

// packet is one that came, or the end of the connection.
type packet struct {
	bytes []byte
	end   string // "closed", "silent"; "" for a packet
}

func (p *packet) isEvent() bool {
	if p.end != "" || len(p.bytes) < 16 {
		return false
	}
	var h zk.ReplyHeader
	h.Decode(zk.NewDecoder(p.bytes))
	return h.Xid == zk.XidNotification
}

// write sends bytes that may differ between the sides. An error shows in what is read.
func (c *conn) write(b [2][]byte) {
	for i, n := range c.net {
		_ = n.SetDeadline(time.Now().Add(answerLimit))
		_, _ = n.Write(b[i])
	}
}

// read waits for one packet.
func (c *conn) read(side int) packet {
	_ = c.net[side].SetDeadline(time.Now().Add(answerLimit))
	b, err := zk.ReadPacket(c.in[side], nil, 64<<20)
	var timeout net.Error
	switch {
	case err == nil:
		return packet{bytes: b}
	case errors.As(err, &timeout) && timeout.Timeout():
		return packet{end: "silent"}
	case errors.Is(err, io.EOF):
		return packet{end: "closed"}
	}
	return packet{end: "closed"} // reset, when our bytes were not read any more
}

// collect reads until so many answers have come, with the events before them; with toEnd until the connection's end.
func (c *conn) collect(side, answers int, toEnd bool) (list []packet) {
	for answers > 0 || toEnd {
		p := c.read(side)
		list = append(list, p)
		if p.end != "" {
			return list
		}
		if !p.isEvent() {
			answers--
		}
	}
	return list
}

// frame puts a length before a packet.
func frame(b []byte) []byte { return append(zk.AppendInt(nil, int32(len(b))), b...) }

// request is one packet with a header, in the form of each side.
type request struct {
	op    zk.Op
	xid   int32
	body  [2][]byte
	text  string
	ends  bool // it ends the connection
	group bool // the order of its events is open: a session's end
}

func (r *request) bytes(side int) []byte {
	h := zk.RequestHeader{Xid: r.xid, Op: r.op}
	return frame(append(h.Append(nil), r.body[side]...))
}

// note begins a step.
func (w *world) note(format string, args ...any) {
	w.steps++
	w.trace = append(w.trace, fmt.Sprintf("%6d  ", w.steps)+fmt.Sprintf(format, args...))
	if len(w.trace) > 40 {
		w.trace = slices.Delete(w.trace, 0, 20)
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	if !w.failed {
		w.failed = true
		w.t.Errorf("step %d: %s\nthe last steps:\n%s", w.steps, fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"))
	}
}

// ask sends requests in one go, compares what comes, and then what other connections are told.
func (w *world) ask(c *conn, reqs ...*request) (replies []reply) {
	var b [2][]byte
	ends, group, quiet := false, false, true
	for _, r := range reqs {
		w.note("%d: %s", c.slot, r.text)
		w.counts[r.op.String()]++
		ends, group = ends || r.ends, group || r.group
		quiet = quiet && readOnly[r.op]
		for i := range b {
			b[i] = append(b[i], r.bytes(i)...)
		}
	}
	c.write(b)
	var got [2][]packet
	for i := range got {
		got[i] = c.collect(i, len(reqs), ends)
	}
	replies = w.compare(c, reqs, got, group)
	for i := range got {
		if n := len(got[i]); n > 0 && got[i][n-1].end != "" {
			c.hangUp()
			break
		}
	}
	if !quiet {
		w.settle(c, group)
	}
	return replies
}

// readOnly are the operations that others are not told of.
var readOnly = map[zk.Op]bool{zk.OpExists: true, zk.OpGetData: true, zk.OpGetACL: true, zk.OpGetChildren: true,
	zk.OpGetChildren2: true, zk.OpSync: true, zk.OpPing: true, zk.OpMultiRead: true, zk.OpAuth: true, zk.OpSetWatches: true,
	zk.OpSetWatches2: true, zk.OpAddWatch: true, zk.OpCheckWatches: true, zk.OpRemoveWatches: true, zk.OpWhoAmI: true,
	zk.OpGetEphemerals: true, zk.OpGetAllChildrenNumber: true, zk.OpSASL: true, zk.OpReconfig: true}

// settle compares what all other connections were told by the last step: a ping's answer comes behind it.
func (w *world) settle(but *conn, group bool) {
	ping := &request{op: zk.OpPing, xid: zk.XidPing}
	for _, c := range w.conns {
		if c != but && c.connected() {
			c.write([2][]byte{ping.bytes(ours), ping.bytes(theirs)})
		}
	}
	for _, c := range w.conns {
		if c == but || !c.connected() {
			continue
		}
		var got [2][]packet
		for i := range got {
			got[i] = c.collect(i, 1, false)
		}
		w.compare(c, []*request{ping}, got, group)
	}
}

// paths are those of nodes that are probably there, to choose from.
type paths struct {
	list []string
	at   map[string]int
}

func (p *paths) add(path string) {
	if p.at == nil {
		p.at = map[string]int{}
	}
	if _, ok := p.at[path]; !ok {
		p.at[path] = len(p.list)
		p.list = append(p.list, path)
	}
}

func (p *paths) remove(path string) {
	i, ok := p.at[path]
	if !ok {
		return
	}
	last := len(p.list) - 1
	p.list[i] = p.list[last]
	p.at[p.list[i]] = i
	p.list = p.list[:last]
	delete(p.at, path)
}

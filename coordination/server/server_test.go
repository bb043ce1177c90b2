package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestServe(t *testing.T) {
	s := start(t, testConfig(t.TempDir()))
	a := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 10_000})
	b := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 10_000})
	if a.resp.TimeoutMillis != 10_000 || a.resp.SessionID == 0 || b.resp.SessionID == a.resp.SessionID {
		t.Fatalf("%+v %+v", a.resp, b.resp)
	}
	a.create("/w", zk.Persistent)
	b.must(zk.OpGetData, &zk.ReadRequest{Path: "/w", Watch: true})
	a.must(zk.OpSetData, &zk.SetDataRequest{Path: "/w", Data: []byte("2"), Version: -1})
	if events, err, _ := b.call(zk.OpPing, nil); err != zk.OK || fmt.Sprint(events) != "[NodeDataChanged /w]" {
		t.Fatal(events, err)
	}
	// Requests sent without waiting are answered in order, and a read behind a write sees it.
	for i := range 100 {
		a.send(zk.OpSetData, &zk.SetDataRequest{Path: "/w", Data: fmt.Append(nil, i), Version: -1})
		a.send(zk.OpGetData, &zk.ReadRequest{Path: "/w"})
	}
	for i := range 100 {
		a.receive()
		h, d := a.receive()
		if h.Xid != a.xid-199+2*int32(i)+1 || string(d.Buffer()) != fmt.Sprint(i) {
			t.Fatal(i, h)
		}
	}
	if _, err, _ := a.call(zk.OpCloseSession, nil); err != zk.OK || a.isClosed() != "" {
		t.Fatal(err)
	}
}

// TestHandshakeInPieces: the client's first packet comes byte by byte, the next ones all at once with it.
func TestHandshakeInPieces(t *testing.T) {
	s := start(t, testConfig(t.TempDir()))
	w := dialRaw(t, s.Addrs()[0])
	first := packet(&zk.ConnectRequest{TimeoutMillis: 4000, HasReadOnly: true, Password: make([]byte, 16)})
	for _, x := range first[:len(first)-1] {
		w.write([]byte{x})
		pass(t, s, 0) // and so each is a read of its own, mostly
	}
	all := append([]byte{first[len(first)-1]}, packet(&zk.RequestHeader{Xid: 1, Op: zk.OpWhoAmI})...)
	all = append(all, packet(&zk.RequestHeader{Xid: 2, Op: zk.OpSync}, &zk.PathRequest{Path: "/"})...)
	w.write(all)
	zk.ReadPacket(w.r, nil, 100)
	for xid := int32(1); xid <= 2; xid++ {
		if h, _ := w.receive(); h.Xid != xid {
			t.Fatal(h)
		}
	}
}

// TestRestart: sessions and their nodes are there after a start, with the full time-out, and end by it.
func TestRestart(t *testing.T) {
	dir := t.TempDir() + "/c"
	cfg := testConfig(dir)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000})
	a.create("/e", zk.Ephemeral)
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatal("opened twice: ", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, cfg)
	b := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000, SessionID: a.resp.SessionID, Password: a.resp.Password})
	if b.resp.SessionID != a.resp.SessionID || !b.exists("/e") {
		t.Fatalf("%+v", b.resp)
	}
	b.nc.Close()
	c := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	if c.resp.SessionID <= a.resp.SessionID {
		t.Fatal("session ids go back")
	}
	pass(t, s, 7*time.Second) // at the next tick it is over
	for c.exists("/e") {
	}
	d := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000, SessionID: a.resp.SessionID, Password: a.resp.Password})
	if d.resp.SessionID != 0 || d.isClosed() != "" {
		t.Fatalf("%+v", d.resp)
	}
}

func ask(t *testing.T, s *Server, word string) string {
	t.Helper()
	w := dialRaw(t, s.Addrs()[0])
	w.write([]byte(word))
	return w.isClosed()
}

func TestWords(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Version = "v1 (devel)"
	s := start(t, cfg)
	a := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000})
	a.create("/e", zk.Ephemeral)
	a.call(zk.OpExists, &zk.ReadRequest{Path: "/none", Watch: true})
	id := fmt.Sprintf("0x%x", a.resp.SessionID)
	for _, x := range []struct{ word, want string }{
		{"ruok", `^imok$`},
		{"isro", `^rw$`},
		// As go-zookeeper parses it.
		{"srvr", `^Zookeeper version: [A-Za-z0-9.\-]+, built on \d\d/\d\d/\d\d\d\d \d\d:\d\d [A-Za-z0-9:+\-]+\n` +
			`Latency min/avg/max: \d+/[0-9.]+/\d+\nReceived: 3\nSent: 3\nConnections: 2\nOutstanding: 0\nZxid: 0x2\nMode: standalone\nNode count: 6\n$`},
		{"stat", `(?s)Clients:\n /127\.0\.0\.1:\d+\[1\]\(queued=0,recved=3,sent=3\)\n.*\n\nLatency`},
		{"cons", `sid=` + id + `,lop=EXIS,est=\d+,to=4000,lcxid=0x2,lzxid=0x2,lresp=\d+,llat=\d+,minlat=\d+,avglat=\d+,maxlat=\d+\)\n`},
		{"conf", `^clientPort=\d+\nsecureClientPort=-1\ndataDir=/.*(\n.*)*tickTime=2000\nmaxClientCnxns=0\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n`},
		{"dirs", `^datadir_size: 0\nlogdir_size: [1-9]\d+\n$`},
		{"dump", `^SessionTracker dump:\nSession Sets \(1\)/\(1\):\n1 expire at .*:\n\t` + id + `\n` +
			`ephemeral nodes dump:\nSessions with Ephemerals \(1\):\n` + id + `:\n\t/e\nConnections dump:`},
		{"envi", `(?m)^zookeeper\.version=3\.8\.0-sluice-v1devel, built on `},
		{"hash", `^2: [0-9a-f]+\n$`},
		{"mntr", `(?m)^zk_ephemerals_count\t1$`},
		{"wchs", `^1 connections watching 1 paths\nTotal watches:1\n$`},
		{"wchc", `^` + id + `\n\t/none\n$`},
		{"wchp", `^/none\n\t` + id + `\n$`},
		{"crst", `^Connection stats reset.\n$`},
		{"srst", `^Server stats reset.\n$`},
		{"srvr", `Received: 0\nSent: 0\n`},
	} {
		if got := ask(t, s, x.word); !regexp.MustCompile(x.want).MatchString(got) {
			t.Errorf("%s: %q\nwant %s", x.word, got, x.want)
		}
	}
}

func TestWhitelist(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Words = []string{"srvr"}
	s := start(t, cfg)
	if got := ask(t, s, "ruok"); got != "ruok is not executed because it is not in the whitelist.\n" {
		t.Error(got)
	}
	if got := ask(t, s, "srvr"); !strings.HasPrefix(got, "Zookeeper version: ") {
		t.Error(got)
	}
	if got := ask(t, s, "what"); got != "" { // the length of a packet, too long
		t.Error(got)
	}
}

func TestPacketSize(t *testing.T) {
	s := start(t, testConfig(t.TempDir()))
	for _, n := range []int32{-1, zk.DefaultMaxPacket + 1, 1<<31 - 1} {
		w := dialRaw(t, s.Addrs()[0])
		w.write(zk.AppendInt(nil, n))
		if got := w.isClosed(); got != "" {
			t.Error(n, got)
		}
	}
	w := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000})
	data := bytes.Repeat([]byte("x"), 1_048_375)
	w.must(zk.OpCreate, &zk.CreateRequest{Path: "/big", Data: data, ACL: zk.OpenACL})
	if got := w.must(zk.OpGetData, &zk.ReadRequest{Path: "/big"}).Buffer(); !bytes.Equal(got, data) {
		t.Error(len(got))
	}
	w.nc.Write(packet(&zk.RequestHeader{Xid: 9, Op: zk.OpSetData}, // may fail in its midst
		&zk.SetDataRequest{Path: "/big", Data: append(data, make([]byte, 1000)...), Version: -1}))
	w.isClosed()
}

// TestHurry: who says nothing, or only half of it, is closed. Who has said all may be silent until his session ends.
func TestHurry(t *testing.T) {
	s := start(t, testConfig(t.TempDir()))
	quiet := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	silent, half := dialRaw(t, s.Addrs()[0]), dialRaw(t, s.Addrs()[0])
	half.write([]byte{0, 0, 0, 45, 0})
	ask(t, s, "ruok") // so that both are known
	eventually(t, "three connections", func() bool { f, _ := s.Figures(); return f.Connections == 3 })
	pass(t, s, packetLimit+time.Second)
	silent.isClosed()
	half.isClosed()
	quiet.must(zk.OpPing, nil)
	if n := len(s.hurriedNow(t)); n != 0 {
		t.Error(n, " are still waited for")
	}
}

func (s *Server) hurriedNow(t *testing.T) (list []*conn) {
	if err := s.Do(func(*Core) {
		for c := range s.hurried {
			list = append(list, c)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestLimits(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.MaxConnsPerIP = 2
	s := start(t, cfg)
	a := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000})
	b := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000})
	dialRaw(t, s.Addrs()[0]).isClosed()
	a.must(zk.OpPing, nil)
	b.nc.Close()
	eventually(t, "room for another one", func() bool { f, _ := s.Figures(); return f.Connections == 1 })
	dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000}).must(zk.OpPing, nil)
	if f, _ := s.Figures(); f.Refused != 1 || f.Accepted != 3 {
		t.Error(f.Refused, f.Accepted)
	}
}

// TestUnread: a client that does not read its answers is not executed further, and gets all of them once it reads. The
// server's memory stays bounded, and others are served.
func TestUnread(t *testing.T) {
	s := start(t, testConfig(t.TempDir()))
	w := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	w.must(zk.OpCreate, &zk.CreateRequest{Path: "/big", Data: make([]byte, 200_000), ACL: zk.OpenACL})
	const requests = 500 // 100 MB
	var all []byte
	for i := range requests {
		all = append(all, packet(&zk.RequestHeader{Xid: int32(i) + 100, Op: zk.OpGetData}, &zk.ReadRequest{Path: "/big"})...)
	}
	go w.nc.Write(all)
	other := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	eventually(t, "the connection is not read", func() bool {
		other.must(zk.OpPing, nil)
		f, _ := s.Figures()
		if f.UnsentBytes > 2*maxTurn {
			t.Fatal(f.UnsentBytes, " bytes wait")
		}
		return f.Outstanding > 0 && f.UnsentBytes > 0
	})
	for i := range requests {
		if h, d := w.receive(); h.Xid != int32(i)+100 || len(d.Buffer()) != 200_000 {
			t.Fatal(i, h)
		}
	}
	w.must(zk.OpPing, nil)
	if f, _ := s.Figures(); f.UnsentBytes != 0 || f.Outstanding != 0 {
		t.Error(f.UnsentBytes, f.Outstanding)
	}
}

// TestFlood: events for a client that does not read cost it its connection, not us the memory.
func TestFlood(t *testing.T) {
	s := start(t, testConfig(t.TempDir()))
	a := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	b := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	name := "/" + strings.Repeat("n", 100_000)
	a.create(name, zk.Persistent)
	b.must(zk.OpAddWatch, &zk.WatchRequest{Path: name, Kind: int32(zk.WatchPersistent)})
	set := packet(&zk.RequestHeader{Xid: 1, Op: zk.OpSetData}, &zk.SetDataRequest{Path: name, Version: -1})
	go func() {
		for range 1000 {
			if _, err := a.nc.Write(set); err != nil {
				return
			}
		}
	}()
	for range 1000 {
		a.receive()
	}
	f, err := s.Figures()
	if err != nil || f.Connections != 1 || f.UnsentBytes != 0 || f.Watches != 0 {
		t.Errorf("%+v %v", f, err)
	}
}

// TestPacketsBegun: what clients begin and do not end is bounded in all.
func TestPacketsBegun(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.MaxPacket = 64 << 20
	s := start(t, cfg)
	begin := append(zk.AppendInt(nil, 60<<20), make([]byte, 40<<20)...)
	var list []*wire
	for range 3 {
		w := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
		w.nc.Write(begin) // the last one's end is not read
		list = append(list, w)
	}
	eventually(t, "there is room for one", func() bool { f, _ := s.Figures(); return f.Connections == 1 })
	for _, w := range list {
		w.nc.Close()
	}
	eventually(t, "all memory is free", func() bool {
		var begun int
		s.Do(func(*Core) { begun = s.begun })
		return begun == 0
	})
}

// TestHalfClosed: an end of what the client sends does not cut off what it is sent.
func TestHalfClosed(t *testing.T) {
	s := start(t, testConfig(t.TempDir()))
	w := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000})
	w.must(zk.OpCreate, &zk.CreateRequest{Path: "/big", Data: make([]byte, 1_000_000), ACL: zk.OpenACL})
	for range 8 {
		w.send(zk.OpGetData, &zk.ReadRequest{Path: "/big"})
	}
	w.send(zk.OpSetData, &zk.SetDataRequest{Path: "/big", Version: -1})
	w.nc.(*net.TCPConn).CloseWrite()
	for range 9 {
		if h, _ := w.receive(); h.Err != zk.OK {
			t.Fatal(h)
		}
	}
	if got := w.isClosed(); got != "" {
		t.Error(got)
	}
}

// TestLastAnswer: the answer that ends a connection arrives though the client has sent more behind its request, which
// nobody reads.
func TestLastAnswer(t *testing.T) {
	s := start(t, testConfig(t.TempDir()))
	behind := bytes.Repeat(packet(&zk.RequestHeader{Xid: 9, Op: zk.OpWhoAmI}), 50_000)
	for range 5 {
		w := dialRaw(t, s.Addrs()[0])
		go w.nc.Write(append(packet(&zk.ConnectRequest{TimeoutMillis: 4000, SessionID: 12345, Password: make([]byte, 16), HasReadOnly: true}), behind...))
		b, err := zk.ReadPacket(w.r, nil, 100)
		var resp zk.ConnectResponse
		if resp.Decode(zk.NewDecoder(b)); err != nil || resp.SessionID != 0 || len(b) != 37 {
			t.Fatal(resp, err)
		}
		if b, err := io.ReadAll(w.r); len(b) > 0 || err != nil { // the end, not a reset
			t.Fatal(len(b), err)
		}
		w.nc.Close()
	}
	// Who does not close his side has his connection closed.
	w := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 4000})
	w.must(zk.OpCloseSession, nil)
	pass(t, s, partLimit+time.Second)
	eventually(t, "all are closed", func() bool {
		n := 0
		s.Do(func(*Core) { n = len(s.all) })
		return n == 0
	})
}

// TestBounds: what clients can make us keep is bounded in bytes, too.
func TestBounds(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Limits.Bytes = 3_000_000
	s := start(t, cfg)
	w := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	create := func(path string, n int) zk.Error {
		_, err, _ := w.call(zk.OpCreate, &zk.CreateRequest{Path: path, Data: make([]byte, n), ACL: zk.OpenACL})
		return err
	}
	set := func(path string, n int) zk.Error {
		_, err, _ := w.call(zk.OpSetData, &zk.SetDataRequest{Path: path, Data: make([]byte, n), Version: -1})
		return err
	}
	for i, got := range []zk.Error{create("/a", 1_000_000), create("/b", 1_000_000), create("/c", 1_000_000), create("/c", 900_000), set("/c", 1_000_001), set("/c", 1)} {
		if want := []zk.Error{zk.OK, zk.OK, zk.QuotaExceeded, zk.OK, zk.QuotaExceeded, zk.OK}[i]; got != want {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
	}
	var reads zk.MultiRequest
	for range 100 {
		reads.Parts = append(reads.Parts, zk.Part{Op: zk.OpGetData, Request: &zk.ReadRequest{Path: "/a"}})
	}
	var resp zk.MultiResponse
	resp.Decode(w.must(zk.OpMultiRead, &reads))
	n := 0
	for _, r := range resp.Results {
		n += len(r.Data)
	}
	if len(resp.Results) != 100 || n > maxMultiRead+1_000_000 || resp.Results[99].Err != zk.QuotaExceeded || resp.Results[0].Err != zk.OK {
		t.Errorf("%d results, %d bytes", len(resp.Results), n)
	}
}

// TestManyWatches: a hundred thousand watches of one connection, all of which fire at once, and all gone with it.
func TestManyWatches(t *testing.T) {
	n := 100_000
	if testkit.Race {
		n /= 10
	}
	s := start(t, testConfig(t.TempDir()))
	w := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	other := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	go func() {
		var all []byte
		for i := range n {
			all = append(all, packet(&zk.RequestHeader{Xid: 1, Op: zk.OpExists}, &zk.ReadRequest{Path: fmt.Sprint("/n", i), Watch: true})...)
		}
		w.nc.Write(all)
	}()
	for range n {
		w.receive()
	}
	w.must(zk.OpAddWatch, &zk.WatchRequest{Path: "/", Kind: int32(zk.WatchPersistentRecursive)})
	if f, _ := s.Figures(); f.Watches != n+1 {
		t.Error(f.Watches)
	}
	go func() {
		var all []byte
		for i := range n {
			all = append(all, packet(&zk.RequestHeader{Xid: 1, Op: zk.OpCreate}, &zk.CreateRequest{Path: fmt.Sprint("/n", i), ACL: zk.OpenACL})...)
		}
		other.nc.Write(all)
	}()
	for i := range n {
		h, d := w.receive()
		var e zk.Event
		if e.Decode(d); h.Xid != zk.XidNotification || e.Path != fmt.Sprint("/n", i) {
			t.Fatal(i, h, e)
		}
	}
	for range n {
		other.receive()
	}
	w.nc.Close()
	eventually(t, "no watches", func() bool { f, _ := s.Figures(); return f.Watches == 0 })
	var left int
	s.Do(func(c *Core) { left = c.watches.bytes })
	if left != 0 {
		t.Error(left, " bytes are still counted")
	}
}

// TestSlowSender: a packet that comes byte by byte is not copied with each of them.
func TestSlowSender(t *testing.T) {
	c := &conn{s: &Server{}}
	copies := 0
	b := zk.AppendInt(nil, 500_000)
	for c.keep(b); len(c.in) < 500_000; {
		was := cap(c.in)
		if c.keep(c.in[:len(c.in)+1]); cap(c.in) != was {
			copies++
		}
	}
	if copies > 12 || cap(c.in) > 500_004 || c.s.begun != cap(c.in) {
		t.Errorf("%d copies, room for %d, %d counted", copies, cap(c.in), c.s.begun)
	}
}

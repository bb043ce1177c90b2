package server

import (
	"cmp"
	"fmt"
	"hash/crc64"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/metrics"
)

// zookeeperVersion is what programs are told that ask for ZooKeeper's: the protocol and the words are those of this
// release. The date is in the form that clients parse.
const (
	zookeeperVersion = "3.8.0"
	built            = "built on 01/01/2026 00:00 UTC"
)

func (s *Server) version() string {
	own := strings.Map(func(r rune) rune { // clients take letters, digits, dots and dashes
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, s.cfg.Version)
	return fmt.Sprintf("%s-sluice-%s, %s", zookeeperVersion, own, built)
}

// words are the four-letter words: what is said on a connection that says nothing else, then it is closed. All run on the
// owner; what they print looks as ZooKeeper's, which programs parse. They are filled once and never change.
var words = map[string]func(*Server, *strings.Builder){
	"conf": (*Server).conf,
	"cons": func(s *Server, b *strings.Builder) { s.clients(b, true); b.WriteByte('\n') },
	"crst": (*Server).crst,
	"dirs": (*Server).dirs,
	"dump": (*Server).dump,
	"envi": (*Server).envi,
	"hash": (*Server).hash,
	"isro": func(_ *Server, b *strings.Builder) { b.WriteString("rw") },
	"mntr": (*Server).mntr,
	"ruok": func(_ *Server, b *strings.Builder) { b.WriteString("imok") },
	"srst": (*Server).srst,
	"srvr": func(s *Server, b *strings.Builder) { s.srvr(b, false) },
	"stat": func(s *Server, b *strings.Builder) { s.srvr(b, true) },
	"wchc": (*Server).wchc,
	"wchp": (*Server).wchp,
	"wchs": (*Server).wchs,
}

// word answers one of the words. It tells whether the connection asked for one.
func (s *Server) word(c *conn, w string) bool {
	answer := words[w]
	if answer == nil {
		return false
	}
	var b strings.Builder
	if slices.Contains(s.cfg.Words, w) || slices.Contains(s.cfg.Words, "*") {
		answer(s, &b)
	} else {
		fmt.Fprintf(&b, "%s is not executed because it is not in the whitelist.\n", w)
	}
	c.send([]byte(b.String()), true)
	return true
}

func (s *Server) srvr(b *strings.Builder, clients bool) {
	var f Figures
	s.figures(&f)
	fmt.Fprintf(b, "Zookeeper version: %s\n", s.version())
	if clients {
		b.WriteString("Clients:\n")
		s.clients(b, false)
		b.WriteByte('\n')
	}
	l := &f.Latency
	fmt.Fprintf(b, "Latency min/avg/max: %d/%s/%d\n", l.Min.Milliseconds(), l.average(), l.Max.Milliseconds())
	fmt.Fprintf(b, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n",
		f.Counters.Received, f.Counters.Sent, f.Connections, f.Outstanding)
	// ZooKeeper counts the root twice.
	fmt.Fprintf(b, "Zxid: 0x%x\nMode: standalone\nNode count: %d\n", f.Zxid, f.Nodes+1)
}

// average is in milliseconds, as Java prints a double of four digits.
func (l *Latency) average() string {
	if l.Count == 0 {
		return "0.0"
	}
	text := strings.TrimRight(fmt.Sprintf("%.4f", l.Sum.Seconds()*1e3/float64(l.Count)), "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	return text
}

// clients lists the connections (ServerCnxn.dumpConnectionInfo).
func (s *Server) clients(b *strings.Builder, full bool) {
	for _, c := range slices.SortedFunc(maps.Keys(s.all), func(a, b *conn) int { return a.traffic.since.Compare(b.traffic.since) }) {
		t := &c.traffic
		fmt.Fprintf(b, " /%s[1](queued=%d,recved=%d,sent=%d", c.client(), c.queued(), t.received, t.sent)
		if full && c.peer != nil && c.peer.session != nil {
			x := c.peer.session
			fmt.Fprintf(b, ",sid=0x%x,lop=%s,est=%d,to=%d", x.id, lastOp(t), t.since.UnixMilli(), x.timeout.Milliseconds())
			if !t.answered.IsZero() {
				l := &t.latency
				fmt.Fprintf(b, ",lcxid=0x%x,lzxid=0x%x,lresp=%d,llat=%d,minlat=%d,avglat=%d,maxlat=%d", uint32(t.xid), uint64(t.zxid),
					t.answered.UnixMilli(), t.took.Milliseconds(), l.Min.Milliseconds(), int64(l.Sum/time.Millisecond)/max(l.Count, 1), l.Max.Milliseconds())
			}
		}
		b.WriteString(")\n")
	}
}

func (c *conn) client() string {
	if strings.Contains(c.addr, ":") {
		return fmt.Sprintf("[%s]:%d", c.addr, c.port)
	}
	return fmt.Sprintf("%s:%d", c.addr, c.port)
}

// queued counts the packets that wait for the client to take answers.
func (c *conn) queued() (n int) {
	for b := c.in; len(b) >= 4 && len(b) >= 4+packetLen(b); n++ {
		b = b[4+packetLen(b):]
	}
	return n
}

// lastOp is FinalRequestProcessor's short name of an operation.
func lastOp(t *traffic) string {
	if name := map[zk.Op]string{
		zk.OpCreate: "CREA", zk.OpCreate2: "CREA", zk.OpCreateTTL: "CREA", zk.OpCreateContainer: "CREA", zk.OpDelete: "DELE",
		zk.OpExists: "EXIS", zk.OpGetData: "GETD", zk.OpSetData: "SETD", zk.OpGetACL: "GETA", zk.OpSetACL: "SETA",
		zk.OpGetChildren: "GETC", zk.OpGetChildren2: "GETC", zk.OpSync: "SYNC", zk.OpPing: "PING", zk.OpMulti: "MULT",
		zk.OpMultiRead: "MLTR", zk.OpSetWatches: "SETW", zk.OpSetWatches2: "STW2", zk.OpAddWatch: "ADDW",
		zk.OpCheckWatches: "CHKW", zk.OpRemoveWatches: "REMW", zk.OpGetEphemerals: "GETE",
		zk.OpGetAllChildrenNumber: "GETACN", zk.OpWhoAmI: "HOMI", zk.OpCloseSession: "CLOS", zk.OpAuth: "AUTH",
	}[t.op]; name != "" {
		return name
	}
	return "SESS"
}

func (s *Server) crst(b *strings.Builder) {
	for c := range s.all {
		t := &c.traffic
		*t = traffic{since: t.since, op: t.op, xid: t.xid}
	}
	b.WriteString("Connection stats reset.\n")
}

func (s *Server) srst(b *strings.Builder) {
	n := &s.core.Stats
	n.Received, n.Sent, s.latency.since = 0, 0, Latency{}
	b.WriteString("Server stats reset.\n")
}

func (s *Server) conf(b *strings.Builder) {
	port := func(from, to int) string {
		if from == to {
			return "-1"
		}
		_, port, _ := strings.Cut(s.Addrs()[from], "]")
		if i := strings.LastIndexByte(s.Addrs()[from], ':'); port == "" && i >= 0 {
			port = s.Addrs()[from][i:]
		}
		return strings.TrimPrefix(port, ":")
	}
	plain := len(s.cfg.Listen)
	dir, _ := filepath.Abs(s.cfg.Dir) // the working directory is there, or nothing is
	log, snapshots := s.store.sizes()
	l := &s.cfg.Limits
	fmt.Fprintf(b, "clientPort=%s\nsecureClientPort=%s\ndataDir=%s\ndataDirSize=%d\ndataLogDir=%s\ndataLogSize=%d\n",
		port(0, plain), port(plain, len(s.listeners)), dir, snapshots, dir, log)
	fmt.Fprintf(b, "tickTime=%d\nmaxClientCnxns=%d\nminSessionTimeout=%d\nmaxSessionTimeout=%d\nclientPortListenBacklog=-1\nserverId=%d\n",
		l.Tick.Milliseconds(), s.cfg.MaxConnsPerIP, l.MinSessionTimeout.Milliseconds(), l.MaxSessionTimeout.Milliseconds(), l.ServerID)
}

func (s *Server) dirs(b *strings.Builder) {
	log, snapshots := s.store.sizes()
	fmt.Fprintf(b, "datadir_size: %d\nlogdir_size: %d\n", snapshots, log)
}

// dump lists sessions by their ends, and ephemerals by session.
func (s *Server) dump(b *strings.Builder) {
	c := s.core
	byEnd := map[int64][]int64{}
	for id, x := range c.sessions.byID {
		byEnd[x.end] = append(byEnd[x.end], id)
	}
	fmt.Fprintf(b, "SessionTracker dump:\nSession Sets (%d)/(%d):\n", len(byEnd), len(c.sessions.byID))
	for _, end := range slices.Sorted(maps.Keys(byEnd)) {
		left := time.Duration(end)*c.limits.Tick - c.now
		fmt.Fprintf(b, "%d expire at %s:\n", len(byEnd[end]), s.last.Add(left).UTC().Format("Mon Jan 02 15:04:05 MST 2006"))
		for _, id := range slices.Sorted(slices.Values(byEnd[end])) {
			fmt.Fprintf(b, "\t0x%x\n", id)
		}
	}
	fmt.Fprintf(b, "ephemeral nodes dump:\nSessions with Ephemerals (%d):\n", len(c.tree.owned))
	for _, id := range slices.Sorted(maps.Keys(c.tree.owned)) {
		fmt.Fprintf(b, "0x%x:\n", id)
		for _, path := range slices.Sorted(maps.Keys(c.tree.owned[id])) {
			fmt.Fprintf(b, "\t%s\n", path)
		}
	}
	fmt.Fprintf(b, "Connections dump:\nConnections Sets (1)/(%d):\n", len(s.all))
	s.clients(b, false)
}

func (s *Server) envi(b *strings.Builder) {
	host, err := os.Hostname()
	if err != nil {
		host = "<NA>"
	}
	dir, _ := os.Getwd()
	fmt.Fprintf(b, "Environment:\nzookeeper.version=%s\nhost.name=%s\nos.name=Linux\nos.arch=%s\nuser.dir=%s\n",
		s.version(), host, runtime.GOARCH, dir)
}

// hash is a digest of the tree: the sum over its nodes, whatever their order.
func (s *Server) hash(b *strings.Builder) {
	table := crc64.MakeTable(crc64.ECMA)
	var sum uint64
	var buf []byte
	for path, n := range s.core.tree.nodes {
		buf = n.append(append(buf[:0], path...))
		sum += crc64.Checksum(buf, table)
	}
	fmt.Fprintf(b, "%x: %x\n", uint64(s.core.tree.zxid), sum)
}

// mntr has what scripts monitor, one name and value in a line.
func (s *Server) mntr(b *strings.Builder) {
	var f Figures
	s.figures(&f)
	f.OpenFiles, f.MaxFiles = openFiles()
	line := func(name string, v any) { fmt.Fprintf(b, "zk_%s\t%v\n", name, v) }
	line("version", s.version())
	line("server_state", "standalone")
	l := &f.Latency
	line("avg_latency", l.average())
	line("max_latency", l.Max.Milliseconds())
	line("min_latency", l.Min.Milliseconds())
	line("packets_received", f.Counters.Received)
	line("packets_sent", f.Counters.Sent)
	line("num_alive_connections", f.Connections)
	line("outstanding_requests", f.Outstanding)
	line("znode_count", f.Nodes+1)
	line("watch_count", f.Watches)
	line("ephemerals_count", f.Ephemerals)
	line("approximate_data_size", f.DataBytes)
	line("open_file_descriptor_count", f.OpenFiles)
	line("max_file_descriptor_count", f.MaxFiles)
	line("uptime", f.Uptime.Milliseconds())
	line("global_sessions", f.Sessions)
	line("local_sessions", 0)
	line("connection_rejected", f.Refused)
	line("stale_sessions_expired", f.Counters.SessionsExpired)
	line("last_zxid", fmt.Sprintf("0x%x", f.Zxid))
	for _, h := range []struct {
		name string
		h    *metrics.Snapshot
	}{{"readlatency", &f.Reads}, {"updatelatency", &f.Updates}, {"fsynctime", &f.Syncs}} {
		line("p50_"+h.name, h.h.Quantile(0.5)/1e6)
		line("p99_"+h.name, h.h.Quantile(0.99)/1e6)
	}
}

func (s *Server) wchs(b *strings.Builder) {
	n := 0
	for p := range s.core.peers {
		if p.watchCount > 0 {
			n++
		}
	}
	fmt.Fprintf(b, "%d connections watching %d paths\nTotal watches:%d\n", n, len(s.core.watches.at), s.core.watches.count)
}

// wchc lists watched paths by session, wchp sessions by watched path.
func (s *Server) wchc(b *strings.Builder) {
	peers := slices.SortedFunc(maps.Keys(s.core.peers), func(a, b *Peer) int { return cmp.Compare(a.SessionID(), b.SessionID()) })
	for _, p := range peers {
		if len(p.watches) == 0 {
			continue
		}
		fmt.Fprintf(b, "0x%x\n", p.SessionID())
		for _, path := range slices.Sorted(maps.Keys(p.watches)) {
			fmt.Fprintf(b, "\t%s\n", path)
		}
	}
}

func (s *Server) wchp(b *strings.Builder) {
	for _, path := range slices.Sorted(maps.Keys(s.core.watches.at)) {
		fmt.Fprintf(b, "%s\n", path)
		var ids []int64
		for p := range s.core.watches.at[path] {
			ids = append(ids, p.SessionID())
		}
		for _, id := range slices.Sorted(slices.Values(ids)) {
			fmt.Fprintf(b, "\t0x%x\n", id)
		}
	}
}

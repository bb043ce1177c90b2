package server

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// zookeeperVersion is what programs are told that ask for ZooKeeper's: the protocol and the words are those of this
// release.
const zookeeperVersion = "3.8.0"

// words are the four-letter words: what is said on a connection that says nothing else, then it is closed.
var words = map[string]func(s *Server, c *Core, b *strings.Builder){
	"ruok": func(_ *Server, _ *Core, b *strings.Builder) { b.WriteString("imok") },
	"isro": func(_ *Server, _ *Core, b *strings.Builder) { b.WriteString("rw") },
	"srvr": (*Server).srvr,
	"envi": (*Server).envi,
}

// word answers one of the words. It tells whether the connection asked for one.
func (s *Server) word(c *conn, w string) bool {
	answer := words[w]
	if answer == nil {
		return false
	}
	var b strings.Builder
	if !slices.Contains(s.cfg.Words, w) && !slices.Contains(s.cfg.Words, "*") {
		fmt.Fprintf(&b, "%s is not executed because it is not in the whitelist.\n", w)
	} else if err := s.Do(func(core *Core) { answer(s, core, &b) }); err != nil {
		return true
	}
	_ = c.net.SetWriteDeadline(time.Now().Add(helloLimit))
	_, _ = c.net.Write([]byte(b.String())) // whoever asked has gone, if it fails
	return true
}

func (s *Server) srvr(c *Core, b *strings.Builder) {
	// The date is in the form that clients parse.
	fmt.Fprintf(b, "Zookeeper version: %s-sluice-%s, built on 01/01/2026 00:00 UTC\n", zookeeperVersion, s.cfg.Version)
	fmt.Fprintf(b, "Latency min/avg/max: %s\nReceived: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n",
		"0/0.0/0", c.Stats.Received, c.Stats.Sent, s.conns.count(), 0)
	fmt.Fprintf(b, "Zxid: 0x%x\nMode: standalone\nNode count: %d\n", c.tree.zxid, len(c.tree.nodes)+1)
}

func (s *Server) envi(_ *Core, b *strings.Builder) {
	fmt.Fprintf(b, "Environment:\nzookeeper.version=%s-sluice-%s, built on 01/01/2026 00:00 UTC\n", zookeeperVersion, s.cfg.Version)
}

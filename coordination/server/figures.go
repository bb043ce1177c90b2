package server

import (
	"os"
	"time"

	"github.com/sluice-mq/sluice/internal/metrics"
	"github.com/sluice-mq/sluice/internal/sys"
)

// Figures are what a coordinator can tell of itself at one time.
type Figures struct {
	Zxid        int64
	Nodes       int
	Ephemerals  int
	DataBytes   int64 // of paths and data
	Watches     int
	Sessions    int
	Connections int
	Accepted    int64 // connections since the start
	Refused     int64 // closed at accept, by a limit
	Outstanding int   // requests read and not answered
	UnsentBytes int64 // of answers that clients have not taken
	Snapshots   int64 // written since the start
	Uptime      time.Duration
	OpenFiles   int
	MaxFiles    int
	Counters    Stats

	Latency               Latency          // of all requests, since the start or the word srst
	Reads, Updates, Syncs metrics.Snapshot // nanoseconds
}

// Figures waits for the owner. The error is net.ErrClosed, when the server has ended.
func (s *Server) Figures() (*Figures, error) {
	f := &Figures{}
	f.OpenFiles, f.MaxFiles = openFiles() // not on the owner: it takes a while where there are many
	if err := s.Do(func(*Core) { s.figures(f) }); err != nil {
		return nil, err
	}
	return f, nil
}

// figures is called on the owner.
func (s *Server) figures(f *Figures) {
	c := s.core
	f.Zxid, f.Nodes, f.DataBytes, f.Watches, f.Sessions = c.tree.zxid, len(c.tree.nodes), c.tree.bytes, c.watches.count, len(c.sessions.byID)
	for _, own := range c.tree.owned {
		f.Ephemerals += len(own)
	}
	f.Counters = c.Stats
	f.Connections, f.UnsentBytes, f.Snapshots = len(s.all), s.unsent.Load(), s.snapshots.Load()
	f.Accepted, f.Refused = s.admission.accepted.Load(), s.admission.refused.Load()
	f.Outstanding = int(s.turn.reads + s.turn.writes)
	for c := range s.all {
		f.Outstanding += c.queued()
		if c.parting {
			f.Connections--
		}
	}
	f.Latency = s.latency.since
	f.Uptime = time.Since(s.start)
	s.latency.read.AddTo(&f.Reads)
	s.latency.write.AddTo(&f.Updates)
	s.latency.sync.AddTo(&f.Syncs)
}

// openFiles counts the process's descriptors; 0 for what cannot be found out.
func openFiles() (open, most int) {
	names, err := os.ReadDir("/proc/self/fd")
	if err == nil {
		open = len(names)
	}
	if most, err = sys.MaxFiles(); err != nil {
		most = 0
	}
	return open, most
}

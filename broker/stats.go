package broker

import (
	"github.com/sluice-mq/sluice/internal/metrics"
	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/netpoll"
)

// apiMeter counts the requests of one API on one loop.
type apiMeter struct {
	requests metrics.Counter
	total    metrics.Histogram // nanoseconds from the read of the request to its reply being ready
}

// loopMeters count the data path on one loop; Stats adds them up.
type loopMeters struct {
	messagesIn    metrics.Counter
	bytesIn       metrics.Counter // of batches written
	bytesOut      metrics.Counter // of batches in answers
	produceFailed metrics.Counter // partitions of Produce requests that got an error
	fetchFailed   metrics.Counter
}

// Stats is a reading of the broker's counters since its start.
type Stats struct {
	MessagesIn, BytesIn, BytesOut uint64
	ProduceFailed, FetchFailed    uint64
	Parked, HungUp                int64
	Sessions                      int
	Topics, Partitions            int
	Producers                     int64 // idempotent ones that the logs remember
	SlowWrites                    int64 // appends whose write took more than a millisecond
	Dirs                          []DirStats
	APIs                          []APIStats
	Partition                     []PartitionStats
	Cleaners                      []CleanerStats
	Net                           netpoll.Stats
	Coordinator                   *CoordinatorStats // nil without one
}

// APIStats are the requests of one API.
type APIStats struct {
	Name     string
	Requests uint64
	Total    metrics.Snapshot // nanoseconds
}

// PartitionStats describe one partition's log.
type PartitionStats struct {
	Topic            string
	Partition        int32
	Start, End, Size int64
	Lossy            bool
}

// DirStats describe an entry of log.dirs; of one that could not be opened only that is known.
type DirStats struct {
	Path    string
	Offline bool
	Space   logstore.Space
	Commits logstore.Commits
	Tail    int64 // bytes of memory that newest records take

	WriteBack logstore.WriteBack
	Scrub     logstore.Scrub
}

// Stats reads the counters. It costs a walk over all loops and partitions.
func (b *Broker) Stats() *Stats {
	s := &Stats{SlowWrites: b.slowWrites.Load(), Parked: b.parked.Load(), HungUp: b.hungUp.Load(), Sessions: b.sessions.len(), Net: b.server.Stats()}
	s.APIs = make([]APIStats, len(b.apis))
	b.mu.Lock()
	loops := b.loops
	b.mu.Unlock()
	for i := range b.apis {
		s.APIs[i].Name = b.apis[i].key.String()
		for _, lp := range loops {
			s.APIs[i].Requests += lp.meters[i].requests.Load()
			lp.meters[i].total.AddTo(&s.APIs[i].Total)
		}
	}
	for _, lp := range loops {
		s.MessagesIn += lp.topics.messagesIn.Load()
		s.BytesIn += lp.topics.bytesIn.Load()
		s.BytesOut += lp.topics.bytesOut.Load()
		s.ProduceFailed += lp.topics.produceFailed.Load()
		s.FetchFailed += lp.topics.fetchFailed.Load()
	}
	for _, d := range b.dirs {
		s.Producers += d.Producers()
		s.Dirs = append(s.Dirs, DirStats{Path: d.Path(), Offline: d.Err() != nil, Space: d.Space(), Commits: d.Commits(), Tail: d.TailBytes(),
			WriteBack: d.WriteBack(), Scrub: d.Scrub()})
	}
	for _, x := range b.broken {
		s.Dirs = append(s.Dirs, DirStats{Path: x.path, Offline: true})
	}
	s.Cleaners = b.cleanerStats()
	if b.coordinated != nil {
		c := b.coordinated.stats()
		s.Coordinator = &c
	}
	for _, t := range b.catalog.Image().Topics() {
		s.Topics++
		for _, p := range t.Partitions {
			if p == nil {
				continue
			}
			s.Partitions++
			s.Partition = append(s.Partition, PartitionStats{
				Topic: t.Name, Partition: p.Index, Start: p.log.StartOffset(), End: p.log.EndOffset(), Size: p.log.Size(),
				Lossy: p.log.Damage() != nil,
			})
		}
	}
	return s
}

// count adds an answered fetch to its loop's counters.
func (f *fetch) count() {
	m := &f.loop.topics
	m.bytesOut.Add(uint64(f.found))
	if f.failed {
		m.fetchFailed.Inc()
	}
}

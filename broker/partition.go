package broker

import (
	"github.com/sluice-mq/sluice/logstore"
)

// Partition is this broker's replica of one partition. With one broker the replica is the leader, the only
// member of the ISR, and the high watermark is the log end.
type Partition struct {
	Topic    string
	Index    int32
	Leader   int32   // node id
	Replicas []int32 // node ids, as are those in sync
	ISR      []int32

	log     *logstore.Log
	waiters waiterList
}

// highWatermark is the offset below which records are committed and consumers may read.
func (p *Partition) highWatermark() int64 { return p.log.EndOffset() }

// leaderEpoch is the epoch in which this replica leads. With one broker there are no elections: it is the last
// epoch the log has seen, 0 for a new one, so that it never falls.
func (p *Partition) leaderEpoch() int32 { return max(p.log.LeaderEpoch(), 0) }

// checkEpoch compares the epoch a client believes in with ours (KIP-320); -1 is no opinion.
func (p *Partition) checkEpoch(claimed int32) *Refusal {
	ours := p.leaderEpoch()
	switch {
	case claimed < 0 || claimed == ours:
		return nil
	case claimed < ours:
		return fencedEpoch
	default:
		return unknownEpoch
	}
}

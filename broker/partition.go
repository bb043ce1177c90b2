package broker

import (
	"sync/atomic"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
)

// Partition is this broker's replica of one partition. With one broker the replica is the leader, the only
// member of the ISR, and the high watermark is the log end.
type Partition struct {
	Topic    string
	Index    int32
	Leader   int32   // node id
	Replicas []int32 // node ids, as are those in sync
	ISR      []int32

	epoch int32 // in which it leads, as the coordinator says; 0 without one

	log     *logstore.Log
	waiters waiterList
	unseen  atomic.Int64 // bytes appended that waiters have not been told of, since they wait for the disk
}

// highWatermark is the offset below which records are committed and consumers may read: the log end, or, where
// acknowledgements wait for the disk, what is on it. Kafka with one replica and flush.messages=1 shows as much: its
// high watermark moves after the flush.
func (p *Partition) highWatermark() int64 { return p.log.StableEnd() }

// aborted returns the aborted transactions that a consumer at read_committed needs for the offsets from to next; a log
// without any costs nothing.
func (p *Partition) aborted(from, next int64) ([]wire.AbortedTransaction, error) {
	list, err := p.log.AbortedTxns(from, next)
	if len(list) == 0 {
		return noAborted, err
	}
	out := make([]wire.AbortedTransaction, len(list))
	for i, a := range list {
		out[i] = wire.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset}
	}
	return out, err
}

// appended tells those who wait for records of a batch of n bytes that ends with offset last.
func (p *Partition) appended(last, n int64, lp *loop) {
	if p.highWatermark() > last {
		p.waiters.gained(n, lp)
		return
	}
	p.unseen.Add(n)
	if p.highWatermark() > last { // the disk was faster, and showUnseen may have come too early
		p.waiters.gained(p.unseen.Swap(0), lp)
	}
}

// showUnseen tells them of what could not be shown when it was appended.
func (p *Partition) showUnseen() {
	if n := p.unseen.Swap(0); n > 0 {
		p.waiters.gained(n, nil)
	}
}

// leaderEpoch is the epoch in which this replica leads: the coordinator's, and never less than the last one that the
// log has seen.
func (p *Partition) leaderEpoch() int32 { return max(p.log.LeaderEpoch(), p.epoch) }

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

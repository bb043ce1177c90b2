package logstore

import (
	"encoding/binary"
	"slices"

	"github.com/sluice-mq/sluice/wire/batch"
)

// cleanedTxns follows the transactions of a log that is read from front to back (Kafka's CleanedTransactionMetadata):
// it tells data of aborted ones, and when a marker is of no use any more. A transaction may reach over segments.
type cleanedTxns struct {
	committed map[int64]bool       // producers with data of a transaction that was not aborted
	aborted   map[int64]*abortedIn // those in an aborted one
	waiting   []AbortedTxn         // begin further on; in order of first offsets
	// kept are aborted transactions that have data left, which readers have to know: for the .txnindex of what is being
	// written.
	kept []AbortedTxn
}

type abortedIn struct {
	txn  AbortedTxn
	data bool // a batch of it was met
}

func newCleanedTxns() *cleanedTxns {
	return &cleanedTxns{committed: map[int64]bool{}, aborted: map[int64]*abortedIn{}}
}

// add tells of aborted transactions ahead; the same one may come several times.
func (x *cleanedTxns) add(list []AbortedTxn) {
	for _, t := range list {
		i, _ := slices.BinarySearchFunc(x.waiting, t, func(a, b AbortedTxn) int { return int(min(max(a.FirstOffset-b.FirstOffset, -1), 1)) })
		x.waiting = slices.Insert(x.waiting, i, t)
	}
}

// reach takes up the transactions that have begun by offset.
func (x *cleanedTxns) reach(offset int64) {
	n := 0
	for ; n < len(x.waiting) && x.waiting[n].FirstOffset <= offset; n++ {
		t := x.waiting[n]
		if x.aborted[t.ProducerID] == nil {
			x.aborted[t.ProducerID] = &abortedIn{txn: t}
		}
	}
	x.waiting = x.waiting[n:]
}

// see takes note of the next batch and tells whether it may go: data of an aborted transaction, or a marker of a
// transaction that has no data left. r is the batch's first record if it is a control batch, nil if it has none.
func (x *cleanedTxns) see(b batch.Batch, r *batch.Record) bool {
	x.reach(b.LastOffset())
	id := b.ProducerID()
	if b.IsControl() {
		return x.marker(id, r)
	}
	if !b.IsTransactional() {
		return false
	}
	if t := x.aborted[id]; t != nil {
		t.data = true
		return true
	}
	x.committed[id] = true
	return false
}

// Types of control records (Kafka's ControlRecordType).
const (
	controlAbort  = 0
	controlCommit = 1
)

func (x *cleanedTxns) marker(id int64, r *batch.Record) bool {
	switch {
	case r == nil:
		return true // an earlier round has taken what it was for
	case len(r.Key) < 4:
		return false
	}
	switch binary.BigEndian.Uint16(r.Key[2:]) {
	case controlAbort:
		t := x.aborted[id]
		delete(x.aborted, id)
		if t == nil || !t.data {
			return true
		}
		x.kept = append(x.kept, t.txn)
		return false
	case controlCommit:
		data := x.committed[id]
		delete(x.committed, id)
		return !data
	}
	return false
}

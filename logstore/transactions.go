package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"
)

// Transactions (KIP-98), as Kafka's ProducerStateManager has them. A producer's transaction in a partition begins with
// its first transactional batch and ends with a control batch, the marker. A log with open transactions has two ends
// for consumers: those at read_committed stop at the first record of the oldest open transaction, the last stable
// offset, and are told which transactions below it were aborted. What is told stands in the segments' .txnindex files.

// openTxns are a log's open transactions in order of their first offsets. A transaction begins at the end of the log,
// so a new one is the last. Guarded by Log.mu.
type openTxns struct{ first, last *producer }

func (o *openTxns) add(p *producer, offset int64) {
	p.txnFirst = offset
	p.txnBefore, p.txnAfter = o.last, nil
	if o.last == nil {
		o.first = p
	} else {
		o.last.txnAfter = p
	}
	o.last = p
}

func (o *openTxns) remove(p *producer) {
	if p.txnFirst == noOffset {
		return
	}
	if p.txnBefore == nil {
		o.first = p.txnAfter
	} else {
		p.txnBefore.txnAfter = p.txnAfter
	}
	if p.txnAfter == nil {
		o.last = p.txnBefore
	} else {
		p.txnAfter.txnBefore = p.txnBefore
	}
	p.txnFirst, p.txnBefore, p.txnAfter = noOffset, nil, nil
}

// firstOpen is the first offset of the oldest open transaction, noTxn if none is open.
func (t *producers) firstOpen() int64 {
	if t.open.first == nil {
		return noTxn
	}
	return t.open.first.txnFirst
}

// stableWithout is the last stable offset as it will be when p's transaction has ended with the marker at the given
// offset (Kafka's ProducerStateManager.lastStableOffset).
func (t *producers) stableWithout(p *producer, marker int64) int64 {
	first := t.open.first
	if first == p {
		first = p.txnAfter
	}
	if first == nil {
		return marker + 1
	}
	return first.txnFirst
}

const noTxn = unheld

// txnRange is a transaction that has ended.
type txnRange struct{ first, last int64 }

// unstable is where a log's transactions keep readers at read_committed from going on.
type unstable struct {
	// first offset of the oldest transaction that is open, or whose marker is not to be shown yet; noTxn: none.
	first atomic.Int64
	// ended are those whose markers wait for the device. Guarded by Log.mu. As many as markers were appended since the
	// last sync.
	ended []txnRange
}

// noteTxn keeps unstable up to date with what producers.appended said. The caller holds mu; the end of the log has not
// moved yet, so that a reader who sees the new end finds the transaction's beginning here.
func (l *Log) noteTxn(began bool, done txnRange) {
	x := &l.unstable
	switch {
	case began && x.first.Load() == noTxn:
		x.first.Store(l.producers.firstOpen())
	case done.last > 0:
		if l.durable.hold.Load() <= done.last {
			x.ended = append(x.ended, done)
		}
		l.settleTxns()
	}
}

// settleTxns forgets ended transactions whose markers may be shown. The caller holds mu.
func (l *Log) settleTxns() {
	x := &l.unstable
	hold := l.durable.hold.Load()
	x.ended = slices.DeleteFunc(x.ended, func(r txnRange) bool { return r.last < hold })
	first := l.producers.firstOpen()
	for _, r := range x.ended {
		first = min(first, r.first)
	}
	x.first.Store(first)
}

// LastStableOffset is the offset below which every transaction has ended, with its marker below StableEnd: how far
// consumers at read_committed may read (Kafka's firstUnstableOffset). It is StableEnd when none is open.
func (l *Log) LastStableOffset() int64 {
	end := l.StableEnd() // first: a transaction below it is noted before the end moves
	return min(end, max(l.unstable.first.Load(), l.start.Load()))
}

// AbortedTxns returns the aborted transactions that a reader of the offsets from to upper has to know, upper being
// LastStableOffset at most: those that end at from or later and begin below upper, in order of their markers (Kafka's
// TransactionIndex.collectAbortedTxns). nil, without a system call, when there is none. ErrOffsetOutOfRange: from was
// deleted meanwhile.
func (l *Log) AbortedTxns(from, upper int64) (list []AbortedTxn, err error) {
	for {
		segs := l.segs.Load()
		list, err = l.abortedIn(segs, from, upper)
		// Compaction may have taken a segment's place meanwhile.
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if l.segs.Load() == segs {
			return nil, l.gone(from)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	return list, nil
}

func (l *Log) abortedIn(segs *segList, from, upper int64) (list []AbortedTxn, err error) {
	for _, s := range segs.s[segs.find(from):] {
		var done bool
		list, done, err = s.aborted(list, from, upper)
		if err != nil || done {
			break
		}
	}
	return list, err
}

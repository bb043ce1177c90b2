package logstore

import (
	"github.com/sluice-mq/sluice/wire/batch"
)

// filter returns what stays of a batch in the second pass, nil for nothing: the batch itself, or one made anew, good
// until the next call. The rules are those of Kafka's Cleaner.cleanInto and MemoryRecords.filterTo:
//
//   - a record stays if its key has no later offset in the map, or it lies above what is in the map;
//   - a tombstone, a record without a value, stays until the delete horizon, which its batch gets when it is met first;
//   - a marker stays while its transaction has data, and then until its horizon;
//   - data of aborted transactions goes;
//   - the batch that has the last sequence of a producer, and the last batch of the round, stay, if need be without
//     records: the producer goes on from there, and the log does not end lower when what follows is lost (KAFKA-17076).
func (r *cleanRound) filter(b batch.Batch) (batch.Batch, error) {
	if err := r.walker.Reset(b, cleanedRecords); err != nil {
		return nil, err
	}
	r.read += int64(len(b))
	r.recordsRead += int64(b.Count())
	var marker *batch.Record
	if b.IsControl() {
		marker = r.first()
		if err := r.walker.Err(); err != nil {
			return nil, err
		}
	}
	useless := r.txns.see(b, marker)
	drop := useless
	if b.IsControl() {
		drop = useless && b.HasDeleteHorizon() && b.BaseTimestamp() <= r.now
	}
	v := verdict{tombstones: useless && b.IsControl()}
	switch {
	case drop:
	case b.IsControl():
		v.count = int(b.Count())
		r.kept = append(r.kept[:0], make([]bool, v.count)...)
		for i := range r.kept {
			r.kept[i] = true
		}
	default:
		if err := r.judge(b, &v); err != nil {
			return nil, err
		}
	}
	r.recordsWritten += int64(v.count)
	horizon := batch.NoTimestamp
	if v.tombstones && !b.HasDeleteHorizon() {
		horizon = r.now + r.policy.DeleteRetention.Milliseconds()
	}
	switch {
	case v.count == 0 && (b.LastOffset()+1 == r.to || r.lastOfProducer(b)):
		return r.rewr.Empty(b), nil
	case v.count == 0:
		return nil, nil
	case v.count == int(b.Count()) && horizon == batch.NoTimestamp:
		return b, nil
	}
	return r.rewr.Rewrite(b, &r.walker, r.kept, horizon), nil
}

// verdict is how many records of a batch stay, and whether there are some among them that go later.
type verdict struct {
	count      int
	tombstones bool
}

// judge decides on each record of a data batch and notes it in r.kept.
func (r *cleanRound) judge(b batch.Batch, v *verdict) error {
	r.kept = r.kept[:0]
	gone := b.HasDeleteHorizon() && b.BaseTimestamp() <= r.now
	var rec batch.Record
	for r.walker.Next(&rec) {
		offset := b.BaseOffset() + int64(rec.OffsetDelta)
		keep := offset > r.keys.latest
		if !keep {
			if rec.Key == nil {
				r.recordsWithNoKey++
			} else {
				keep = offset >= r.keys.last(rec.Key) && (rec.Value != nil || !gone)
			}
		}
		r.kept = append(r.kept, keep)
		if keep {
			v.count++
			v.tombstones = v.tombstones || rec.Value == nil
		}
	}
	return r.walker.Err()
}

// lastOfProducer tells whether the batch is what the log knows a producer's state by: its last data, or the marker of
// its epoch if there is no data of it.
func (r *cleanRound) lastOfProducer(b batch.Batch) bool {
	if !idempotent(b) {
		return false
	}
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.producers.byID[b.ProducerID()]
	switch {
	case p == nil:
		return false
	case p.newest() != nil:
		return p.newest().last == b.LastOffset()
	}
	return b.IsControl() && b.ProducerEpoch() == p.epoch
}

package logstore

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// producerBatches is how many batches of a producer are remembered to recognise their repetitions (Kafka's
// ProducerStateEntry.NUM_BATCHES_TO_RETAIN): a client has five requests under way at the most.
const producerBatches = 5

const noOffset int64 = -1

// producerBatch is an appended batch of a producer. Its first offset and first sequence follow from delta.
type producerBatch struct {
	lastSeq int32
	delta   int32 // last offset less first offset; last sequence less first sequence
	last    int64 // last offset
	maxTime int64
}

func batchOf(b batch.Batch) producerBatch {
	return producerBatch{lastSeq: b.LastSequence(), delta: b.LastOffsetDelta(), last: b.LastOffset(), maxTime: b.MaxTimestamp()}
}

func (b *producerBatch) firstSeq() int32 { return addSequence(b.lastSeq, -b.delta) }

// addSequence: after 2147483647 comes 0.
func addSequence(seq, n int32) int32 { return int32((uint32(seq) + uint32(n)) & 0x7fffffff) }

// producer is what a log remembers of one producer id. 192 bytes, and about 30 for its place in the map.
type producer struct {
	id           int64
	older, newer *producer // in order of their last appends
	epoch        int16     // batch.NoProducerEpoch: not known, any sequence fits
	n, at        uint8     // batches held, and where the next one goes
	coordinator  int32     // epoch of the coordinator that wrote the last marker, -1: none did
	lastTime     int64     // of the last batch or marker: expiry counts from here
	txnFirst     int64     // first offset of the open transaction, noOffset: none is open

	txnBefore, txnAfter *producer // in openTxns

	batches [producerBatches]producerBatch
}

// newest is the last batch of the current epoch, nil if there is none.
func (p *producer) newest() *producerBatch {
	if p.n == 0 {
		return nil
	}
	return &p.batches[(p.at+producerBatches-1)%producerBatches]
}

// lastSeq is batch.NoSequence when no batch of the current epoch is known, so that 0 has to follow.
func (p *producer) lastSeq() int32 {
	if b := p.newest(); b != nil {
		return b.lastSeq
	}
	return batch.NoSequence
}

// enter makes epoch the current one; batches of another are forgotten.
func (p *producer) enter(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.n, p.at = epoch, 0, 0
	}
}

func (p *producer) push(b producerBatch) {
	p.batches[p.at] = b
	p.at = (p.at + 1) % producerBatches
	p.n = min(p.n+1, producerBatches)
}

// pushBefore adds a batch that was appended before the newest one, and after all others.
func (p *producer) pushBefore(b producerBatch) {
	newest := *p.newest()
	*p.newest() = b
	p.push(newest)
}

// repeats finds the batch that b repeats: same epoch, same first and last sequence.
func (p *producer) repeats(b batch.Batch) *producerBatch {
	if b.ProducerEpoch() != p.epoch {
		return nil
	}
	first, last := b.BaseSequence(), b.LastSequence()
	for i := range p.batches[:p.n] {
		if x := &p.batches[i]; x.lastSeq == last && x.firstSeq() == first {
			return x
		}
	}
	return nil
}

// producers is a log's table of producers, guarded by Log.mu. It exists so that a client may send a batch again:
// one of the last five is recognised, a gap is refused (KIP-98). The rules are those of Kafka's ProducerAppendInfo
// and ProducerStateManager.
//
// Memory is bounded by Options.MaxProducers over all logs of a Dir. At the bound a log that meets a new producer
// forgets the one of its own that has not appended for the longest time, as expiry would have done later: should that
// one come back, any sequence is taken from it. A log without other producers goes above the bound by one.
type producers struct {
	byID           map[int64]*producer // nil until the first one
	oldest, newest *producer           // by last append
	open           openTxns
	total          *producerTotal

	snapAt  int64          // offset of the last snapshot, on disk or in pending
	pending []snapshotFile // taken, not written yet
}

// producerTotal counts the producers of all logs of a Dir.
type producerTotal struct {
	n          atomic.Int64
	limit      int64
	expiration atomic.Int64 // Options.ProducerExpiration
}

// idempotent tells whether b comes from a producer that numbers its batches.
func idempotent(b batch.Batch) bool { return b.ProducerID() > batch.NoProducerID }

// check decides whether b may be appended. again is the batch that b repeats; else b's producer is returned, nil if
// it is not known yet. Nothing changes.
func (t *producers) check(b batch.Batch) (p *producer, again *producerBatch, err error) {
	p = t.byID[b.ProducerID()]
	if p == nil {
		// Whatever the first sequence: records of a known producer may have been deleted.
		return nil, nil, checkEpoch(b, batch.NoProducerEpoch)
	}
	if b.IsControl() {
		return p, nil, checkEpoch(b, p.epoch)
	}
	if again := p.repeats(b); again != nil {
		return p, again, nil
	}
	if err := checkEpoch(b, p.epoch); err != nil {
		return p, nil, err
	}
	if err := p.checkSequence(b.ProducerEpoch(), b.BaseSequence()); err != nil {
		return p, nil, err
	}
	if p.txnFirst != noOffset && !b.IsTransactional() {
		return p, nil, fmt.Errorf("%w: producer %d since offset %d", ErrTransaction, p.id, p.txnFirst)
	}
	return p, nil, nil
}

func checkEpoch(b batch.Batch, known int16) error {
	if epoch := b.ProducerEpoch(); epoch < known {
		return fmt.Errorf("%w: producer %d has epoch %d, sent %d", ErrProducerEpoch, b.ProducerID(), known, epoch)
	}
	return nil
}

func (p *producer) checkSequence(epoch int16, first int32) error {
	switch last := p.lastSeq(); {
	case p.epoch == batch.NoProducerEpoch:
	case epoch != p.epoch:
		if first != 0 {
			return fmt.Errorf("%w: producer %d begins epoch %d with %d", ErrOutOfOrderSequence, p.id, epoch, first)
		}
	case int64(first) != int64(last)+1 && (first != 0 || last != maxSequence):
		return fmt.Errorf("%w: producer %d sent %d after %d", ErrOutOfOrderSequence, p.id, first, last)
	}
	return nil
}

const maxSequence = 1<<31 - 1

// appended notes b, whose header is as it lies in the log. p is its producer, nil if that is new; m the marker that
// b holds, if it is a control batch: one that ends no transaction is passed over. It tells whether a transaction began
// with b, or which one ended: done.last is 0 if none did.
func (t *producers) appended(p *producer, b batch.Batch, m marker) (began bool, done txnRange) {
	if b.IsControl() && !m.ok {
		return false, done
	}
	if p == nil {
		p = t.add(b.ProducerID())
	} else {
		t.touch(p)
	}
	p.enter(b.ProducerEpoch())
	if b.IsControl() {
		p.coordinator, p.lastTime = m.coordinator, m.time
		if p.txnFirst != noOffset {
			done = txnRange{p.txnFirst, b.BaseOffset()}
			t.open.remove(p)
		}
		return false, done
	}
	p.push(batchOf(b))
	p.lastTime = b.MaxTimestamp()
	if began = b.IsTransactional() && p.txnFirst == noOffset; began {
		t.open.add(p, b.BaseOffset())
	}
	return began, done
}

// add makes room if need be and returns a new producer.
func (t *producers) add(id int64) *producer {
	if t.byID == nil {
		t.byID = make(map[int64]*producer)
	}
	if t.total.n.Add(1) > t.total.limit {
		t.forgetOldest()
	}
	p := &producer{id: id, epoch: batch.NoProducerEpoch, coordinator: -1, lastTime: batch.NoTimestamp, txnFirst: noOffset}
	t.byID[id] = p
	t.link(p)
	return p
}

// forgetOldest passes over producers with an open transaction, of which there may be a few: their first offsets are
// needed until the marker comes.
func (t *producers) forgetOldest() {
	const tries = 16
	p := t.oldest
	for i := 0; p != nil && i < tries; i, p = i+1, p.newer {
		if p.txnFirst == noOffset {
			t.remove(p)
			return
		}
	}
}

func (t *producers) remove(p *producer) {
	t.unlink(p)
	t.open.remove(p)
	delete(t.byID, p.id)
	t.total.n.Add(-1)
}

// clear forgets all of them, and snapshots that were not written.
func (t *producers) clear() {
	t.total.n.Add(-int64(len(t.byID)))
	t.byID, t.oldest, t.newest, t.open, t.pending = nil, nil, nil, openTxns{}, nil
}

// touch makes p the one with the newest append.
func (t *producers) touch(p *producer) {
	if t.newest != p {
		t.unlink(p)
		t.link(p)
	}
}

func (t *producers) link(p *producer) {
	p.older, p.newer = t.newest, nil
	if t.newest == nil {
		t.oldest = p
	} else {
		t.newest.newer = p
	}
	t.newest = p
}

func (t *producers) unlink(p *producer) {
	if p.older == nil {
		t.oldest = p.newer
	} else {
		p.older.newer = p.newer
	}
	if p.newer == nil {
		t.newest = p.older
	} else {
		p.newer.older = p.older
	}
}

// expired: a producer is forgotten when its last batch is so old, unless its transaction is open.
func (p *producer) expired(now time.Time, after time.Duration) bool {
	return p.txnFirst == noOffset && now.UnixMilli()-p.lastTime >= after.Milliseconds()
}

// expireChunk is how many producers are looked at before appends get their turn: some 50 us.
const expireChunk = 1024

// expireProducers forgets those that have been silent for long enough.
func (l *Log) expireProducers(now time.Time) {
	after := time.Duration(l.d.producers.expiration.Load())
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, p := range l.producers.byID { // mu is held at each step of the iteration, so the map may change between two
		if p.expired(now, after) {
			l.producers.remove(p)
		}
		if n++; n%expireChunk == 0 {
			l.mu.Unlock()
			l.mu.Lock()
			if l.closed.Load() { // the table may be another one now
				return
			}
		}
	}
	if len(l.producers.byID) == 0 {
		l.producers.byID = nil // a map keeps the size it once had
	}
}

// expireProducers goes through all logs.
func (d *Dir) expireProducers() {
	if d.producers.n.Load() == 0 {
		return
	}
	now := d.opts.now()
	for _, l := range d.Logs() {
		l.expireProducers(now)
	}
}

// SetProducerExpiration changes Options.ProducerExpiration.
func (d *Dir) SetProducerExpiration(after time.Duration) { d.producers.expiration.Store(int64(after)) }

// Producers is how many producers the directory's logs remember, together.
func (d *Dir) Producers() int64 { return d.producers.n.Load() }

package server

import (
	"sync"
	"time"
)

// item is something for the owner: packets of a connection, its end, or a call.
type item struct {
	conn    *conn
	packets []byte // whole ones, each with its length
	end     bool
	call    func(*Core)
}

// inbox gathers items for the owner, in the order in which they were read. Bound: maxInbox bytes of packets; who adds
// more waits.
type inbox struct {
	wake chan struct{} // capacity 1

	mu     sync.Mutex
	room   sync.Cond
	items  []item
	bytes  int // put and not executed
	closed bool
}

func (q *inbox) init() {
	q.wake = make(chan struct{}, 1)
	q.room.L = &q.mu
}

// put adds an item of so many bytes; it waits while the inbox is full. It tells whether the owner is there.
func (q *inbox) put(it item, bytes int) bool {
	q.mu.Lock()
	for q.bytes > maxInbox && !q.closed {
		q.room.Wait()
	}
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, it)
	q.bytes += bytes
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns all that is there; spare is used for what comes next.
func (q *inbox) take(spare []item) (items []item, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, q.items = q.items, spare
	for i := range items {
		bytes += len(items[i].packets)
	}
	return items, bytes
}

func (q *inbox) executed(bytes int) {
	if bytes == 0 {
		return
	}
	q.mu.Lock()
	q.bytes -= bytes
	q.mu.Unlock()
	q.room.Broadcast()
}

func (q *inbox) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.room.Broadcast()
}

// batch is what one turn of the owner made.
type batch struct {
	log       []byte // transactions
	txns      int
	out       []Output
	rollAfter int64 // a snapshot was taken behind this transaction, and a new file begins; 0: none
	at        time.Time
}

func (b *batch) size() int {
	n := len(b.log)
	for i := range b.out {
		n += len(b.out[i].Bytes)
	}
	return n
}

// send gives every connection its part.
func (b *batch) send(l *latencies) {
	took := time.Since(b.at)
	if b.txns > 0 {
		l.write.Observe(took.Nanoseconds())
	} else {
		l.read.Observe(took.Nanoseconds())
	}
	for i := range b.out {
		o := &b.out[i]
		o.Peer.User.(*conn).send(o.Bytes, o.Close)
	}
}

// commits are the batches that wait for the device, in order. Bound: maxCommit bytes and one batch; the owner waits.
type commits struct {
	mu     sync.Mutex
	change sync.Cond
	list   []batch
	bytes  int
	busy   bool // the committer has batches that it has not sent
	closed bool
}

func (q *commits) init() { q.change.L = &q.mu }

// add takes a batch that has to wait: it has transactions, or was executed behind some that are not on the device. It
// tells whether it did; if not, nothing is in the way of sending it now.
func (q *commits) add(b batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(b.log) == 0 && b.rollAfter == 0 && len(q.list) == 0 && !q.busy {
		return false
	}
	for q.bytes > maxCommit && !q.closed {
		q.change.Wait()
	}
	q.list = append(q.list, b)
	q.bytes += b.size()
	q.change.Broadcast()
	return true
}

// take waits for batches and returns them all; ok is false at the end.
func (q *commits) take() (list []batch, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.list) == 0 && !q.closed {
		q.change.Wait()
	}
	if len(q.list) == 0 {
		return nil, false
	}
	list, q.list, q.bytes, q.busy = q.list, nil, 0, true
	q.change.Broadcast()
	return list, true
}

// done says that what was taken has been sent.
func (q *commits) done() {
	q.mu.Lock()
	q.busy = false
	q.mu.Unlock()
}

func (q *commits) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.change.Broadcast()
}

package broker

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/wire"
)

// fetch is one Fetch request: what it asks for, what was found, and its state while it waits for more.
//
// Life: start fills it from the request and the session; read looks at the logs; if that is enough, or the
// request may not wait, answer sends it. Otherwise park enters it into the waiter lists of its partitions, and
// whoever moves it from parked to woken hands it to Run on its own loop, which reads again and answers, or parks
// again when that was for nothing.
type fetch struct {
	loop *loop // for ever: a late timer of an earlier use may look at it at any time
	call *call

	minBytes  int64
	maxBytes  int64
	full      bool // answer every partition, not only those with news
	committed bool // isolation level read_committed: no further than the last stable offset, with the aborted transactions
	session   *fetchSession
	epoch     int32 // of the session, as the request gave it

	parts    []fetchPart
	waiters  []waiter    // one for each part, while parked
	spans    []span.Span // of all parts, each owning one hold until it is spliced into the reply
	found    int64       // bytes in spans
	readable int         // parts that exist
	failed   bool        // reading one of those gave an error

	state    atomic.Int32
	gained   atomic.Int64 // bytes found, and appended since
	deadline atomic.Int64 // on Broker.clock; what tells a timer of an earlier use from this one's, mostly
	timer    *time.Timer

	connNext, connPrev *fetch // parked on the same connection
}

// States of a fetch. Only an owner of the change from parked to woken runs it.
const (
	fetchIdle int32 = iota
	fetchParked
	fetchWoken
)

// fetchPart is one partition of a fetch, asked and found.
type fetchPart struct {
	topic    []byte // name; lives as long as the request or the session's entry
	index    int32
	offset   int64
	maxBytes int32
	epoch    int32 // the leader epoch that the client believes in, -1 none
	part     *Partition
	cached   *sessionPart // nil without a session

	err           wire.ErrorCode
	highWatermark int64
	lastStable    int64
	logStart      int64
	aborted       []wire.AbortedTransaction // read_committed, what the reader of its spans has to know
	from, to      int                       // its spans: fetch.spans[from:to]
	n             int64                     // bytes in them
}

func (lp *loop) newFetch(c *call) *fetch {
	var f *fetch
	if n := len(lp.freeFetches); n > 0 {
		f = lp.freeFetches[n-1]
		lp.freeFetches = lp.freeFetches[:n-1]
	} else {
		f = &fetch{loop: lp}
	}
	f.call = c
	return f
}

// A fetch that asked for more partitions than this gives its memory back when it ends: some 200 KB kept.
const maxKeptParts = 1024

func (lp *loop) freeFetch(f *fetch) {
	clear(f.parts)
	clear(f.waiters)
	clear(f.spans)
	f.parts, f.waiters, f.spans = f.parts[:0], f.waiters[:0], f.spans[:0]
	f.call, f.session = nil, nil
	if cap(f.parts) <= maxKeptParts && len(lp.freeFetches) < maxFree {
		lp.freeFetches = append(lp.freeFetches, f)
	}
}

// start reads once and answers, or waits for as long as wait says.
func (f *fetch) start(wait time.Duration) {
	f.unknownLast()
	f.read()
	if f.enough() || wait <= 0 || f.loop.b.draining.Load() {
		f.answer()
		return
	}
	f.deadline.Store(int64(f.loop.b.clock() + wait))
	f.park()
}

// enough tells whether the answer is due now: as in Kafka when the bytes suffice, when reading a partition failed,
// and when there is nothing to wait for. Partitions that do not exist are no reason to answer early.
func (f *fetch) enough() bool {
	return f.found >= f.minBytes || f.failed || f.readable == 0 || f.found > 0 && f.cutShort() >= f.minBytes
}

// maxBatch is more than any batch has (socket.request.max.bytes is 100 MiB unless somebody raises it).
const maxBatch = 256 << 20

// cutShort is the bytes found as Kafka counts them: where a limit was in the way up to that limit, since Kafka
// gives a batch that does not fit in part. Otherwise a minimum near the limit would never be reached. It costs a
// read more for each partition with records, when less than the minimum was found.
func (f *fetch) cutShort() int64 {
	found, left, held := int64(0), f.maxBytes, len(f.spans)
	for i := range f.parts {
		p := &f.parts[i]
		limit, n := min(left, int64(p.maxBytes)), p.n
		if upper := f.upper(p.highWatermark, p.lastStable); p.err == wire.None && p.offset < upper {
			spans, more, err := p.part.log.Read(f.spans, p.offset, upper, limit+maxBatch, false)
			if err == nil && more > n {
				n = max(n, limit)
			}
			f.spans = spans
			f.releaseFrom(held)
		}
		left = max(0, left-n)
		found += n
	}
	return found
}

// read looks at every partition in turn until the request's bytes are used up. The first batch found is given
// whole, whatever its size (KIP-74).
func (f *fetch) read() {
	f.release()
	left := f.maxBytes
	f.found, f.readable, f.failed = 0, 0, false
	for i := range f.parts {
		p := &f.parts[i]
		f.readPart(p, left)
		left = max(0, left-p.n)
		f.found += p.n
		if p.part != nil || p.err == wire.KafkaStorageError || p.err == wire.NotLeaderOrFollower {
			f.readable++
			f.failed = f.failed || p.err != wire.None
		}
	}
}

func (f *fetch) readPart(p *fetchPart, left int64) {
	p.from, p.n = len(f.spans), 0
	p.to = p.from
	p.highWatermark, p.lastStable, p.logStart, p.aborted = -1, -1, -1, noAborted
	limit := min(left, int64(p.maxBytes))
	p.err = f.check(p)
	if p.err == wire.None && limit < 0 {
		p.err = wire.UnknownServerError // as Kafka, which fails on it
	}
	if p.err != wire.None {
		return
	}
	start, end := p.part.log.StartOffset(), p.part.highWatermark()
	stable := min(p.part.log.LastStableOffset(), end)
	spans, n, next, err := p.part.log.ReadNext(f.spans, p.offset, f.upper(end, stable), limit, f.found == 0)
	f.spans = spans
	if err == nil && f.committed && n > 0 {
		p.aborted, err = p.part.aborted(p.offset, next)
	}
	if err != nil {
		f.releaseFrom(p.from)
		p.err = codeOf(err)
		return
	}
	p.to, p.n = len(f.spans), n
	p.highWatermark, p.lastStable, p.logStart = end, stable, start
}

// upper is the offset below which the fetch may have records of a partition.
func (f *fetch) upper(highWatermark, lastStable int64) int64 {
	if f.committed {
		return lastStable
	}
	return highWatermark
}

func (f *fetch) check(p *fetchPart) wire.ErrorCode {
	image := f.loop.image()
	t := image.Topic(p.topic)
	p.part = t.partition(p.index)
	if p.part == nil {
		return t.unavailable(p.index)
	}
	if image.Fenced {
		return wire.NotLeaderOrFollower
	}
	if p.part.offline() {
		return wire.KafkaStorageError
	}
	if r := p.part.checkEpoch(p.epoch); r != nil {
		return r.Code
	}
	return wire.None
}

// unknownLast moves the parts that do not exist behind the others, where Kafka answers them.
func (f *fetch) unknownLast() {
	image := f.loop.image()
	exists := func(p *fetchPart) bool {
		t := image.Topic(p.topic)
		return t.partition(p.index) != nil || t.unavailable(p.index) != wire.UnknownTopicOrPartition
	}
	if slices.ContainsFunc(f.parts, func(p fetchPart) bool { return !exists(&p) }) {
		slices.SortStableFunc(f.parts, func(a, b fetchPart) int {
			return cmp.Compare(boolInt(!exists(&a)), boolInt(!exists(&b)))
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f *fetch) release() { f.releaseFrom(0) }

func (f *fetch) releaseFrom(n int) {
	for i := n; i < len(f.spans); i++ {
		f.spans[i].Release()
	}
	f.spans = f.spans[:n]
}

// park waits for more until the deadline, unless more came while it entered the lists and is enough. See waiterList for
// why nothing is missed.
func (f *fetch) park() {
	for {
		f.enter()
		if !f.changed() || !f.state.CompareAndSwap(fetchParked, fetchWoken) || f.retry() {
			return
		}
	}
}

func (f *fetch) enter() {
	f.release()
	f.loop.b.parked.Add(1)
	f.gained.Store(f.found)
	f.call.net.Conn().User.(*conn).add(f)
	f.state.Store(fetchParked)
	if cap(f.waiters) < len(f.parts) {
		f.waiters = make([]waiter, len(f.parts), cap(f.parts))
	}
	f.waiters = f.waiters[:len(f.parts)]
	for i := range f.parts {
		if p := f.parts[i].part; p != nil {
			f.waiters[i].fetch = f
			p.waiters.add(&f.waiters[i])
		}
	}
	wait := max(0, f.remaining())
	if f.timer == nil {
		f.timer = time.AfterFunc(wait, f.expire)
	} else {
		f.timer.Reset(wait)
	}
}

// changed tells whether any partition has moved since it was read, or is gone.
func (f *fetch) changed() bool {
	for i := range f.parts {
		p := &f.parts[i]
		if p.part == nil {
			continue
		}
		if p.part.highWatermark() != p.highWatermark || f.loop.image().Topic(p.topic).partition(p.index) != p.part {
			return true
		}
	}
	return f.loop.b.draining.Load()
}

// remaining is the time left until the deadline.
func (f *fetch) remaining() time.Duration { return time.Duration(f.deadline.Load()) - f.loop.b.clock() }

// expire runs on the timer's goroutine.
func (f *fetch) expire() {
	if f.remaining() <= 0 && f.state.CompareAndSwap(fetchParked, fetchWoken) {
		f.loop.net.Post(f)
	}
}

// Run answers a woken fetch; on its own loop.
func (f *fetch) Run() {
	if !f.retry() {
		f.park()
	}
}

// retry reads anew for a fetch that was woken, and tells whether it is answered. It is not when it was woken for too
// little: by an append between reading and parking, by bytes that the limits of the request keep out, or by a timer of
// its earlier use that was late.
func (f *fetch) retry() bool {
	f.unpark()
	readable := f.readable
	f.read()
	if !f.enough() && f.readable == readable && f.remaining() > 0 && !f.unwanted() {
		return false
	}
	f.answer()
	return true
}

// unwanted tells whether nobody is to wait any longer.
func (f *fetch) unwanted() bool {
	return f.loop.b.draining.Load() || f.call.net.Conn().User.(*conn).closed
}

func (f *fetch) unpark() {
	f.timer.Stop()
	f.state.Store(fetchIdle)
	f.loop.b.parked.Add(-1)
	for i := range f.parts {
		if p := f.parts[i].part; p != nil {
			p.waiters.remove(&f.waiters[i])
		}
	}
	f.call.net.Conn().User.(*conn).remove(f)
}

// add and remove keep the list of the connection's parked fetches.
func (c *conn) add(f *fetch) {
	f.connPrev, f.connNext = nil, c.parked
	if c.parked != nil {
		c.parked.connPrev = f
	}
	c.parked = f
}

func (c *conn) remove(f *fetch) {
	if f.connPrev != nil {
		f.connPrev.connNext = f.connNext
	} else {
		c.parked = f.connNext
	}
	if f.connNext != nil {
		f.connNext.connPrev = f.connPrev
	}
	f.connNext, f.connPrev = nil, nil
}

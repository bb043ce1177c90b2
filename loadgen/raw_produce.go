package loadgen

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// RawLoad says how long a Produce goes on, and how fast.
type RawLoad struct {
	Requests int64         // in all; 0: no bound
	For      time.Duration // 0: no bound. What is under way at its end is waited for
	// Rate is requests per second in an open loop: each has an intended time, from which its latency counts, whatever
	// became of the ones before. InFlight still bounds what is under way. 0: as fast as answers come, and latency
	// counts from the write that a request leaves with.
	Rate float64
}

// Produce sends batches until the load is done, and returns when every answer has come. The first wrong answer ends
// it with an error, and the Raw.
func (r *Raw) Produce(ctx context.Context, l RawLoad) (*RawResult, error) {
	if l.Requests <= 0 && l.For <= 0 {
		return nil, fmt.Errorf("%w: a load without an end", ErrSpec)
	}
	watch := stopwatch{time.Now()}
	return r.each(ctx, func(c *rawConn, sum *RawResult) error {
		n := int64(len(r.conns))
		p := &producing{conn: c, watch: watch, sum: sum, pace: thread{}, until: int64(l.For), total: -1,
			firstID: c.id}
		defer func() { c.id += int32(p.sent.Load()) }()
		if l.Requests > 0 {
			p.total = l.Requests / n
			if int64(c.index) < l.Requests%n {
				p.total++
			}
		}
		if l.Rate > 0 {
			p.gap = float64(time.Second) * float64(n) / l.Rate
		}
		p.slots = make([]rawSlot, r.o.InFlight)
		for i := range p.slots {
			p.slots[i].pieces = c.template.copy()
		}
		if r.o.InFlight == 1 && l.Rate == 0 {
			return p.alternate()
		}
		return p.run()
	})
}

// produceTemplate is an encoded request in the pieces that lie around its batches:
//
//	0: length, header, acks, timeout, topic, first partition's index and size of records
//	1 to PerRequest-1: end of a partition, the next one's index and size of records
//	last: ends of partition, topic and request
//
// A request differs from it in its correlation id and partition indexes.
type produceTemplate struct {
	pieces [][]byte
	index  int // bytes from the end of a piece back to the partition's index
	batch  batch.Batch
}

const correlationAt = 4 + 2 + 2 // behind length, key and version

func (t *produceTemplate) build(o *RawOptions, version int16) {
	t.batch = o.Batch
	req := wire.ProduceRequest{Version: version, Acks: o.Acks, TimeoutMillis: 30_000,
		Topics: []wire.ProduceTopic{{Name: []byte(o.Topic)}}}
	for range o.PerRequest {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, wire.ProducePartition{Records: o.Batch})
	}
	h := wire.RequestHeader{Key: wire.KeyProduce, Version: version, HasClientID: true}
	whole := req.Append(wire.AppendRequestHeader(make([]byte, 4), &h))
	binary.BigEndian.PutUint32(whole, uint32(len(whole)-4))
	sizeBytes, end, tail := 4, 0, 0
	if wire.Flexible(wire.KeyProduce, version) {
		sizeBytes = len(binary.AppendUvarint(nil, uint64(len(o.Batch))+1))
		end, tail = 1, 2 // tag sections, of a partition; of topic and request
	}
	t.index = 4 + sizeBytes
	entry := t.index + len(o.Batch) + end
	at := len(whole) - tail - o.PerRequest*entry // where the first partition begins
	t.pieces = [][]byte{whole[:at+t.index]}
	for range o.PerRequest - 1 {
		at += entry
		t.pieces = append(t.pieces, whole[at-end:at+t.index])
	}
	t.pieces = append(t.pieces, whole[at+entry-end:])
}

// copy returns pieces that may be changed.
func (t *produceTemplate) copy() [][]byte {
	c := make([][]byte, len(t.pieces))
	for i, p := range t.pieces {
		c[i] = append([]byte(nil), p...)
	}
	return c
}

// rawSlot is a request under way.
type rawSlot struct {
	pieces [][]byte
	since  int64 // ns on the stopwatch, from where its latency counts
}

// producing is one connection's part of a Produce. Answers come in the order of requests, so the slots are a ring. A
// goroutine of its own sends; the one that was called receives.
type producing struct {
	conn  *rawConn
	watch stopwatch
	pace  pacer
	sum   *RawResult
	slots []rawSlot

	firstID int32 // correlation id of request 0

	total int64   // requests; -1: no bound
	until int64   // ns on the stopwatch; 0: no bound
	gap   float64 // ns between intended times; 0: closed loop

	sent     atomic.Int64 // the sender's; requests whose slots are filled in
	answered atomic.Int64 // the receiver's
	buffers  net.Buffers  // the sender's

	resp wire.ProduceResponse // the receiver's
}

// over tells whether request number n is not to be sent any more. In an open loop what is due is sent, however late.
func (p *producing) over(n, now int64) bool {
	if p.gap > 0 {
		now = p.intended(n)
	}
	return p.total >= 0 && n >= p.total || p.until > 0 && now >= p.until
}

// alternate has one request under way at a time, without a second goroutine: each hand-over would be in the latency.
func (p *producing) alternate() error {
	for n := int64(0); ; n++ {
		now := p.watch.now()
		if p.over(n, now) {
			return nil
		}
		if err := p.send(n, 1, now); err != nil {
			return err
		}
		if err := p.answer(); err != nil {
			return err
		}
	}
}

func (p *producing) run() error {
	more, room := make(chan struct{}, 1), make(chan struct{}, 1)
	gone := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		defer close(more)
		failed <- p.sendAll(more, room, gone)
	}()
	err := p.receiveAll(more, room)
	if err != nil {
		p.conn.c.Close() // ends a write too
	}
	close(gone)
	if sendErr := <-failed; sendErr != nil && err == nil {
		err = sendErr
	}
	return err
}

// sendAll sends what there is room for in one write, again and again. It signals more when it has filled slots.
func (p *producing) sendAll(more chan<- struct{}, room, gone <-chan struct{}) error {
	if p.gap > 0 {
		p.pace.enter()
	}
	for n := int64(0); ; {
		now := p.watch.now()
		due := p.intended(n)
		if p.over(n, now) {
			return nil
		}
		if now < due {
			p.pace.sleep(min(time.Duration(due-now), longestSleep))
			continue
		}
		free := int64(len(p.slots)) - (n - p.answered.Load())
		if free == 0 {
			select {
			case <-room:
			case <-gone:
				return nil
			}
			continue
		}
		k := int64(1)
		for k < free && !p.over(n+k, now) && p.intended(n+k) <= now {
			k++
		}
		if err := p.send(n, k, now); err != nil {
			return err
		}
		n += k
		signal(more)
	}
}

// intended is when request n is due, 0 in a closed loop. Connections take turns.
func (p *producing) intended(n int64) int64 {
	if p.gap == 0 {
		return 0
	}
	return int64((float64(n) + float64(p.conn.index)/float64(len(p.conn.raw.conns))) * p.gap)
}

// send writes requests n to n+k-1, whose slots are free, at once.
func (p *producing) send(n, k, now int64) error {
	c := p.conn
	bufs := p.buffers[:0]
	for i := n; i < n+k; i++ {
		s := &p.slots[i%int64(len(p.slots))]
		if s.since = now; p.gap > 0 {
			s.since = p.intended(i)
		}
		binary.BigEndian.PutUint32(s.pieces[0][correlationAt:], uint32(p.firstID+int32(i)))
		last := len(s.pieces) - 1
		for _, piece := range s.pieces[:last] {
			binary.BigEndian.PutUint32(piece[len(piece)-c.template.index:], uint32(c.turn))
			c.turn = c.following(c.turn)
			bufs = append(bufs, piece, c.template.batch)
		}
		bufs = append(bufs, s.pieces[last])
	}
	p.buffers = bufs[:0]
	p.sent.Store(n + k) // before the write: answers to its first part may come during it
	_, err := bufs.WriteTo(c.c)
	return err
}

// receiveAll takes answers until the sender has closed more and all have come. It signals room.
func (p *producing) receiveAll(more <-chan struct{}, room chan<- struct{}) error {
	for open := true; ; {
		if p.answered.Load() == p.sent.Load() {
			if !open {
				return nil
			}
			_, open = <-more
			continue
		}
		if err := p.answer(); err != nil {
			return err
		}
		signal(room)
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// answer takes one and checks it.
func (p *producing) answer() error {
	c := p.conn
	frame, err := c.receive()
	if err != nil {
		return fmt.Errorf("loadgen: %w", err)
	}
	now := p.watch.now()
	id, body, err := wire.ParseResponseHeader(frame, wire.KeyProduce, c.raw.produce)
	if err == nil {
		err = p.resp.Decode(c.raw.produce, body)
	}
	if err != nil {
		return fmt.Errorf("loadgen: an answer to Produce: %w", err)
	}
	n, sent := p.answered.Load(), p.sent.Load()
	if want := p.firstID + int32(n); n == sent || id != want {
		return fmt.Errorf("loadgen: an answer with correlation id %d, %d is next of %d under way", id, want, sent-n)
	}
	batches := 0
	for i := range p.resp.Topics {
		for j := range p.resp.Topics[i].Partitions {
			if err := c.check(&p.resp.Topics[i].Partitions[j]); err != nil {
				return err
			}
			batches++
		}
	}
	if batches != c.raw.o.PerRequest {
		return fmt.Errorf("loadgen: an answer for %d partitions, there were %d in the request", batches, c.raw.o.PerRequest)
	}
	p.sum.Requests++
	p.sum.Batches += int64(batches)
	p.sum.Bytes += int64(batches * len(c.template.batch))
	p.sum.Latency.Record(now - p.slots[n%int64(len(p.slots))].since)
	p.answered.Store(n + 1)
	return nil
}

// check wants offsets to go on where the batch before ended, if nobody else writes to the partition, else to rise.
func (c *rawConn) check(r *wire.ProducePartitionResponse) error {
	if r.Error != wire.None {
		return fmt.Errorf("loadgen: produce to partition %d: %v %s", r.Index, r.Error, r.ErrorMessage)
	}
	if r.Index < 0 || int(r.Index) >= len(c.expect) {
		return fmt.Errorf("loadgen: an answer for partition %d", r.Index)
	}
	want := c.expect[r.Index]
	if want >= 0 && (r.BaseOffset < want || c.apart && !c.raw.o.Shared && r.BaseOffset != want) {
		return fmt.Errorf("loadgen: partition %d: a batch got offset %d, the one before ended at %d", r.Index, r.BaseOffset, want)
	}
	c.expect[r.Index] = r.BaseOffset + int64(c.template.batch.Count())
	return nil
}

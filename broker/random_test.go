package broker

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

const (
	randomPartitions = 4
	randomProducers  = 3
	randomFetchers   = 4
)

// TestRandomTraffic has producers and fetchers on two loops, with requests of all sizes, pipelined and parked, and
// checks that each fetcher gets every record once and in the order of its producer.
func TestRandomTraffic(t *testing.T) {
	b := startBroker(t, t.TempDir(), "num.network.threads=2", "log.segment.bytes=1048576", "log.tail.bytes=65536")
	dial(t, b).create("t", randomPartitions)
	r := &traffic{t: t, b: b, end: time.Now().Add(2 * time.Second)}
	var producers, fetchers sync.WaitGroup
	for i := range randomProducers {
		producers.Go(func() { r.produce(i) })
	}
	for i := range randomFetchers {
		fetchers.Go(func() { r.fetch(i) })
	}
	producers.Wait()
	r.done.Store(true)
	fetchers.Wait()
	untilParked(t, b, 0)
	var sent, parked int64
	for i := range r.sent {
		sent += r.sent[i].Load()
	}
	parked = r.waited.Load()
	t.Logf("%d records, %d fetches waited", sent, parked)
	for i := range int32(randomPartitions) {
		p := partitionOf(b, "t", i)
		if end := p.log.EndOffset(); end != r.sent[i].Load() {
			t.Errorf("partition %d ends at %d, %d records were sent", i, end, r.sent[i].Load())
		}
		if n := p.waiters.n.Load(); n != 0 {
			t.Errorf("partition %d has %d waiters", i, n)
		}
	}
	if n := b.Stats().Net.HandlerPanics; n != 0 {
		t.Errorf("%d panics", n)
	}
}

type traffic struct {
	t      *testing.T
	b      *Broker
	end    time.Time
	done   atomic.Bool
	sent   [randomPartitions]atomic.Int64 // records
	waited atomic.Int64
}

// produce numbers the records of each partition: value is producer, number, filling.
func (r *traffic) produce(me int) {
	rnd := rand.New(rand.NewPCG(1, uint64(me)))
	c := dial(r.t, r.b)
	var next [randomPartitions]uint64
	value := make([]byte, 30000)
	var bld batch.Builder
	for time.Now().Before(r.end) && !r.t.Failed() {
		answers := 0
		for range 1 + rnd.IntN(4) {
			req := wire.ProduceRequest{Version: 9, Acks: int16(rnd.IntN(3) - 1), TimeoutMillis: 1000,
				Topics: []wire.ProduceTopic{{Name: []byte("t")}}}
			for range 1 + rnd.IntN(3) {
				p := rnd.IntN(randomPartitions)
				n := 1 + rnd.IntN(5)
				bld.Reset(batch.None)
				for range n {
					binary.BigEndian.PutUint64(value, uint64(me))
					binary.BigEndian.PutUint64(value[8:], next[p])
					next[p]++
					bld.Append(time.Now().UnixMilli(), nil, value[:16+rnd.IntN(1+rnd.IntN(1<<rnd.IntN(15)))])
				}
				r.sent[p].Add(int64(n))
				req.Topics[0].Partitions = append(req.Topics[0].Partitions,
					wire.ProducePartition{Index: int32(p), Records: append([]byte(nil), bld.Finish()...)})
			}
			c.frame(wire.KeyProduce, 9, req.Append(nil))
			if req.Acks != acksNone {
				answers++
			}
		}
		c.flush()
		for range answers {
			var resp wire.ProduceResponse
			if err := resp.Decode(9, c.receive(wire.KeyProduce, 9)); err != nil {
				r.t.Error(err)
			}
			for _, p := range resp.Topics[0].Partitions {
				if p.Error != wire.None {
					r.t.Errorf("produce: %v", p.Error)
				}
			}
		}
	}
	c.ask(newMetadata()) // whatever had no answer is done
}

// fetch reads every partition from the beginning to the end, half of the fetchers in sessions.
func (r *traffic) fetch(me int) {
	rnd := rand.New(rand.NewPCG(2, uint64(me)))
	c := dial(r.t, r.b)
	var offset [randomPartitions]int64
	var numbers [randomPartitions][randomProducers]uint64
	var id, epoch int32
	for !r.t.Failed() {
		if r.done.Load() {
			all := true
			for i := range offset {
				all = all && offset[i] == r.sent[i].Load()
			}
			if all {
				return
			}
		}
		if rnd.IntN(50) == 0 {
			c.c.Close()
			c, id, epoch = dial(r.t, r.b), 0, 0
		}
		req := fetchOf("t")
		req.MinBytes, req.MaxWaitMillis = int32(1+rnd.IntN(1<<rnd.IntN(18))), int32(rnd.IntN(30))
		req.MaxBytes = int32(1 + rnd.IntN(1<<rnd.IntN(22)))
		for _, i := range rnd.Perm(randomPartitions) {
			at := offset[i]
			if at > 0 && rnd.IntN(4) == 0 {
				at-- // maybe inside a batch
			}
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, wire.DefaultFetchPartition(int32(i), at, int32(1+rnd.IntN(1<<20))))
		}
		if me%2 == 0 {
			req.SessionID, req.SessionEpoch = id, epoch
		}
		began := r.b.parked.Load()
		resp := c.fetch(req)
		if r.b.parked.Load() > began {
			r.waited.Add(1)
		}
		if resp.Error != wire.None {
			r.t.Errorf("fetch: %v", resp.Error)
			return
		}
		if me%2 == 0 {
			id, epoch = resp.SessionID, nextEpoch(epoch)
		}
		for _, topic := range resp.Topics {
			for k := range topic.Partitions {
				p := &topic.Partitions[k]
				if p.Error != wire.None {
					r.t.Errorf("partition %d at %d: %v", p.Index, offset[p.Index], p.Error)
					return
				}
				r.check(p, &offset[p.Index], &numbers[p.Index])
			}
		}
	}
}

// check goes through an answer's records from offset on.
func (r *traffic) check(p *wire.FetchPartitionResponse, offset *int64, numbers *[randomProducers]uint64) {
	var w batch.Walker
	var rec batch.Record
	for _, b := range batches(r.t, p.Records) {
		if b.BaseOffset() > *offset {
			r.t.Errorf("partition %d: a batch at %d where %d is next", p.Index, b.BaseOffset(), *offset)
			return
		}
		if err := w.Reset(b, 0); err != nil {
			r.t.Error(err)
			return
		}
		for at := b.BaseOffset(); w.Next(&rec); at++ {
			if at < *offset {
				continue // before what was asked for
			}
			from, n := binary.BigEndian.Uint64(rec.Value), binary.BigEndian.Uint64(rec.Value[8:])
			if n != numbers[from] {
				r.t.Errorf("partition %d offset %d: record %d of producer %d, want %d", p.Index, at, n, from, numbers[from])
				return
			}
			numbers[from]++
			*offset = at + 1
		}
	}
}

//go:build !race

package broker

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// The costs that do not depend on the machine. Each test runs a broker and a client that allocates nothing in one
// process and counts what the process allocated and the broker's system calls over many requests.

// cost is what one request costs, averaged.
type cost struct{ allocs, reads, sends float64 }

// measure runs round, which makes perRound requests, until all is warm, then counts.
func measure(t *testing.T, b *Broker, perRound int, round func()) cost {
	t.Helper()
	const warm, rounds = 300, 400
	for range warm {
		round()
	}
	var before, after runtime.MemStats
	n0 := b.Stats().Net
	runtime.ReadMemStats(&before)
	for range rounds {
		round()
	}
	runtime.ReadMemStats(&after)
	n1 := b.Stats().Net
	n := float64(rounds * perRound)
	return cost{
		allocs: float64(after.Mallocs-before.Mallocs) / n,
		reads:  float64(n1.Reads+n1.Readvs-n0.Reads-n0.Readvs) / n,
		sends:  float64(n1.Writevs+n1.Sendfiles-n0.Writevs-n0.Sendfiles) / n,
	}
}

// check leaves room for what the runtime allocates by itself now and then, not for one allocation in ten requests.
func (c cost) check(t *testing.T, reads, sends float64) {
	t.Helper()
	t.Logf("per request: %.3f allocations, %.3f reads, %.3f sends", c.allocs, c.reads, c.sends)
	if c.allocs > 0.05 {
		t.Errorf("%.3f allocations per request, want none", c.allocs)
	}
	const late = 0.01 // the counts of a turn that is under way come later
	if c.reads > reads+late || c.sends > sends+late {
		t.Errorf("%.3f reads and %.3f sends per request, want at most %.2f and %.2f", c.reads, c.sends, reads, sends)
	}
}

func TestProduceCost(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	const pipelined = 8
	body := produceBody("t", 0, 1, records(1, 100))
	got := measure(t, b, pipelined, func() {
		for range pipelined {
			c.frame(wire.KeyProduce, 9, body)
		}
		c.flush()
		for range pipelined {
			c.receive(wire.KeyProduce, 9)
		}
	})
	// With the one write to the file, two system calls for a request at the most.
	got.check(t, 0.5, 0.5)
}

func TestProduceCostOneByOne(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	body := produceBody("t", 0, -1, records(1, 100))
	measure(t, b, 1, func() {
		c.frame(wire.KeyProduce, 9, body)
		c.flush()
		c.receive(wire.KeyProduce, 9)
	}).check(t, 1, 1)
}

// TestNumberedProduceCost: an idempotent producer costs no more.
func TestNumberedProduceCost(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	one := batch.Batch(numbered(7, 0, 0, 1, false))
	body := produceBody("t", 0, 1, one)
	at := bytes.Index(body, one)
	if at < 0 {
		t.Fatal("no batch in the request")
	}
	one = body[at:][:len(one)]
	seq := uint32(0)
	table := crc32.MakeTable(crc32.Castagnoli)
	const pipelined = 8
	got := measure(t, b, pipelined, func() {
		for range pipelined {
			binary.BigEndian.PutUint32(one[batch.OffsetBaseSequence:], seq)
			binary.BigEndian.PutUint32(one[batch.OffsetCRC:], crc32.Checksum(one[batch.OffsetAttributes:], table))
			c.frame(wire.KeyProduce, 9, body)
			seq++
		}
		c.flush()
		for range pipelined {
			c.receive(wire.KeyProduce, 9)
		}
	})
	got.check(t, 0.5, 0.5)
	if end := b.Stats().Partition[0].End; end != int64(seq) {
		t.Errorf("log ends at %d after %d batches", end, seq)
	}
}

func TestHotFetchCost(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	batch := records(10, 1000)
	end := int64(0)
	for range 10 { // a reader that keeps up makes the log hold its newest bytes
		c.frame(wire.KeyFetch, 11, fetchBody("t", end, 1, 0))
		c.flush()
		c.fetched()
		end = c.produce("t", batch) + 10
	}
	body := fetchBody("t", end-10, 1, 0)
	before := b.Stats().Net.BytesOutFile
	got := measure(t, b, 1, func() {
		c.frame(wire.KeyFetch, 11, body)
		c.flush()
		c.receive(wire.KeyFetch, 11)
	})
	got.check(t, 1, 1)
	if n := b.Stats().Net.BytesOutFile - before; n != 0 {
		t.Errorf("%d bytes of a hot fetch came from the file", n)
	}
}

func TestHotFetchCostPipelined(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	c.frame(wire.KeyFetch, 11, fetchBody("t", 0, 1, 0))
	c.flush()
	c.fetched()
	c.produce("t", records(10, 100))
	const pipelined = 4
	body := fetchBody("t", 0, 1, 0)
	got := measure(t, b, pipelined, func() {
		for range pipelined {
			c.frame(wire.KeyFetch, 11, body)
		}
		c.flush()
		for range pipelined {
			c.receive(wire.KeyFetch, 11)
		}
	})
	got.check(t, 0.5, 0.5) // one system call for a request, besides epoll's
}

func TestParkedFetchCost(t *testing.T) {
	b := startBroker(t, t.TempDir())
	reader, writer := dial(t, b), dial(t, b)
	writer.create("t", 1)
	produce := produceBody("t", 0, 1, records(1, 100))
	body := fetchBody("t", 0, 1, time.Minute)
	// The offset is the 8 bytes before the log start offset and the partition's size, at the end but for the empty
	// lists of forgotten topics and the rack.
	at := len(body) - len("\x00\x00\x00\x00\x00\x00") - 4 - 8 - 8
	end := int64(0)
	measure(t, b, 2, func() {
		for i := range 8 {
			body[at+i] = byte(end >> (56 - 8*i))
		}
		reader.frame(wire.KeyFetch, 11, body)
		reader.flush()
		for b.parked.Load() == 0 {
			runtime.Gosched()
		}
		writer.frame(wire.KeyProduce, 9, produce)
		writer.flush()
		writer.receive(wire.KeyProduce, 9)
		reader.receive(wire.KeyFetch, 11)
		end++
	}).check(t, 1, 1)
}

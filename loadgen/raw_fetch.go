package loadgen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// Fetch reads bytes of record batches in all, from the partitions in turn, each from offset 0 to its high watermark and
// round again; it never asks to wait where there is nothing. A connection reads the partitions that Produce writes to on
// it, and has one request under way.
//
// Every answer's batches are walked: their offsets must be dense, and the checksum of one batch of each answer right.
func (r *Raw) Fetch(ctx context.Context, bytes int64) (*RawResult, error) {
	watch := stopwatch{time.Now()}
	return r.each(ctx, func(c *rawConn, sum *RawResult) error {
		f := &fetching{conn: c, watch: watch, sum: sum}
		for sum.Bytes < bytes/int64(len(r.conns)) {
			if err := f.one(); err != nil {
				return err
			}
		}
		return nil
	})
}

// fetching is one connection's part of a Fetch.
type fetching struct {
	conn    *rawConn
	watch   stopwatch
	sum     *RawResult
	request []byte
	resp    wire.FetchResponse
	empty   int // answers without records since the last one with some
}

func (f *fetching) one() error {
	c := f.conn
	began := f.watch.now()
	if err := f.send(); err != nil {
		return fmt.Errorf("loadgen: %w", err)
	}
	frame, err := c.receive()
	if err != nil {
		return fmt.Errorf("loadgen: %w", err)
	}
	f.sum.Latency.Record(f.watch.now() - began)
	id, body, err := wire.ParseResponseHeader(frame, wire.KeyFetch, c.raw.fetch)
	if err == nil {
		err = f.resp.Decode(c.raw.fetch, body)
	}
	if err == nil && (id != c.id || f.resp.Error != wire.None || len(f.resp.Topics) != 1 || len(f.resp.Topics[0].Partitions) != 1) {
		err = fmt.Errorf("correlation id %d (sent %d), %v, %d topics", id, c.id, f.resp.Error, len(f.resp.Topics))
	}
	if err != nil {
		return fmt.Errorf("loadgen: an answer to Fetch: %w", err)
	}
	c.id++
	p := &f.resp.Topics[0].Partitions[0]
	if p.Error != wire.None || int(p.Index) != c.reading {
		return fmt.Errorf("loadgen: fetch of partition %d, answered for %d: %v", c.reading, p.Index, p.Error)
	}
	f.sum.Requests++
	f.sum.Bytes += int64(len(p.Records))
	return f.take(p)
}

func (f *fetching) send() error {
	c, o := f.conn, &f.conn.raw.o
	req := wire.FetchRequest{Version: c.raw.fetch, ReplicaID: -1, MinBytes: 1, MaxBytes: o.FetchBytes, SessionEpoch: -1,
		Topics: []wire.FetchTopic{{Name: []byte(o.Topic), Partitions: []wire.FetchPartition{
			wire.DefaultFetchPartition(int32(c.reading), c.fetchAt[c.reading], o.FetchBytes)}}}}
	h := wire.RequestHeader{Key: wire.KeyFetch, Version: c.raw.fetch, CorrelationID: c.id, HasClientID: true}
	f.request = req.Append(wire.AppendRequestHeader(append(f.request[:0], 0, 0, 0, 0), &h))
	binary.BigEndian.PutUint32(f.request, uint32(len(f.request)-4))
	_, err := c.c.Write(f.request)
	return err
}

// take checks what came and moves on. The first batch may begin below the offset asked for, the last one be cut off.
func (f *fetching) take(p *wire.FetchPartitionResponse) error {
	c := f.conn
	next, batches := c.fetchAt[c.reading], 0
	sample := int(f.sum.Requests % 8) // not always the first one
	var sampled batch.Batch
	for rest := p.Records; len(rest) > 0; {
		b, tail, err := batch.First(rest)
		switch {
		case errors.Is(err, batch.ErrShort) && batches > 0: // the answer's limit cuts the last one off
			rest = nil
			continue
		case err != nil:
			return fmt.Errorf("loadgen: partition %d at offset %d: %w", p.Index, next, err)
		case b.BaseOffset() > next || b.LastOffset() < next:
			return fmt.Errorf("loadgen: partition %d: offsets %d to %d where %d is due", p.Index, b.BaseOffset(), b.LastOffset(), next)
		}
		if batches <= sample {
			sampled = b
		}
		next, rest, batches = b.LastOffset()+1, tail, batches+1
	}
	if sampled != nil && !sampled.CRCOK() {
		return fmt.Errorf("loadgen: partition %d: wrong checksum of the batch at offset %d", p.Index, sampled.BaseOffset())
	}
	f.sum.Batches += int64(batches)
	if batches > 0 {
		f.empty = 0
	} else if f.empty++; f.empty > len(c.fetchAt) {
		return fmt.Errorf("loadgen: nothing to fetch in any partition")
	}
	if c.fetchAt[c.reading] = next; batches == 0 || next >= p.HighWatermark {
		c.fetchAt[c.reading] = 0
		c.reading = c.following(c.reading)
	}
	return nil
}

package broker

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// inTransaction is a batch of n records of a producer's transaction; with marker 0 or 1 it is the one that aborts or
// commits it.
func inTransaction(id int64, seq int32, n int, marker int) batch.Batch {
	var bd batch.Builder
	bd.Reset(batch.None)
	bits := byte(0x10)
	if marker < 0 {
		bd.SetProducer(id, 0, seq, false)
		for range n {
			bd.Append(1, nil, []byte("value"))
		}
	} else {
		bits |= 0x20
		bd.SetProducer(id, 0, batch.NoSequence, true)
		bd.Append(1, []byte{0, 0, 0, byte(marker)}, make([]byte, 6))
	}
	b := batch.Batch(bd.Finish())
	b[batch.OffsetAttributes+1] |= bits
	binary.BigEndian.PutUint32(b[batch.OffsetCRC:], crc32.Checksum(b[batch.OffsetAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func appendTo(t *testing.T, l *logstore.Log, batches ...batch.Batch) {
	t.Helper()
	for _, b := range batches {
		if _, err := l.Append(b, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func isolatedFetch(level int8, offset int64, maxBytes int32) []byte {
	p := wire.DefaultFetchPartition(0, offset, maxBytes)
	req := wire.FetchRequest{Version: 11, ReplicaID: -1, MinBytes: 1, MaxBytes: 1 << 20, SessionEpoch: -1, IsolationLevel: level,
		Topics: []wire.FetchTopic{{Name: []byte("t"), Partitions: []wire.FetchPartition{p}}}}
	return req.Append(nil)
}

func (c *client) fetchAt(level int8, offset int64, maxBytes int32) wire.FetchPartitionResponse {
	c.t.Helper()
	c.frame(wire.KeyFetch, 11, isolatedFetch(level, offset, maxBytes))
	c.flush()
	return c.fetched()
}

// TestReadCommitted: fetches and ListOffsets at read_committed end at the last stable offset, and the answers name the
// aborted transactions; the others go on to the high watermark. Both are told both offsets.
func TestReadCommitted(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	log := b.catalog.Image().TopicNamed("t").Partitions[0].log
	appendTo(t, log, inTransaction(7, 0, 2, -1), inTransaction(7, 0, 0, 0), // 0, 1, marker 2
		inTransaction(8, 0, 1, -1), inTransaction(8, 0, 0, 1), // 3, marker 4
		inTransaction(7, 2, 1, -1), inTransaction(8, 1, 1, -1), inTransaction(8, 0, 0, 0)) // 5 open, 6, marker 7
	check := func(what string, p wire.FetchPartitionResponse, next int64, aborted ...wire.AbortedTransaction) {
		t.Helper()
		end := int64(-1)
		for rest := p.Records; len(rest) > 0; {
			x, more, err := batch.First(rest)
			if err != nil {
				t.Fatal(err)
			}
			end, rest = x.LastOffset()+1, more
		}
		if p.Error != wire.None || p.HighWatermark != 8 || p.LastStableOffset != 5 || end != next {
			t.Errorf("%s: error %v, high watermark %d, last stable %d, records up to %d, want %d", what, p.Error, p.HighWatermark,
				p.LastStableOffset, end, next)
		}
		if len(p.Aborted) != len(aborted) || len(aborted) > 0 && p.Aborted[0] != aborted[0] {
			t.Errorf("%s: aborted %v, want %v", what, p.Aborted, aborted)
		}
	}
	check("uncommitted", c.fetchAt(0, 0, 1<<20), 8)
	first := wire.AbortedTransaction{ProducerID: 7, FirstOffset: 0}
	check("committed", c.fetchAt(readCommitted, 0, 1<<20), 5, first)
	check("from the marker on", c.fetchAt(readCommitted, 2, 1<<20), 5, first)
	check("behind it", c.fetchAt(readCommitted, 3, 1<<20), 5)
	check("one batch", c.fetchAt(readCommitted, 0, 1), 2, first)
	check("at the last stable offset", c.fetchAt(readCommitted, 5, 1<<20), -1)
	check("above it", c.fetchAt(readCommitted, 7, 1<<20), -1)

	latest := func(level int8, timestamp int64) int64 {
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version, req.ReplicaID, req.IsolationLevel = 7, -1, level
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = timestamp
		req.Topics = append(req.Topics, kmsg.ListOffsetsRequestTopic{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}})
		return c.ask(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
	}
	for level, want := range []int64{8, 5} {
		if got := latest(int8(level), latestOffset); got != want {
			t.Errorf("isolation %d: latest offset is %d, want %d", level, got, want)
		}
	}
	appendTo(t, log, inTransaction(7, 0, 0, 1))
	if got := latest(readCommitted, latestOffset); got != 9 {
		t.Errorf("latest offset is %d when all have ended", got)
	}
	if p := c.fetchAt(readCommitted, 5, 1<<20); len(p.Aborted) != 1 || p.Aborted[0] != (wire.AbortedTransaction{ProducerID: 8, FirstOffset: 6}) {
		t.Errorf("aborted %v", p.Aborted)
	}
}

// TestCommittedWaits: a fetch at read_committed is not answered by records of an open transaction.
func TestCommittedWaits(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	part := b.catalog.Image().TopicNamed("t").Partitions[0]
	p := wire.DefaultFetchPartition(0, 0, 1<<20)
	req := wire.FetchRequest{Version: 11, ReplicaID: -1, MinBytes: 1, MaxBytes: 1 << 20, MaxWaitMillis: int32(time.Minute.Milliseconds()),
		SessionEpoch: -1, IsolationLevel: readCommitted,
		Topics: []wire.FetchTopic{{Name: []byte("t"), Partitions: []wire.FetchPartition{p}}}}
	c.frame(wire.KeyFetch, 11, req.Append(nil))
	c.flush()
	for _, x := range []batch.Batch{inTransaction(7, 0, 2, -1), inTransaction(7, 2, 1, -1), inTransaction(7, 0, 0, 1)} {
		appendTo(t, part.log, x)
		part.appended(part.log.EndOffset()-1, int64(len(x)), nil)
	}
	if got := c.fetched(); got.LastStableOffset != 4 || len(got.Records) == 0 {
		t.Errorf("last stable offset %d, %d bytes", got.LastStableOffset, len(got.Records))
	}
}

package broker

import (
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// sequenceTime is recent: producers with old batches are forgotten at a start.
var sequenceTime = time.Now().UnixMilli()

// numbered is a batch of n records of an idempotent producer.
func numbered(id int64, epoch int16, seq int32, n int, transactional bool) []byte {
	var b batch.Builder
	b.Reset(batch.None)
	b.SetProducer(id, epoch, seq, transactional)
	for i := range n {
		b.Append(sequenceTime+int64(i), nil, []byte("value"))
	}
	return b.Finish()
}

// produceAnswer sends a batch with acks 1 and returns what is said of its partition.
func (c *client) produceAnswer(topic string, records []byte) wire.ProducePartitionResponse {
	c.t.Helper()
	c.send(topic, 1, records)
	return c.produced()
}

// TestRepeatedBatch: the answer is the first one's, with the time that was stored; nothing is appended or counted.
func TestRepeatedBatch(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	c.produce("t", records(5, 10))
	first := c.produceAnswer("t", numbered(7, 0, 0, 3, false))
	before := b.Stats()
	again := c.produceAnswer("t", numbered(7, 0, 0, 3, false))
	after := b.Stats()
	if first.Error != wire.None || first.BaseOffset != 5 || first.LogAppendTime != -1 || first.LogStartOffset != 0 {
		t.Errorf("first: %+v", first)
	}
	if again.Error != wire.None || again.BaseOffset != 5 || again.LogAppendTime != sequenceTime+2 || again.LogStartOffset != 0 {
		t.Errorf("again: %+v", again)
	}
	if n := after.MessagesIn - before.MessagesIn; n != 0 || after.Partition[0].End != 8 {
		t.Errorf("%d records counted, log ends at %d", n, after.Partition[0].End)
	}
}

func TestSequenceErrors(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	c.produceAnswer("t", numbered(7, 1, 0, 3, false))
	for name, x := range map[string]struct {
		records []byte
		want    wire.ErrorCode
		start   int64
	}{
		"gap":                 {numbered(7, 1, 4, 1, false), wire.OutOfOrderSequenceNumber, 0},
		"old epoch":           {numbered(7, 0, 3, 1, false), wire.InvalidProducerEpoch, 0},
		"new epoch, not at 0": {numbered(7, 2, 3, 1, false), wire.OutOfOrderSequenceNumber, 0},
		"no transactional id": {numbered(7, 1, 3, 1, true), wire.TransactionalIDAuthorizationFailed, -1},
	} {
		if got := c.produceAnswer("t", x.records); got.Error != x.want || got.BaseOffset != -1 || got.LogStartOffset != x.start || got.ErrorMessage != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := c.produceAnswer("t", numbered(7, 1, 3, 1, false)); got.Error != wire.None || got.BaseOffset != 3 {
		t.Errorf("in order: %+v", got)
	}
	req := wire.ProduceRequest{Version: 9, Acks: -1, TransactionalID: []byte("x"), Topics: []wire.ProduceTopic{{
		Name: []byte("t"), Partitions: []wire.ProducePartition{{Records: numbered(7, 1, 4, 1, true)}}}}}
	c.frame(wire.KeyProduce, 9, req.Append(nil))
	c.flush()
	var resp wire.ProduceResponse
	if err := resp.Decode(9, c.receive(wire.KeyProduce, 9)); err != nil || resp.Topics[0].Partitions[0].Error != wire.NotEnoughReplicas {
		t.Errorf("transactional: %+v, %v", resp, err)
	}
}

// TestSequencesOutliveTheBroker: after a stop the last batch of each producer is known.
func TestSequencesOutliveTheBroker(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	c := dial(t, b)
	c.create("t", 1)
	c.produceAnswer("t", numbered(7, 0, 0, 3, false))
	c.produceAnswer("t", numbered(7, 0, 3, 2, false))
	c.c.Close()
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = dial(t, startBroker(t, dir))
	if got := c.produceAnswer("t", numbered(7, 0, 3, 2, false)); got.Error != wire.None || got.BaseOffset != 3 {
		t.Errorf("the last batch again: %+v", got)
	}
	if got := c.produceAnswer("t", numbered(7, 0, 6, 1, false)); got.Error != wire.OutOfOrderSequenceNumber {
		t.Errorf("a gap: %+v", got)
	}
	if got := c.produceAnswer("t", numbered(7, 0, 5, 1, false)); got.Error != wire.None || got.BaseOffset != 5 {
		t.Errorf("the next: %+v", got)
	}
}

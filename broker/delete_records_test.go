package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// deleteRecordsOf asks for one partition and returns its answer.
func (c *client) deleteRecordsOf(topic string, partition int32, offset int64) (low int64, code wire.ErrorCode) {
	c.t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version = 2
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic,
		Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: offset}}}}
	p := c.ask(req).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
	return p.LowWatermark, wire.ErrorCode(p.ErrorCode)
}

// TestDeleteRecordsLast: the new start outlives the broker, whether or not it is stopped in good order.
func TestDeleteRecordsLast(t *testing.T) {
	dir := t.TempDir()
	b, err := tryBroker(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, b)
	c.create("t", 2)
	c.produce("t", records(10, 100))
	if low, code := c.deleteRecordsOf("t", 0, 7); low != 7 || code != wire.None {
		t.Fatal(low, code)
	}
	for _, bad := range []int64{11, -2} {
		if low, code := c.deleteRecordsOf("t", 0, bad); low != -1 || code != wire.OffsetOutOfRange {
			t.Errorf("offset %d: %d %v", bad, low, code)
		}
	}
	c.frame(wire.KeyFetch, 11, fetchBody("t", 6, 0, 0))
	c.flush()
	if p := c.fetched(); p.Error != wire.OffsetOutOfRange {
		t.Errorf("fetch below the start: %v", p.Error)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = startBroker(t, dir)
	c = dial(t, b)
	c.frame(wire.KeyFetch, 11, fetchBody("t", 7, 0, 0))
	c.flush()
	if p := c.fetched(); p.Error != wire.None || p.LogStartOffset != 7 || p.HighWatermark != 10 {
		t.Errorf("after the restart: %v, log %d to %d", p.Error, p.LogStartOffset, p.HighWatermark)
	}
	if low, code := c.deleteRecordsOf("t", 0, -1); low != 10 || code != wire.None {
		t.Errorf("all: %d %v", low, code)
	}
}

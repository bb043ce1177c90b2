package broker

import (
	"io"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// timed is a batch of one record without a key for each of the times.
func timed(times ...time.Time) []byte {
	var b batch.Builder
	for _, at := range times {
		b.Append(at.UnixMilli(), nil, []byte("v"))
	}
	return b.Finish()
}

func TestProduceVersionsAndAcks(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	next := int64(0)
	for v := int16(3); v <= 11; v++ {
		for _, acks := range []int16{acksAll, acksLeader} {
			p := c.produceRequest(&wire.ProduceRequest{Version: v, Acks: acks, Topics: []wire.ProduceTopic{{
				Name: []byte("t"), Partitions: []wire.ProducePartition{{Index: 0, Records: records(2, 10)}},
			}}}).Topics[0].Partitions[0]
			if p.Error != wire.None || p.BaseOffset != next || p.LogAppendTime != -1 || v >= 5 && p.LogStartOffset != 0 {
				t.Errorf("version %d, acks %d: %+v", v, acks, p)
			}
			next += 2
		}
	}
	for _, acks := range []int16{2, -2, 32767} {
		if p := c.produceOne("t", 0, acks, records(1, 1)); p.Error != wire.InvalidRequiredAcks || p.BaseOffset != -1 {
			t.Errorf("acks %d: %+v", acks, p)
		}
	}
	c.frame(wire.KeyProduce, 9, produceBody("t", 0, acksNone, records(1, 1)))
	if at := c.append("t", 0, records(1, 1)); at != next+1 { // the only answer
		t.Errorf("offset %d after one with acks=0, want %d", at, next+1)
	}
}

// TestMinInSyncReplicas: as in Kafka 4 (Partition.effectiveMinIsr), no more are asked for than there are.
func TestMinInSyncReplicas(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.createWith("t", 1, map[string]string{"min.insync.replicas": "2"})
	if p := c.produceOne("t", 0, acksAll, records(1, 1)); p.Error != wire.None {
		t.Error(p.Error)
	}
	if at := c.append("t", 0, records(1, 1)); at != 1 {
		t.Errorf("acks=1 wrote at %d", at)
	}
}

// TestProducePartly has good and bad partitions, and one twice, in one request.
func TestProducePartly(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 2)
	broken := records(2, 10)
	broken[len(broken)-1]++
	parts := func() []wire.ProducePartition {
		return []wire.ProducePartition{
			{Index: 0, Records: records(2, 10)}, {Index: 1, Records: broken}, {Index: 7, Records: records(1, 10)},
			{Index: 0, Records: records(3, 10)}, {Index: 1, Records: records(1, 10)}, {Index: -1, Records: records(1, 10)},
		}
	}
	resp := c.produceRequest(&wire.ProduceRequest{Version: 9, Acks: acksLeader, Topics: []wire.ProduceTopic{
		{Name: []byte("t"), Partitions: parts()}, {Name: []byte("nowhere"), Partitions: parts()},
	}})
	wanted := []struct {
		code wire.ErrorCode
		at   int64
	}{{wire.None, 0}, {wire.CorruptMessage, -1}, {wire.UnknownTopicOrPartition, -1}, {wire.None, 2}, {wire.None, 0},
		{wire.UnknownTopicOrPartition, -1}}
	for i, w := range wanted {
		if p := resp.Topics[0].Partitions[i]; p.Error != w.code || p.BaseOffset != w.at {
			t.Errorf("part %d: %+v, want %v at %d", i, p, w.code, w.at)
		}
		if p := resp.Topics[1].Partitions[i]; p.Error != wire.UnknownTopicOrPartition {
			t.Errorf("part %d of no topic: %v", i, p.Error)
		}
	}
	// Without answers: what is good is written, then the connection is closed.
	c.frame(wire.KeyProduce, 9, (&wire.ProduceRequest{Version: 9, Topics: []wire.ProduceTopic{{Name: []byte("t"), Partitions: parts()}}}).Append(nil))
	c.flush()
	if n, err := c.c.Read(c.in); err != io.EOF {
		t.Errorf("read %d bytes and %v, want the connection closed", n, err)
	}
	if end := partitionOf(b, "t", 0).log.EndOffset(); end != 10 {
		t.Errorf("partition 0 ends at %d, want 10", end)
	}
}

func TestLogAppendTime(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.createWith("t", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	before := time.Now().UnixMilli()
	p := c.produceOne("t", 0, acksLeader, timed(noon, noon.Add(time.Hour)))
	after := time.Now().UnixMilli()
	if p.Error != wire.None || p.LogAppendTime < before || p.LogAppendTime > after {
		t.Fatalf("%+v, want a time from %d to %d", p, before, after)
	}
	got := batches(t, one(t, c.fetch(fetchOf("t", want(0, 0)))).Records)[0]
	if !got.LogAppendTime() || got.MaxTimestamp() != p.LogAppendTime {
		t.Errorf("in the log: %v %d", got.LogAppendTime(), got.MaxTimestamp())
	}
}

func TestTopicRulesForRecords(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	now := time.Now()
	for topic, x := range map[string]struct {
		settings map[string]string
		records  []byte
		code     wire.ErrorCode
		faulty   int
	}{
		"before":  {map[string]string{"message.timestamp.before.max.ms": "60000"}, timed(now, now.Add(-time.Hour), now), wire.InvalidTimestamp, 1},
		"after":   {map[string]string{"message.timestamp.after.max.ms": "60000"}, timed(now.Add(time.Hour), now, now.Add(time.Hour)), wire.InvalidTimestamp, 2},
		"keys":    {map[string]string{"cleanup.policy": "compact"}, timed(now), wire.InvalidRecord, 1},
		"size":    {map[string]string{"max.message.bytes": "100"}, records(1, 200), wire.MessageTooLarge, 0},
		"segment": {map[string]string{"segment.bytes": "1048576", "max.message.bytes": "2000000"}, records(1, 1100000), wire.RecordListTooLarge, 0},
	} {
		if r := c.createWith(topic, 1, x.settings); r.ErrorCode != 0 {
			t.Fatalf("%s: %v", topic, *r.ErrorMessage)
		}
		p := c.produceOne(topic, 0, acksLeader, x.records)
		if p.Error != x.code || len(p.RecordErrors) != x.faulty {
			t.Errorf("%s: %v with %d records at fault, want %v with %d", topic, p.Error, len(p.RecordErrors), x.code, x.faulty)
		}
		if end := partitionOf(b, topic, 0).log.EndOffset(); end != 0 {
			t.Errorf("%s: something was written", topic)
		}
	}
}

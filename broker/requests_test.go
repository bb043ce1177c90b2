package broker

import (
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// longWait is longer than the clients' deadline: who is made to wait for it fails.
const longWait = 10 * time.Minute

// fetchVersion is what the tests below speak unless they say otherwise.
const fetchVersion = 12

// want is a partition of a fetch from offset on.
func want(index int32, offset int64) wire.FetchPartition {
	return wire.DefaultFetchPartition(index, offset, 1<<20)
}

// fetchOf is a Fetch without a session that waits for one byte.
func fetchOf(topic string, partitions ...wire.FetchPartition) *wire.FetchRequest {
	return &wire.FetchRequest{
		Version: fetchVersion, ReplicaID: -1, MaxWaitMillis: int32(longWait.Milliseconds()), MinBytes: 1, MaxBytes: 1 << 20,
		SessionEpoch: -1, Topics: []wire.FetchTopic{{Name: []byte(topic), Partitions: partitions}},
	}
}

func (c *client) sendFetch(req *wire.FetchRequest) {
	c.t.Helper()
	c.frame(wire.KeyFetch, req.Version, req.Append(nil))
	c.flush()
}

// fetchAnswer reads the answer to a Fetch; it is good until the next read.
func (c *client) fetchAnswer(version int16) *wire.FetchResponse {
	c.t.Helper()
	resp := &wire.FetchResponse{}
	if err := resp.Decode(version, c.receive(wire.KeyFetch, version)); err != nil {
		c.t.Fatal(err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.Records == nil {
				c.t.Errorf("%s-%d: records are null", t.Name, p.Index)
			}
		}
	}
	return resp
}

func (c *client) fetch(req *wire.FetchRequest) *wire.FetchResponse {
	c.t.Helper()
	c.sendFetch(req)
	return c.fetchAnswer(req.Version)
}

// one is the only partition of an answer.
func one(t testing.TB, resp *wire.FetchResponse) *wire.FetchPartitionResponse {
	t.Helper()
	if resp.Error != wire.None || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("%v with %d topics, want one partition", resp.Error, len(resp.Topics))
	}
	return &resp.Topics[0].Partitions[0]
}

// batches cuts records into batches and checks each.
func batches(t testing.TB, records []byte) (out []batch.Batch) {
	t.Helper()
	for len(records) > 0 {
		b, rest, err := batch.First(records)
		if err != nil {
			t.Fatalf("answered records: %v", err)
		}
		if !b.CRCOK() {
			t.Fatalf("batch at %d: wrong checksum", b.BaseOffset())
		}
		out, records = append(out, b), rest
	}
	return out
}

// produceRequest sends req and returns the answer, which is good until the next read.
func (c *client) produceRequest(req *wire.ProduceRequest) *wire.ProduceResponse {
	c.t.Helper()
	c.frame(wire.KeyProduce, req.Version, req.Append(nil))
	c.flush()
	resp := &wire.ProduceResponse{}
	if err := resp.Decode(req.Version, c.receive(wire.KeyProduce, req.Version)); err != nil {
		c.t.Fatal(err)
	}
	return resp
}

// produceOne sends one batch and returns the answer for its partition.
func (c *client) produceOne(topic string, partition int32, acks int16, records []byte) wire.ProducePartitionResponse {
	c.t.Helper()
	return c.produceRequest(&wire.ProduceRequest{Version: 9, Acks: acks, TimeoutMillis: 1000, Topics: []wire.ProduceTopic{{
		Name: []byte(topic), Partitions: []wire.ProducePartition{{Index: partition, Records: records}},
	}}}).Topics[0].Partitions[0]
}

// append adds records to a partition and returns their offset.
func (c *client) append(topic string, partition int32, records []byte) int64 {
	c.t.Helper()
	p := c.produceOne(topic, partition, 1, records)
	if p.Error != wire.None {
		c.t.Fatalf("produce to %s-%d: %v %s", topic, partition, p.Error, p.ErrorMessage)
	}
	return p.BaseOffset
}

func (c *client) createWith(topic string, partitions int32, settings map[string]string) kmsg.CreateTopicsResponseTopic {
	c.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	for k, v := range settings {
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	req.Topics = append(req.Topics, rt)
	return c.ask(req).(*kmsg.CreateTopicsResponse).Topics[0]
}

func (c *client) delete(topic string) wire.ErrorCode {
	c.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version = 5
	req.TopicNames = []string{topic}
	return wire.ErrorCode(c.ask(req).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode)
}

// describe asks Metadata for one topic.
func (c *client) describe(topic string, create bool) kmsg.MetadataResponseTopic {
	c.t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = 10, create
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	return c.ask(req).(*kmsg.MetadataResponse).Topics[0]
}

func (c *client) producerID() int64 {
	c.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.ProducerID, req.ProducerEpoch = 4, -1, -1
	resp := c.ask(req).(*kmsg.InitProducerIDResponse)
	if resp.ErrorCode != 0 {
		c.t.Fatalf("InitProducerId: %v", wire.ErrorCode(resp.ErrorCode))
	}
	return resp.ProducerID
}

// until waits for ready, which something that is under way will make true.
func until(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ready(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func untilParked(t testing.TB, b *Broker, n int64) {
	t.Helper()
	until(t, "parked fetches", func() bool { return b.parked.Load() == n })
}

// partitionOf is the broker's own view of a partition.
func partitionOf(b *Broker, topic string, index int32) *Partition {
	return b.catalog.Image().TopicNamed(topic).partition(index)
}

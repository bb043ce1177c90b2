package loadgen

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franzName labels results of this engine.
const franzName = "franz-go"

// deliveryTimeout is how long the client tries before a record fails.
const deliveryTimeout = 30 * time.Second

// franz sends with one franz-go client per producer: what an application sees.
type franz struct {
	*series
	topic   string
	clients []*kgo.Client
	once    sync.Once

	count, records, bytes, compressed atomic.Int64
}

// newFranz makes the clients; they connect when the first record is sent.
func newFranz(m *series, topic string, c *client) (*franz, error) {
	f := &franz{series: m, topic: topic}
	compression, err := codec(c.compression)
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(m.spec.Bootstrap...),
		kgo.ClientID(c.id),
		kgo.ProducerLinger(c.linger),
		kgo.ProducerBatchMaxBytes(int32(c.batchBytes)),
		kgo.ProducerBatchCompression(compression),
		kgo.ProduceRequestTimeout(c.requestTimeout),
		kgo.RecordDeliveryTimeout(deliveryTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		// One more than there can ever be, so that the client never makes the schedule wait.
		kgo.MaxBufferedRecords(m.slots.bound + 1),
		kgo.WithHooks(f),
	}
	switch m.acks {
	case AcksAll:
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case AcksLeader:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(),
			kgo.MaxProduceRequestsInflightPerBroker(c.inFlight))
	default:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite(),
			kgo.MaxProduceRequestsInflightPerBroker(c.inFlight))
	}
	for range m.producers {
		cl, err := kgo.NewClient(opts...)
		if err != nil {
			f.close()
			return nil, err
		}
		f.clients = append(f.clients, cl)
	}
	m.slots.each(func(s *slot) {
		s.record = kgo.Record{Topic: topic, Value: s.value}
		s.promise = func(_ *kgo.Record, err error) { m.done(s, err) }
	})
	return f, nil
}

// send implements engine. The record's timestamp is the intended time.
func (f *franz) send(s *slot) {
	s.record.Partition = s.partition
	s.record.Timestamp = f.clock.epoch.Add(time.Duration(s.intended))
	f.clients[s.producer.id].TryProduce(context.Background(), &s.record, s.promise)
}

// close implements engine. Outstanding records fail with the client's error.
func (f *franz) close() {
	f.once.Do(func() {
		for _, cl := range f.clients {
			cl.Close()
		}
	})
}

// OnProduceBatchWritten implements kgo.HookProduceBatchWritten.
func (f *franz) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, b kgo.ProduceBatchMetrics) {
	if f.clock.now() < f.window {
		return
	}
	f.count.Add(1)
	f.records.Add(int64(b.NumRecords))
	f.bytes.Add(int64(b.UncompressedBytes))
	f.compressed.Add(int64(b.CompressedBytes))
}

func (f *franz) batches() batchCounts {
	return batchCounts{f.count.Load(), f.records.Load(), f.bytes.Load(), f.compressed.Load()}
}

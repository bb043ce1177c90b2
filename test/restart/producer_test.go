package restart

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic      = "restart"
	partitions = 3
	// limit bounds every wait for a broker; reaching it fails the test.
	limit = 60 * time.Second
)

// place is where a record was acknowledged to be.
type place struct {
	partition int32
	offset    int64
}

// ledger is what producers know of each value that they sent. It is shared by all rounds of a test.
type ledger struct {
	mu    sync.Mutex
	acked map[string]place // guarded by mu
	sent  map[string]bool  // guarded by mu
	count atomic.Int64     // len(acked), to wait for progress
	grown chan struct{}    // receives after acked has grown; one slot
}

func newLedger() *ledger {
	return &ledger{acked: map[string]place{}, sent: map[string]bool{}, grown: make(chan struct{}, 1)}
}

func (l *ledger) send(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[value] = true
}

func (l *ledger) acknowledge(r *kgo.Record) {
	l.mu.Lock()
	l.acked[name(r.Value)] = place{r.Partition, r.Offset}
	l.mu.Unlock()
	l.count.Add(1)
	select {
	case l.grown <- struct{}{}:
	default:
	}
}

// awaitMore returns when n further values have been acknowledged.
func (l *ledger) awaitMore(t *testing.T, n int64) {
	t.Helper()
	target := l.count.Load() + n
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for l.count.Load() < target {
		select {
		case <-l.grown:
		case <-timer.C:
			t.Fatalf("only %d acknowledged of %d in %v", l.count.Load(), target, limit)
		}
	}
}

// name is the unique part of a value; the rest fills it up to its size.
func name(value []byte) string {
	s, _, _ := strings.Cut(string(value), " ")
	return s
}

// load runs producers until the returned function is called, which also waits for their end.
func load(t *testing.T, address string, l *ledger, round int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i, acks := range []kgo.Acks{kgo.LeaderAck(), kgo.AllISRAcks(), kgo.AllISRAcks()} {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite(),
			kgo.RecordRetries(0), kgo.MaxProduceRequestsInflightPerBroker(1), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
			kgo.ProducerBatchMaxBytes(64<<10), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(500), kgo.DialTimeout(time.Second),
		)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer client.Close()
			produce(ctx, client, l, fmt.Sprintf("%d-%d", round, i))
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// produce sends values until ctx ends or the broker is gone; values are prefix-0, prefix-1 and so on.
func produce(ctx context.Context, client *kgo.Client, l *ledger, prefix string) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for i := 0; ctx.Err() == nil; i++ {
		value := fmt.Sprintf("%s-%d", prefix, i)
		l.send(value)
		record := &kgo.Record{Value: []byte(value + " " + strings.Repeat("x", i*37%2000))}
		client.Produce(ctx, record, func(r *kgo.Record, err error) {
			if err == nil {
				l.acknowledge(r)
			} else {
				cancel(err)
			}
		})
	}
	// what a broker that has gone did not answer, nobody will
	flush, done := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer done()
	if err := client.Flush(flush); err != nil {
		client.AbortBufferedRecords(flush)
	}
}

// createTopic makes the topic on a fresh broker.
func createTopic(t *testing.T, address string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// readAll is every record of the topic by partition, in the order in which they came.
func readAll(t *testing.T, address string) [partitions][]*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	var records [partitions][]*kgo.Record
	left := map[int32]bool{}
	ends.Each(func(o kadm.ListedOffset) { left[o.Partition] = o.Offset > 0 })
	for left[0] || left[1] || left[2] {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(fetches.Err0(), ctx.Err()); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records[r.Partition] = append(records[r.Partition], r)
			end, _ := ends.Lookup(topic, r.Partition)
			left[r.Partition] = r.Offset+1 < end.Offset
		})
	}
	return records
}

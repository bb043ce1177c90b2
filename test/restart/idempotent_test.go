package restart

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestIdempotentProducers: producers that send again what was not answered, through several ends of the broker, find
// it done once: no record is refused, lost, twice there or out of order.
func TestIdempotentProducers(t *testing.T) {
	for name, end := range map[string]func(*testkit.Broker){
		"kill": (*testkit.Broker).Kill, "terminate": (*testkit.Broker).Terminate,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			broker := testkit.Start(t, dir, settings...)
			createTopic(t, broker.Kafka)
			address := broker.Kafka
			fixed := append([]string{"listeners=PLAINTEXT://" + address}, settings...)
			const producers = 3
			var acked atomic.Int64
			more := make(chan struct{}, 1)
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			var sent [producers]int
			for i := range producers {
				all.Go(func() {
					sent[i] = insist(ctx, t, address, fmt.Sprint("p", i), func() {
						acked.Add(1)
						select {
						case more <- struct{}{}:
						default:
						}
					})
				})
			}
			defer all.Wait()
			defer stop()
			for range 5 {
				target := acked.Load() + 3000
				for timer := time.After(limit); acked.Load() < target; {
					select {
					case <-more:
					case <-timer:
						t.Fatalf("%d acknowledged, %d are due", acked.Load(), target)
					}
				}
				end(broker)
				broker = testkit.Start(t, dir, fixed...)
			}
			stop()
			all.Wait()
			checkOnce(t, readAll(t, address), sent[:])
		})
	}
}

// insist sends numbered values until ctx ends and returns how many; each must be taken in the end.
func insist(ctx context.Context, t *testing.T, address, prefix string, acknowledged func()) (sent int) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.ProducerBatchMaxBytes(16<<10), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(2000),
		kgo.DialTimeout(time.Second), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer client.Close()
	for ; ctx.Err() == nil; sent++ {
		record := &kgo.Record{Value: fmt.Appendf(nil, "%s-%d %s", prefix, sent, strings.Repeat("x", sent*37%1000))}
		client.Produce(t.Context(), record, func(r *kgo.Record, err error) {
			if err != nil {
				t.Errorf("%s: %v", name(r.Value), err)
			}
			acknowledged()
		})
	}
	flush, done := context.WithTimeout(context.Background(), limit)
	defer done()
	if err := client.Flush(flush); err != nil {
		t.Error(err)
	}
	return sent
}

// checkOnce: of each producer all that it sent is there, once, in each partition in order.
func checkOnce(t *testing.T, records [partitions][]*kgo.Record, sent []int) {
	t.Helper()
	seen := map[string]bool{}
	for partition, rs := range records {
		last := map[string]int{}
		for _, r := range rs {
			value := name(r.Value)
			if seen[value] {
				t.Errorf("%s is there twice, the second time at %d of partition %d", value, r.Offset, partition)
			}
			seen[value] = true
			producer, number, _ := strings.Cut(value, "-")
			n, err := strconv.Atoi(number)
			if before, ok := last[producer]; err != nil || ok && n <= before {
				t.Errorf("%s at %d of partition %d comes after %d", value, r.Offset, partition, before)
			}
			last[producer] = n
		}
	}
	total := 0
	for i, n := range sent {
		total += n
		for j := range n {
			if value := fmt.Sprintf("p%d-%d", i, j); !seen[value] {
				t.Fatalf("%s is missing", value)
			}
		}
	}
	if len(seen) != total {
		t.Errorf("%d records, sent were %d", len(seen), total)
	}
	t.Logf("%d records", total)
}

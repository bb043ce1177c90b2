//go:build peers

package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "faults"

// limit bounds every wait; reaching it fails the test.
const limit = 60 * time.Second

// ledger is what the producers know.
type ledger struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every outcome
	acked   map[int32]map[int64]string
	refused map[string]bool // values
	counts  map[int32][2]int
}

func newLedger() *ledger {
	return &ledger{changed: make(chan struct{}), acked: map[int32]map[int64]string{}, refused: map[string]bool{}, counts: map[int32][2]int{}}
}

func (l *ledger) note(p int32, offset int64, value string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.counts[p]
	switch {
	case err == nil:
		if l.acked[p] == nil {
			l.acked[p] = map[int64]string{}
		}
		l.acked[p][offset] = value
		n[0]++
	case errors.Is(err, kerr.KafkaStorageError):
		l.refused[value] = true
		n[1]++
	}
	l.counts[p] = n
	close(l.changed)
	l.changed = make(chan struct{})
}

const (
	acked   = 0
	refused = 1
)

// await waits until each partition has n more outcomes of the kind than when it was called.
func (l *ledger) await(t *testing.T, kind, n int, partitions ...int32) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var from map[int32][2]int
	for {
		l.mu.Lock()
		if from == nil {
			from = map[int32][2]int{}
			for _, p := range partitions {
				from[p] = l.counts[p]
			}
		}
		missing := 0
		for _, p := range partitions {
			missing += max(0, from[p][kind]+n-l.counts[p][kind])
		}
		changed := l.changed
		l.mu.Unlock()
		if missing == 0 {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			t.Fatalf("%d outcomes of kind %d are missing in partitions %v after %v: %v", missing, kind, partitions, limit, l.counts)
		}
	}
}

// load has a producer for each partition, each with one record of size bytes under way, until stop is called.
func (l *ledger) load(t *testing.T, address string, round, size int, partitions ...int32) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, p := range partitions {
		client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite(),
			kgo.RecordRetries(0), kgo.RecordDeliveryTimeout(5*time.Second), kgo.ProducerBatchCompression(kgo.NoCompression()),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MetadataMinAge(50*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer client.Close()
			for i := 0; ctx.Err() == nil; i++ {
				value := fmt.Sprintf("%d-%d-%d", round, p, i)
				r := &kgo.Record{Topic: topic, Partition: p, Value: []byte(value + " " + strings.Repeat("x", size))}
				err := client.ProduceSync(ctx, r).FirstErr()
				l.note(p, r.Offset, value, err)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// check reads everything: offsets without gaps, values once, what was acknowledged where it was, nothing that was
// refused for want of space.
func (l *ledger) check(t *testing.T, address string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	next, seen := map[int32]int64{}, map[string]bool{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(fetches.Err(), ctx.Err()); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			value, _, _ := strings.Cut(string(r.Value), " ")
			if r.Offset != next[r.Partition] {
				t.Fatalf("partition %d: offset %d where %d must be", r.Partition, r.Offset, next[r.Partition])
			}
			next[r.Partition]++
			if seen[value] {
				t.Errorf("%s is there twice", value)
			}
			seen[value] = true
			if l.refused[value] {
				t.Errorf("%s was refused and is there", value)
			}
			if want, ok := l.acked[r.Partition][r.Offset]; ok && want != value {
				t.Errorf("partition %d offset %d: %s was acknowledged, %s is there", r.Partition, r.Offset, want, value)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	total := 0
	for p, offsets := range l.acked {
		total += len(offsets)
		for offset, value := range offsets {
			if offset >= next[p] {
				t.Errorf("%s was acknowledged at %d of partition %d, which ends at %d", value, offset, p, next[p])
			}
		}
	}
	t.Logf("%d acknowledged, %d refused, %d read", total, len(l.refused), len(seen))
}

func admin(t *testing.T, address string) (*kadm.Client, context.Context) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return kadm.NewClient(client), ctx
}

func create(t *testing.T, address, name string, partitions int32) error {
	t.Helper()
	a, ctx := admin(t, address)
	_, err := a.CreateTopic(ctx, partitions, 1, nil, name)
	return err
}

func remove(t *testing.T, address, name string) error {
	t.Helper()
	a, ctx := admin(t, address)
	_, err := a.DeleteTopic(ctx, name)
	return err
}

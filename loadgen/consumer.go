package loadgen

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// consumer reads everything back while the series runs, on a client of its own.
type consumer struct {
	*series
	client *kgo.Client
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // last error of a fetch; read after ended
}

// newConsumer starts reading a topic at the given offset of each partition.
func newConsumer(m *series, topic string, from []int64) (*consumer, error) {
	at := map[int32]kgo.Offset{}
	for p, offset := range from {
		at[int32(p)] = kgo.NewOffset().At(offset)
		m.verify.positions[p] = offset
	}
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(m.spec.Bootstrap...),
		kgo.ClientID("sluice-bench-consumer"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}),
	)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumer{series: m, client: cl, cancel: cancel, ended: make(chan struct{})}
	go c.loop(ctx)
	return c, nil
}

// loop takes one timestamp per poll: the records of a poll reach an application together.
func (c *consumer) loop(ctx context.Context) {
	defer close(c.ended)
	v := c.verify
	for ctx.Err() == nil {
		fetches := c.client.PollFetches(ctx)
		now := c.clock.now()
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.Canceled) {
				c.err = err
			}
		})
		v.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { v.receiveLocked(r.Partition, r.Offset, r.Value, now) })
		v.checkLocked()
		v.mu.Unlock()
	}
}

// close ends the loop and returns its last error.
func (c *consumer) close() error {
	c.cancel()
	<-c.ended
	c.client.Close()
	return c.err
}

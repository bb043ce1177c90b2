package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-mq/sluice/loadgen"
	"github.com/sluice-mq/sluice/test/rig"
)

// measureFsync: with 64 requests of 64 KiB under way, throughput of class fsync beside class os, each into fresh topics;
// one request at a time, the time to its answer beside plain write and fdatasync.
func measureFsync(ctx context.Context, b *bench) error {
	return b.withSluice(ctx, "fsync", nil, func(s *rig.Sluice) error {
		if err := fsyncThroughput(ctx, b, s); err != nil {
			return err
		}
		for _, size := range []int{64 << 10, 4 << 10} {
			if err := fsyncLatency(ctx, b, s, size); err != nil {
				return err
			}
		}
		return nil
	})
}

func fsyncThroughput(ctx context.Context, b *bench, s *rig.Sluice) error {
	const partitions, connections, inFlight = 6, 2, 32
	batch := loadgen.RawBatch(64<<10, 1024, 0)
	os := b.figure("class fsync, 64 × 64 KiB under way, 6 partitions", "MB/s", "class os").AtLeast(0.7)
	raw := b.figure("class fsync, as above", "MB/s", "fdatasync after each 64 × 64 KiB in one file")
	one := func(policy string, round int) (float64, error) {
		topic := fmt.Sprintf("%s-%d", policy, round)
		if _, err := rig.CreateTopic(ctx, s, topic, partitions, "flush.policy", policy); err != nil {
			return 0, err
		}
		d, err := loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: s.Addr(), Topic: topic, Partitions: partitions, Batch: batch,
			Connections: connections, InFlight: inFlight})
		if err != nil {
			return 0, err
		}
		defer d.Close()
		if _, err := d.Produce(ctx, loadgen.RawLoad{For: either(b, 500*time.Millisecond, 100*time.Millisecond)}); err != nil {
			return 0, err
		}
		rig.Settle()
		r, err := d.Produce(ctx, loadgen.RawLoad{For: either(b, 3*time.Second, 500*time.Millisecond)})
		if err != nil {
			return 0, err
		}
		return r.MBPerS(), rig.DeleteTopics(ctx, s, topic)
	}
	for round := range either(b, 2*b.rounds, b.rounds) {
		v, err := inTurn(round, func() (float64, error) { return one("fsync", round) }, func() (float64, error) { return one("os", round) })
		if err != nil {
			return err
		}
		os.Pair(v[0], v[1])
		p, err := newPlain(b.dir, "plain", 0)
		if err != nil {
			return err
		}
		limit, err := p.rate(batch, either[int64](b, 1<<30, 128<<20), connections*inFlight)
		p.remove()
		if err != nil {
			return err
		}
		raw.Pair(v[0], limit)
	}
	return nil
}

// fsyncLatency changes sides every few hundred requests: the device's mood changes too.
func fsyncLatency(ctx context.Context, b *bench, s *rig.Sluice, size int) error {
	batch := loadgen.RawBatch(size, 1024, 0)
	f := b.figure(fmt.Sprintf("class fsync, one %d KiB request at a time, p50", size>>10), "µs", "plain write and fdatasync").AtMost(1.5)
	cost := b.figure(fmt.Sprintf("class os, one %d KiB request at a time, p50", size>>10), "µs", "")
	drivers := map[string]*loadgen.Raw{}
	for _, policy := range []string{"fsync", "os"} {
		topic := fmt.Sprintf("one-%s-%d", policy, size)
		if _, err := rig.CreateTopic(ctx, s, topic, 1, "flush.policy", policy); err != nil {
			return err
		}
		d, err := loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: s.Addr(), Topic: topic, Batch: batch})
		if err != nil {
			return err
		}
		defer d.Close()
		drivers[policy] = d
	}
	p, err := newPlain(b.dir, "plain", 0)
	if err != nil {
		return err
	}
	defer p.remove()
	n := either(b, 500, 200)
	ours := func(policy string) func() (float64, error) {
		return func() (float64, error) {
			r, err := drivers[policy].Produce(ctx, loadgen.RawLoad{Requests: int64(n)})
			return float64(r.Latency.Percentile(50)) / 1e3, err
		}
	}
	for round := range either(b, 4*b.rounds, b.rounds) {
		v, err := inTurn(round, ours("fsync"), func() (float64, error) { return p.syncedAppends(batch, n) })
		if err != nil {
			return err
		}
		f.Pair(v[0], v[1])
		o, err := ours("os")()
		if err != nil {
			return err
		}
		cost.Add(o)
	}
	return nil
}

// inTurn runs both sides, the first one first in even rounds.
func inTurn(round int, sides ...func() (float64, error)) ([2]float64, error) {
	var v [2]float64
	for i := range sides {
		k := (i + round) % len(sides)
		var err error
		if v[k], err = sides[k](); err != nil {
			return v, err
		}
	}
	return v, nil
}

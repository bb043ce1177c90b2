package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-mq/sluice/loadgen"
	"github.com/sluice-mq/sluice/test/rig"
)

// measureKafka: flush.messages=1 in Kafka, class fsync in Sluice, both running all the time, under the same driver in
// turns: 16 connections with one request of 16 KiB under way on each, to 16 partitions; and one connection with one.
func measureKafka(ctx context.Context, b *bench) error {
	k := &rig.Kafka{Script: b.kafka, Port: 29594}
	dir, err := b.fresh("kafka")
	if err != nil {
		return err
	}
	if err := k.Start(ctx, dir); err != nil {
		return err
	}
	defer k.Stop()
	return b.withSluice(ctx, "beside-kafka", nil, func(s *rig.Sluice) error {
		many := b.figure("class fsync, 16 connections × 16 KiB, 16 partitions", "MB/s", "Kafka, flush.messages=1").AtLeast(5)
		one := b.figure("class fsync, one 16 KiB request at a time", "requests/s", "Kafka, flush.messages=1").AtLeast(2)
		raw := b.figure("class fsync, one 16 KiB request at a time", "requests/s", "plain write and fdatasync")
		batch := loadgen.RawBatch(16<<10, 1024, 0)
		drivers := map[rig.Broker][2]*loadgen.Raw{}
		for _, side := range []rig.Broker{s, k} {
			policy := []string{"flush.policy", "fsync"}
			if side == k {
				policy = []string{"flush.messages", "1"}
			}
			var d [2]*loadgen.Raw
			for i, n := range []int{16, 1} {
				topic := fmt.Sprintf("t%d", n)
				if _, err := rig.CreateTopic(ctx, side, topic, n, policy...); err != nil {
					return err
				}
				d[i], err = loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: side.Addr(), Topic: topic, Partitions: n, Connections: n, Batch: batch})
				if err != nil {
					return err
				}
				defer d[i].Close()
				// A JVM needs a while until it runs compiled code.
				if _, err := d[i].Produce(ctx, loadgen.RawLoad{For: either(b, 5*time.Second, 500*time.Millisecond)}); err != nil {
					return err
				}
			}
			drivers[side] = d
		}
		p, err := newPlain(b.dir, "plain", 0)
		if err != nil {
			return err
		}
		defer p.remove()
		side := func(of rig.Broker, i int) func() (*loadgen.RawResult, error) {
			return func() (*loadgen.RawResult, error) {
				return drivers[of][i].Produce(ctx, loadgen.RawLoad{For: either(b, 2*time.Second, 500*time.Millisecond)})
			}
		}
		for round := range b.rounds {
			v, err := inTurn(round, rateOf(side(s, 0)), rateOf(side(k, 0)))
			if err != nil {
				return err
			}
			many.Pair(v[0], v[1])
			v, err = inTurn(round, requestsOf(side(s, 1)), requestsOf(side(k, 1)))
			if err != nil {
				return err
			}
			one.Pair(v[0], v[1])
			us, err := p.syncedAppends(batch, 500)
			if err != nil {
				return err
			}
			raw.Pair(v[0], 1e6/us)
		}
		return nil
	})
}

// rateOf is MB/s of a call of the driver, requestsOf its requests per second.
func rateOf(call func() (*loadgen.RawResult, error)) func() (float64, error) {
	return func() (float64, error) {
		r, err := call()
		if err != nil {
			return 0, err
		}
		return r.MBPerS(), nil
	}
}

func requestsOf(call func() (*loadgen.RawResult, error)) func() (float64, error) {
	return func() (float64, error) {
		r, err := call()
		if err != nil {
			return 0, err
		}
		return float64(r.Requests) / r.Elapsed.Seconds(), nil
	}
}

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sluice-mq/sluice/loadgen"
	"github.com/sluice-mq/sluice/test/rig"
)

// measurePartitions: a broker gets a topic of ten thousand partitions in one request, takes batches to all of them in
// turn beside batches to a topic of six, is stopped, and started again.
func measurePartitions(ctx context.Context, b *bench) error {
	const n = 10_000
	created := b.figure("creation of 10,000 partitions in one request", "s", "").AtMost(2)
	empty := b.figure("memory of each, empty (growth of resident memory)", "KB", "").AtMost(10)
	written := b.figure("memory of each, after batches to all", "KB", "").AtMost(10)
	rate := b.figure("produce to 10,000 partitions, 16 KiB batches, 64 under way", "MB/s", "to 6 partitions").AtLeast(0.8)
	start := b.figure("ready after a clean stop", "ms", "").AtMost(600)
	for round := range either(b, 3, 1) {
		name := fmt.Sprintf("partitions-%d", round)
		err := b.withSluice(ctx, name, nil, func(s *rig.Sluice) error {
			before := resident(s)
			took, err := rig.CreateTopic(ctx, s, "many", n)
			if err != nil {
				return err
			}
			created.Add(took.Seconds())
			empty.Add((resident(s) - before) / n / 1e3)
			if _, err := rig.CreateTopic(ctx, s, "six", 6); err != nil {
				return err
			}
			batch := loadgen.RawBatch(16<<10, 1024, 0)
			many, err := loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: s.Addr(), Topic: "many", Partitions: n, Connections: 2, InFlight: 32, Batch: batch})
			if err != nil {
				return err
			}
			defer many.Close()
			six, err := loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: s.Addr(), Topic: "six", Partitions: 6, Connections: 2, InFlight: 32, Batch: batch})
			if err != nil {
				return err
			}
			defer six.Close()
			if _, err := many.Produce(ctx, loadgen.RawLoad{Requests: n}); err != nil { // opens every file
				return err
			}
			written.Add((resident(s) - before) / n / 1e3)
			load := loadgen.RawLoad{Requests: either[int64](b, 5*n, n)}
			for turn := range either(b, 2*b.rounds, 2) / 2 {
				rig.Settle()
				v, err := inTurn(turn, rateOf(func() (*loadgen.RawResult, error) { return many.Produce(ctx, load) }),
					rateOf(func() (*loadgen.RawResult, error) { return six.Produce(ctx, load) }))
				if err != nil {
					return err
				}
				rate.Pair(v[0], v[1])
			}
			return nil
		})
		if err != nil {
			return err
		}
		for range either(b, 3, 1) {
			begin := time.Now()
			if err := b.withSluice(ctx, name, nil, func(*rig.Sluice) error {
				start.Add(time.Since(begin).Seconds() * 1e3)
				return nil
			}); err != nil {
				return err
			}
		}
	}
	b.note("partitions: each round creates in a data directory of its own, and none of them is removed before the program ends: " +
		"for a minute after a deletion ext4 without a journal looks for inodes that were not freed lately, which makes creation slow")
	return nil
}

// resident is a broker's resident memory in bytes.
func resident(s *rig.Sluice) float64 {
	p, err := loadgen.ReadProcess(s.PID())
	if err != nil {
		return 0
	}
	return float64(p.RSS)
}

// measureRecovery: 64 KiB in each of 1,000 partitions and a kill; nothing is flushed by then, since the first
// checkpoint is a minute away. The page cache is dropped before the start if that is permitted.
func measureRecovery(ctx context.Context, b *bench) error {
	const n = 1000
	f := b.figure("ready after a kill, 64 MiB in 1,000 partitions not flushed", "s", "").AtMost(10)
	raw := b.figure("as above", "s", "reading the same files")
	cold := true
	for round := range either(b, 3, 1) {
		name := fmt.Sprintf("recovery-%d", round)
		dir, err := b.fresh(name)
		if err != nil {
			return err
		}
		s := &rig.Sluice{Binary: b.sluice}
		if err := s.Start(ctx, dir, "log.flush.offset.checkpoint.interval.ms=3600000"); err != nil {
			return err
		}
		if err := fill(ctx, s, n); err != nil {
			_ = s.Kill()
			return err
		}
		if err := s.Kill(); err != nil {
			return err
		}
		cold = rig.DropCaches() == nil && cold
		begin := time.Now()
		if err := readAll(filepath.Join(s.Logs(dir), "t-*", "*.log")); err != nil {
			return err
		}
		limit := time.Since(begin).Seconds()
		cold = rig.DropCaches() == nil && cold
		begin = time.Now()
		if err := s.Start(ctx, dir); err != nil {
			return err
		}
		took := time.Since(begin).Seconds()
		f.Add(took)
		raw.Pair(took, limit)
		if err := s.Stop(); err != nil {
			return err
		}
		b.remove(name)
	}
	b.note("recovery: the page cache was %s before each start", map[bool]string{true: "empty", false: "NOT emptied, which takes root,"}[cold])
	return nil
}

func fill(ctx context.Context, s *rig.Sluice, partitions int) error {
	if _, err := rig.CreateTopic(ctx, s, "t", partitions); err != nil {
		return err
	}
	d, err := loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: s.Addr(), Topic: "t", Partitions: partitions, InFlight: 16,
		Batch: loadgen.RawBatch(16<<10, 1024, 0)})
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := d.Produce(ctx, loadgen.RawLoad{Requests: 64 << 20 / (16 << 10)})
	if err == nil && r.Bytes < 60<<20 {
		err = fmt.Errorf("only %d bytes written", r.Bytes)
	}
	return err
}

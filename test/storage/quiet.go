package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-mq/sluice/loadgen"
	"github.com/sluice-mq/sluice/results"
	"github.com/sluice-mq/sluice/test/rig"
)

// Loads of a window, in an open loop each: 6 partitions get 16 KiB batches, and beside them one partition gets batches
// of 1,000 keys again and again.
const (
	quietRate, keyedRate = 1500, 200 // requests per second
	quietBatch           = 16 << 10
)

// measureQuiet: the same two loads in every window. In windows "with" they go to topics whose segments of 1 MiB roll
// several times a second, are deleted beyond 2 MiB a partition, and are compacted; in windows "without" to topics with
// segments of 1 GiB, where nothing of that happens. Windows of both kinds take turns; between them is a pause in which
// background work ends. Latency counts from the intended time of a request.
func measureQuiet(ctx context.Context, b *bench) error {
	f := b.figure("p99.9 of produce in windows with rolls, deletion and compaction", "µs", "windows without").AtMost(1.2)
	median := b.figure("p50 of the same", "µs", "windows without")
	set := []string{"log.retention.check.interval.ms=500", "log.cleaner.backoff.ms=500", "log.segment.delete.delay.ms=1000"}
	return b.withSluice(ctx, "quiet", set, func(s *rig.Sluice) error {
		with := []string{"segment.bytes", "1048576", "retention.bytes", "2097152"}
		compacted := []string{"segment.bytes", "1048576", "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.1"}
		windows := map[string]*window{}
		for _, kind := range []string{"with", "without"} {
			w := &window{all: results.NewHistogram()}
			var of, keyed []string
			if kind == "with" {
				of, keyed = with, compacted
			}
			if err := w.open(ctx, b, s, kind, of, keyed); err != nil {
				return err
			}
			defer w.close()
			windows[kind] = w
		}
		long := either(b, 8*time.Second, time.Second)
		pause := either(b, 2*time.Second, 100*time.Millisecond)
		for round := range either(b, b.rounds, 1) + 1 {
			var p999, p50 [2]float64
			for i := range 2 {
				k := (i + round) % 2
				w := windows[[]string{"with", "without"}[k]]
				rig.Settle()
				time.Sleep(pause)
				h, err := w.run(ctx, long)
				if err != nil {
					return err
				}
				if round > 0 { // the first one touches memory
					w.all.Merge(h)
				}
				p999[k], p50[k] = float64(h.Percentile(99.9))/1e3, float64(h.Percentile(50))/1e3
			}
			if round > 0 {
				f.Pair(p999[0], p999[1])
				median.Pair(p50[0], p50[1])
			}
		}
		a, z := windows["with"].all, windows["without"].all
		b.note("quiet: over all windows p99.9 is %s µs with and %s µs without (ratio %s), of %d and %d requests; window by window it rests "+
			"on %d requests", rig.Short(float64(a.Percentile(99.9))/1e3), rig.Short(float64(z.Percentile(99.9))/1e3),
			rig.Short(float64(a.Percentile(99.9))/float64(z.Percentile(99.9))), a.Count(), z.Count(), int(quietRate*long.Seconds()/1000))
		b.note("quiet: %s", whatHappened(s.Logs(filepath.Join(b.dir, "quiet"))))
		return nil
	})
}

// window is a pair of loads.
type window struct {
	plain, keyed *loadgen.Raw
	all          *results.Histogram
}

func (w *window) open(ctx context.Context, b *bench, s *rig.Sluice, kind string, of, keyed []string) error {
	const partitions = 6
	if _, err := rig.CreateTopic(ctx, s, kind, partitions, of...); err != nil {
		return err
	}
	if _, err := rig.CreateTopic(ctx, s, kind+"-keyed", 1, keyed...); err != nil {
		b.note("quiet: without compaction, the topic cannot be created: %v", err)
		if _, err := rig.CreateTopic(ctx, s, kind+"-keyed", 1); err != nil {
			return err
		}
	}
	var err error
	w.plain, err = loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: s.Addr(), Topic: kind, Partitions: partitions, Connections: 2,
		InFlight: 64, Batch: loadgen.RawBatch(quietBatch, 1024, 0)})
	if err != nil {
		return err
	}
	w.keyed, err = loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: s.Addr(), Topic: kind + "-keyed", InFlight: 64,
		Batch: loadgen.RawBatch(quietBatch, 100, 1000)})
	return err
}

func (w *window) close() {
	for _, d := range []*loadgen.Raw{w.plain, w.keyed} {
		if d != nil {
			d.Close()
		}
	}
}

// run returns the latencies of the load that is not compacted.
func (w *window) run(ctx context.Context, long time.Duration) (*results.Histogram, error) {
	done := make(chan error, 1)
	go func() {
		_, err := w.keyed.Produce(ctx, loadgen.RawLoad{For: long, Rate: keyedRate})
		done <- err
	}()
	r, err := w.plain.Produce(ctx, loadgen.RawLoad{For: long, Rate: quietRate})
	if e := <-done; err == nil {
		err = e
	}
	return r.Latency, err
}

// whatHappened reads from the directory whether there was anything to measure.
func whatHappened(logs string) string {
	first := func(topic string) string {
		files, _ := filepath.Glob(filepath.Join(logs, topic+"-0", "*.log"))
		if len(files) == 0 {
			return "nothing"
		}
		slices.Sort(files)
		return fmt.Sprintf("%d segments from %.20s on", len(files), filepath.Base(files[0]))
	}
	return fmt.Sprintf("at the end partition 0 had %s (deleted: from 0 on means nothing was), without maintenance %s, compacted %s",
		first("with"), first("without"), first("with-keyed"))
}

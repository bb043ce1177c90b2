package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/sluice-mq/sluice/loadgen"
	"github.com/sluice-mq/sluice/test/rig"
)

// measureOne runs one system through all figures, in the order of measures.
func measureOne(ctx context.Context, s rig.Broker, dir string, o options) (f []float64, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	begin := time.Now()
	if err := s.Start(ctx, dir); err != nil {
		return nil, err
	}
	defer func() {
		if e := s.Stop(); err == nil {
			err = e
		}
	}()
	if err := rig.Answers(ctx, s); err != nil {
		return nil, err
	}
	f = append(f, float64(time.Since(begin).Microseconds())/1e3)
	time.Sleep(3 * time.Second) // idle: start-up work ends, memory settles
	f = append(f, residentMB(s.PID()))
	var produced, fetched []float64
	for _, size := range []int{1024, 100} {
		p, g, err := moveRecords(ctx, s, size, o)
		if err != nil {
			return nil, err
		}
		produced, fetched = append(produced, p...), append(fetched, g...)
	}
	f = append(f, produced...)
	f = append(f, fetched...)
	return append(f, residentMB(s.PID())), nil
}

// moveRecords writes and reads a topic of records with size bytes.
func moveRecords(ctx context.Context, s rig.Broker, size int, o options) (produced, fetched []float64, err error) {
	topic := fmt.Sprintf("records-%d", size)
	if _, err := rig.CreateTopic(ctx, s, topic, o.partitions); err != nil {
		return nil, nil, err
	}
	body := loadgen.RawBatch(o.batch, size, 0)
	d, err := loadgen.DialRaw(ctx, loadgen.RawOptions{Addr: s.Addr(), Topic: topic, Partitions: o.partitions, Batch: body,
		Connections: o.connections, InFlight: o.inFlight})
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	produce := func(n int64) (*loadgen.RawResult, error) {
		return d.Produce(ctx, loadgen.RawLoad{Requests: n / int64(len(body))})
	}
	fetch := func(n int64) (*loadgen.RawResult, error) { return d.Fetch(ctx, n) }
	if produced, err = timed(s.PID(), o, produce); err == nil {
		fetched, err = timed(s.PID(), o, fetch)
	}
	return produced, fetched, err
}

// timed returns MB/s and the broker's CPU seconds per GB of work, after its warm-up.
func timed(pid int, o options, work func(n int64) (*loadgen.RawResult, error)) ([]float64, error) {
	if _, err := work(o.warmup); err != nil {
		return nil, err
	}
	before, err := loadgen.ReadProcess(pid)
	if err != nil {
		return nil, err
	}
	r, err := work(o.bytes)
	if err != nil {
		return nil, err
	}
	after, err := loadgen.ReadProcess(pid)
	usage := loadgen.UsageBetween(before, after, float64(r.Bytes)/1e9)
	return []float64{r.MBPerS(), usage.CPUSecondsPerGB}, err
}

func residentMB(pid int) float64 {
	p, err := loadgen.ReadProcess(pid)
	if err != nil {
		return 0
	}
	return float64(p.RSS) / 1e6
}

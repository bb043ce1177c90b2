package loadgen

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/sluice-mq/sluice/results"
)

// Run measures one series per level of [Spec.Acks], one after the other, on one topic.
// obs may be nil.
//
// An error means that there is nothing to show, with two exceptions: when ctx is
// cancelled, or a series after the first cannot be started, the run so far is returned
// with the error; it is marked as not valid. A cluster that loses, repeats or damages
// records is not an error but a run that is not valid.
//
// While it runs, GOMAXPROCS is one higher, if it was the number of processors: the
// schedule's thread sleeps in a system call and would keep others from its processor.
func Run(ctx context.Context, spec Spec, obs Observer) (*results.Run, error) {
	s, err := spec.withDefaults()
	if err != nil {
		return nil, err
	}
	c, err := s.client()
	if err != nil {
		return nil, err
	}
	if n := runtime.GOMAXPROCS(0); n == runtime.NumCPU() {
		runtime.GOMAXPROCS(n + 1)
		defer runtime.GOMAXPROCS(n)
	}
	run := newRun(s)
	t, err := openTopic(ctx, s)
	if err != nil {
		return nil, err
	}
	run.Topic = t.name
	steal := results.ReadCPUTime()
	id := rand.Uint64()
	for i := range s.Acks {
		if err = runSeries(ctx, run, s, c, t, i, id, obs); err != nil {
			break
		}
	}
	run.Environment.StealPercent = results.ReadCPUTime().StealSince(steal)
	if e := t.close(s); e != nil {
		run.Notes = append(run.Notes, e.Error())
	}
	notes(run)
	if err != nil && len(run.Series) == 0 {
		return nil, err
	}
	return run, err
}

func newRun(s *Spec) *results.Run {
	run := results.New(s.Workload)
	run.Bootstrap, run.Seed = append(run.Bootstrap, s.Bootstrap...), s.Seed
	run.Command = append(run.Command, s.Command...)
	run.DurationS, run.WarmupS = s.Duration.Seconds(), s.Warmup.Seconds()
	run.Environment = results.Host()
	if s.DataDir != "" {
		run.Environment.SetDataDir(s.DataDir)
	}
	return run
}

// runSeries measures the i-th series and adds it to run.
func runSeries(ctx context.Context, run *results.Run, s *Spec, c *client, t *topic, i int, id uint64, obs Observer) error {
	fail := func(err error) error {
		run.Invalid(fmt.Sprintf("acks=%s could not be measured: %v", s.Acks[i], err))
		return fmt.Errorf("loadgen: acks=%s: %w", s.Acks[i], err)
	}
	setup, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	from, err := t.ends(setup)
	if err != nil {
		return fail(err)
	}
	m := newSeries(s, i, t.partitions, id)
	m.axes = axesOf(s, c, t, i)
	// What earlier series wrote late may still come in one that follows acks=0 on a
	// failing broker: then, too, it is foreign and the run not valid.
	m.ownTopic = t.created
	m.ends = func(ctx context.Context) ([]int64, error) {
		ctx, cancel := context.WithTimeout(ctx, setupTimeout)
		defer cancel()
		return t.ends(ctx)
	}
	f, err := newFranz(m, t.name, c)
	if err != nil {
		return fail(err)
	}
	m.engine = f
	defer f.close()
	m.begin()
	back, err := newConsumer(m, t.name, from)
	if err != nil {
		return fail(err)
	}
	if obs != nil {
		obs.SeriesStarted(i, len(s.Acks), m.axes)
	}
	o := m.measure(ctx, obs)
	consumeErr := back.close()
	run.Series = append(run.Series, o.result)
	run.Notes = append(run.Notes, o.notes...)
	if consumeErr != nil && !o.result.Verification.OK {
		o.reasons = append(o.reasons, fmt.Sprintf("acks=%s: the consumer met an error: %v", s.Acks[i], consumeErr))
	}
	for _, r := range o.reasons {
		run.Invalid(r)
	}
	if obs != nil {
		obs.SeriesEnded(i, len(s.Acks), o.result)
	}
	if o.aborted {
		run.Aborted = true
		return context.Cause(ctx)
	}
	return nil
}

func axesOf(s *Spec, c *client, t *topic, i int) results.Axes {
	return results.Axes{
		Op: "produce", Acks: s.Acks[i].String(), Size: s.Size, Partitions: t.partitions, Producers: s.Producers,
		LingerMs: float64(c.linger) / float64(time.Millisecond), BatchBytes: c.batchBytes, Compression: c.compression,
		Engine: franzName, Arrival: string(s.Arrival),
	}
}

// notes adds what a reader has to know about a run that may well be valid.
func notes(run *results.Run) {
	e := run.Environment
	add := func(format string, args ...any) { run.Notes = append(run.Notes, fmt.Sprintf(format, args...)) }
	for _, flag := range e.BuildFlags {
		add("the generator was built with %s; do not compare it with a plain build", flag)
	}
	if e.StealPercent >= 2 {
		add("the host took %.1f %% of the CPU time away", e.StealPercent)
	}
	if e.LoadAverage[0] > float64(e.Cores) {
		add("the machine was busy before the run began, load average %.1f on %d cores", e.LoadAverage[0], e.Cores)
	}
	for _, s := range run.Series {
		for _, k := range results.Kinds() {
			if h := s.Histogram(k); h != nil && h.Clamped() > 0 {
				add("acks=%s: %d %s latencies above %v are recorded as that", s.Acks, h.Clamped(), k.Title(), results.MaxLatency)
			}
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/loadgen"
	"github.com/sluice-mq/sluice/results"
)

// exitInvalid is the exit code of a measurement that was made but must not be believed.
const exitInvalid = 6

type benchFlags struct {
	bootstrap string
	options   []string
	spec      loadgen.Spec
	acks      []string
	arrival   string
	out       string
	json      bool
	quiet     bool
}

func newBenchCommand() *cobra.Command {
	return group("bench", "Measure a Kafka cluster", newBenchRunCommand())
}

func newBenchRunCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Offer records at a fixed rate and measure latency at each acks level",
		Long: "Offer records at a fixed rate (an open loop: the schedule does not wait for the cluster) and measure, at each\n" +
			"acks level, response time from the intended send, service time from the real one, the delay between the two,\n" +
			"and the way to a consumer. Every record is read back and checked. Works on any Kafka cluster.\n\n" +
			"Exits with 6 if the run is not valid: records lost, doubled or damaged, or a generator that fell behind.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fl, s := cmd.Flags(), &f.spec
	fl.StringVarP(&f.bootstrap, "bootstrap", "b", "", "brokers to ask first, host:port, comma-separated (default "+
		defaultBootstrap+", environment: "+envBootstrap+")")
	fl.StringArrayVarP(&f.options, "option", "X", nil, "client setting key=value: "+strings.Join(benchOptionNames(), ", "))
	fl.Float64VarP(&s.Rate, "rate", "r", 1000, "records per second, all producers together")
	fl.DurationVarP(&s.Duration, "duration", "d", 30*time.Second, "how long to measure each acks level")
	fl.DurationVar(&s.Warmup, "warmup", 3*time.Second, "how long to offer records before measuring")
	fl.IntVarP(&s.Size, "size", "s", 1024, "bytes of a record's value")
	fl.StringSliceVarP(&f.acks, "acks", "a", []string{"0", "1", "all"}, "acks levels, one series each")
	fl.IntVarP(&s.Partitions, "partitions", "p", 0, "partitions of a new topic (default 1)")
	fl.StringVarP(&s.Topic, "topic", "t", "", "topic to use; without it a new one, deleted afterwards")
	fl.IntVar(&s.Producers, "producers", 1, "clients, each with connections of its own")
	fl.StringVar(&f.arrival, "arrival", string(loadgen.Constant), "gaps between records: constant or poisson")
	fl.Uint64Var(&s.Seed, "seed", 1, "of payload and arrivals")
	fl.IntVar(&s.BrokerPID, "broker-pid", 0, "process id of a broker on this machine, to sample its CPU and memory")
	fl.StringVar(&f.out, "out", "", "make a run folder under this directory: run.json, histograms (.hgrm, .hlog), report.html")
	fl.BoolVar(&f.json, "json", false, "print the run as one JSON object instead of a table")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	return cmd
}

func (f *benchFlags) run(cmd *cobra.Command) error {
	p := programOf(cmd)
	if err := f.complete(p); err != nil {
		return err
	}
	var watch loadgen.Observer
	if !f.quiet {
		watch = &progress{w: cmd.ErrOrStderr()}
	}
	run, err := loadgen.Run(cmd.Context(), f.spec, watch)
	if run == nil {
		return benchError(err)
	}
	return errors.Join(err, f.show(cmd.OutOrStdout(), cmd.ErrOrStderr(), run))
}

// complete turns flags into the rest of the spec.
func (f *benchFlags) complete(p *program) error {
	f.spec.Bootstrap = strings.Split(firstOf(f.bootstrap, p.getenv(envBootstrap), defaultBootstrap), ",")
	f.spec.Arrival = loadgen.Arrival(f.arrival)
	f.spec.Command = append([]string{"sluice"}, p.args...)
	for _, a := range f.acks {
		level, err := loadgen.ParseAcks(a)
		if err != nil {
			return usageError(err)
		}
		f.spec.Acks = append(f.spec.Acks, level)
	}
	f.spec.ClientOpts = make(map[string]string)
	for _, o := range f.options {
		k, v, ok := strings.Cut(o, "=")
		if !ok {
			return usagef("-X %s: want key=value", o)
		}
		f.spec.ClientOpts[k] = v
	}
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// show prints the run and writes its folder.
func (f *benchFlags) show(out, notes io.Writer, run *results.Run) error {
	write := results.WriteTable
	if f.json {
		write = results.WriteJSON
	}
	if err := write(out, run); err != nil {
		return err
	}
	if f.out != "" {
		dir, err := results.Write(f.out, run)
		if err != nil {
			return err
		}
		fmt.Fprintf(notes, "run folder: %s\n", dir)
	}
	return verdict(run)
}

// verdict is the error of a run that is not valid.
func verdict(run *results.Run) error {
	if run.Valid {
		return nil
	}
	return &exitError{exitInvalid, fmt.Errorf("the run is not valid: %s", strings.Join(run.Reasons, "; "))}
}

func benchError(err error) error {
	switch {
	case errors.Is(err, loadgen.ErrSpec):
		return usageError(err)
	case errors.Is(err, context.Canceled):
		return err
	}
	return kafkaError("bench", err, "")
}

func benchOptionNames() []string { return slices.Sorted(maps.Keys(loadgen.ClientOptions())) }

// progress shows a line a second: on a terminal one that is written over, elsewhere a new one each time.
type progress struct {
	w    io.Writer
	open bool // a line that ends without a line feed is on the terminal
}

func (p *progress) SeriesStarted(index, of int, axes results.Axes) {
	fmt.Fprintf(p.w, "acks=%s (%d of %d)\n", axes.Acks, index+1, of)
}

func (p *progress) Tick(t loadgen.Progress) {
	phase := "measuring"
	if t.Warmup {
		phase = "warming up"
	}
	line := fmt.Sprintf("  %s %3.0f of %.0f s  %9.0f records/s  read back %d  errors %d", phase, t.Elapsed.Seconds(),
		t.Total.Seconds(), t.PerSecond, t.Received, t.Errors)
	if l := t.Last; l != nil && l.Count > 0 {
		line += fmt.Sprintf("  %s p50 %s p99 %s", t.Kind, micros(l.P50), micros(l.P99))
	}
	if isTerminal(p.w) {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.open = true
		return
	}
	fmt.Fprintln(p.w, line)
}

func (p *progress) SeriesEnded(int, int, *results.Series) {
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.open = false
	}
}

// micros shows microseconds; nil is a percentile with too few samples behind it.
func micros(us *float64) string {
	if us == nil {
		return "-"
	}
	return time.Duration(*us * 1e3).Round(time.Microsecond).String()
}

// isTerminal tells whether w is a terminal that may be written over.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := file.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

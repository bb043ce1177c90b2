package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/loadgen"
	"github.com/sluice-mq/sluice/results"
)

type demoFlags struct {
	out      string
	rate     float64
	duration time.Duration
}

func newDemoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a broker on free ports, load it at acks 0, 1 and all, verify every record, write a report",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cmd.Flags().StringVar(&f.out, "out", "out", "directory for the run folder with the report")
	cmd.Flags().Float64VarP(&f.rate, "rate", "r", 5000, "records per second")
	cmd.Flags().DurationVarP(&f.duration, "duration", "d", 7*time.Second, "how long to measure each acks level")
	return cmd
}

func (f *demoFlags) run(cmd *cobra.Command) (err error) {
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := f.start(cmd, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	w := cmd.OutOrStdout()
	addr := s.broker.Addrs()[0]
	fmt.Fprintf(w, "A broker listens on %s, with its data in %s\n", addr, dir)
	run, err := loadgen.Run(cmd.Context(), loadgen.Spec{
		Bootstrap: []string{addr}, Partitions: 3, Rate: f.rate, Duration: f.duration, Warmup: 2 * time.Second, Size: 1024,
		BrokerPID: os.Getpid(), DataDir: dir, Workload: "demo", Command: append([]string{"sluice"}, programOf(cmd).args...),
	}, &progress{w: cmd.ErrOrStderr()})
	if run == nil {
		return benchError(err)
	}
	run.Notes = append(run.Notes, "broker and generator share one process here: CPU and memory are of both")
	return errors.Join(err, f.show(cmd, run))
}

func (f *demoFlags) start(cmd *cobra.Command, dir string) (*server, error) {
	log, err := newLogger(cmd.ErrOrStderr(), "text", "warn")
	if err != nil {
		return nil, err
	}
	values, err := config.Load(config.Input{Sets: []string{
		"log.dirs=" + filepath.Join(dir, "logs"), "listeners=PLAINTEXT://127.0.0.1:0", "admin.listener=",
	}})
	if err != nil {
		return nil, configError(err)
	}
	cfg, err := values.Broker()
	if err != nil {
		return nil, configError(err)
	}
	return startServer(cfg, values, log)
}

func (f *demoFlags) show(cmd *cobra.Command, run *results.Run) error {
	w := cmd.OutOrStdout()
	if err := results.WriteTable(w, run); err != nil {
		return err
	}
	folder, err := results.Write(f.out, run)
	if err != nil {
		return err
	}
	report, err := filepath.Abs(filepath.Join(folder, "report.html"))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nOpen the report: file://%s\nEverything about the run is in %s\nNext: sluice serve, then sluice --help\n", report, folder)
	return lostRecords(run)
}

// lostRecords is the demo's verdict. A busy machine makes figures that are not to be quoted, as the table says, but
// no failure; records that did not come back as they were sent are one.
func lostRecords(run *results.Run) error {
	for _, s := range run.Series {
		if v := s.Verification; v == nil || !v.OK {
			return verdict(run)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

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
		Short: "Start a broker on a free port, load it at acks 0, 1 and all, verify every record, write a report",
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
	b, err := startChild(cmd.Context(), dir, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "A broker (process %d) listens on %s after %d ms, with its data in %s\n", b.PID, b.Kafka, b.took.Milliseconds(), dir)
	run, err := loadgen.Run(cmd.Context(), loadgen.Spec{
		Bootstrap: []string{b.Kafka}, Partitions: 3, Rate: f.rate, Duration: f.duration, Warmup: 2 * time.Second, Size: 1024,
		BrokerPID: b.PID, DataDir: dir, Workload: "demo", Command: append([]string{"sluice"}, programOf(cmd).args...),
	}, &progress{w: cmd.ErrOrStderr()})
	if run == nil {
		return benchError(err)
	}
	return errors.Join(err, f.show(w, run))
}

func (f *demoFlags) show(w io.Writer, run *results.Run) error {
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

// child is a broker in a process of its own, so that its CPU and memory are its own too.
type child struct {
	readiness
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
	took  time.Duration // until it was ready
}

// startChild runs this program's serve on an empty directory and a free port, and waits until it is ready.
func startChild(ctx context.Context, dir string, stderr io.Writer) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ready := filepath.Join(dir, "ready.json")
	b := &child{ended: make(chan struct{}), cmd: exec.Command(program, "serve", "--data", dir, "--ready-file", ready, "--log-level", "warn",
		"--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "admin.listener=127.0.0.1:0", "--set", "coordinator.listeners=127.0.0.1:0")}
	b.cmd.Stderr = stderr
	begin := time.Now()
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = b.cmd.Wait() // how it ended is in ProcessState
		close(b.ended)
	}()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		text, err := os.ReadFile(ready)
		if err == nil {
			b.took = time.Since(begin)
			return b, json.Unmarshal(text, &b.readiness)
		}
		select {
		case <-poll.C:
		case <-b.ended:
			return nil, fmt.Errorf("the broker ended while starting: %v", b.cmd.ProcessState)
		case <-ctx.Done():
			_ = b.cmd.Process.Kill()
			<-b.ended
			return nil, ctx.Err()
		}
	}
}

// stop ends the broker in good order.
func (b *child) stop() error {
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // fails if a signal to both has ended it
	<-b.ended
	if state := b.cmd.ProcessState; !state.Success() {
		return fmt.Errorf("the broker ended with %v", state)
	}
	return nil
}

// Bench measures the coordinator beside a real ZooKeeper on the same machine, in one run, under the same driver.
// Where both run at a time they take turns in short rounds; printed are medians, ranges, and the median and range of each
// round's ratio. All data are 100 bytes.
//
//	go run ./test/zookeeper/bench -sluice bin/sluice -zookeeper test/peers/zookeeper.sh
//	go run ./test/zookeeper/bench -rows rate -quick
//
// Servers listen on loopback, with the settings that they have by default, and are started and stopped by the program;
// their data are in a temporary directory below -dir. The row of idle sessions needs 2 descriptors for each, in this
// process and in the server.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/sluice-mq/sluice/test/rig"
)

// row is a group of figures that are measured together.
type row struct {
	name, about string
	run         func(ctx context.Context, b *bench) error
}

var rows = []row{
	{"rate", "get and set at 16 connections with 16 requests under way on each; one set at a time", measureRate},
	{"tree", "100,000 nodes: creating them, memory, and the start after a kill", measureTree},
	{"idle", "10,000 sessions that are idle: memory", measureIdle},
}

// bench is what the rows share.
type bench struct {
	dir               string // temporary
	sluice, zookeeper string
	rounds            int
	quick             bool
	report            *rig.Report
}

func main() {
	b := &bench{}
	names := flag.String("rows", "", "rows to measure, separated by commas; all if empty")
	dir := flag.String("dir", os.TempDir(), "where the data are while this runs: the file system that is measured")
	flag.StringVar(&b.sluice, "sluice", "bin/sluice", "the sluice binary")
	flag.StringVar(&b.zookeeper, "zookeeper", "test/peers/zookeeper.sh", "the script that starts a ZooKeeper")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of each row")
	flag.BoolVar(&b.quick, "quick", false, "a few seconds for each row: to see that it works, not to quote")
	out := flag.String("json", "", "also write all figures, with every round and the environment, to this file")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: bench [flags]")
		flag.PrintDefaults()
		fmt.Fprintln(os.Stderr, "rows:")
		for _, r := range rows {
			fmt.Fprintf(os.Stderr, "  %-8s%s\n", r.name, r.about)
		}
	}
	flag.Parse()
	if b.quick {
		b.rounds = min(b.rounds, 1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.measure(ctx, *dir, *names, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) measure(ctx context.Context, dir, names, out string) (err error) {
	chosen := rows
	if names != "" {
		list := strings.Split(names, ",")
		chosen = slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !slices.Contains(list, r.name) })
		if len(chosen) != len(list) {
			return fmt.Errorf("no such row among %q", names)
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(dir, "zookeeper-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.report = rig.NewReport(b.dir, b.quick)
	for _, r := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", r.name, r.about)
		n := len(b.report.Figures)
		if err := r.run(ctx, b); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.report.Note("%s was not measured to its end: %v", r.name, err) // the other rows are worth having
		}
		for _, f := range b.report.Figures[n:] {
			f.Row = r.name
		}
		rig.Settle()
	}
	b.report.End()
	b.report.Print(os.Stdout)
	if out == "" {
		return nil
	}
	return b.report.Write(out)
}

// either is long, or short with -quick.
func either[T any](b *bench, long, short T) T {
	if b.quick {
		return short
	}
	return long
}

// fresh makes a directory for a server.
func (b *bench) fresh(s server, round int) (string, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", s.name(), round))
	return dir, os.MkdirAll(dir, 0o755)
}

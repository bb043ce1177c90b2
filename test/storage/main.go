// Storage measures what the log costs, each figure beside a limit that is measured in the same run: plain writes and
// syncs of the same size on the same file system, Kafka 4.3 under the same driver, or Sluice itself in another mode.
// The sides take turns in short rounds; printed are medians, ranges, and the median and range of each round's ratio.
//
//	go run ./test/storage -sluice bin/sluice -kafka test/peers/kafka.sh
//	go run ./test/storage -rows append,fsync -quick
//
// Brokers listen on loopback and are started and stopped by the program; their data are in a temporary directory below
// -dir. Root may drop the page cache, which the recovery row does where it can.
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
	{"append", "batches into a log in this process, beside plain writes to a file", measureAppend},
	{"fsync", "durability class fsync beside class os, and beside plain write and fdatasync", measureFsync},
	{"kafka", "durability class fsync beside Kafka with flush.messages=1", measureKafka},
	{"partitions", "ten thousand partitions: creation, memory, rate beside 6 partitions, start", measurePartitions},
	{"recovery", "1,000 partitions with 64 MiB that were not flushed, after a kill", measureRecovery},
	{"quiet", "p99.9 of produce while segments roll, go and are compacted, beside the same load without", measureQuiet},
}

// bench is what the rows share.
type bench struct {
	dir           string // temporary
	sluice, kafka string
	rounds        int
	quick         bool
	report        *rig.Report
}

func main() {
	b := &bench{}
	names := flag.String("rows", "", "rows to measure, separated by commas; all if empty")
	dir := flag.String("dir", os.TempDir(), "where the data are while this runs: the file system that is measured")
	flag.StringVar(&b.sluice, "sluice", "bin/sluice", "the sluice binary")
	flag.StringVar(&b.kafka, "kafka", "test/peers/kafka.sh", "the script that starts a Kafka broker")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of each row")
	flag.BoolVar(&b.quick, "quick", false, "a few seconds for each row: to see that it works, not to quote")
	out := flag.String("json", "", "also write all figures, with every round and the environment, to this file")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: storage [flags]")
		flag.PrintDefaults()
		fmt.Fprintln(os.Stderr, "rows:")
		for _, r := range rows {
			fmt.Fprintf(os.Stderr, "  %-12s%s\n", r.name, r.about)
		}
	}
	flag.Parse()
	if b.quick {
		b.rounds = min(b.rounds, 2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.measure(ctx, *dir, *names, *out); err != nil {
		fmt.Fprintln(os.Stderr, "storage:", err)
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
	if b.dir, err = os.MkdirTemp(dir, "storage-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if !b.quick {
		rig.TouchMemory(4 << 30)
	}
	b.report = rig.NewReport(b.dir, b.quick)
	for _, r := range chosen {
		b.say("%s: %s", r.name, r.about)
		n := len(b.report.Figures)
		if err := r.run(ctx, b); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.note("%s was not measured to its end: %v", r.name, err) // the other rows are worth having
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

// say tells how far the run is.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// note is printed with the figures.
func (b *bench) note(format string, args ...any) { b.report.Note(format, args...) }

// figure begins a line of the table.
func (b *bench) figure(name, unit, limitIs string) *rig.Figure {
	return b.report.Figure(name, unit, limitIs)
}

func mark(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}

// either is long, or short with -quick.
func either[T any](b *bench, long, short T) T {
	if b.quick {
		return short
	}
	return long
}

// fresh makes an empty directory.
func (b *bench) fresh(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// remove takes a directory of fresh away.
func (b *bench) remove(name string) { _ = os.RemoveAll(filepath.Join(b.dir, name)) }

// withSluice runs work with a broker on the directory name, which stays.
func (b *bench) withSluice(ctx context.Context, name string, set []string, work func(s *rig.Sluice) error) (err error) {
	dir, err := b.fresh(name)
	if err != nil {
		return err
	}
	s := &rig.Sluice{Binary: b.sluice}
	if err := s.Start(ctx, dir, set...); err != nil {
		return err
	}
	defer func() {
		if e := s.Stop(); err == nil {
			err = e
		}
	}()
	return work(s)
}

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"

	"github.com/sluice-mq/sluice/test/rig"
)

// measure is one figure of one round of one system.
type measure struct {
	name   string
	unit   string
	better string // "more" or "less"
}

var measures = []measure{
	{"start to first answer", "ms", "less"},
	{"idle memory", "MB", "less"},
	{"produce 1 KiB, 64 KiB batches", "MB/s", "more"},
	{"produce 1 KiB, broker CPU", "s/GB", "less"},
	{"produce 100 B, 64 KiB batches", "MB/s", "more"},
	{"produce 100 B, broker CPU", "s/GB", "less"},
	{"fetch 1 KiB, 1 MiB answers", "MB/s", "more"},
	{"fetch 1 KiB, broker CPU", "s/GB", "less"},
	{"fetch 100 B, 1 MiB answers", "MB/s", "more"},
	{"fetch 100 B, broker CPU", "s/GB", "less"},
	{"memory after", "MB", "less"},
}

type options struct {
	bytes       int64
	warmup      int64
	connections int
	inFlight    int
	partitions  int
	batch       int
}

func main() {
	sluice := flag.String("sluice", "bin/sluice", "the sluice binary")
	kafka := flag.String("kafka", "test/peers/kafka.sh", "the script that starts a Kafka broker")
	rounds := flag.Int("rounds", 5, "rounds; each runs both systems")
	out := flag.String("json", "", "also write all figures to this file")
	o := options{}
	flag.Int64Var(&o.bytes, "bytes", 1<<30, "bytes of record batches for each produce and fetch figure")
	flag.Int64Var(&o.warmup, "warmup", 1<<30, "bytes that are moved before each figure and not counted")
	flag.IntVar(&o.connections, "connections", 2, "connections of the driver")
	flag.IntVar(&o.inFlight, "in-flight", 5, "requests under way on each connection")
	flag.IntVar(&o.batch, "batch", 64<<10, "bytes of a batch")
	flag.IntVar(&o.partitions, "partitions", 6, "partitions of each topic")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *sluice, *kafka, *rounds, *out, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, sluice, kafka string, rounds int, out string, o options) error {
	dir, err := os.MkdirTemp("", "compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	systems := []rig.Broker{&rig.Sluice{Binary: sluice}, &rig.Kafka{Script: kafka, Port: 29592}}
	figures := make(map[string][][]float64) // by system, round, measure
	rig.TouchMemory(4 << 30)
	for r := range rounds {
		for _, s := range systems {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", r+1, rounds, s.Name())
			f, err := measureOne(ctx, s, filepath.Join(dir, fmt.Sprintf("%s-%d", s.Name(), r)), o)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name(), err)
			}
			figures[s.Name()] = append(figures[s.Name()], f)
		}
		slices.Reverse(systems) // A B, B A: neither always comes first
	}
	print(figures, "sluice", "kafka")
	if out == "" {
		return nil
	}
	text, err := json.MarshalIndent(figures, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

// print shows medians, and the median of the ratios of the pairs that ran side by side.
func print(figures map[string][][]float64, a, b string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\t%s\t%s\t%s/%s\tbetter\t\n", a, b, a, b)
	for i, m := range measures {
		var as, bs, ratios []float64
		for r := range figures[a] {
			x, y := figures[a][r][i], figures[b][r][i]
			as, bs, ratios = append(as, x), append(bs, y), append(ratios, x/y)
		}
		fmt.Fprintf(w, "%s, %s\t%.4g\t%.4g\t%.3g\t%s\t\n", m.name, m.unit, rig.Median(as), rig.Median(bs), rig.Median(ratios), m.better)
	}
	w.Flush()
}

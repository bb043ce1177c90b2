package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of the produce verb. Memory is at most maxBuffered and one record more,
// besides what is on its way.
const (
	maxRecord          = 100 << 20 // Kafka's default socket.request.max.bytes
	maxBuffered        = 32 << 20  // bytes of records read and not yet acknowledged; above it reading waits
	maxBufferedRecords = 100_000
	deliveryTimeout    = 30 * time.Second // default of delivery.timeout.ms: time without an acknowledgement after which all is given up
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

var acksLevels = map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks(), "-1": kgo.AllISRAcks()}

type produceFlags struct {
	clientFlags
	partition int32
	key       string
	hasKey    bool
	headers   []string
	acks      string
	codec     string
	format    string
	raw       bool
	quiet     bool
	output    string

	hdrs  []kgo.RecordHeader
	input recordFormat
}

func newProduceCommand() *cobra.Command {
	var f produceFlags
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write records from standard input, by default one per line",
		Long: "Write records from standard input, by default one per line, and say where they went.\n\n" +
			"With acks all (the default) each record is written once and in the order of the input, also across retries.\n" +
			"If a record cannot be written, reading stops and the exit code is not 0. On interruption what was read is\n" +
			"still sent.\n\n" + formatHelp,
		Example: `  seq 10 | sluice produce orders
  sluice produce orders -f '%k\t%v\n' < pairs.tsv
  sluice produce images --raw -k logo -z none < logo.png`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.hasKey = cmd.Flags().Changed("key")
			if err := f.parse(); err != nil {
				return usageError(err)
			}
			return f.run(cmd, args[0])
		},
	}
	f.register(cmd)
	fl := cmd.Flags()
	fl.Int32VarP(&f.partition, "partition", "p", -1, "partition; -1 chooses by key, or any without key")
	fl.StringVarP(&f.key, "key", "k", "", "key of all records")
	fl.StringArrayVarP(&f.headers, "header", "H", nil, "header name=value of all records")
	fl.StringVar(&f.acks, "acks", "all", "acknowledgement to wait for: 0, 1, all")
	fl.StringVarP(&f.codec, "compression", "z", "none", "codec: none, gzip, snappy, lz4, zstd")
	fl.StringVarP(&f.format, "format", "f", "", `format of the input, such as '%k\t%v\n'`)
	fl.BoolVar(&f.raw, "raw", false, "the whole input is one record")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print nothing when all is well")
	_ = cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions(slices.Sorted(maps.Keys(codecs)), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("acks", cobra.FixedCompletions([]string{"0", "1", "all"}, cobra.ShellCompDirectiveNoFileComp))
	addOutput(cmd, &f.output)
	return cmd
}

func (f *produceFlags) parse() error {
	if _, ok := acksLevels[f.acks]; !ok {
		return fmt.Errorf("--acks %s: want 0, 1 or all", f.acks)
	}
	if _, ok := codecs[f.codec]; !ok {
		return fmt.Errorf("-z %s: want none, gzip, snappy, lz4 or zstd", f.codec)
	}
	if f.partition < -1 {
		return fmt.Errorf("-p %d: want a partition, or -1", f.partition)
	}
	if f.raw && f.format != "" {
		return errors.New("--raw and --format exclude each other")
	}
	for _, h := range f.headers {
		hdr, err := parseHeader(h)
		if err != nil {
			return fmt.Errorf("-H: %w", err)
		}
		f.hdrs = append(f.hdrs, hdr)
	}
	if f.format == "" {
		f.input = recordFormat{{verb: 'v'}, {text: []byte("\n")}}
		return nil
	}
	var err error
	if f.input, err = parseFormat(f.format, "tpkvhd"); err == nil {
		err = f.input.checkInput()
	}
	if err != nil {
		return fmt.Errorf("-f: %w", err)
	}
	return nil
}

// manual tells whether the input or a flag names the partition.
func (f *produceFlags) manual() bool {
	return f.partition >= 0 || slices.ContainsFunc(f.input, func(s segment) bool { return s.verb == 'p' })
}

func (f *produceFlags) options(topic string) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(topic),
		kgo.AllowAutoTopicCreation(), // the cluster decides
		kgo.RequiredAcks(acksLevels[f.acks]),
		kgo.ProducerBatchCompression(codecs[f.codec]),
		kgo.MaxBufferedBytes(maxBuffered),
		kgo.MaxBufferedRecords(maxBufferedRecords),
	}
	if acksLevels[f.acks] != kgo.AllISRAcks() {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if f.manual() {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	return opts
}

func (f *produceFlags) run(cmd *cobra.Command, topic string) error {
	ctx := cmd.Context()
	c, err := f.dial(ctx, programOf(cmd), f.options(topic)...)
	if err != nil {
		return err
	}
	defer c.Close()
	// What was accepted is still sent after an interruption, hence another context.
	send, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	t := newTally(c.conn.delivery, giveUp)
	err = f.feed(ctx, send, c, cmd.InOrStdin(), t)
	_ = c.Flush(send) // whatever it left shows in the tally
	return f.conclude(ctx, cmd.OutOrStdout(), c, t, err)
}

// feed hands the input's records to the client until the input or a context ends, or
// a record fails.
// Reading cannot be interrupted, so it has a goroutine of its own, which may outlast
// feed in a read but sends nothing any more.
func (f *produceFlags) feed(ctx, send context.Context, c *cluster, in io.Reader, t *tally) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.read(ctx, send, c, in, t) }()
	select {
	case err := <-done:
		return err
	case <-t.failed:
		return nil // the tally knows
	case <-send.Done():
		return nil // as well
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *produceFlags) read(ctx, send context.Context, c *cluster, in io.Reader, t *tally) error {
	if f.raw {
		value, err := io.ReadAll(io.LimitReader(in, maxRecord+1))
		if err != nil {
			return err
		}
		if len(value) > maxRecord {
			return fmt.Errorf("%w: the input has more than %d bytes", errTooLong, maxRecord)
		}
		if t.begin(ctx) {
			c.Produce(send, f.finish(&kgo.Record{Value: value}), t.end)
		}
		return nil
	}
	rr := recordReader{in: bufio.NewReaderSize(in, 256<<10), format: f.input, limit: maxRecord}
	for n := 1; ; n++ {
		r := new(kgo.Record)
		switch err := rr.next(r); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("record %d of the input: %w", n, err)
		case !t.begin(ctx):
			return nil
		}
		c.Produce(send, f.finish(r), t.end)
	}
}

// finish adds what flags say to a record that was read.
func (f *produceFlags) finish(r *kgo.Record) *kgo.Record {
	if f.hasKey {
		r.Key = []byte(f.key)
	}
	if f.partition >= 0 {
		r.Partition = f.partition
	}
	r.Headers = append(r.Headers, f.hdrs...)
	return r
}

type partitionOf struct {
	topic     string
	partition int32
}

// partitionTally is what was written to one partition.
type partitionTally struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Records     int64  `json:"records"`
	FirstOffset int64  `json:"first_offset"` // -1 with acks 0
	LastOffset  int64  `json:"last_offset"`
}

// tally counts what became of the records, and gives up when records are on their
// way and none is acknowledged for long. The client's own time-outs do not serve
// here: they count from a record's timestamp, which the input may set.
type tally struct {
	patience time.Duration
	watch    *time.Timer   // runs while records are on their way
	failed   chan struct{} // closed when err is set

	mu    sync.Mutex
	parts map[partitionOf]*partitionTally // guarded by mu
	read  int64                           // guarded by mu
	sent  int64                           // guarded by mu
	bytes int64                           // guarded by mu; keys and values of records sent
	err   error                           // guarded by mu; the first
	onWay int64                           // guarded by mu
}

func newTally(patience time.Duration, giveUp func()) *tally {
	t := &tally{patience: patience, failed: make(chan struct{}), parts: map[partitionOf]*partitionTally{}}
	t.watch = time.AfterFunc(patience, giveUp)
	t.watch.Stop()
	return t
}

// begin counts a record about to be sent. It reports false when none may be sent
// any more.
func (t *tally) begin(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil || t.err != nil {
		return false
	}
	t.read++
	if t.onWay++; t.onWay == 1 {
		t.watch.Reset(t.patience)
	}
	return true
}

// end counts a record's outcome.
func (t *tally) end(r *kgo.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.onWay--; t.onWay == 0 {
		t.watch.Stop()
	} else {
		t.watch.Reset(t.patience)
	}
	if err != nil {
		if t.err == nil {
			t.err = err
			close(t.failed)
		}
		return
	}
	t.sent++
	t.bytes += int64(len(r.Key) + len(r.Value))
	id := partitionOf{r.Topic, r.Partition}
	p := t.parts[id]
	if p == nil {
		p = &partitionTally{Topic: r.Topic, Partition: r.Partition, FirstOffset: r.Offset, LastOffset: r.Offset}
		t.parts[id] = p
	}
	p.Records++
	p.FirstOffset, p.LastOffset = min(p.FirstOffset, r.Offset), max(p.LastOffset, r.Offset)
}

// produceResult is what produce -o json shows; the names are stable.
type produceResult struct {
	Records      int64             `json:"records"`
	Bytes        int64             `json:"bytes"` // of keys and values
	Acknowledged bool              `json:"acknowledged"`
	Partitions   []*partitionTally `json:"partitions"`
}

// conclude reports what was written, and fails unless that is everything.
func (f *produceFlags) conclude(ctx context.Context, w io.Writer, c *cluster, t *tally, errRead error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	res := produceResult{Records: t.sent, Bytes: t.bytes, Acknowledged: acksLevels[f.acks] != kgo.NoAck(), Partitions: []*partitionTally{}}
	for _, p := range t.parts {
		res.Partitions = append(res.Partitions, p)
	}
	slices.SortFunc(res.Partitions, func(a, b *partitionTally) int {
		if n := strings.Compare(a.Topic, b.Topic); n != 0 {
			return n
		}
		return int(a.Partition) - int(b.Partition)
	})
	var errs []error
	if !f.quiet {
		errs = append(errs, f.write(w, res))
	}
	if lost := t.read - t.sent; lost > 0 {
		errs = append(errs, notWritten(ctx, c, lost, t.read, t.err))
	}
	return errors.Join(append(errs, errRead)...)
}

func notWritten(ctx context.Context, c *cluster, lost, read int64, err error) error {
	what := fmt.Sprintf("%d of %d records were not acknowledged", lost, read)
	if _, ok := errors.AsType[*kerr.Error](err); ok {
		return kafkaError(what, err, "")
	}
	if reachErr := c.reach(context.WithoutCancel(ctx)); reachErr != nil {
		return &exitError{exitUnreachable, fmt.Errorf("%s: %w", what, reachErr)}
	}
	if err == nil {
		return fmt.Errorf("%s within %v", what, c.conn.delivery)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (f *produceFlags) write(w io.Writer, res produceResult) error {
	t := &table{data: res, columns: []column{
		{name: "topic"}, {name: "partition", right: true}, {name: "records", right: true},
		{name: "first_offset", right: true}, {name: "last_offset", right: true},
	}}
	for _, p := range res.Partitions {
		t.add(p.Topic, p.Partition, p.Records, offsetText(p.FirstOffset), offsetText(p.LastOffset))
	}
	return t.write(w, f.output)
}

// offsetText shows an offset that the broker did not tell as nothing.
func offsetText(o int64) string {
	if o < 0 {
		return "-"
	}
	return strconv.FormatInt(o, 10)
}

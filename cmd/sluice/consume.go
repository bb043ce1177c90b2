package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of the consume verb: one answer of each broker is in memory, compressed or
// not, and pollRecords of its records are worked on at a time.
const (
	fetchBytes  = 16 << 20
	pollRecords = 10_000
)

type consumeFlags struct {
	clientFlags
	from   string
	count  int64
	format string
	exit   bool
	follow bool
	output string
	shared groupFlags

	line      recordFormat
	topic     string
	partition int32 // -1 for all
}

func newConsumeCommand() *cobra.Command {
	var f consumeFlags
	cmd := &cobra.Command{
		Use:   "consume TOPIC[/PARTITION]",
		Short: "Print records of a topic",
		Long: "Print records of a topic, by default the value of each and a newline, and wait for more.\n\n" +
			"Records of one partition come in order. If records cannot be read, such as those that were deleted while\n" +
			"reading, the exit code is not 0.\n\n" + groupHelp + "\n\n" + formatHelp,
		Example: `  sluice consume orders --exit
  sluice consume orders/0 --from 1500 -n 10 -f '%o %k=%v\n'
  sluice consume orders --from end -o json
  sluice consume orders --zookeeper 127.0.0.1:2181 --group billing`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.parse(args[0]); err != nil {
				return usageError(err)
			}
			if f.shared.zookeeper != "" {
				return f.runGroup(cmd)
			}
			return f.run(cmd)
		},
	}
	f.register(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.from, "from", "start", "where to begin: start, end, an offset, or -N for the last N of each partition")
	fl.Int64VarP(&f.count, "count", "n", 0, "end after so many records, 0 for no limit")
	fl.StringVarP(&f.format, "format", "f", `%v\n`, "format of the output")
	fl.BoolVarP(&f.exit, "exit", "e", false, "end at what is the end of each partition when beginning")
	fl.BoolVar(&f.follow, "follow", false, "wait for more at the end (the default)")
	f.shared.register(cmd)
	addOutput(cmd, &f.output, "format", "json")
	return cmd
}

func (f *consumeFlags) parse(arg string) error {
	f.topic, f.partition = arg, -1
	if name, part, ok := strings.Cut(arg, "/"); ok {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%s: %q is no partition", arg, part)
		}
		f.topic, f.partition = name, int32(n)
	}
	if f.from != "start" && f.from != "end" {
		if _, err := strconv.ParseInt(f.from, 10, 64); err != nil {
			return fmt.Errorf("--from %s: want start, end, an offset or -N", f.from)
		}
	}
	switch {
	case f.topic == "":
		return errors.New("the topic's name is empty")
	case f.count < 0:
		return fmt.Errorf("-n %d: want 0 or more", f.count)
	case f.exit && f.follow:
		return errors.New("--exit and --follow exclude each other")
	}
	if err := f.checkGroup(); err != nil {
		return err
	}
	var err error
	if f.line, err = parseFormat(f.format, "tpokvhd"); err != nil {
		return fmt.Errorf("-f: %w", err)
	}
	return nil
}

// extent is what to read of one partition: from begin up to end.
type extent struct{ begin, end int64 }

func consumeOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(1 << 20), kgo.MaxConcurrentFetches(4),
		kgo.KeepControlRecords(),                    // so that the end is seen when it is a transaction's marker
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // offsets that are gone are an error, not skipped
	}
}

func (f *consumeFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	c, err := f.dial(ctx, programOf(cmd), consumeOptions()...)
	if err != nil {
		return err
	}
	defer c.Close()
	extents, err := f.extents(ctx, c)
	if err != nil {
		return err
	}
	offsets := map[int32]kgo.Offset{}
	for p, e := range extents {
		offsets[p] = kgo.NewOffset().At(e.begin)
		if e.begin >= e.end {
			delete(extents, p)
		}
	}
	if f.exit && len(extents) == 0 {
		return nil
	}
	c.AddConsumePartitions(map[string]map[int32]kgo.Offset{f.topic: offsets})
	p := printer{flags: f, w: bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10), left: extents}
	err = f.poll(ctx, c, &p, cmd.ErrOrStderr())
	if errFlush := p.w.Flush(); err == nil {
		err = errFlush
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !f.exit && f.count == 0 {
		return nil // without an end of its own, being stopped is the ordinary way to end
	}
	return err
}

// extents asks the brokers which offsets there are, and refuses to begin outside.
func (f *consumeFlags) extents(ctx context.Context, c *cluster) (map[int32]extent, error) {
	if _, err := c.topic(ctx, f.topic); err != nil {
		return nil, err
	}
	start, err := c.admin.ListStartOffsets(ctx, f.topic)
	if err != nil {
		return nil, c.failed(ctx, "start offsets", err)
	}
	end, err := c.admin.ListEndOffsets(ctx, f.topic)
	if err != nil {
		return nil, c.failed(ctx, "end offsets", err)
	}
	out := map[int32]extent{}
	for part, s := range start[f.topic] {
		e, ok := end.Lookup(f.topic, part)
		if f.partition >= 0 && part != f.partition || !ok {
			continue
		}
		name := fmt.Sprintf("topic %s partition %d", f.topic, part)
		if err := firstError(s.Err, e.Err); err != nil {
			return nil, kafkaError(name, err, "")
		}
		x, err := f.extent(s, e)
		if err != nil {
			return nil, kafkaError(name, err, fmt.Sprintf("--from %s is not in the offsets %d to %d that exist", f.from, s.Offset, e.Offset))
		}
		out[part] = x
	}
	if len(out) == 0 {
		return nil, kafkaError(fmt.Sprintf("topic %s partition %d", f.topic, f.partition), kerr.UnknownTopicOrPartition, "there is no such partition")
	}
	return out, nil
}

func (f *consumeFlags) extent(start, end kadm.ListedOffset) (extent, error) {
	switch f.from {
	case "start":
		return extent{start.Offset, end.Offset}, nil
	case "end":
		return extent{end.Offset, end.Offset}, nil
	}
	n, _ := strconv.ParseInt(f.from, 10, 64) // parse has checked it
	if n < 0 {
		return extent{max(start.Offset, end.Offset+n), end.Offset}, nil
	}
	if n < start.Offset || n > end.Offset {
		return extent{}, kerr.OffsetOutOfRange
	}
	return extent{n, end.Offset}, nil
}

// poll reads until the printer has had enough or something fails. When nothing
// comes for long it makes sure that the cluster is still there.
func (f *consumeFlags) poll(ctx context.Context, c *cluster, p *printer, stderr io.Writer) error {
	silent := false
	for {
		pollCtx, cancel := context.WithTimeout(ctx, c.conn.timeout)
		fetches := c.PollRecords(pollCtx, p.want())
		idle := pollCtx.Err() != nil && fetches.NumRecords() == 0
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if done, err := p.print(fetches); done || err != nil {
			return err
		}
		if idle {
			err := c.reach(ctx)
			if err != nil && (f.exit || f.count > 0) {
				return err
			}
			if err != nil && !silent {
				fmt.Fprintf(stderr, "warning: %v; trying on\n", err)
			}
			silent = err != nil
			continue
		}
		for _, e := range fetches.Errors() {
			return c.failed(ctx, fmt.Sprintf("topic %s partition %d", e.Topic, e.Partition), e.Err)
		}
	}
}

// printer writes records and knows when the last wanted one has come.
type printer struct {
	flags   *consumeFlags
	w       *bufio.Writer
	left    map[int32]extent // partitions whose end has not been reached
	next    map[int32]int64  // the offset behind what was written, if somebody wants to know
	printed int64
	buf     []byte
}

// want is how many records to ask for.
func (p *printer) want() int {
	if p.flags.count > 0 {
		return int(min(pollRecords, p.flags.count-p.printed))
	}
	return pollRecords
}

// print writes what came and reports whether that was all.
func (p *printer) print(fetches kgo.Fetches) (done bool, err error) {
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		e, pending := p.left[r.Partition]
		if p.flags.exit && !pending {
			continue // beyond what was the end
		}
		if r.Attrs.IsControl() {
			p.wrote(r) // nothing
		} else if !(p.flags.exit && r.Offset >= e.end) {
			if err := p.record(r); err != nil {
				return true, err
			}
			p.wrote(r)
			if p.printed++; p.printed == p.flags.count {
				return true, p.w.Flush()
			}
		}
		if r.Offset+1 >= e.end {
			delete(p.left, r.Partition)
		}
	}
	return p.flags.exit && len(p.left) == 0, p.w.Flush()
}

func (p *printer) wrote(r *kgo.Record) {
	if p.next != nil {
		p.next[r.Partition] = r.Offset + 1
	}
}

func (p *printer) record(r *kgo.Record) error {
	if p.flags.output == "json" {
		return writeRecordJSON(p.w, r)
	}
	p.buf = p.flags.line.appendRecord(p.buf[:0], r)
	_, err := p.w.Write(p.buf)
	return err
}

// recordJSON is a record as consume -o json shows it, one to a line; the names are
// stable. Bytes that are not UTF-8 text are in the _base64 field instead, null keys
// and values are null in the plain one.
type recordJSON struct {
	Topic       string       `json:"topic"`
	Partition   int32        `json:"partition"`
	Offset      int64        `json:"offset"`
	Timestamp   int64        `json:"timestamp"` // ms since 1970
	Key         *string      `json:"key"`
	KeyBase64   []byte       `json:"key_base64,omitempty"`
	Value       *string      `json:"value"`
	ValueBase64 []byte       `json:"value_base64,omitempty"`
	Headers     []headerJSON `json:"headers"`
}

type headerJSON struct {
	Name        string  `json:"name"`
	Value       *string `json:"value"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

func writeRecordJSON(w io.Writer, r *kgo.Record) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(newRecordJSON(r))
}

func newRecordJSON(r *kgo.Record) recordJSON {
	j := recordJSON{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Headers: []headerJSON{}}
	j.Key, j.KeyBase64 = textOrBytes(r.Key)
	j.Value, j.ValueBase64 = textOrBytes(r.Value)
	for _, h := range r.Headers {
		hj := headerJSON{Name: h.Key}
		hj.Value, hj.ValueBase64 = textOrBytes(h.Value)
		j.Headers = append(j.Headers, hj)
	}
	return j
}

func textOrBytes(b []byte) (*string, []byte) {
	if b == nil {
		return nil, nil
	}
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

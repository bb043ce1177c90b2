package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/logstore"
)

type logDumpFlags struct {
	records  bool
	format   string // verbs, for records
	output   string
	from, to int64
	maxBytes int64
	count    int64
	cached   bool

	line recordFormat
}

func newLogDumpCommand() *cobra.Command {
	f := logDumpFlags{}
	cmd := &cobra.Command{
		Use:   "dump PATH...",
		Short: "Show what is in the files of a log",
		Long: `Show what is in the files of a log: of a partition's directory or a .log file the headers of the batches, one to a
line, or with --records the records; the entries of an .index, .timeindex or .txnindex; the producers of a .snapshot;
the lines of a checkpoint, of partition.metadata or meta.properties.

Output begins at once and takes some MiB of memory, however large the files: json is one object per line, yaml one
document per row. Bytes that are no batch are shown where they are, and make the exit code 7. Records' offsets and
times are absolute; keys and values of tables are quoted, and cut unless the output is wide.

` + formatHelp,
		Example: `  sluice log dump sluice-data/logs/orders-0
  sluice log dump sluice-data/logs/orders-0 --records --from 1500 -n 10
  sluice log dump sluice-data/logs/orders-0/00000000000000000000.log -f '%o %k=%v\n'
  sluice log dump sluice-data/logs/orders-0/00000000000000000000.timeindex -o csv`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.parse(cmd); err != nil {
				return usageError(err)
			}
			return f.run(cmd, args)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&f.records, "records", "r", false, "records instead of batches")
	fl.StringVarP(&f.format, "format", "f", "", "records, in this format")
	fl.Int64Var(&f.from, "from", 0, "begin with the batch or record that has this offset")
	fl.Int64Var(&f.to, "to", math.MaxInt64, "end before this offset")
	fl.Int64Var(&f.maxBytes, "max-bytes", 0, "end after so many bytes of each segment, 0 for no limit")
	fl.Int64VarP(&f.count, "count", "n", 0, "end after so many lines, 0 for no limit")
	fl.BoolVar(&f.cached, "page-cache", false, "read through the page cache, and leave there what was read")
	addOutput(cmd, &f.output)
	return cmd
}

func (f *logDumpFlags) parse(cmd *cobra.Command) (err error) {
	if f.from < 0 || f.to < 0 || f.maxBytes < 0 || f.count < 0 {
		return errors.New("--from, --to, --max-bytes and -n want 0 or more")
	}
	if cmd.Flags().Changed("format") {
		f.records = true
		if f.line, err = parseFormat(f.format, "tpokvhd"); err != nil {
			return fmt.Errorf("-f: %w", err)
		}
	}
	return nil
}

// errEnough ends a dump that has what was asked for.
var errEnough = errors.New("enough")

// dumper shows files one after another; those of one kind under one head.
type dumper struct {
	*logDumpFlags
	cmd     *cobra.Command
	w       *bufio.Writer
	out     *stream
	kind    string
	left    int64 // lines, if they are limited
	damaged int
	several bool
	buf     []byte
}

func (f *logDumpFlags) run(cmd *cobra.Command, args []string) error {
	d := dumper{logDumpFlags: f, cmd: cmd, w: bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10), left: f.count}
	if f.count == 0 {
		d.left = math.MaxInt64
	}
	files, err := dumpFiles(args)
	if err != nil {
		return err
	}
	d.several = len(files) > 1
	for _, path := range files {
		if err = d.file(path); err != nil {
			break
		}
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	if d.out != nil {
		err = errors.Join(err, d.out.close())
	}
	if err = errors.Join(err, d.w.Flush()); err != nil {
		return err
	}
	if d.damaged > 0 {
		return &exitError{exitDamage, fmt.Errorf("places that are damaged: %d", d.damaged)}
	}
	return nil
}

// dumpFiles names the segments for directories.
func dumpFiles(args []string) (files []string, err error) {
	for _, path := range args {
		st, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !st.IsDir() {
			files = append(files, path)
			continue
		}
		logs, err := filepath.Glob(filepath.Join(path, "*.log"))
		if err != nil || len(logs) == 0 {
			return nil, cmp.Or(err, fmt.Errorf("%s has no segments: it is not the directory of a partition", path))
		}
		slices.Sort(logs)
		files = append(files, logs...)
	}
	return files, nil
}

// begin makes rows of kind, with their columns, follow.
func (d *dumper) begin(kind string, columns ...column) error {
	if d.kind == kind && d.out != nil {
		return nil
	}
	if d.out != nil {
		if err := d.out.close(); err != nil {
			return err
		}
		if d.output == "table" || d.output == "wide" {
			fmt.Fprintln(d.w)
		}
	}
	d.kind, d.out = kind, newStream(d.w, d.output, columns)
	return nil
}

func (d *dumper) add(data any, cells ...any) error {
	if d.left == 0 {
		return errEnough
	}
	d.left--
	return d.out.add(data, cells...)
}

func (d *dumper) file(path string) error {
	name := filepath.Base(path)
	switch filepath.Ext(name) {
	case ".log":
		return d.segment(path)
	case ".index", ".timeindex":
		return d.index(path)
	case ".txnindex":
		return d.txnIndex(path)
	case ".snapshot":
		return d.snapshot(path)
	case ".properties", ".metadata":
		return d.properties(path)
	}
	if strings.HasSuffix(name, "-checkpoint") {
		return d.checkpoint(path)
	}
	return usagef("%s: not a file that a log has; want .log, .index, .timeindex, .txnindex, .snapshot, a checkpoint or a directory", path)
}

// segment shows one .log file.
func (d *dumper) segment(path string) error {
	s, err := logstore.OpenSegment(path, logstore.ReadOptions{PageCache: d.cached})
	if err != nil {
		return err
	}
	defer s.Close()
	if d.records {
		err = d.begin("records", recordColumns(d.several)...)
	} else {
		err = d.begin("batches", batchColumns(d.several)...)
	}
	if err != nil {
		return err
	}
	if d.from > s.Base() {
		if err := s.SeekOffset(d.from); err != nil {
			return err
		}
	}
	var p logstore.Piece
	begin := int64(-1)
	for {
		if err := d.cmd.Context().Err(); err != nil {
			return err
		}
		err := s.Next(&p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if begin < 0 {
			begin = p.Pos
		}
		if d.maxBytes > 0 && p.Pos+p.Size > begin+d.maxBytes && p.Pos > begin {
			return nil
		}
		if p.Kind == "" && p.Batch.LastOffset() < d.from {
			begin = -1
			continue
		}
		if p.Kind == "" && p.Batch.BaseOffset() >= d.to {
			return nil
		}
		if err := d.piece(path, &p); err != nil {
			return err
		}
	}
}

func (d *dumper) piece(path string, p *logstore.Piece) error {
	if p.Kind != "" {
		d.damaged++
	}
	if !d.records {
		j := newBatchJSON(path, p)
		return d.add(j, j.cells()...)
	}
	if p.Kind != "" || !p.Whole {
		return d.flaw(path, p)
	}
	return d.batchRecords(path, p)
}

// flaw tells, on standard error, of a place that has no records to show.
func (d *dumper) flaw(path string, p *logstore.Piece) error {
	if err := d.w.Flush(); err != nil {
		return err
	}
	what := p.What
	if p.Kind == "" {
		what = "too large to be held in memory"
	}
	fmt.Fprintf(d.cmd.ErrOrStderr(), "%s at %d, %d bytes: %s: %s\n", path, p.Pos, p.Size, cmp.Or(string(p.Kind), "batch"), what)
	return nil
}

// indexJSON is an entry of an offset or time index; what the kind does not have is left out.
type indexJSON struct {
	File      string `json:"file"`
	Timestamp *int64 `json:"timestamp,omitempty"`
	Offset    int64  `json:"offset"`
	Position  *int64 `json:"position,omitempty"`
}

func (d *dumper) index(path string) error {
	name := filepath.Base(path)
	timed := filepath.Ext(path) == ".timeindex"
	columns := []column{{name: "file", wide: !d.several}, {name: "offset", right: true}, {name: "position", right: true}}
	if timed {
		columns = []column{{name: "file", wide: !d.several}, {name: "timestamp", right: true}, {name: "offset", right: true}, {name: "time", wide: true}}
	}
	if err := d.begin(filepath.Ext(path), columns...); err != nil {
		return err
	}
	var failed error
	tail, err := logstore.ReadIndex(path, func(e logstore.IndexEntry) bool {
		if e.Offset < d.from || e.Offset >= d.to {
			return true
		}
		if timed {
			failed = d.add(indexJSON{File: name, Timestamp: &e.Timestamp, Offset: e.Offset}, name, e.Timestamp, e.Offset, timeText(e.Timestamp))
		} else {
			failed = d.add(indexJSON{File: name, Offset: e.Offset, Position: &e.Position}, name, e.Offset, e.Position)
		}
		return failed == nil
	})
	if tail > 0 {
		fmt.Fprintf(d.cmd.ErrOrStderr(), "%s: %d bytes at the end are not in use\n", path, tail)
	}
	return errors.Join(failed, err)
}

// abortedJSON is an entry of a transaction index.
type abortedJSON struct {
	File             string `json:"file"`
	ProducerID       int64  `json:"producer_id"`
	FirstOffset      int64  `json:"first_offset"`
	LastOffset       int64  `json:"last_offset"`
	LastStableOffset int64  `json:"last_stable_offset"`
}

func (d *dumper) txnIndex(path string) error {
	name := filepath.Base(path)
	err := d.begin("txnindex", column{name: "file", wide: !d.several}, column{name: "producer_id", right: true}, column{name: "first_offset", right: true},
		column{name: "last_offset", right: true}, column{name: "last_stable_offset", right: true})
	if err != nil {
		return err
	}
	list, err := logstore.ReadTxnIndex(path)
	for _, t := range list {
		j := abortedJSON{name, t.ProducerID, t.FirstOffset, t.LastOffset, t.LastStableOffset}
		if err := d.add(j, name, j.ProducerID, j.FirstOffset, j.LastOffset, j.LastStableOffset); err != nil {
			return err
		}
	}
	return d.corrupt(path, err)
}

// corrupt counts damage of a file that is read as a whole.
func (d *dumper) corrupt(path string, err error) error {
	if errors.Is(err, logstore.ErrCorrupt) {
		d.damaged++
		fmt.Fprintf(d.cmd.ErrOrStderr(), "%s: %v\n", path, err)
		return nil
	}
	return err
}

// producerJSON is a producer of a snapshot.
type producerJSON struct {
	File             string `json:"file"`
	ProducerID       int64  `json:"producer_id"`
	ProducerEpoch    int16  `json:"producer_epoch"`
	LastSequence     int32  `json:"last_sequence"`
	LastOffset       int64  `json:"last_offset"`
	OffsetDelta      int32  `json:"offset_delta"`
	Timestamp        int64  `json:"timestamp"`
	CoordinatorEpoch int32  `json:"coordinator_epoch"`
	TxnFirstOffset   int64  `json:"txn_first_offset"` // -1: no open transaction
}

func (d *dumper) snapshot(path string) error {
	name := filepath.Base(path)
	err := d.begin("snapshot", column{name: "file", wide: !d.several}, column{name: "producer_id", right: true}, column{name: "producer_epoch", right: true},
		column{name: "last_sequence", right: true}, column{name: "last_offset", right: true}, column{name: "offset_delta", right: true},
		column{name: "timestamp", right: true}, column{name: "coordinator_epoch", right: true}, column{name: "txn_first_offset", right: true})
	if err != nil {
		return err
	}
	list, err := logstore.ReadSnapshot(path)
	for _, p := range list {
		j := producerJSON{name, p.ID, p.Epoch, p.LastSequence, p.LastOffset, p.OffsetDelta, p.Timestamp, p.CoordinatorEpoch, p.TxnFirstOffset}
		err := d.add(j, name, p.ID, p.Epoch, p.LastSequence, p.LastOffset, p.OffsetDelta, p.Timestamp, p.CoordinatorEpoch, p.TxnFirstOffset)
		if err != nil {
			return err
		}
	}
	return d.corrupt(path, err)
}

// checkpointJSON is a line of a checkpoint; epochs have no topic.
type checkpointJSON struct {
	File      string `json:"file"`
	Topic     string `json:"topic,omitempty"`
	Partition *int32 `json:"partition,omitempty"`
	Epoch     *int32 `json:"epoch,omitempty"`
	Offset    int64  `json:"offset"`
}

func (d *dumper) checkpoint(path string) error {
	name := filepath.Base(path)
	epochs := name == "leader-epoch-checkpoint"
	columns := []column{{name: "file", wide: !d.several}, {name: "topic"}, {name: "partition", right: true}, {name: "offset", right: true}}
	if epochs {
		columns = []column{{name: "file", wide: !d.several}, {name: "epoch", right: true}, {name: "offset", right: true}}
	}
	if err := d.begin(fmt.Sprint("checkpoint", epochs), columns...); err != nil {
		return err
	}
	list, err := logstore.ReadCheckpoint(path)
	for _, c := range list {
		if epochs {
			err = errors.Join(err, d.add(checkpointJSON{File: name, Epoch: &c.Epoch, Offset: c.Offset}, name, c.Epoch, c.Offset))
		} else {
			err = errors.Join(err, d.add(checkpointJSON{File: name, Topic: c.Topic, Partition: &c.Partition, Offset: c.Offset}, name, c.Topic, c.Partition, c.Offset))
		}
	}
	return err
}

// propertyJSON is a line of partition.metadata or meta.properties.
type propertyJSON struct {
	File  string `json:"file"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (d *dumper) properties(path string) error {
	if err := d.begin("properties", column{name: "file", wide: !d.several}, column{name: "name"}, column{name: "value"}); err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	for line := range strings.Lines(string(bytes.ToValidUTF8(b, []byte("?")))) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.IndexAny(line, "=:")
		if i < 0 {
			i = len(line) - 1
		}
		key, value := strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
		if err := d.add(propertyJSON{name, key, value}, name, key, value); err != nil {
			return err
		}
	}
	return nil
}

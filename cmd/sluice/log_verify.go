package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/logstore"
)

type logVerifyFlags struct {
	format    string
	gaps      gapsFlag
	headers   bool
	pageCache bool
	rate      int64
	findings  int
}

// logVerifyJSON is what 'log verify' says; the names are stable.
type logVerifyJSON struct {
	Directories []verifiedDirJSON `json:"directories"`
	Partitions  []verifiedJSON    `json:"partitions"`
	Damage      int               `json:"damage"`
	Warnings    int               `json:"warnings"`
	Bytes       int64             `json:"bytes"`
	Seconds     float64           `json:"seconds"`
}

// verifiedDirJSON is a log directory with what is wrong outside its partitions.
type verifiedDirJSON struct {
	Path      string        `json:"path"`
	InUse     bool          `json:"in_use"`
	CleanStop bool          `json:"clean_stop"`
	Findings  []findingJSON `json:"findings"`
}

// verifiedJSON is one partition.
type verifiedJSON struct {
	Dir         string        `json:"dir"`
	Name        string        `json:"name"`
	StartOffset int64         `json:"start_offset"`
	EndOffset   int64         `json:"end_offset"`
	Segments    int           `json:"segments"`
	Batches     int64         `json:"batches"`
	Records     int64         `json:"records"`
	Bytes       int64         `json:"bytes"`
	Damage      int           `json:"damage"`
	Warnings    int           `json:"warnings"`
	First       *findingJSON  `json:"first_damage"`
	Findings    []findingJSON `json:"findings"` // the first ones, see --findings
	Error       string        `json:"error,omitempty"`
}

func newLogVerifyCommand() *cobra.Command {
	var f logVerifyFlags
	cmd := &cobra.Command{
		Use:   "verify DIR|PARTITION...",
		Short: "Read log directories, or directories of partitions, and check all that can be checked",
		Long: `Read log directories, or directories of partitions, from front to back and check all that can be checked: of each
batch size, format, checksum, offsets, leader epoch, and that its records decode and agree with its header; that the
offset and time indexes agree with the log, as kafka-dump-log does; aborted transactions, producer snapshots, epochs
and checkpoints. Reading goes on behind damage.

Damage makes the exit code 7. Warnings do not: they are harmless, or any start repairs them without loss. What is
read leaves the page cache as it was, so that a broker that runs keeps what it serves from.`,
		Example: `  sluice log verify ./sluice-data
  sluice log verify /disk1/kafka/orders-0 -o json
  sluice log verify /disk1/kafka --rate 100000000 --gaps changelog`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	fl := cmd.Flags()
	f.gaps.register(cmd)
	fl.BoolVar(&f.headers, "headers-only", false, "do not decode records: checksums and headers only")
	fl.BoolVar(&f.pageCache, "page-cache", false, "read through the page cache, and leave there what was read")
	fl.Int64Var(&f.rate, "rate", 0, "read at most so many bytes per second, 0 for no limit")
	fl.IntVar(&f.findings, "findings", 100, "list at most so many findings of a partition; all are counted")
	addOutput(cmd, &f.format)
	return cmd
}

func (f *logVerifyFlags) run(cmd *cobra.Command, args []string) error {
	if f.rate < 0 || f.findings < 1 {
		return usagef("--rate wants 0 or more, --findings 1 or more")
	}
	began := time.Now()
	j := logVerifyJSON{Directories: []verifiedDirJSON{}, Partitions: []verifiedJSON{}}
	var errs []error
	var parts []string
	for _, path := range args {
		more, err := j.directory(path)
		parts, errs = append(parts, more...), append(errs, err)
	}
	pace := newPace(cmd.Context(), cmd.ErrOrStderr(), f.rate)
	for i, part := range parts {
		pace.show(fmt.Sprintf("%d of %d, %s", i+1, len(parts), filepath.Base(part)))
		o := logstore.VerifyOptions{HeadersOnly: f.headers, Findings: f.findings, Gaps: f.gaps.allowed(filepath.Dir(part))}
		o.PageCache, o.Progress = f.pageCache, pace.read
		r, err := logstore.VerifyPartition(cmd.Context(), part, o)
		if cmd.Context().Err() != nil {
			pace.clear()
			return cmd.Context().Err()
		}
		j.partition(r, err)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part, err))
		}
	}
	pace.clear()
	j.Seconds = time.Since(began).Seconds()
	if err := j.write(cmd.OutOrStdout(), f.format); err != nil {
		return err
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if j.Damage > 0 {
		return &exitError{exitDamage, fmt.Errorf("damage was found: %d", j.Damage)}
	}
	return nil
}

// directory returns the partitions meant by path: itself, or all in a log directory, which is checked too.
func (j *logVerifyJSON) directory(path string) ([]string, error) {
	path = filepath.Clean(path)
	if logs, _ := filepath.Glob(filepath.Join(path, "*.log")); len(logs) > 0 {
		abs, err := filepath.Abs(path)
		return []string{abs}, err
	}
	d, err := logstore.VerifyDir(logDir(path))
	if err != nil {
		return nil, err
	}
	if d.MetaVersion < 0 && len(d.Partitions) == 0 {
		return nil, fmt.Errorf("%s is neither a log directory nor a partition's", path)
	}
	j.Directories = append(j.Directories, verifiedDirJSON{d.Path, d.InUse, d.CleanStop, findingsJSON(d.Oddities.List)})
	j.Damage, j.Warnings = j.Damage+d.Oddities.Damaged, j.Warnings+d.Oddities.Warnings
	var parts []string
	for _, p := range d.Partitions {
		parts = append(parts, filepath.Join(d.Path, p.Name))
	}
	return parts, nil
}

func (j *logVerifyJSON) partition(r logstore.PartitionReport, err error) {
	v := verifiedJSON{Dir: r.Dir, Name: r.Name, StartOffset: r.Start, EndOffset: r.End, Segments: r.Segments, Batches: r.Batches,
		Records: r.Records, Bytes: r.Bytes, Damage: r.Damaged, Warnings: r.Warnings, Findings: findingsJSON(r.List)}
	if first := r.First(); first != nil {
		v.First = &findingsJSON([]logstore.Finding{*first})[0]
	}
	if err != nil {
		v.Error = err.Error()
	}
	j.Partitions = append(j.Partitions, v)
	j.Damage, j.Warnings, j.Bytes = j.Damage+v.Damage, j.Warnings+v.Warnings, j.Bytes+v.Bytes
}

func (j *logVerifyJSON) write(w io.Writer, format string) error {
	t := &table{data: j, columns: []column{
		{name: "dir", wide: true}, {name: "partition"}, {name: "start_offset", right: true}, {name: "end_offset", right: true},
		{name: "segments", right: true}, {name: "batches", right: true}, {name: "records", right: true}, {name: "bytes", right: true},
		{name: "damage", right: true}, {name: "warnings", right: true}, {name: "first_damage"},
	}}
	for _, v := range j.Partitions {
		first := v.Error
		if v.First != nil {
			first = fmt.Sprintf("%s: %s: %s", v.First.where(), v.First.Kind, v.First.What)
		}
		t.add(filepath.Dir(v.Dir), v.Name, v.StartOffset, v.EndOffset, v.Segments, v.Batches, v.Records, v.Bytes, v.Damage, v.Warnings, first)
	}
	if format != "table" && format != "wide" {
		return t.write(w, format)
	}
	var b strings.Builder
	for _, d := range j.Directories {
		if d.InUse {
			fmt.Fprintf(&b, "# %s is in use: what was there when it was read\n", d.Path)
		}
	}
	if err := t.write(&b, format); err != nil {
		return err
	}
	for _, d := range j.Directories {
		writeFindings(&b, d.Path, d.Findings, len(d.Findings))
	}
	for _, v := range j.Partitions {
		writeFindings(&b, v.Name, v.Findings, v.Damage+v.Warnings)
	}
	fmt.Fprintf(&b, "partitions: %d, bytes: %d, damage: %d, warnings: %d\n", len(j.Partitions), j.Bytes, j.Damage, j.Warnings)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeFindings(b *strings.Builder, of string, list []findingJSON, all int) {
	for _, f := range list {
		fmt.Fprintf(b, "%s: %s: %s: %s: %s\n", f.Severity, of, f.where(), f.Kind, f.What)
	}
	if n := all - len(list); n > 0 {
		fmt.Fprintf(b, "%s: and %d more\n", of, n)
	}
}

// pace limits the rate of reading and shows how far it is, on a terminal.
type pace struct {
	ctx   context.Context
	w     io.Writer // nil: nothing is shown
	rate  int64
	began time.Time
	shown time.Time
	bytes int64
	what  string
}

func newPace(ctx context.Context, w io.Writer, rate int64) *pace {
	p := &pace{ctx: ctx, rate: rate, began: time.Now()}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		p.w = w
	}
	return p
}

// read takes note of n bytes, and waits until the rate allows them.
func (p *pace) read(n int) {
	p.bytes += int64(n)
	if p.rate > 0 {
		due := p.began.Add(time.Duration(float64(p.bytes) / float64(p.rate) * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-p.ctx.Done():
			}
		}
	}
	if p.w != nil && time.Since(p.shown) > 200*time.Millisecond {
		p.show(p.what)
	}
}

func (p *pace) show(what string) {
	if p.what = what; p.w == nil {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.w, "\r\x1b[K%d MB read, %.0f MB/s: %s", p.bytes>>20, float64(p.bytes)/time.Since(p.began).Seconds()/1e6, what)
}

func (p *pace) clear() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

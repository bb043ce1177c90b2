package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/logstore"
)

// exitDamage is the exit code of log verbs that found damage.
const exitDamage = 7

func newLogCommand() *cobra.Command {
	cmd := group("log", "Look at, verify and recover log directories, offline",
		newLogListCommand(), newLogDumpCommand(), newLogVerifyCommand(), newLogRecoverCommand())
	cmd.Long = `Look at, verify and recover log directories: Sluice's, and those of Apache Kafka, whose format they have.

Only 'recover' writes anything; the others also work on a directory that a broker has open, and on a read-only
file system. Exit codes: 0 nothing is wrong, 1 something could not be read, 2 wrong command line, 7 damage was found.`
	return cmd
}

func completeDirs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// logDir is the log directory meant by an argument: itself, or, of what was given to 'serve --data', the directory
// "logs" in it.
func logDir(path string) string {
	inner := filepath.Join(path, "logs")
	_, outer := os.Stat(filepath.Join(path, "meta.properties"))
	if _, err := os.Stat(filepath.Join(inner, "meta.properties")); err == nil && errors.Is(outer, os.ErrNotExist) {
		return inner
	}
	return path
}

// findingJSON is a finding; the names are stable.
type findingJSON struct {
	Kind     string `json:"kind"`
	Severity string `json:"severity"` // damage, warning
	File     string `json:"file"`
	Position int64  `json:"position"` // byte in the file, -1: all of it
	Offset   int64  `json:"offset"`   // record offset, -1: not known
	What     string `json:"what"`
}

func findingsJSON(list []logstore.Finding) []findingJSON {
	out := []findingJSON{}
	for _, f := range list {
		severity := "damage"
		if f.Warning {
			severity = "warning"
		}
		out = append(out, findingJSON{string(f.Kind), severity, f.File, f.Pos, f.Offset, f.What})
	}
	return out
}

// where says where a finding is.
func (f findingJSON) where() string {
	s := f.File
	if f.Position >= 0 {
		s += fmt.Sprintf(" at %d", f.Position)
	}
	if f.Offset >= 0 {
		s += fmt.Sprintf(" (offset %d)", f.Offset)
	}
	return s
}

// logDirJSON is a log directory as 'log list' shows it; the names are stable.
type logDirJSON struct {
	Path        string        `json:"path"`
	ClusterID   string        `json:"cluster_id"`
	NodeID      int32         `json:"node_id"` // -1: not known
	DirectoryID string        `json:"directory_id"`
	MetaVersion int           `json:"meta_version"` // -1: no meta.properties
	InUse       bool          `json:"in_use"`
	PID         int           `json:"pid"` // of whoever has it open, 0: not known
	CleanStop   bool          `json:"clean_stop"`
	Partitions  []logJSON     `json:"partitions"`
	Oddities    []findingJSON `json:"oddities"`
}

// logJSON is a partition in it. Numbers that are not known are -1, times are ms since 1970.
type logJSON struct {
	Topic         string `json:"topic"`
	Partition     int32  `json:"partition"`
	TopicID       string `json:"topic_id"`
	StartOffset   int64  `json:"start_offset"`
	EndOffset     int64  `json:"end_offset"`
	Segments      int    `json:"segments"`
	Bytes         int64  `json:"bytes"`
	FirstTime     int64  `json:"first_timestamp"`
	LastTime      int64  `json:"last_timestamp"`
	RecoveryPoint int64  `json:"recovery_point"`
	HighWatermark int64  `json:"high_watermark"`
	Compacted     bool   `json:"compacted"`
	Lossy         string `json:"lossy,omitempty"` // what of it is lost
	Error         string `json:"error,omitempty"`
}

func newLogListCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list DIR...",
		Short: "Show the partitions in log directories",
		Long: "Show the partitions in log directories, what the directories' checkpoints say of them, and whatever else lies\n" +
			"there. Nothing is locked or written. Offsets and times come from the ends of indexes and the batches behind them.",
		Example:           "  sluice log list ./sluice-data\n  sluice log list /disk1/kafka /disk2/kafka -o json",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeDirs,
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs := []logDirJSON{}
			var errs []error
			for _, path := range args {
				d, err := logstore.InspectDir(logDir(path))
				if err != nil {
					errs = append(errs, err)
					continue
				}
				dirs = append(dirs, newLogDirJSON(d))
			}
			err := writeLogDirs(cmd.OutOrStdout(), format, dirs)
			return errors.Join(append([]error{err}, errs...)...)
		},
	}
	addOutput(cmd, &format)
	return cmd
}

func newLogDirJSON(d logstore.DirInfo) logDirJSON {
	j := logDirJSON{Path: d.Path, ClusterID: d.ClusterID, NodeID: d.NodeID, DirectoryID: d.DirectoryID, MetaVersion: d.MetaVersion,
		InUse: d.InUse, PID: d.PID, CleanStop: d.CleanStop, Partitions: []logJSON{}, Oddities: findingsJSON(d.Oddities.List)}
	for _, p := range d.Partitions {
		id := ""
		if p.TopicID != [16]byte{} {
			id = idText(p.TopicID)
		}
		j.Partitions = append(j.Partitions, logJSON{p.Topic, p.Partition, id, p.Start, p.End, p.Segments, p.Bytes,
			p.FirstTime, p.LastTime, p.RecoveryPoint, p.HighWatermark, p.Compacted, p.Lossy, p.Err})
	}
	return j
}

// state says in words who has the directory and how it was left.
func (d *logDirJSON) state() string {
	switch {
	case d.InUse && d.PID > 0:
		return fmt.Sprintf("in use by process %d", d.PID)
	case d.InUse:
		return "in use"
	case d.CleanStop:
		return "stopped cleanly"
	}
	return "not stopped cleanly"
}

func writeLogDirs(w io.Writer, format string, dirs []logDirJSON) error {
	people := format == "table" || format == "wide"
	t := &table{data: dirs, columns: []column{
		{name: "dir", wide: true}, {name: "topic"}, {name: "partition", right: true}, {name: "start_offset", right: true},
		{name: "end_offset", right: true}, {name: "segments", right: true}, {name: "bytes", right: true}, {name: "first_timestamp"},
		{name: "last_timestamp"}, {name: "recovery_point", right: true}, {name: "high_watermark", right: true},
		{name: "compacted", wide: true}, {name: "topic_id", wide: true}, {name: "error"},
	}}
	number, when := func(n int64) string { return fmt.Sprint(n) }, func(ms int64) string { return fmt.Sprint(ms) }
	if people {
		number, when = known, timeText
	}
	for _, d := range dirs {
		if people {
			if err := d.writeHead(w); err != nil {
				return err
			}
		}
		for _, p := range d.Partitions {
			t.add(d.Path, p.Topic, p.Partition, number(p.StartOffset), number(p.EndOffset), p.Segments, p.Bytes, when(p.FirstTime),
				when(p.LastTime), number(p.RecoveryPoint), number(p.HighWatermark), p.Compacted, p.TopicID, p.problem())
		}
		if people && len(t.rows) > 0 {
			if err := t.write(w, format); err != nil {
				return err
			}
			t.rows = nil
		}
	}
	if people {
		return nil
	}
	return t.write(w, format)
}

// problem is what is wrong with the log, in one column.
func (p *logJSON) problem() string {
	if p.Lossy != "" && p.Error == "" {
		return "lossy: " + p.Lossy
	}
	return p.Error
}

// writeHead writes what is to be said of the directory itself.
func (d *logDirJSON) writeHead(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s", d.Path, d.state())
	if d.MetaVersion >= 0 {
		fmt.Fprintf(&b, ", node %d of cluster %s", d.NodeID, d.ClusterID)
		if d.DirectoryID != "" {
			fmt.Fprintf(&b, ", directory %s", d.DirectoryID)
		}
	}
	fmt.Fprintf(&b, ", partitions: %d\n", len(d.Partitions))
	for _, o := range d.Oddities {
		fmt.Fprintf(&b, "# %s: %s\n", o.where(), o.What)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// known is a number for people, - where there is none.
func known(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// timeText is ms since 1970 for people.
func timeText(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// gapsFlag is which topics' offsets may have gaps.
type gapsFlag struct{ topics []string }

func (g *gapsFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&g.topics, "gaps", nil,
		"topics whose offsets may have gaps, because they are or were compacted; * for all. Known without it are those\n"+
			"whose names begin with __, that have cleanup.policy=compact here, or that the cleaner has worked on")
}

// allowed returns the test for the log directory at dir.
func (g *gapsFlag) allowed(dir string) func(topic string) bool {
	compacted := compactedTopics(dir)
	return func(topic string) bool {
		return slices.Contains(g.topics, "*") || slices.Contains(g.topics, topic) || compacted[topic]
	}
}

// compactedTopics are those that Sluice's own catalogue has settings of their own for. It may lie in another log
// directory of the same broker.
func compactedTopics(dir string) map[string]bool {
	var catalog struct {
		Topics map[string]map[string]string `json:"topics"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "sluice-catalog.json"))
	if err != nil || json.Unmarshal(b, &catalog) != nil {
		return nil
	}
	found := map[string]bool{}
	for topic, settings := range catalog.Topics {
		found[topic] = strings.Contains(settings["cleanup.policy"], "compact")
	}
	return found
}

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/logstore"
)

// recoveredJSON is what 'log recover' says of a partition; the names are stable.
type recoveredJSON struct {
	Dir            string `json:"dir"`
	Name           string `json:"name"`
	Status         string `json:"status"` // whole, cut, damaged, failed
	StartOffset    int64  `json:"start_offset"`
	EndOffset      int64  `json:"end_offset"`
	Segments       int    `json:"segments"`
	Batches        int64  `json:"batches"`
	Bytes          int64  `json:"bytes"`
	CutAt          int64  `json:"cut_at"` // offset, -1: nothing was cut
	CutBytes       int64  `json:"cut_bytes"`
	CutSegments    int    `json:"cut_segments"`
	Indexes        int    `json:"indexes"`
	IndexesChanged int    `json:"indexes_changed"`
	Why            string `json:"why,omitempty"`
	DryRun         bool   `json:"dry_run"`
}

type logRecoverFlags struct {
	format     string
	partitions []string
	gaps       gapsFlag
	dryRun     bool
	force      bool
}

func newLogRecoverCommand() *cobra.Command {
	var f logRecoverFlags
	cmd := &cobra.Command{
		Use:   "recover DIR",
		Short: "Check a log directory that is not in use from the first segment on, cut what is torn, rebuild the indexes",
		Long: `Do to a log directory that nobody has open what the start of a broker does after an unclean stop, but from each
partition's first segment on: every batch is checked, the log is cut at the first thing wrong, both indexes of every
segment are written anew, all is synced, and the checkpoints are brought in line.

Damage below the recovery point, of what was safe on the device, is not cut: the status is 'damaged' and the exit
code 7. 'sluice log verify' shows all of it; --force cuts there as well, and everything behind it is gone.

With --dry-run nothing is touched; the exit code is 7 if anything would be cut or is damaged.`,
		Example: `  sluice log recover ./sluice-data --dry-run
  sluice log recover /disk1/kafka --partition orders-0 --force`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDirs,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.run(cmd, logDir(args[0])) },
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&f.partitions, "partition", nil, "only this directory of a partition, such as orders-0; may be repeated")
	fl.BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do nothing")
	fl.BoolVar(&f.force, "force", false, "cut at damage below the recovery point too")
	f.gaps.register(cmd)
	addOutput(cmd, &f.format)
	_ = cmd.RegisterFlagCompletionFunc("partition", completePartitionDirs)
	return cmd
}

// completePartitionDirs offers what lies in the log directory of the command line.
func completePartitionDirs(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		if d, err := logstore.VerifyDir(logDir(args[0])); err == nil {
			for _, p := range d.Partitions {
				names = append(names, p.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (f *logRecoverFlags) run(cmd *cobra.Command, dir string) error {
	o := logstore.RecoverOptions{Partitions: f.partitions, DryRun: f.dryRun, Force: f.force, Gaps: f.gaps.allowed(dir),
		Logger: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	list := []recoveredJSON{}
	damaged := false
	var errs []error
	err := logstore.RecoverDir(dir, o, func(r logstore.RecoveredLog) {
		j := recoveredJSON{Dir: dir, Name: r.Name, Status: "whole", StartOffset: r.Start, EndOffset: r.End, Segments: r.Segments,
			Batches: r.Batches, Bytes: r.Bytes, CutAt: r.CutAt, CutBytes: r.CutBytes, CutSegments: r.CutSegments,
			Indexes: r.Indexes, IndexesChanged: r.IndexesChanged, Why: r.Why, DryRun: f.dryRun}
		switch {
		case errors.Is(r.Err, logstore.ErrCorrupt):
			j.Status, damaged = "damaged", true
		case r.Err != nil:
			j.Status, j.Why = "failed", r.Err.Error()
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Join(dir, r.Name), r.Err))
		case r.CutAt >= 0:
			j.Status, damaged = "cut", damaged || f.dryRun
		}
		list = append(list, j)
	})
	t := &table{data: list, columns: []column{{name: "partition"}, {name: "status"}, {name: "start_offset", right: true},
		{name: "end_offset", right: true}, {name: "segments", right: true}, {name: "batches", right: true}, {name: "bytes", right: true},
		{name: "cut_at", right: true}, {name: "cut_bytes", right: true}, {name: "cut_segments", right: true},
		{name: "indexes_changed", right: true}, {name: "why"}}}
	people := f.format == "table" || f.format == "wide"
	for _, j := range list {
		cut := fmt.Sprint(j.CutAt)
		if people {
			cut = known(j.CutAt)
		}
		t.add(j.Name, j.Status, j.StartOffset, j.EndOffset, j.Segments, j.Batches, j.Bytes, cut, j.CutBytes, j.CutSegments, j.IndexesChanged, j.Why)
	}
	if err == nil || len(list) > 0 {
		errs = append(errs, t.write(cmd.OutOrStdout(), f.format))
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	switch {
	case damaged && f.dryRun:
		return &exitError{exitDamage, errors.New("some logs are damaged; nothing was touched")}
	case damaged:
		return &exitError{exitDamage, errors.New("some logs are damaged below their recovery points and were left as they are; --force cuts them")}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

type zkWatcher struct {
	zkFlags
	format    string
	recursive bool
	count     int
}

// zkEvent is what watch prints; the JSON names are stable. Type is ZooKeeper's name, or Missed: changes may have been
// missed while there was no connection.
type zkEvent struct {
	Time time.Time `json:"time"`
	Type string    `json:"type"`
	Path string    `json:"path"`
}

func newZKWatchCommand() *cobra.Command {
	var f zkWatcher
	cmd := &cobra.Command{
		Use:   "watch [PATH]",
		Short: "Print what happens to a node until interrupted",
		Long: "Print what happens to a node, which need not exist, and that children of it come and go; with --recursive what\n" +
			"happens to all nodes from there down. Needs a server like ZooKeeper 3.6 or newer.\n\n" +
			"If the connection breaks, it goes on when there is one again. An event of type Missed says that others may be missing.",
		Example: `  sluice zk watch /controller
  sluice zk watch /brokers -r -o json
  sluice zk watch /go --count 1 && ./start`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: f.completeNodes,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.run(cmd, rootOr(args)) },
	}
	f.register(cmd)
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "all nodes from there down")
	cmd.Flags().IntVarP(&f.count, "count", "n", 0, "end after so many events, 0 for no limit")
	addOutput(cmd, &f.format, "table", "json", "csv")
	return cmd
}

func (f *zkWatcher) run(cmd *cobra.Command, path string) error {
	if err := zkPath(path); err != nil {
		return err
	}
	if f.count < 0 {
		return usagef("-n %d: want 0 or more", f.count)
	}
	ctx := cmd.Context()
	left := f.count
	for first := true; ; first = false {
		s, err := f.open(ctx, programOf(cmd))
		if e, ok := errors.AsType[*exitError](err); ok && !first && e.code == exitUnreachable {
			continue // it was there before, and may come back
		}
		if err == nil {
			if err = f.watch(ctx, s, cmd, path, &left, first); err == nil && left == 0 && f.count > 0 {
				zkClose(s)
				return nil
			}
			zkClose(s)
		}
		switch {
		case ctx.Err() != nil && f.count == 0:
			return nil // without an end of its own, being stopped is the ordinary way to end
		case errors.Is(err, client.ErrExpired):
			fmt.Fprintln(cmd.ErrOrStderr(), "warning: the session has expired; watching again with a new one")
		case err != nil:
			return zkError(ctx, err)
		}
	}
}

// watch prints events of one session.
func (f *zkWatcher) watch(ctx context.Context, s *client.Session, cmd *cobra.Command, path string, left *int, first bool) error {
	w, err := s.AddWatch(ctx, path, f.recursive)
	if err != nil {
		return err
	}
	if first {
		fmt.Fprintln(cmd.ErrOrStderr(), "watching", path)
	} else if err := f.print(cmd, zk.Event{Type: zk.EventNone, Path: path}); err != nil {
		return err
	}
	for {
		select {
		case e, ok := <-w.C:
			if !ok {
				return s.Err()
			}
			if err := f.print(cmd, e); err != nil {
				return err
			}
			if e.Type != zk.EventNone && *left > 0 {
				if *left--; *left == 0 {
					return nil
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// print writes an event at once: who reads may wait for it.
func (f *zkWatcher) print(cmd *cobra.Command, e zk.Event) error {
	x := zkEvent{time.Now().UTC(), e.Type.String(), e.Path}
	if e.Type == zk.EventNone {
		x.Type = "Missed"
	}
	if f.format == "table" {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %-19s  %s\n", x.Time.Format("15:04:05.000"), x.Type, x.Path)
		return err
	}
	out := newStream(cmd.OutOrStdout(), f.format, []column{{name: "time"}, {name: "type"}, {name: "path"}})
	out.begun = true
	if err := out.add(x, x.Time.Format(time.RFC3339Nano), x.Type, x.Path); err != nil {
		return err
	}
	return out.close()
}

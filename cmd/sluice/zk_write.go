package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// zkWriter is what the verbs that write have in common.
type zkWriter struct {
	zkFlags
	format     string
	version    int32
	ephemeral  bool
	sequential bool
	container  bool
	ttl        time.Duration
	parents    bool
	acl        []string
	lenient    bool
	recursive  bool
}

// dataArg is the data that the second argument names: none at all without one, - is the standard input.
func dataArg(cmd *cobra.Command, args []string) ([]byte, error) {
	switch {
	case len(args) < 2:
		return nil, nil
	case args[1] != "-":
		return []byte(args[1]), nil
	}
	data, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), zk.DefaultMaxPacket+1))
	if data == nil {
		data = []byte{}
	}
	return data, err
}

// zkChange is what a verb did with a node; the JSON names are stable. Status is created, exists, set, deleted or missing.
type zkChange struct {
	Path   string  `json:"path"`
	Status string  `json:"status"`
	Stat   *zkStat `json:"stat,omitempty"`
	Nodes  int     `json:"nodes,omitempty"`
}

func writeZKChanges(w io.Writer, format string, list []zkChange) error {
	t := &table{data: list, columns: []column{{name: "path"}, {name: "status"}, {name: "version", right: true}, {name: "zxid", wide: true}}}
	for _, c := range list {
		version, zxid := "", ""
		if c.Stat != nil {
			version, zxid = fmt.Sprint(c.Stat.Version), c.Stat.Mzxid
		}
		t.add(c.Path, c.Status, version, zxid)
	}
	return t.write(w, format)
}

func newZKCreateCommand() *cobra.Command {
	var f zkWriter
	cmd := &cobra.Command{
		Use:   "create PATH [DATA]",
		Short: "Create a node",
		Long: "Create a node. DATA - is the standard input; without DATA the node has none.\n\n" +
			"An ephemeral node lives as long as the session that made it: the command keeps it until it is interrupted.",
		Example: `  sluice zk create /a/b/c '{"x":1}' --parents
  sluice zk create /queue/item- --sequential -o json
  sluice zk create /alive "$(hostname)" --ephemeral
  sluice zk create /private secret --auth digest:me:pw --acl auth::cdrwa`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return f.create(cmd, args) },
	}
	f.register(cmd)
	fl := cmd.Flags()
	fl.BoolVarP(&f.ephemeral, "ephemeral", "e", false, "until this command ends")
	fl.BoolVar(&f.sequential, "sequential", false, "the server puts a number behind the name")
	fl.BoolVarP(&f.container, "container", "c", false, "the server deletes it some time after its last child")
	fl.DurationVar(&f.ttl, "ttl", 0, "the server deletes it when it has no children and was not changed for so long")
	fl.BoolVarP(&f.parents, "parents", "p", false, "make the nodes above it that are missing")
	fl.BoolVar(&f.lenient, "if-not-exists", false, "do not fail if there is such a node; it is left as it is")
	fl.StringArrayVar(&f.acl, "acl", nil, "who may do what, scheme:id:perms with letters of cdrwa; may be repeated (default world:anyone:cdrwa)")
	addOutput(cmd, &f.format)
	return cmd
}

// mode is the kind of node that the flags ask for.
func (f *zkWriter) mode() (zk.CreateMode, error) {
	kinds := 0
	for _, b := range []bool{f.ephemeral, f.container, f.ttl != 0} {
		if b {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return 0, usagef("--ephemeral, --container and --ttl exclude each other")
	case f.container && f.sequential:
		return 0, usagef("--container and --sequential exclude each other")
	case f.ttl < 0 || f.ttl > 0 && f.ttl < time.Millisecond:
		return 0, usagef("--ttl %v: want at least 1ms", f.ttl)
	case f.container:
		return zk.Container, nil
	}
	mode := map[[3]bool]zk.CreateMode{
		{false, false, false}: zk.Persistent, {false, false, true}: zk.PersistentSequential,
		{true, false, false}: zk.Ephemeral, {true, false, true}: zk.EphemeralSequential,
		{false, true, false}: zk.TTL, {false, true, true}: zk.TTLSequential,
	}
	return mode[[3]bool{f.ephemeral, f.ttl > 0, f.sequential}], nil
}

func (f *zkWriter) create(cmd *cobra.Command, args []string) error {
	mode, err := f.mode()
	if err != nil {
		return err
	}
	path := args[0]
	if !f.sequential || path == "" || path[len(path)-1] != '/' { // else the name is just the number
		if err := zkPath(path); err != nil {
			return err
		}
	}
	acl, err := parseACL(f.acl)
	if err != nil {
		return err
	}
	data, err := dataArg(cmd, args)
	if err != nil {
		return err
	}
	return f.with(cmd, func(ctx context.Context, s *client.Session) error {
		if f.parents && path != "/" {
			if err := s.MakePath(ctx, zk.Parent(path), nil); err != nil {
				return err
			}
		}
		created, stat, err := s.CreateTTL(ctx, path, data, acl, mode, f.ttl)
		change := zkChange{Path: created, Status: "created", Stat: newZKStat(&stat)}
		if f.lenient && errors.Is(err, zk.NodeExists) {
			change, err = zkChange{Path: path, Status: "exists"}, nil
		}
		if err != nil {
			return err
		}
		if err := writeZKChanges(cmd.OutOrStdout(), f.format, []zkChange{change}); err != nil || !f.ephemeral || change.Status == "exists" {
			return err
		}
		return zkKeep(ctx, cmd.Context(), s)
	})
}

// zkKeep keeps a session until the command is interrupted, which is its ordinary end.
func zkKeep(ctx, interrupted context.Context, s *client.Session) error {
	select {
	case <-ctx.Done():
		if interrupted.Err() != nil {
			return nil
		}
		return context.Cause(ctx)
	case <-s.Done():
		return s.Err()
	}
}

func newZKSetCommand() *cobra.Command {
	var f zkWriter
	cmd := &cobra.Command{
		Use:   "set PATH DATA",
		Short: "Replace the data of a node",
		Long:  "Replace the data of a node. DATA - is the standard input.",
		Example: `  sluice zk set /greeting hello
  sluice zk set /config/x - --version 4 < x.json`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: f.completeNodes,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.set(cmd, args) },
	}
	f.register(cmd)
	cmd.Flags().Int32Var(&f.version, "version", -1, "only if the data has this version, -1 for any")
	addOutput(cmd, &f.format)
	return cmd
}

func (f *zkWriter) set(cmd *cobra.Command, args []string) error {
	if err := zkPath(args[0]); err != nil {
		return err
	}
	data, err := dataArg(cmd, args)
	if err != nil {
		return err
	}
	return f.with(cmd, func(ctx context.Context, s *client.Session) error {
		stat, err := s.Set(ctx, args[0], data, f.version)
		if err != nil {
			return err
		}
		return writeZKChanges(cmd.OutOrStdout(), f.format, []zkChange{{Path: args[0], Status: "set", Stat: newZKStat(&stat)}})
	})
}

func newZKDeleteCommand() *cobra.Command {
	var f zkWriter
	cmd := &cobra.Command{
		Use:     "delete PATH...",
		Aliases: []string{"rm"},
		Short:   "Delete nodes, without asking back",
		Example: `  sluice zk delete /a /b --if-exists
  sluice zk delete -r /consumers/old-group`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: f.completeNodes,
		RunE:              func(cmd *cobra.Command, paths []string) error { return f.remove(cmd, paths) },
	}
	f.register(cmd)
	cmd.Flags().Int32Var(&f.version, "version", -1, "only if the data has this version, -1 for any")
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "with all that is below")
	cmd.Flags().BoolVar(&f.lenient, "if-exists", false, "do not fail if there is no such node")
	addOutput(cmd, &f.format)
	return cmd
}

func (f *zkWriter) remove(cmd *cobra.Command, paths []string) error {
	for _, path := range paths {
		if err := zkPath(path); err != nil {
			return err
		}
		if path == "/" {
			return usagef("the root cannot be deleted")
		}
	}
	if f.recursive && f.version != -1 {
		return usagef("--recursive and --version exclude each other")
	}
	return f.with(cmd, func(ctx context.Context, s *client.Session) error {
		changes := []zkChange{}
		var errs []error
		for _, path := range paths {
			n, err := 1, error(nil)
			if f.recursive {
				n, err = zkRemoveAll(ctx, s, path)
			} else {
				err = s.Delete(ctx, path, f.version)
			}
			c := zkChange{Path: path, Status: "deleted", Nodes: n}
			if f.lenient && errors.Is(err, zk.NoNode) {
				c.Status, c.Nodes, err = "missing", 0, nil
			}
			if err != nil {
				errs = append(errs, zkError(cmd.Context(), err))
				continue
			}
			changes = append(changes, c)
		}
		return errors.Join(append([]error{writeZKChanges(cmd.OutOrStdout(), f.format, changes)}, errs...)...)
	})
}

// Bounds of one transaction that deletes: a request may have 1 MB. And how often nodes are looked for again that came
// meanwhile.
const (
	removeNodes  = 500
	removeBytes  = 500 << 10
	removeRounds = 5
)

// zkRemoveAll deletes a node and all below it, many in one transaction, children first.
func zkRemoveAll(ctx context.Context, s *client.Session, path string) (n int, err error) {
	for range removeRounds {
		var paths []string
		if err := zkWalk(ctx, s, path, zkWant{depth: -1}, func(n *zkNode, _ int) error {
			paths = append(paths, n.Path)
			return nil
		}); err != nil {
			return n, err
		}
		slices.Reverse(paths)
		var done int
		if done, err = zkRemove(ctx, s, paths); err == nil {
			return n + done, nil
		}
		n += done
		if !errors.Is(err, zk.NotEmpty) && !errors.Is(err, zk.NoNode) {
			return n, err
		}
	}
	return n, err
}

func zkRemove(ctx context.Context, s *client.Session, paths []string) (n int, err error) {
	var ops []client.Op
	size := 0
	flush := func() error {
		_, err := s.Multi(ctx, ops...)
		if err == nil {
			n += len(ops)
		}
		ops, size = ops[:0], 0
		return err
	}
	for _, p := range paths {
		ops = append(ops, client.DeleteOp(p, -1))
		if size += len(p) + 32; len(ops) == removeNodes || size >= removeBytes {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	if len(ops) > 0 {
		err = flush()
	}
	return n, err
}

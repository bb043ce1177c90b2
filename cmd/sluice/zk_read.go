package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// zkReader is what the verbs that read have in common.
type zkReader struct {
	zkFlags
	format    string
	recursive bool
	depth     int
	data      bool
	acl       bool
	all       bool
}

func rootOr(args []string) string {
	if len(args) == 0 {
		return "/"
	}
	return args[0]
}

func newZKListCommand() *cobra.Command {
	var f zkReader
	cmd := &cobra.Command{
		Use:     "ls [PATH]",
		Aliases: []string{"list"},
		Short:   "List the children of a node",
		Long:    "List the children of a node, by default the root; with --recursive all nodes below it.",
		Example: `  sluice zk ls /brokers/ids
  sluice zk ls /brokers -r -o wide
  sluice zk ls /config/topics -o json | jq -r '.[].path'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: f.completeNodes,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.list(cmd, rootOr(args)) },
	}
	f.register(cmd)
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "all that is below")
	addOutput(cmd, &f.format)
	return cmd
}

func (f *zkReader) list(cmd *cobra.Command, path string) error {
	if err := zkPath(path); err != nil {
		return err
	}
	want := zkWant{depth: 1}
	if f.recursive {
		want.depth = -1
	}
	t := &table{columns: []column{{name: "path"}, {name: "children", right: true}, {name: "bytes", right: true},
		{name: "version", right: true}, {name: "owner"}, {name: "modified", wide: true}, {name: "czxid", wide: true}, {name: "mzxid", wide: true}}}
	nodes := []*zkNode{}
	err := f.with(cmd, func(ctx context.Context, s *client.Session) error {
		return zkWalk(ctx, s, path, want, func(n *zkNode, depth int) error {
			if depth == 0 {
				return nil
			}
			nodes = append(nodes, n)
			t.add(n.Path, n.Stat.NumChildren, n.Stat.DataLength, n.Stat.Version, n.Stat.EphemeralOwner,
				n.Stat.Mtime.Format("2006-01-02T15:04:05Z"), n.Stat.Czxid, n.Stat.Mzxid)
			return nil
		})
	})
	if err != nil {
		return err
	}
	t.data = nodes
	return t.write(cmd.OutOrStdout(), f.format)
}

func newZKGetCommand() *cobra.Command {
	var f zkReader
	cmd := &cobra.Command{
		Use:   "get PATH",
		Short: "Print the data of a node",
		Long:  "Print the data of a node, byte for byte and nothing else; with -o json the node with its stat.",
		Example: `  sluice zk get /controller | jq .brokerid
  sluice zk get /brokers/ids/1 -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeNodes,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.get(cmd, args[0]) },
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.acl, "acl", false, "the ACL as well, with -o json or yaml")
	addOutput(cmd, &f.format, "raw", "json", "yaml")
	return cmd
}

// one reads one node that has to be there.
func (f *zkReader) one(cmd *cobra.Command, path string, want zkWant) (n *zkNode, err error) {
	if err := zkPath(path); err != nil {
		return nil, err
	}
	err = f.with(cmd, func(ctx context.Context, s *client.Session) (err error) {
		if n, err = zkRead(ctx, s, path, want); n == nil && err == nil {
			err = &client.OpError{Op: zk.OpGetData, Path: path, Err: zk.NoNode}
		}
		return err
	})
	return n, err
}

func (f *zkReader) get(cmd *cobra.Command, path string) error {
	n, err := f.one(cmd, path, zkWant{data: true, acl: f.acl})
	if err != nil {
		return err
	}
	switch f.format {
	case "json":
		return writeJSON(cmd.OutOrStdout(), n)
	case "yaml":
		return writeYAML(cmd.OutOrStdout(), n)
	}
	_, err = cmd.OutOrStdout().Write(n.raw)
	return err
}

func newZKStatCommand() *cobra.Command {
	var f zkReader
	cmd := &cobra.Command{
		Use:               "stat PATH",
		Short:             "Show versions, times, owner and ACL of a node",
		Example:           "  sluice zk stat /controller_epoch",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeNodes,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.stat(cmd, args[0]) },
	}
	f.register(cmd)
	addOutput(cmd, &f.format)
	return cmd
}

func (f *zkReader) stat(cmd *cobra.Command, path string) error {
	n, err := f.one(cmd, path, zkWant{acl: true})
	if err != nil {
		return err
	}
	s := n.Stat
	owner := s.EphemeralOwner
	if owner == "" {
		owner = "none"
	}
	t := &table{data: n, columns: []column{{name: "name"}, {name: "value"}}}
	for _, row := range [][2]any{{"path", n.Path}, {"czxid", s.Czxid}, {"ctime", s.Ctime}, {"mzxid", s.Mzxid}, {"mtime", s.Mtime},
		{"pzxid", s.Pzxid}, {"version", s.Version}, {"cversion", s.Cversion}, {"aversion", s.Aversion}, {"ephemeral_owner", owner},
		{"data_length", s.DataLength}, {"num_children", s.NumChildren}, {"acl", strings.Join(n.ACL, " ")}} {
		t.add(row[0], row[1])
	}
	return t.write(cmd.OutOrStdout(), f.format)
}

func newZKTreeCommand() *cobra.Command {
	var f zkReader
	cmd := &cobra.Command{
		Use:   "tree [PATH]",
		Short: "Show a node and all below it as a tree",
		Example: `  sluice zk tree /brokers --data
  sluice zk tree --depth 2 -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: f.completeNodes,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.tree(cmd, rootOr(args)) },
	}
	f.register(cmd)
	cmd.Flags().IntVar(&f.depth, "depth", -1, "how far down, -1 for all")
	cmd.Flags().BoolVarP(&f.data, "data", "d", false, "the data as well")
	addOutput(cmd, &f.format, "table", "json", "yaml")
	return cmd
}

func (f *zkReader) tree(cmd *cobra.Command, path string) error {
	if err := zkPath(path); err != nil {
		return err
	}
	if f.depth < -1 {
		return usagef("--depth %d: want -1 or more", f.depth)
	}
	var above []*zkNode // the last node of each depth
	err := f.with(cmd, func(ctx context.Context, s *client.Session) error {
		return zkWalk(ctx, s, path, zkWant{data: f.data, depth: f.depth}, func(n *zkNode, depth int) error {
			above = append(above[:depth], n)
			if depth > 0 {
				above[depth-1].Children = append(above[depth-1].Children, n)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	switch f.format {
	case "json":
		return writeJSON(cmd.OutOrStdout(), above[0])
	case "yaml":
		return writeYAML(cmd.OutOrStdout(), above[0])
	}
	return f.branch(cmd.OutOrStdout(), above[0], "", "")
}

// branch draws a node and what is below it.
func (f *zkReader) branch(w io.Writer, n *zkNode, first, rest string) error {
	name := n.Path
	if first != "" {
		name = zk.Base(n.Path)
	}
	line := first + name
	if n.Stat.EphemeralOwner != "" {
		line += " (ephemeral, session " + n.Stat.EphemeralOwner + ")"
	}
	if t := n.text(); t != "" {
		line += " = " + t
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return err
	}
	for i, c := range n.Children {
		stem, below := "├── ", "│   "
		if i == len(n.Children)-1 {
			stem, below = "└── ", "    "
		}
		if err := f.branch(w, c, rest+stem, rest+below); err != nil {
			return err
		}
	}
	return nil
}

func newZKDumpCommand() *cobra.Command {
	var f zkReader
	cmd := &cobra.Command{
		Use:   "dump [PATH]",
		Short: "Print a node and all below it, with data and stat, as JSON",
		Long: "Print a node, by default the root, and all below it, with data, stat and ACL (where not everybody may do everything):\n" +
			"a JSON list in the order of the paths, parents first. Data that is JSON itself is under json, other text under data,\n" +
			"and what is no text under data_base64. It is no snapshot: nodes are read one after the other.",
		Example: `  sluice zk dump > before.json
  sluice zk dump /brokers/topics | jq -r '.[] | select(.json.leader == -1) | .path'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: f.completeNodes,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.dump(cmd, rootOr(args)) },
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "also /zookeeper, which every server keeps for itself")
	return cmd
}

func (f *zkReader) dump(cmd *cobra.Command, path string) error {
	if err := zkPath(path); err != nil {
		return err
	}
	open := formatACL(zk.OpenACL)
	w := cmd.OutOrStdout()
	before := "[\n"
	err := f.with(cmd, func(ctx context.Context, s *client.Session) error {
		return zkWalk(ctx, s, path, zkWant{data: true, acl: true, depth: -1}, func(n *zkNode, _ int) error {
			if n.Path == "/" && path == "/" && !f.all {
				n.names = slices.DeleteFunc(n.names, func(name string) bool { return name == "zookeeper" })
			}
			if slices.Equal(n.ACL, open) {
				n.ACL = nil
			}
			if _, err := io.WriteString(w, before); err != nil {
				return err
			}
			before = ","
			return writeJSON(w, n)
		})
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "]\n")
	return err
}

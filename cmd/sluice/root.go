package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// program is what the process was started with.
type program struct {
	args           []string
	environ        []string // as os.Environ
	stdin          io.Reader
	stdout, stderr io.Writer
}

// Variables of the environment that are not configuration keys.
const (
	envConfig    = "SLUICE_CONFIG"    // default of --config
	envBootstrap = "SLUICE_BOOTSTRAP" // default of --bootstrap
	envZooKeeper = "SLUICE_ZOOKEEPER" // default of --server of the zk verbs
)

// getenv returns the value of an environment variable, empty if it is not there.
func (p *program) getenv(name string) string {
	for _, e := range slices.Backward(p.environ) {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

type programKey struct{}

// programOf returns what the process that runs cmd was started with.
func programOf(cmd *cobra.Command) *program {
	return cmd.Context().Value(programKey{}).(*program)
}

// run executes one command line and returns its exit code. Verbs end soon after
// ctx does.
func run(ctx context.Context, p program) int {
	root := newRootCommand()
	root.SetArgs(append([]string{}, p.args...)) // for nil cobra would take os.Args
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	began := false // arguments and flags were understood
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	cmd, err := root.ExecuteContextC(context.WithValue(ctx, programKey{}, &p))
	if err == nil {
		return exitOK
	}
	if !began {
		err = usageError(err)
	}
	return report(ctx, p.stderr, cmd, err)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "A Kafka-protocol broker built to be measured, and tools for any Kafka cluster",
		Long: "Sluice is a Kafka-protocol broker built to be measured, and tools for any Kafka cluster.\n\n" +
			exitCodeHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSubcommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		newServeCommand(),
		newCoordinatorCommand(),
		newDemoCommand(),
		newBenchCommand(),
		newTopicCommand(),
		newProduceCommand(),
		newConsumeCommand(),
		newZKCommand(),
		newLogCommand(),
		newConfigCommand(),
		newVersionCommand(),
	)
	return root
}

// group makes a command that only has subcommands.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(subs...)
	return cmd
}

// noSubcommand refuses words after a group that name none of its commands.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	msg := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		msg += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%s", msg)
}

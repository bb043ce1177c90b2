package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// zkHolder is what elect and lock have in common: they run a command while this session holds something.
type zkHolder struct {
	zkFlags
	format    string
	data      string
	noWait    bool
	wait      time.Duration
	signal    string
	killAfter time.Duration

	prefix  string // of the nodes
	acquire func(ctx context.Context, s *client.Session, dir string, data []byte) (*client.Held, error)
}

const zkRunHelp = `The command runs as long as it is held, and then it is given up. If the session is lost meanwhile, or the node deleted,
somebody else may get it at any time: the command gets the signal of --signal, SIGKILL after --kill-after, and the exit
code is 8. The time-out of the session (--session-timeout) is for how long the coordinator may be away.

The command's environment has ZK_NODE, the path of the node; ZK_ZXID, a number that is larger for each later holder, by
which what the command changes can refuse who comes too late; and ZK_SESSION. The exit code is the command's.

Without a command it shows who holds it and who waits.`

// zkSignals are the values of --signal.
var zkSignals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "QUIT": syscall.SIGQUIT, "KILL": syscall.SIGKILL}

func newZKElectCommand() *cobra.Command {
	f := zkHolder{prefix: "master"}
	f.acquire = func(ctx context.Context, s *client.Session, dir string, data []byte) (*client.Held, error) {
		return (&client.Election{Session: s, Dir: dir, Prefix: f.prefix}).Campaign(ctx, data)
	}
	cmd := &cobra.Command{
		Use:   "elect PATH [-- COMMAND [ARG...]]",
		Short: "Wait to be elected, then run a command while leading",
		Long: "Wait to be elected, then run a command while leading. Each candidate makes a sequential ephemeral node below PATH,\n" +
			"and the one with the smallest number leads.\n\n" + zkRunHelp,
		Example: `  sluice zk elect /myapp/leader -- ./run-the-scheduler
  sluice zk elect /myapp/leader`,
	}
	f.finish(cmd)
	cmd.Flags().StringVar(&f.prefix, "prefix", f.prefix, "how the names of the candidates' nodes begin")
	return cmd
}

func newZKLockCommand() *cobra.Command {
	f := zkHolder{prefix: "lock-"}
	f.acquire = func(ctx context.Context, s *client.Session, dir string, data []byte) (*client.Held, error) {
		l := client.Lock{Session: s, Dir: dir}
		if f.noWait {
			return l.TryLock(ctx, data)
		}
		return l.Lock(ctx, data)
	}
	cmd := &cobra.Command{
		Use:   "lock PATH [-- COMMAND [ARG...]]",
		Short: "Run a command while holding a lock",
		Long: "Wait for a lock, then run a command while holding it. Those who wait get it in the order in which they came.\n\n" +
			zkRunHelp,
		Example: `  sluice zk lock /locks/backup -- pg_dumpall -f dump.sql
  sluice zk lock /locks/nightly --no-wait -- ./nightly || echo somebody else does it
  sluice zk lock /locks/backup`,
	}
	f.finish(cmd)
	cmd.Flags().BoolVarP(&f.noWait, "no-wait", "n", false, "fail with exit code 1 if somebody else holds it")
	return cmd
}

func (f *zkHolder) finish(cmd *cobra.Command) {
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.ValidArgsFunction = f.completeNodes
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) }
	f.register(cmd)
	fl := cmd.Flags()
	fl.DurationVarP(&f.wait, "wait", "w", 0, "fail with exit code 1 after waiting for so long, 0 for no limit")
	fl.StringVar(&f.data, "data", "", "what others see of the holder (default host name and process id)")
	fl.StringVar(&f.signal, "signal", "TERM", "what the command gets when it has to end: TERM, INT, HUP, USR1, USR2, QUIT, KILL")
	fl.DurationVar(&f.killAfter, "kill-after", 10*time.Second, "SIGKILL so long after that, 0 for never")
	addOutput(cmd, &f.format)
}

func (f *zkHolder) run(cmd *cobra.Command, args []string) error {
	path, command := args[0], args[1:]
	if err := zkPath(path); err != nil {
		return err
	}
	switch {
	case zkSignals[f.signal] == 0:
		return usagef("--signal %s: want TERM, INT, HUP, USR1, USR2, QUIT or KILL", f.signal)
	case f.wait < 0 || f.killAfter < 0:
		return usagef("--wait and --kill-after are 0 or more")
	case len(command) == 0:
		return f.show(cmd, path)
	}
	if f.data == "" {
		host, _ := os.Hostname() // "" will do
		f.data = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	ctx := cmd.Context()
	s, err := f.open(ctx, programOf(cmd))
	if err != nil {
		return err
	}
	defer zkClose(s)
	held, err := f.hold(ctx, s, path)
	if err != nil {
		return zkError(ctx, err)
	}
	return f.runHolding(cmd, s, held, command)
}

// hold waits until it is held.
func (f *zkHolder) hold(ctx context.Context, s *client.Session, path string) (*client.Held, error) {
	waiting := ctx
	if f.wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, f.wait)
		defer cancel()
	}
	held, err := f.acquire(waiting, s, path, []byte(f.data))
	switch {
	case err == nil && held == nil:
		return nil, errors.New("somebody else holds it")
	case err != nil && ctx.Err() == nil && waiting.Err() != nil:
		return nil, fmt.Errorf("it was somebody else's turn for %v", f.wait)
	}
	return held, err
}

// runHolding runs the command and watches over both.
func (f *zkHolder) runHolding(cmd *cobra.Command, s *client.Session, held *client.Held, command []string) error {
	p := programOf(cmd)
	c := exec.Command(command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = p.stdin, p.stdout, p.stderr
	c.Env = append(p.environ[:len(p.environ):len(p.environ)], "ZK_NODE="+held.Path(), fmt.Sprintf("ZK_ZXID=%d", held.Zxid()),
		"ZK_SESSION="+zkHex(s.ID()))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not go on when nobody watches over it
	c.WaitDelay = time.Second                                        // for what it has started and left behind with its output
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig is about the thread that started it
		err := c.Start()
		started <- err
		if err == nil {
			ended <- c.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting the command: %w", err)
	}
	var lost error
	select {
	case err := <-ended:
		return f.ended(held, c, err)
	case <-held.Lost():
		lost = held.Err()
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: lost while the command ran: %v\n", cmd.CommandPath(), lost)
		_ = c.Process.Signal(zkSignals[f.signal]) // an error if it has just ended
	case <-cmd.Context().Done():
		_ = c.Process.Signal(syscall.SIGTERM) // as above
	}
	var kill <-chan time.Time
	if f.killAfter > 0 {
		kill = time.After(f.killAfter)
	}
	var err error
	select {
	case err = <-ended:
	case <-kill:
		_ = c.Process.Kill() // as above
		err = <-ended
	}
	if lost != nil {
		return &exitError{exitLost, fmt.Errorf("it was lost: %w; the command ended: %v", lost, c.ProcessState)}
	}
	return f.ended(held, c, err)
}

// ended gives up what is held; the exit code is the command's.
func (f *zkHolder) ended(held *client.Held, c *exec.Cmd, err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), zkClosing)
	defer cancel()
	_ = held.Release(ctx) // else it goes with the session
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &exitError{code: 128 + int(status.Signal())} // as shells have it
	}
	if code := c.ProcessState.ExitCode(); code > 0 {
		return &exitError{code: code}
	}
	return err
}

// zkPlace is a place in the line of an election or lock; the JSON names are stable. The first one holds it.
type zkPlace struct {
	Path    string    `json:"path"`
	Held    bool      `json:"held"`
	Data    string    `json:"data"`
	Session string    `json:"session"`
	Since   time.Time `json:"since"`
	Zxid    string    `json:"zxid"`
}

// show tells who holds it and who waits.
func (f *zkHolder) show(cmd *cobra.Command, path string) error {
	list := []zkPlace{}
	err := f.with(cmd, func(ctx context.Context, s *client.Session) error {
		line, err := s.Line(ctx, path, f.prefix)
		if err != nil {
			return err
		}
		for _, p := range line {
			list = append(list, zkPlace{Path: p.Path, Held: len(list) == 0, Data: string(p.Data), Session: zkHex(p.Stat.EphemeralOwner),
				Since: zkTime(p.Stat.Ctime), Zxid: zkHex(p.Stat.Czxid)})
		}
		return nil
	})
	if errors.Is(err, zk.NoNode) {
		err = nil // nobody ever asked for it
	}
	if err != nil {
		return err
	}
	t := &table{data: list, columns: []column{{name: "path"}, {name: "state"}, {name: "data"}, {name: "since"}, {name: "session", wide: true},
		{name: "zxid", wide: true}}}
	for _, p := range list {
		state := "waits"
		if p.Held {
			state = "holds"
		}
		t.add(p.Path, state, p.Data, p.Since.Format(time.RFC3339), p.Session, p.Zxid)
	}
	return t.write(cmd.OutOrStdout(), f.format)
}

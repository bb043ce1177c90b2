package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

const defaultZooKeeper = "127.0.0.1:2181"

func newZKCommand() *cobra.Command {
	cmd := group("zk", "Look at, change and watch the nodes of a coordinator or a ZooKeeper; elect and lock",
		newZKListCommand(), newZKTreeCommand(), newZKGetCommand(), newZKStatCommand(), newZKDumpCommand(), newZKCreateCommand(),
		newZKSetCommand(), newZKDeleteCommand(), newZKWatchCommand(), newZKElectCommand(), newZKLockCommand())
	cmd.Example = `  sluice zk tree /brokers
  sluice zk get /brokers/ids/1 --server zk1:2181,zk2:2181/kafka
  echo -n hello | sluice zk create /greeting -
  sluice zk watch / --recursive
  sluice zk lock /locks/backup -- pg_dumpall -f dump.sql`
	return cmd
}

// zkFlags say how to connect to a coordinator.
type zkFlags struct {
	server     string
	auth       []string
	timeout    time.Duration // of the session
	patience   time.Duration // with which a server is looked for
	tls        bool
	ca         string
	cert, key  string
	insecure   bool
	maxReplies int
}

func (f *zkFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVarP(&f.server, "server", "s", "", "connect string host:port[,host:port…][/chroot] (default "+defaultZooKeeper+
		", environment: "+envZooKeeper+")")
	fl.StringArrayVar(&f.auth, "auth", nil, "who you are, scheme:credentials, such as digest:user:password; may be repeated")
	fl.DurationVar(&f.timeout, "session-timeout", 10*time.Second, "time-out of the session to ask for")
	fl.DurationVar(&f.patience, "connect-timeout", 10*time.Second, "how long to look for a server")
	fl.BoolVar(&f.tls, "tls", false, "connect with TLS")
	fl.StringVar(&f.ca, "tls-ca", "", "file with the certificates to trust, instead of the system's")
	fl.StringVar(&f.cert, "tls-cert", "", "file with the client's certificate")
	fl.StringVar(&f.key, "tls-key", "", "file with its key")
	fl.BoolVar(&f.insecure, "tls-insecure", false, "do not check the server's certificate")
	fl.IntVar(&f.maxReplies, "max-reply", 16<<20, "largest reply to take, in bytes")
}

// config reads flags and environment.
func (f *zkFlags) config(p *program) (client.Config, error) {
	connect := f.server
	if connect == "" {
		connect = p.getenv(envZooKeeper)
	}
	if connect == "" {
		connect = defaultZooKeeper
	}
	servers, chroot, err := client.ParseConnect(connect)
	if err != nil {
		return client.Config{}, usagef("--server: %v", err)
	}
	cfg := client.Config{Servers: servers, Chroot: chroot, Timeout: f.timeout, MaxReply: f.maxReplies,
		Logger: slog.New(slog.DiscardHandler)}
	for _, a := range f.auth {
		scheme, data, ok := strings.Cut(a, ":")
		if !ok || scheme == "" {
			return cfg, usagef("--auth %s: want scheme:credentials", a)
		}
		cfg.Auth = append(cfg.Auth, client.Auth{Scheme: scheme, Data: []byte(data)})
	}
	switch {
	case f.timeout < time.Millisecond:
		return cfg, usagef("--session-timeout %v: want at least 1ms", f.timeout)
	case f.patience <= 0:
		return cfg, usagef("--connect-timeout %v: want more than 0", f.patience)
	case f.maxReplies < 1<<10:
		return cfg, usagef("--max-reply %d: want at least 1024", f.maxReplies)
	case (f.cert == "") != (f.key == ""):
		return cfg, usagef("--tls-cert and --tls-key come together")
	}
	if f.tls || f.ca != "" || f.cert != "" || f.insecure {
		cfg.TLS, err = f.tlsConfig()
	}
	return cfg, err
}

func (f *zkFlags) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{InsecureSkipVerify: f.insecure}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in the file", f.ca)
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// open opens a session; exit code 4 if there is no server.
func (f *zkFlags) open(ctx context.Context, p *program) (*client.Session, error) {
	cfg, err := f.config(p)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	s, err := client.Open(limited, cfg)
	switch {
	case err == nil:
		return s, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, client.ErrAuthFailed):
		return nil, &exitError{exitKafka, fmt.Errorf("%s does not take --auth: %w", strings.Join(cfg.Servers, ","), err)}
	}
	return nil, &exitError{exitUnreachable, fmt.Errorf(
		"no coordinator answers at %s: %w; start one with `sluice coordinator`, or name another with --server", strings.Join(cfg.Servers, ","), err)}
}

// zkClosing is how long to wait for the answer that the session has ended; the server ends it anyway, a little later.
const zkClosing = 2 * time.Second

func zkClose(s *client.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), zkClosing)
	defer cancel()
	_ = s.Close(ctx) // then it ends by its time-out
}

// with runs one command with a session. A server that goes away meanwhile is waited for until the session has lapsed.
func (f *zkFlags) with(cmd *cobra.Command, run func(ctx context.Context, s *client.Session) error) error {
	s, err := f.open(cmd.Context(), programOf(cmd))
	if err != nil {
		return err
	}
	defer zkClose(s)
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	changes, stop := s.Subscribe()
	defer stop()
	go func() {
		for {
			select {
			case state := <-changes:
				if state == client.Lapsed {
					cancel(client.ErrLapsed)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	err = run(ctx, s)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, client.ErrLapsed) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return zkError(cmd.Context(), err)
}

// zkAdvice says what to do about an error of a coordinator.
var zkAdvice = map[zk.Error]string{
	zk.NoNode:                  "see `sluice zk ls` for what is there; create makes missing parents with --parents",
	zk.NodeExists:              "change it with `sluice zk set`, or pass --if-not-exists",
	zk.NotEmpty:                "delete what is below it as well with --recursive",
	zk.BadVersion:              "somebody else has changed it: look at it again with `sluice zk get`",
	zk.NoAuth:                  "log in as somebody else with --auth",
	zk.InvalidACL:              "correct --acl; its scheme may need --auth",
	zk.Unimplemented:           "the server is too old for this, or not set up for it",
	zk.NoChildrenForEphemerals: "choose another parent",
}

// zkError turns an error of the client into what the user reads, with its exit code.
func zkError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, client.ErrLapsed) || errors.Is(err, client.ErrExpired) || errors.Is(err, client.ErrConnectionLoss) ||
		errors.Is(err, client.ErrBehind) {
		return &exitError{exitUnreachable, fmt.Errorf("the coordinator was lost: %w", err)}
	}
	code, ok := errors.AsType[zk.Error](err)
	op, _ := errors.AsType[*client.OpError](err)
	if !ok || op == nil {
		return err
	}
	text := fmt.Sprintf("%s: %s (%d)", op.Path, strings.TrimPrefix(op.Err.Error(), "zookeeper: "), code)
	if op.Path == "" {
		text = fmt.Sprintf("%v: %s (%d)", op.Op, strings.TrimPrefix(op.Err.Error(), "zookeeper: "), code)
	}
	if a, ok := zkAdvice[code]; ok {
		text += "; " + a
	}
	return &exitError{exitKafka, &described{text, err}}
}

// zkPath checks an argument that is a path.
func zkPath(arg string) error {
	if err := zk.CheckPath(arg); err != nil {
		return usageError(err)
	}
	return nil
}

// completeNodes offers paths. A shell waits for it, so it gives up soon.
func (f *zkFlags) completeNodes(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	const how = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	s, err := f.open(ctx, programOf(cmd))
	if err != nil {
		return nil, how
	}
	defer zkClose(s)
	dir := "/" + strings.TrimPrefix(word, "/")
	dir = dir[:strings.LastIndexByte(dir, '/')]
	names, _, err := s.Children(ctx, "/"+strings.TrimPrefix(dir, "/"))
	if err != nil {
		return nil, how
	}
	for i := range names {
		names[i] = dir + "/" + names[i]
	}
	return names, how
}

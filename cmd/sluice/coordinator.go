package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/broker/admin"
	"github.com/sluice-mq/sluice/config"
	zkserver "github.com/sluice-mq/sluice/coordination/server"
)

type coordinatorFlags struct {
	configFlags
	logFlags
	readyFile string
}

func newCoordinatorCommand() *cobra.Command {
	var f coordinatorFlags
	cmd := &cobra.Command{
		Use:   "coordinator",
		Short: "Run the coordinator alone, for ZooKeeper clients",
		Long: "Run the coordinator that `serve` has built in, alone: any ZooKeeper client can talk to it. Without arguments it\n" +
			"keeps its data in ./sluice-data/coordinator and listens on 127.0.0.1:2181 for clients and on 127.0.0.1:9405 for\n" +
			"HTTP (/metrics, /livez, /readyz, /debug/pprof).\n\n" +
			"Every change is on disk before it is answered; sessions outlive a restart. It ends with code 1 when its disk fails.\n\n" +
			"SIGTERM or SIGINT: stop, exit with 0. Sessions go on at the next start, with their full time-outs.",
		Args: noSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.configFlags.register(cmd)
	f.logFlags.register(cmd)
	cmd.Flags().StringVar(&f.readyFile, "ready-file", "", "write pid and addresses to this file (JSON) when ready")
	cmd.AddCommand(newRestoreCommand())
	return cmd
}

func (f *coordinatorFlags) run(cmd *cobra.Command) error {
	log, err := f.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	values, cfg, err := typed(&f.configFlags, programOf(cmd), (*config.Values).Coordinator)
	if err != nil {
		return err
	}
	logSettings(values, log)
	c := coordinator{begin: time.Now()}
	if err := c.start(cfg, log); err != nil {
		return errors.Join(err, c.stop())
	}
	if err := c.announce(cmd.OutOrStdout(), f.readyFile, cfg); err != nil {
		return errors.Join(err, c.stop())
	}
	select {
	case <-cmd.Context().Done():
		log.Info("stopping; a second signal stops at once")
	case <-c.server.Done(): // by itself: stop tells why
	}
	return c.stop()
}

// coordinator is a coordinator with its HTTP port.
type coordinator struct {
	begin  time.Time
	server *zkserver.Server
	admin  *admin.Server // nil when turned off
}

func (c *coordinator) start(cfg *config.Coordinator, log *slog.Logger) error {
	sc, err := serverConfig(cfg, log)
	if err != nil {
		return configError(err)
	}
	if cfg.AdminListener != "" {
		if c.admin, err = admin.ListenAlone(cfg.AdminListener, log); err != nil {
			return portError(err, "coordinator.admin.listener")
		}
	}
	if c.server, err = zkserver.Open(sc); err != nil {
		return portError(err, "coordinator.listeners")
	}
	if c.admin != nil {
		c.admin.AttachCoordinator(c.server)
	}
	return nil
}

func (c *coordinator) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var err error
	if c.server != nil {
		err = c.server.Close()
	}
	if c.admin != nil {
		_ = c.admin.Close(ctx) // a profile that takes longer is cut off
	}
	return err
}

func (c *coordinator) announce(w io.Writer, file string, cfg *config.Coordinator) error {
	r := readiness{PID: os.Getpid(), Coordinator: c.server.Addrs()[0]}
	fmt.Fprintf(w, "Sluice's coordinator is ready after %d ms, with its data in %s\n", time.Since(c.begin).Milliseconds(), cfg.Dir)
	for i, a := range c.server.Addrs() {
		what := "ZooKeeper clients"
		if i >= len(cfg.Listeners) {
			what = "the same, TLS    "
		}
		fmt.Fprintf(w, "  %s  %s\n", what, a)
	}
	if c.admin != nil {
		r.Admin = c.admin.Addr()
		fmt.Fprintf(w, "  metrics            http://%s/metrics (and /readyz, /debug/pprof/)\n", r.Admin)
	}
	if file == "" {
		return nil
	}
	return writeReadyFile(file, r)
}

// serverConfig is what the settings mean to a coordinator. It reads the files that they name.
func serverConfig(c *config.Coordinator, log *slog.Logger) (zkserver.Config, error) {
	sc := zkserver.Config{
		Dir: c.Dir, Listen: c.Listeners, SecureListen: c.SecureListeners,
		Limits: zkserver.Limits{
			Tick: c.Tick, MinSessionTimeout: c.MinSessionTimeout, MaxSessionTimeout: c.MaxSessionTimeout,
			Watches: c.MaxWatches, Nodes: c.MaxNodes, Depth: c.MaxDepth, Bytes: c.MaxBytes, ServerID: 1,
			TTLNodes: c.ExtendedTypes, SuperDigest: c.SuperDigest,
		},
		MaxPacket: c.MaxPacketBytes, MaxConns: c.MaxConns, MaxConnsPerIP: c.MaxConnsPerIP,
		SnapshotEvery: c.SnapshotEvery, SnapshotsKept: c.SnapshotsKept,
		Words: c.Words, Version: currentVersion().Version, Logger: log,
	}
	if len(c.SecureListeners) == 0 {
		return sc, nil
	}
	pair, err := tls.LoadX509KeyPair(c.Keystore, c.Keystore)
	if err != nil {
		return sc, fmt.Errorf("coordinator.ssl.keystore.location: %w", err)
	}
	sc.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.ClientAuth == "none" {
		return sc, nil
	}
	sc.TLS.ClientAuth = tls.VerifyClientCertIfGiven
	if c.ClientAuth == "required" {
		sc.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	}
	text, err := readBounded(c.Truststore, config.MaxFileBytes)
	if err != nil {
		return sc, fmt.Errorf("coordinator.ssl.truststore.location: %w", err)
	}
	sc.TLS.ClientCAs = x509.NewCertPool()
	if !sc.TLS.ClientCAs.AppendCertsFromPEM(text) {
		return sc, fmt.Errorf("coordinator.ssl.truststore.location: %s has no certificate in PEM", c.Truststore)
	}
	return sc, nil
}

func newRestoreCommand() *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Accept a directory that was put back from a backup",
		Long: "Accept the coordinator's directory (coordinator.dir) as it is now, after it was put back from a backup or moved\n" +
			"here; a start refuses it otherwise. The coordinator must not be running.\n\n" +
			"What was acknowledged after the backup is lost. So that nobody takes old numbers for new ones, the next transaction\n" +
			"gets an id in the next epoch, above all that were ever given out. Clients that have seen later changes can connect\n" +
			"again, and find the older state.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, cfg, err := typed(&f, programOf(cmd), (*config.Values).Coordinator)
			if err != nil {
				return err
			}
			r, err := zkserver.Restore(cfg.Dir)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Accepted %s: %d nodes and %d sessions as of transaction %#x; the next one is %#x\n",
				cfg.Dir, r.Nodes, r.Sessions, r.Was, r.Zxid+1)
			return nil
		},
	}
	f.register(cmd)
	return cmd
}

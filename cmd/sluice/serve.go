package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/broker"
	"github.com/sluice-mq/sluice/broker/admin"
	"github.com/sluice-mq/sluice/config"
	zkserver "github.com/sluice-mq/sluice/coordination/server"
)

type serveFlags struct {
	configFlags
	logFlags
	readyFile string
	adopt     bool
}

func newServeCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a broker",
		Long: "Run a broker. Without arguments it keeps its data in ./sluice-data and listens on 127.0.0.1:9092 for\n" +
			"Kafka clients, on 127.0.0.1:2181 for ZooKeeper clients (the coordinator that it has built in, unless\n" +
			"zookeeper.connect names another one) and on 127.0.0.1:9404 for HTTP (/metrics, /livez, /readyz, /debug/pprof).\n\n" +
			"With --adopt the log directory may be one that a Kafka broker has written and stopped using: its topics are served\n" +
			"with all their records, from which nothing is deleted until you say so (sluice config; README).\n\n" +
			"SIGTERM or SIGINT: stop accepting, answer what is under way, flush, exit with 0. A second one: stop at once.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.configFlags.register(cmd)
	f.logFlags.register(cmd)
	cmd.Flags().StringVar(&f.readyFile, "ready-file", "", "write pid, ids and addresses to this file (JSON) when ready")
	cmd.Flags().BoolVar(&f.adopt, "adopt", false, "serve the topics of a log directory that a Kafka broker has written")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) error {
	log, err := f.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	values, cfg, err := f.broker(programOf(cmd))
	if err != nil {
		return err
	}
	cfg.Adopt = f.adopt
	s, err := startServer(cfg, values, log)
	if err != nil {
		return err
	}
	if err := s.announce(cmd.OutOrStdout(), f.readyFile, cfg); err != nil {
		return errors.Join(err, s.stop())
	}
	<-cmd.Context().Done()
	log.Info("stopping; a second signal stops at once")
	return s.stop()
}

// server is a broker with its HTTP port and its coordinator.
type server struct {
	begin       time.Time
	broker      *broker.Broker
	admin       *admin.Server // nil when turned off
	coordinator *keeper       // nil where it is another process, or none
	coordAddr   string        // of coordinator
}

// startServer opens and listens.
func startServer(cfg *config.Broker, values *config.Values, log *slog.Logger) (*server, error) {
	s := &server{begin: time.Now()}
	logSettings(values, log)
	var err error
	if cfg.AdminListener != "" {
		if s.admin, err = admin.Listen(cfg.AdminListener, log); err != nil {
			return nil, portError(err, "admin.listener")
		}
	}
	if cfg.Embedded() {
		if err := s.startCoordinator(cfg, log); err != nil {
			return nil, errors.Join(err, s.stop())
		}
	}
	progress := new(broker.Progress)
	if s.admin != nil {
		progress = s.admin.Opening()
	}
	if s.broker, err = broker.StartTelling(progress, cfg, values, log); err != nil {
		return nil, errors.Join(portError(err, "listeners"), s.stop())
	}
	if s.admin != nil {
		s.admin.Attach(s.broker)
	}
	return s, nil
}

// startCoordinator runs the coordinator that the broker then reaches as it would any other: by its first address.
func (s *server) startCoordinator(cfg *config.Broker, log *slog.Logger) error {
	sc, err := serverConfig(&cfg.Coordinator, log)
	if err != nil {
		return configError(err)
	}
	c, err := zkserver.Open(sc)
	if err != nil {
		return portError(err, "coordinator.listeners")
	}
	n := len(sc.Listen)
	s.coordAddr, sc.Listen, sc.SecureListen = c.Addrs()[0], c.Addrs()[:n], c.Addrs()[n:] // those that were bound, for another time
	s.coordinator = keep(c, log, func() (coordination, error) {
		c, err := zkserver.Open(sc)
		if err == nil && s.admin != nil {
			s.admin.AttachCoordinator(c)
		}
		return c, err
	})
	host, port, err := net.SplitHostPort(s.coordAddr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	cfg.ZooKeeper.Connect = net.JoinHostPort(host, port)
	if s.admin != nil {
		s.admin.AttachCoordinator(c)
	}
	return nil
}

// portError adds what to do about an address that cannot be bound.
func portError(err error, key string) error {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w; choose another address with --set %s=…, port 0 for any free one", err, key)
	}
	return err
}

// stopTimeout is for HTTP requests under way; the broker has shutdown.drain.timeout.ms.
const stopTimeout = 2 * time.Second

func (s *server) stop() error {
	var err error
	if s.broker != nil {
		err = s.broker.Drain(context.Background())
	}
	if s.coordinator != nil {
		err = errors.Join(err, s.coordinator.close()) // after the broker, which takes leave of it
	}
	if s.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		_ = s.admin.Close(ctx) // a profile that takes longer is cut off
	}
	return err
}

// readiness is the ready file; the names are stable.
type readiness struct {
	PID         int    `json:"pid"`
	NodeID      int32  `json:"node_id"`
	ClusterID   string `json:"cluster_id"`
	Kafka       string `json:"kafka"`
	Coordinator string `json:"coordinator"` // host:port of the broker's own, empty where it has none
	Admin       string `json:"admin"`
}

// announce prints where the broker listens and what to do next, and writes the ready file.
func (s *server) announce(w io.Writer, file string, cfg *config.Broker) error {
	r := readiness{PID: os.Getpid(), NodeID: cfg.NodeID, ClusterID: s.broker.ClusterID(), Kafka: s.broker.Addrs()[0]}
	if s.admin != nil {
		r.Admin = s.admin.Addr()
	}
	r.Coordinator = s.coordAddr
	fmt.Fprintf(w, "Sluice is ready after %d ms, with its data in %s\n", time.Since(s.begin).Milliseconds(), cfg.LogDirs[0])
	for _, a := range s.broker.Addrs() {
		fmt.Fprintf(w, "  Kafka clients  %s\n", a)
	}
	if r.Coordinator != "" {
		fmt.Fprintf(w, "  coordinator    %s (for ZooKeeper clients, too)\n", r.Coordinator)
	}
	if r.Admin != "" {
		fmt.Fprintf(w, "  metrics        http://%s/metrics (and /readyz, /debug/pprof/)\n", r.Admin)
	}
	at := ""
	if r.Kafka != defaultBootstrap {
		at = " --bootstrap " + r.Kafka
	}
	fmt.Fprintf(w, "Next, in another terminal:\n  sluice topic create t%[1]s\n  echo hello | sluice produce t%[1]s\n"+
		"  sluice consume t%[1]s -e\n  sluice bench run --rate 10000%[1]s\n", at)
	if file == "" {
		return nil
	}
	return writeReadyFile(file, r)
}

// writeReadyFile renames a whole file into place, so that a reader never sees a part of it.
func writeReadyFile(file string, r readiness) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	_, err = tmp.Write(append(text, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the first error is what counts
		return fmt.Errorf("--ready-file: %w", err)
	}
	return nil
}

// logSettings logs what is not default, and what has no effect.
func logSettings(values *config.Values, log *slog.Logger) {
	for _, w := range values.Warnings() {
		log.Warn(w)
	}
	for _, e := range values.NonDefault() {
		log.Info("setting", "key", e.Key.Name, "value", e.Key.Shown(e.Value.Text), "source", e.Value.Source.String())
	}
}

// logFlags say how a server logs.
type logFlags struct{ format, level string }

func (f *logFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.format, "log-format", "text", "log as text or json, on standard error")
	cmd.Flags().StringVar(&f.level, "log-level", "info", "log from debug, info, warn or error on")
}

func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) { return newLogger(w, f.format, f.level) }

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level %s: levels are debug, info, warn and error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usagef("--log-format %s: formats are text and json", format)
}

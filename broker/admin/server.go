package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-mq/sluice/broker"
	"github.com/sluice-mq/sluice/coordination/server"
)

// Server is the HTTP port. It listens before the broker is ready, so that health can be asked during recovery.
type Server struct {
	listener net.Listener
	http     *http.Server
	alone    bool                          // there will be no broker: the coordinator is what serves
	broker   atomic.Pointer[broker.Broker] // nil until Attach
	opening  broker.Progress               // until then
	// coordinator is nil until AttachCoordinator, and where none is embedded.
	coordinator atomic.Pointer[server.Server]
	done        chan struct{}
}

// Listen serves on addr ("host:port", port 0 for any). The error names the address.
func Listen(addr string, log *slog.Logger) (*Server, error) {
	return listen("admin.listener", addr, log, false)
}

// ListenAlone is Listen for a coordinator without a broker.
func ListenAlone(addr string, log *slog.Logger) (*Server, error) {
	return listen("coordinator.admin.listener", addr, log, true)
}

func listen(key, addr string, log *slog.Logger, alone bool) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	s := &Server{listener: l, alone: alone, done: make(chan struct{})}
	s.http = &http.Server{
		Handler: s.mux(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin port stopped", "error", err)
		}
	}()
	return s, nil
}

// Addr is the address that was bound.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Attach shows the broker that is now serving.
func (s *Server) Attach(b *broker.Broker) { s.broker.Store(b) }

// AttachCoordinator shows the coordinator that is now serving.
func (s *Server) AttachCoordinator(c *server.Server) { s.coordinator.Store(c) }

// Opening is what is to be told how far the broker's start has come, for /readyz.
func (s *Server) Opening() *broker.Progress { return &s.opening }

// Close stops serving: requests under way have until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}

func (s *Server) mux() *http.ServeMux {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{server: s},
	)
	m := http.NewServeMux()
	m.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	m.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { s.live().write(w) })
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { s.ready().write(w) })
	m.HandleFunc("GET /debug/pprof/", pprof.Index)
	m.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	m.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	m.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return m
}

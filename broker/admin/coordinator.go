package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/internal/metrics"
)

// coordinator shows a coordinator's figures under the names that ZooKeeper's PrometheusMetricsProvider gives them and
// the words mntr has (zk_), as far as they mean something here.
func (e *exposition) coordinator(c *server.Server) {
	f, err := c.Figures()
	if err != nil {
		return // it has ended
	}
	for _, x := range []struct {
		name, help string
		v          float64
	}{
		{"znode_count", "Nodes in the tree; as ZooKeeper counts them, the root twice.", float64(f.Nodes + 1)},
		{"ephemerals_count", "Ephemeral nodes.", float64(f.Ephemerals)},
		{"approximate_data_size", "Bytes of paths and data.", float64(f.DataBytes)},
		{"watch_count", "Watches of all connections.", float64(f.Watches)},
		{"num_alive_connections", "Open connections.", float64(f.Connections)},
		{"global_sessions", "Sessions that are alive.", float64(f.Sessions)},
		{"outstanding_requests", "Requests read and not answered.", float64(f.Outstanding)},
		{"open_file_descriptor_count", "Open descriptors of the process.", float64(f.OpenFiles)},
		{"max_file_descriptor_count", "Descriptors that the process may have.", float64(f.MaxFiles)},
		{"uptime", "Milliseconds since the start.", float64(f.Uptime.Milliseconds())},
	} {
		e.gauge("zk_"+x.name, x.help, x.v)
	}
	n := &f.Counters
	for _, x := range []struct {
		name, help string
		v          int64
	}{
		{"packets_received", "Packets received.", n.Received},
		{"packets_sent", "Packets sent.", n.Sent},
		{"connection_rejected", "Connections closed at accept.", f.Refused},
		{"stale_sessions_expired", "Sessions that ended because nothing was heard of them.", n.SessionsExpired},
		{"connection_revalidate_count", "Sessions that another connection resumed.", n.SessionsResumed},
		{"ensemble_auth_fail", "Connections closed for a failed authentication.", n.AuthFailures},
		{"connection_drop_count", "Connections that have ended.", f.Accepted - int64(f.Connections)},
		{"snapshots", "Snapshots written.", f.Snapshots},
	} {
		e.counter("zk_"+x.name, x.help, float64(x.v))
	}
	e.counter("sluice_coordinator_reads_total", "Reads executed.", float64(n.Reads))
	e.counter("sluice_coordinator_writes_total", "Writes executed.", float64(n.Writes))
	e.counter("sluice_coordinator_watch_events_total", "Events sent to watching connections.", float64(n.WatchEvents))
	e.counter("sluice_coordinator_refused_zxid_total", "Connections closed because the client had seen later transactions.", float64(n.RefusedZxid))
	e.gauge("sluice_coordinator_unsent_bytes", "Bytes of answers that clients have not taken.", float64(f.UnsentBytes))
	e.latency("zk_readlatency", "Milliseconds from reading a request to its answer, of requests that change nothing.", &f.Reads)
	e.latency("zk_updatelatency", "The same of requests that change something.", &f.Updates)
	e.latency("zk_fsynctime", "Milliseconds of a sync of the log.", &f.Syncs)
}

// latency is a summary, as ZooKeeper's are: in milliseconds, by quantiles.
func (e *exposition) latency(name, help string, s *metrics.Snapshot) {
	q := map[float64]float64{}
	for _, x := range []float64{0.5, 0.9, 0.99, 0.999} {
		q[x] = float64(s.Quantile(x)) / 1e6
	}
	e.out <- prometheus.MustNewConstSummary(prometheus.NewDesc(name, help, nil, nil), s.Count(), float64(s.Sum())/1e6, q)
}

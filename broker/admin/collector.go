package admin

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mq/sluice/broker"
)

// collector turns the broker's counters into Prometheus' form at each scrape. Names are those that jmx_exporter
// makes of Kafka's beans, so that dashboards for Kafka find them; what Kafka does not have is under sluice_.
// Series exist from the start, as zeros.
type collector struct{ server *Server }

// Describe sends nothing: the set of series follows topics and APIs (an unchecked collector).
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the broker's counters once and sends them all.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	e := exposition{out: out}
	if z := c.server.coordinator.Load(); z != nil {
		e.coordinator(z)
	}
	b := c.server.broker.Load()
	if b == nil {
		return
	}
	s := b.Stats()
	e.topics(s)
	e.requests(s)
	e.network(s)
	e.logs(s)
	e.dirs(s)
	e.cleaners(s)
}

type exposition struct{ out chan<- prometheus.Metric }

func (e *exposition) counter(name, help string, v float64, labels ...string) {
	e.send(name, help, prometheus.CounterValue, v, labels)
}

func (e *exposition) gauge(name, help string, v float64, labels ...string) {
	e.send(name, help, prometheus.GaugeValue, v, labels)
}

// send takes labels as name, value, name, value.
func (e *exposition) send(name, help string, kind prometheus.ValueType, v float64, labels []string) {
	names, values := split(labels)
	e.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}

func split(labels []string) (names, values []string) {
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	return names, values
}

func (e *exposition) topics(s *broker.Stats) {
	const p = "kafka_server_brokertopicmetrics_"
	e.counter(p+"messagesin_total", "Records written by producers.", float64(s.MessagesIn))
	e.counter(p+"bytesin_total", "Bytes of record batches written by producers.", float64(s.BytesIn))
	e.counter(p+"bytesout_total", "Bytes of record batches sent to consumers.", float64(s.BytesOut))
	e.counter(p+"failedproducerequests_total", "Partitions of Produce requests that got an error.", float64(s.ProduceFailed))
	e.counter(p+"failedfetchrequests_total", "Fetch requests in which a partition got an error.", float64(s.FetchFailed))
	for _, a := range s.APIs {
		switch a.Name {
		case "Produce":
			e.counter(p+"totalproducerequests_total", "Produce requests.", float64(a.Requests))
		case "Fetch":
			e.counter(p+"totalfetchrequests_total", "Fetch requests.", float64(a.Requests))
		}
	}
	const r = "kafka_server_replicamanager_"
	e.gauge(r+"partitioncount", "Replicas on this broker.", float64(s.Partitions))
	e.gauge(r+"produceridcount", "Idempotent producers that the logs remember.", float64(s.Producers))
	e.gauge(r+"leadercount", "Partitions that this broker leads.", float64(s.Partitions))
	e.membership(s.Coordinator)
	e.gauge("kafka_controller_kafkacontroller_globaltopiccount", "Topics of the cluster.", float64(s.Topics))
	e.gauge("kafka_controller_kafkacontroller_globalpartitioncount", "Partitions of the cluster.", float64(s.Partitions))
}

// Bounds of the request histogram in seconds: from an append to the page cache to a long poll.
var bounds = []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10}

var quantiles = []float64{0.5, 0.75, 0.95, 0.98, 0.99, 0.999}

func (e *exposition) requests(s *broker.Stats) {
	const p = "kafka_network_requestmetrics_"
	for i := range s.APIs {
		a := &s.APIs[i]
		e.counter(p+"requests_total", "Requests answered.", float64(a.Requests), "request", a.Name)
		for _, q := range quantiles {
			e.gauge(p+"totaltimems", "Time from reading a request to its reply being ready, since the start.",
				float64(a.Total.Quantile(q))/1e6, "request", a.Name, "quantile", strconv.FormatFloat(q, 'f', -1, 64))
		}
		e.gauge(p+"totaltimems_count", "Requests behind totaltimems.", float64(a.Total.Count()), "request", a.Name)
		buckets := make(map[float64]uint64, len(bounds))
		for _, b := range bounds {
			buckets[b] = a.Total.AtMost(int64(b * 1e9))
		}
		e.out <- prometheus.MustNewConstHistogram(prometheus.NewDesc("sluice_request_duration_seconds",
			"Time from reading a request to its reply being ready.", []string{"request"}, nil),
			a.Total.Count(), float64(a.Total.Sum())/1e9, buckets, a.Name)
	}
	e.gauge("kafka_server_delayedoperationpurgatory_purgatorysize", "Requests waiting.", float64(s.Parked), "delayedOperation", "Fetch")
	e.gauge("kafka_server_fetchsessioncache_numincrementalfetchsessions", "Fetch sessions.", float64(s.Sessions))
}

func (e *exposition) network(s *broker.Stats) {
	n := &s.Net
	e.gauge("kafka_server_socket_server_metrics_connection_count", "Open connections.", float64(n.Open))
	e.counter("sluice_net_connections_accepted_total", "Connections accepted.", float64(n.Accepted))
	for _, r := range []struct {
		reason string
		n      int64
	}{{"max.connections", n.RefusedTotal}, {"max.connections.per.ip", n.RefusedPerIP}} {
		e.counter("sluice_net_connections_refused_total", "Connections closed at accept.", float64(r.n), "reason", r.reason)
	}
	for _, r := range []struct {
		reason string
		n      int64
	}{
		{"bad request", s.HungUp}, {"bad frame", n.BadFrames}, {"slow sender", n.FrameTimeouts}, {"slow reader", n.SendTimeouts},
		{"idle", n.IdleCloses}, {"panic", n.HandlerPanics}, {"truncated file", n.TruncatedFiles},
	} {
		e.counter("sluice_net_connections_cut_total", "Connections that the broker closed.", float64(r.n), "reason", r.reason)
	}
	e.counter("sluice_net_frames_total", "Requests read.", float64(n.Frames))
	e.counter("sluice_net_bytes_in_total", "Bytes received.", float64(n.BytesIn))
	e.counter("sluice_net_bytes_out_total", "Bytes sent.", float64(n.BytesOutMemory), "path", "memory")
	e.counter("sluice_net_bytes_out_total", "Bytes sent.", float64(n.BytesOutFile), "path", "sendfile")
	for _, r := range []struct {
		call string
		n    int64
	}{{"read", n.Reads}, {"readv", n.Readvs}, {"sendmsg", n.Writevs}, {"sendfile", n.Sendfiles}, {"epoll_ctl", n.EpollCtls}} {
		e.counter("sluice_net_syscalls_total", "System calls on connections.", float64(r.n), "call", r.call)
	}
	e.counter("sluice_net_turns_total", "Turns of the event loops.", float64(n.Turns))
	e.counter("sluice_net_wakeups_total", "Wake-ups of an event loop by another goroutine.", float64(n.Wakeups))
	e.counter("sluice_net_pauses_total", "Times a connection was not read because a bound was reached.", float64(n.Pauses))
	e.gauge("sluice_net_frame_bytes", "Memory of request frames.", float64(n.FrameBytes), "state", "used")
	e.gauge("sluice_net_frame_bytes", "Memory of request frames.", float64(n.FrameFreeBytes), "state", "free")
}

func (e *exposition) logs(s *broker.Stats) {
	for i := range s.Partition {
		p := &s.Partition[i]
		l := []string{"topic", p.Topic, "partition", strconv.Itoa(int(p.Partition))}
		e.gauge("kafka_log_log_size", "Bytes of a partition's segments.", float64(p.Size), l...)
		e.gauge("kafka_log_log_logstartoffset", "First offset of a partition.", float64(p.Start), l...)
		e.gauge("kafka_log_log_logendoffset", "Next offset of a partition.", float64(p.End), l...)
		e.gauge("sluice_log_lossy", "1 if records that were on the device are damaged; the log takes no appends.", truth(p.Lossy), l...)
	}
}

// dirs are the log directories, by the label that Kafka's own metrics of them have.
func (e *exposition) dirs(s *broker.Stats) {
	e.counter("sluice_log_slow_writes_total", "Appends whose write took more than 1 ms.", float64(s.SlowWrites))
	offline := 0
	for i := range s.Dirs {
		d := &s.Dirs[i]
		l := []string{"logDirectory", d.Path}
		e.gauge("kafka_log_logmanager_logdirectoryoffline", "1 if a log directory is offline.", truth(d.Offline), l...)
		if d.Offline {
			offline++
		}
		const p = "sluice_log_dir_"
		e.gauge(p+"free_bytes", "Free bytes of a log directory's file system.", float64(d.Space.Free), l...)
		e.gauge(p+"floor_bytes", "Free bytes below which produce is refused.", float64(d.Space.Floor), l...)
		e.gauge(p+"low", "1 while produce is refused for want of space.", truth(d.Space.Low), l...)
		e.counter(p+"refused_appends_total", "Appends refused because of that.", float64(d.Space.Refused), l...)
		e.counter(p+"commit_rounds_total", "Group commits.", float64(d.Commits.Rounds), l...)
		e.counter(p+"commit_syncs_total", "fdatasync calls of group commits.", float64(d.Commits.Syncs), l...)
		e.gauge(p+"tail_bytes", "Memory of request frames held as the newest records of partitions.", float64(d.Tail), l...)
		w, x := d.WriteBack, d.Scrub
		e.counter("sluice_log_writeback_bytes_total", "Bytes that the kernel was asked to begin writing to disk.", float64(w.Bytes), l...)
		e.counter("sluice_log_writeback_failures_total", "Times that could not be asked.", float64(w.Failures), l...)
		e.gauge("sluice_log_reserved_bytes", "Disk space reserved behind the ends of logs.", float64(w.Reserved), l...)
		e.counter("sluice_log_scrub_bytes_total", "Bytes read to check them.", float64(x.Bytes), l...)
		e.counter("sluice_log_scrub_passes_total", "Times that all cold segments were checked.", float64(x.Passes), l...)
		e.gauge("sluice_log_scrub_damaged_ranges", "Damaged places in cold segments that the last whole pass found, or this one so far.",
			float64(x.Damaged), l...)
		if !x.LastPass.IsZero() {
			e.gauge("sluice_log_scrub_last_pass_timestamp_seconds", "When the last whole pass ended.",
				float64(x.LastPass.UnixMilli())/1e3, l...)
		}
	}
	e.gauge("kafka_log_logmanager_offlinelogdirectorycount", "Log directories that are offline.", float64(offline))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

package config

import "slices"

// The options of a table row.
type opt func(*Key)

func atLeast(n float64) opt { return func(k *Key) { k.Min, k.HasMin = n, true } }
func between(lo, hi float64) opt {
	return func(k *Key) { k.Min, k.Max, k.HasMin, k.HasMax = lo, hi, true, true }
}
func oneOf(v ...string) opt       { return func(k *Key) { k.Allowed = v } }
func changes(u Update) opt        { return func(k *Key) { k.Update = u } }
func related(names ...string) opt { return func(k *Key) { k.Synonyms = names } }
func kafkaHas(v string) opt       { return func(k *Key) { k.KafkaDefault = v } }
func pending(why string) opt      { return func(k *Key) { k.Pending = why } }
func works(v ...string) opt       { return func(k *Key) { k.Works = v } }
func null(k *Key)                 { k.Default, k.Null = "", true }
func replicaList(k *Key)          { k.replicas = true }
func own(k *Key)                  { k.Own = true }

func row(name string, t Type, def, doc string, opts ...opt) Key {
	k := Key{Name: name, Type: t, Default: def, Doc: doc}
	for _, o := range opts {
		o(&k)
	}
	return k
}

// Why some keys are checked and kept but change nothing yet.
const (
	oneCleaner    = "every log directory has one cleaner"
	ownBuffers    = "a cleaner reads and writes 1 MiB at once"
	noReplication = "there is one broker and one replica per partition in this release"
	noRecompress  = "batches are kept as the producer compressed them"
	noJitter      = "segments roll without jitter"
	noTiered      = "there is no tiered storage"
)

// longMax is Java's Long.MAX_VALUE, Kafka's way to say never.
const longMax = "9223372036854775807"

// brokerKeys is the table of all keys that are not a topic's.
var brokerKeys = slices.Concat(kafkaKeys, zooKeeperKeys, coordinatorKeys)

// kafkaKeys are the broker's own. Defaults are those of Kafka 4.3, otherwise KafkaDefault
// names Kafka's and the text says why ours differs.
var kafkaKeys = []Key{
	// Identity and listeners.
	row("node.id", Int, "1", "Identity of this broker. A data directory belongs to the id that wrote it. "+
		"Kafka has no default; ours is that of the file Kafka ships.", atLeast(0), related("node.id", "broker.id"), kafkaHas("none")),
	row("broker.id", Int, "", "Older name of node.id, used when that is not set.", null, atLeast(0), related("node.id", "broker.id")),
	row("listeners", List, "PLAINTEXT://127.0.0.1:9092", "Addresses to listen on, NAME://host:port, comma-separated. "+
		"Port 0 takes any free port; an empty host binds all addresses. Only this machine can connect unless you set it.",
		changes(PerBroker), kafkaHas("PLAINTEXT://:9092")),
	row("advertised.listeners", List, "", "Addresses that clients are told to connect to, by listener name. "+
		"Needed when a listener binds 0.0.0.0.", null),
	row("listener.security.protocol.map", String, "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
		"Security protocol of each listener name, NAME:PROTOCOL, comma-separated. Only PLAINTEXT is served.", changes(PerBroker)),
	row("admin.listener", String, "127.0.0.1:9404", "host:port of the HTTP server with metrics, health and profiles; empty turns it off.", own),

	// Directories.
	row("log.dir", List, "sluice-data/logs", "Directory of the logs, used when log.dirs is not set.",
		related("log.dirs", "log.dir"), kafkaHas("/tmp/kafka-logs")),
	row("log.dirs", List, "", "Directories of the logs, comma-separated, in Kafka's own format.", null, related("log.dirs", "log.dir")),

	// Topics.
	row("num.partitions", Int, "1", "Partitions of a topic that is created without saying how many.", atLeast(1), changes(ReadOnly)),
	row("default.replication.factor", Int, "1", "Replicas of a topic that is created without saying how many.",
		atLeast(1), changes(ReadOnly)),
	row("min.insync.replicas", Int, "1", "Replicas that must have a record before acks=all is answered; fewer in sync means an error.",
		atLeast(1), changes(ClusterWide)),
	row("auto.create.topics.enable", Boolean, "true", "Create a topic when a client asks for the metadata of one that does not exist."),
	row("delete.topic.enable", Boolean, "true", "Allow topics to be deleted."),
	row("message.max.bytes", Int, "1048588", "Largest record batch taken, as sent (after compression).", atLeast(0), changes(ClusterWide)),
	row("compression.type", String, "producer", "Codec that batches are stored with; producer keeps them as sent.",
		oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), changes(ClusterWide), pending(noRecompress), works("producer")),

	// Network.
	row("num.network.threads", Int, "", "Event loops, each a thread that reads, executes and answers the requests of its connections. "+
		"Not set: half the cores, at least 1, since one loop does the work of several of Kafka's threads and the clients of a "+
		"shared machine need cores too (on two shared cores one loop is faster than two).",
		null, between(1, 1024), kafkaHas("3")),
	row("socket.request.max.bytes", Int, "104857600", "Largest request; a connection that announces more is closed.", between(1, 2147483647)),
	row("socket.send.buffer.bytes", Int, "-1", "SO_SNDBUF of connections; -1 leaves the size to the kernel, which adapts it.",
		atLeast(-1), kafkaHas("102400")),
	row("socket.receive.buffer.bytes", Int, "-1", "SO_RCVBUF of connections; -1 leaves the size to the kernel, which adapts it.",
		atLeast(-1), kafkaHas("102400")),
	row("socket.listen.backlog.size", Int, "50", "Connections that may wait to be accepted.", atLeast(1),
		pending("the kernel's limit, net.core.somaxconn, is used")),
	row("socket.frame.timeout.ms", Int, "30000", "Time within which a request that has begun must have arrived whole, and within which "+
		"a reply that has begun must make progress; else the connection is closed.", own, atLeast(1)),
	row("socket.max.requests", Int, "256", "Requests of one connection that may await their answers; above it the connection is not read.",
		own, between(1, 65536)),
	row("socket.max.pending.bytes", Long, "8388608", "Unsent reply bytes of one connection above which it is not read.", own, atLeast(1)),
	row("queued.max.request.bytes", Long, "-1", "Memory for requests being received or executed, of all connections together; "+
		"above it no socket is read. -1: 128 MiB, or socket.request.max.bytes if that is more (Kafka: no limit).", atLeast(-1)),
	row("connections.max.idle.ms", Long, "600000", "A connection without a request for so long is closed; -1 or 0 never.", atLeast(-1)),
	row("max.connections", Int, "2147483647", "Connections held at a time; more are closed at once.", atLeast(0), changes(ClusterWide)),
	row("max.connections.per.ip", Int, "2147483647", "Connections held at a time from one address; more are closed at once.",
		atLeast(0), changes(ClusterWide)),
	row("shutdown.drain.timeout.ms", Long, "30000", "Time that requests in flight get to be answered on shutdown.", own, atLeast(0)),

	// Log.
	row("log.segment.bytes", Int, "1073741824", "Size of a log file at which the next one is begun.", atLeast(1048576), changes(ClusterWide)),
	row("log.roll.ms", Long, "", "Age of a log file at which the next one is begun; before log.roll.hours.",
		null, atLeast(1), changes(ClusterWide), related("log.roll.ms", "log.roll.hours")),
	row("log.roll.hours", Int, "168", "Age of a log file, in hours, at which the next one is begun.",
		atLeast(1), related("log.roll.ms", "log.roll.hours")),
	row("log.roll.jitter.ms", Long, "", "Largest random time taken off log.roll.ms.", null, atLeast(0), changes(ClusterWide),
		related("log.roll.jitter.ms", "log.roll.jitter.hours"), pending(noJitter)),
	row("log.roll.jitter.hours", Int, "0", "Largest random time, in hours, taken off log.roll.hours.", atLeast(0),
		related("log.roll.jitter.ms", "log.roll.jitter.hours"), pending(noJitter)),
	row("log.index.interval.bytes", Int, "4096", "Bytes of log between two entries of the offset index.", atLeast(0), changes(ClusterWide)),
	row("log.index.size.max.bytes", Int, "10485760", "Largest size of an index file; a full one begins the next segment.",
		atLeast(4), changes(ClusterWide)),
	row("log.preallocate", Boolean, "false", "Reserve disk space ahead of the appends, as much again as the segment has and 64 MiB at the most. "+
		"Unlike Kafka's, files stay as long as what is in them.", changes(ClusterWide)),
	row("log.writeback.bytes", Long, "33554432", "New bytes of a log file after which the kernel is asked to begin writing them to disk, so that it "+
		"does not do so all at once. Promises nothing of durability; 0 leaves it to the kernel.", own, atLeast(0)),
	row("log.scrub.bytes.per.second", Long, "8388608", "Rate at which log files that are no longer written to are read and checked in the "+
		"background, past the page cache; 0 for never. Under load it is a tenth.", own, atLeast(0)),
	row("log.scrub.interval.ms", Long, "604800000", "Time from the begin of one such pass over a log directory to the begin of the next.",
		own, atLeast(1)),
	row("log.tail.bytes", Int, "262144", "Newest bytes of each partition kept in memory while a reader is caught up; "+
		"readers further back are served from the page cache.", own, atLeast(0)),
	row("log.dir.free.bytes.min", Long, "-1", "Free bytes of a log directory's file system below which produce is refused, with "+
		"KAFKA_STORAGE_ERROR, which clients try again; it is taken again a quarter above that. Retention, deletion and Kafka's own "+
		"topics go on. -1: 268435456, but no more than a twentieth of the file system; 0: none (Kafka has none, and takes the "+
		"directory offline when the disk is full).", own, atLeast(-1)),
	row("producer.id.expiration.ms", Int, "86400000", "How long an idempotent producer is remembered after its last batch, by that "+
		"batch's time. From one that is not, any sequence number is taken.", atLeast(1), changes(ClusterWide)),
	row("producer.id.expiration.check.interval.ms", Int, "600000", "How often remembered producers are looked at for that.", atLeast(1)),
	row("producer.id.max.count", Int, "1000000", "Producers that the logs of one directory remember, some 210 bytes for each; "+
		"above it a new one makes its partition forget the one that has been silent for the longest time (Kafka: no limit).",
		own, atLeast(1)),
	row("log.message.timestamp.type", String, "CreateTime", "Whether records keep the producer's time or get that of their arrival.",
		oneOf("CreateTime", "LogAppendTime"), changes(ClusterWide)),
	row("log.message.timestamp.before.max.ms", Long, longMax, "How far a record's time may lie in the past.", atLeast(0), changes(ClusterWide)),
	row("log.message.timestamp.after.max.ms", Long, "3600000", "How far a record's time may lie in the future.", atLeast(0), changes(ClusterWide)),
	row("log.flush.policy", String, "os", "What an acknowledgement at acks=1 or all promises: os, that the record is in the page cache "+
		"(Kafka's way; log.flush.interval.messages makes some wait for the disk); interval, the same, and a flush in the background "+
		"every 10 s, every 64 MiB, and as the log.flush.interval keys say; fsync, that it is on disk.",
		own, oneOf("os", "interval", "fsync"), changes(ClusterWide)),
	row("log.flush.interval.messages", Long, longMax, "Records after which a partition is flushed to disk. The request that completes "+
		"so many is answered when that is done (not with log.flush.policy=interval).",
		atLeast(1), changes(ClusterWide)),
	row("log.flush.interval.ms", Long, "", "Time after which a partition is flushed to disk; not set: log.flush.scheduler.interval.ms.",
		null, changes(ClusterWide), related("log.flush.interval.ms", "log.flush.scheduler.interval.ms")),
	row("log.flush.scheduler.interval.ms", Long, longMax, "How often partitions are looked at for log.flush.interval.ms. "+
		"Not set: every second where flush.ms or log.flush.interval.ms is (Kafka: never, so that they have no effect without it).",
		atLeast(1)),
	row("log.retention.ms", Long, "", "Age at which a segment is deleted; before log.retention.minutes and .hours.", null, changes(ClusterWide),
		related("log.retention.ms", "log.retention.minutes", "log.retention.hours")),
	row("log.retention.minutes", Int, "", "Age, in minutes, at which a segment is deleted.", null,
		related("log.retention.ms", "log.retention.minutes", "log.retention.hours")),
	row("log.retention.hours", Int, "168", "Age, in hours, at which a segment is deleted.",
		related("log.retention.ms", "log.retention.minutes", "log.retention.hours")),
	row("log.retention.bytes", Long, "-1", "Size of a partition above which its oldest segments are deleted.",
		changes(ClusterWide)),
	row("log.retention.check.interval.ms", Long, "300000", "How often segments are looked at for deletion.", atLeast(1)),
	row("log.segment.delete.delay.ms", Long, "60000", "Time between taking a file out of the log and deleting it.", atLeast(0),
		changes(ClusterWide)),
	row("log.cleanup.policy", List, "delete", "What happens to old segments.", oneOf("compact", "delete"), changes(ClusterWide)),
	row("log.cleaner.delete.retention.ms", Long, "86400000", "How long tombstones of compacted topics are kept.", atLeast(0),
		changes(ClusterWide)),
	row("log.cleaner.min.compaction.lag.ms", Long, "0", "Time that a record stays uncompacted.", atLeast(0), changes(ClusterWide)),
	row("log.cleaner.max.compaction.lag.ms", Long, longMax, "Time after which a record must be compacted.", atLeast(1),
		changes(ClusterWide)),
	row("log.cleaner.min.cleanable.ratio", Double, "0.5", "Share of uncompacted bytes at which a log is compacted.", between(0, 1),
		changes(ClusterWide)),
	row("log.cleaner.enable", Boolean, "true", "Compact logs. Without it those with cleanup.policy=compact only grow."),
	row("log.cleaner.threads", Int, "1", "Cleaners. There is one for each log directory, whatever this says.", atLeast(0),
		changes(ClusterWide), pending(oneCleaner), works("1")),
	row("log.cleaner.dedupe.buffer.size", Long, "134217728", "Memory for the keys of logs that are being compacted, in all log directories, "+
		"24 bytes each; what does not fit is compacted in several rounds.", atLeast(1048577), changes(ClusterWide)),
	row("log.cleaner.io.buffer.load.factor", Double, "0.9", "How full that memory may get.", atLeast(0), changes(ClusterWide)),
	row("log.cleaner.io.buffer.size", Int, "524288", "Memory for reading and writing. Here it is 2 MiB for each log directory at work.", atLeast(0),
		changes(ClusterWide), pending(ownBuffers), works("524288")),
	row("log.cleaner.io.max.bytes.per.second", Double, "1.7976931348623157E308", "Bytes that compaction reads and writes in a second, "+
		"all log directories together.", changes(ClusterWide)),
	row("log.cleaner.backoff.ms", Long, "15000", "Pause of a cleaner that finds nothing to compact.", atLeast(0), changes(ClusterWide)),
	row("log.local.retention.ms", Long, "-2", "Local part of a tiered log.", atLeast(-2), changes(ClusterWide), pending(noTiered), works("-2")),
	row("log.local.retention.bytes", Long, "-2", "Local part of a tiered log.", atLeast(-2), changes(ClusterWide), pending(noTiered), works("-2")),
	row("compression.gzip.level", Int, "-1", "Level for compression.type=gzip.", between(-1, 9), changes(ClusterWide), pending(noRecompress)),
	row("compression.lz4.level", Int, "9", "Level for compression.type=lz4.", between(1, 17), changes(ClusterWide), pending(noRecompress)),
	row("compression.zstd.level", Int, "3", "Level for compression.type=zstd.", between(-131072, 22), changes(ClusterWide), pending(noRecompress)),
	row("unclean.leader.election.enable", Boolean, "false", "Let a replica that misses records lead.", changes(ClusterWide), pending(noReplication), works("false")),

	// Fetch.
	row("fetch.max.bytes", Int, "57671680", "Largest number of record bytes in one answer to a consumer, save for a single larger batch.",
		atLeast(1024)),
	row("max.incremental.fetch.session.cache.slots", Int, "1000", "Fetch sessions remembered; further consumers send full requests.",
		atLeast(0)),
}

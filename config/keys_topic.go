package config

func topicRow(name string, t Type, def, doc, synonym string, opts ...opt) Key {
	k := row(name, t, def, doc, opts...)
	k.Topic, k.Update = true, ClusterWide
	if synonym != "" {
		b, ok := brokerByName[synonym]
		if !ok {
			panic("BUG: topic key " + name + " names the unknown broker key " + synonym)
		}
		k.Synonyms = b.Synonyms
		if k.Synonyms == nil {
			k.Synonyms = []string{synonym}
		}
	}
	return k
}

// topicKeys are the settings of a topic, all those of Kafka 4.3 (class LogConfig).
// The default of a topic is its broker's value of the synonym.
var topicKeys = []Key{
	topicRow("cleanup.policy", List, "delete", "What happens to old segments: delete them, keep the last record per key, or both.",
		"log.cleanup.policy", oneOf("compact", "delete")),
	topicRow("compression.gzip.level", Int, "-1", "Level for compression.type=gzip.", "compression.gzip.level",
		between(-1, 9), pending(noRecompress)),
	topicRow("compression.lz4.level", Int, "9", "Level for compression.type=lz4.", "compression.lz4.level",
		between(1, 17), pending(noRecompress)),
	topicRow("compression.zstd.level", Int, "3", "Level for compression.type=zstd.", "compression.zstd.level",
		between(-131072, 22), pending(noRecompress)),
	topicRow("compression.type", String, "producer", "Codec that batches are stored with; producer keeps them as sent.", "compression.type",
		oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), pending(noRecompress), works("producer")),
	topicRow("delete.retention.ms", Long, "86400000", "How long tombstones of a compacted topic are kept.",
		"log.cleaner.delete.retention.ms", atLeast(0)),
	topicRow("file.delete.delay.ms", Long, "60000", "Time between taking a file out of the log and deleting it.",
		"log.segment.delete.delay.ms", atLeast(0)),
	topicRow("flush.messages", Long, longMax, "Records after which a partition is flushed to disk. The request that completes so many "+
		"is answered when that is done (not with flush.policy=interval).",
		"log.flush.interval.messages", atLeast(1)),
	topicRow("flush.ms", Long, longMax, "Time after which a partition is flushed to disk.",
		"log.flush.interval.ms", atLeast(0)),
	topicRow("flush.policy", String, "os", "What an acknowledgement promises: os, the page cache; interval, that too, and a flush in the "+
		"background every 10 s and 64 MiB unless flush.ms says otherwise; fsync, the disk.",
		"log.flush.policy", own, oneOf("os", "interval", "fsync")),
	topicRow("follower.replication.throttled.replicas", List, "", "Replicas whose reading is throttled.", "", replicaList, pending(noReplication), works("")),
	topicRow("index.interval.bytes", Int, "4096", "Bytes of log between two entries of the offset index.",
		"log.index.interval.bytes", atLeast(0)),
	topicRow("leader.replication.throttled.replicas", List, "", "Replicas whose sending is throttled.", "", replicaList, pending(noReplication), works("")),
	topicRow("local.retention.bytes", Long, "-2", "Local part of a tiered log.", "log.local.retention.bytes", atLeast(-2), pending(noTiered), works("-2")),
	topicRow("local.retention.ms", Long, "-2", "Local part of a tiered log.", "log.local.retention.ms", atLeast(-2), pending(noTiered), works("-2")),
	topicRow("max.compaction.lag.ms", Long, longMax, "Time after which a record must be compacted.",
		"log.cleaner.max.compaction.lag.ms", atLeast(1)),
	topicRow("max.message.bytes", Int, "1048588", "Largest record batch taken, as sent (after compression).", "message.max.bytes", atLeast(0)),
	topicRow("message.timestamp.after.max.ms", Long, "3600000", "How far a record's time may lie in the future.",
		"log.message.timestamp.after.max.ms", atLeast(0)),
	topicRow("message.timestamp.before.max.ms", Long, longMax, "How far a record's time may lie in the past.",
		"log.message.timestamp.before.max.ms", atLeast(0)),
	topicRow("message.timestamp.type", String, "CreateTime", "Whether records keep the producer's time or get that of their arrival.",
		"log.message.timestamp.type", oneOf("CreateTime", "LogAppendTime")),
	topicRow("min.cleanable.dirty.ratio", Double, "0.5", "Share of uncompacted bytes at which a log is compacted.",
		"log.cleaner.min.cleanable.ratio", between(0, 1)),
	topicRow("min.compaction.lag.ms", Long, "0", "Time that a record stays uncompacted.",
		"log.cleaner.min.compaction.lag.ms", atLeast(0)),
	topicRow("min.insync.replicas", Int, "1", "Replicas that must have a record before acks=all is answered.", "min.insync.replicas", atLeast(1)),
	topicRow("preallocate", Boolean, "false", "Reserve disk space ahead of the appends.", "log.preallocate"),
	topicRow("remote.log.copy.disable", Boolean, "false", "Tiered storage.", "", pending(noTiered), works("false")),
	topicRow("remote.log.delete.on.disable", Boolean, "false", "Tiered storage.", "", pending(noTiered), works("false")),
	topicRow("remote.storage.enable", Boolean, "false", "Tiered storage.", "", pending(noTiered), works("false")),
	topicRow("retention.bytes", Long, "-1", "Size of a partition above which its oldest segments are deleted.",
		"log.retention.bytes"),
	topicRow("retention.ms", Long, "604800000", "Age at which a segment is deleted; -1 never.",
		"log.retention.ms", atLeast(-1)),
	topicRow("segment.bytes", Int, "1073741824", "Size of a log file at which the next one is begun.", "log.segment.bytes", atLeast(1048576)),
	topicRow("segment.index.bytes", Int, "10485760", "Largest size of an index file.", "log.index.size.max.bytes", atLeast(4)),
	topicRow("segment.jitter.ms", Long, "0", "Largest random time taken off segment.ms.", "log.roll.jitter.ms", atLeast(0), pending(noJitter), works("0")),
	topicRow("segment.ms", Long, "604800000", "Age of a log file at which the next one is begun.", "log.roll.ms", atLeast(1)),
	topicRow("unclean.leader.election.enable", Boolean, "false", "Let a replica that misses records lead.",
		"unclean.leader.election.enable", pending(noReplication), works("false")),
}

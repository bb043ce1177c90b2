package config

import "strings"

// known is a key of Kafka's that means nothing here, or nothing yet. It is taken
// from a file so that Kafka's own files work, with one warning; some are refused
// because ignoring them would be dangerous.
type known struct {
	name   string // a whole name, or the beginning of many if it ends in a dot
	why    string
	refuse bool
}

const (
	whyKRaft    = "KRaft's quorum; Sluice needs none"
	whyPlainZK  = "the coordinator is reached without TLS and without ACLs in this release"
	whyThreads  = "Sluice has no such pool of threads, see num.network.threads"
	whyGroups   = "consumer groups are not served yet"
	whyTxn      = "transactions are not served yet"
	whyCluster  = "there is one broker in this release"
	whySecurity = "only PLAINTEXT listeners are served yet"
	whyQuota    = "quotas are not enforced yet"
	whyJVM      = "a class for Java's virtual machine cannot be loaded"
)

var knownKeys = []known{
	{name: "process.roles", why: whyKRaft},
	{name: "controller.", why: whyKRaft},
	{name: "metadata.", why: whyKRaft},
	{name: "initial.broker.registration.timeout.ms", why: whyKRaft},
	{name: "broker.heartbeat.interval.ms", why: whyKRaft},
	{name: "broker.session.timeout.ms", why: whyKRaft},
	{name: "zookeeper.ssl.", why: whyPlainZK},
	{name: "zookeeper.clientCnxnSocket", why: whyPlainZK},
	{name: "zookeeper.set.acl", why: whyPlainZK},
	{name: "zookeeper.max.in.flight.requests", why: "requests to the coordinator are bounded by what needs them"},
	{name: "zookeeper.metadata.migration.enable", why: whyKRaft},
	{name: "broker.id.generation.enable", why: "set node.id"},
	{name: "reserved.broker.max.id", why: "set node.id"},
	{name: "num.io.threads", why: whyThreads},
	{name: "background.threads", why: whyThreads},
	{name: "queued.max.requests", why: "requests are bounded by queued.max.request.bytes and socket.max.requests"},
	{name: "num.recovery.threads.per.data.dir", why: whyThreads},
	{name: "num.replica.fetchers", why: whyCluster},
	{name: "num.replica.alter.log.dirs.threads", why: whyCluster},
	{name: "replica.", why: whyCluster},
	{name: "follower.", why: whyCluster},
	{name: "leader.", why: whyCluster},
	{name: "auto.leader.rebalance.enable", why: whyCluster},
	{name: "unclean.leader.election.interval.ms", why: whyCluster},
	{name: "inter.broker.", why: whyCluster},
	{name: "security.inter.broker.protocol", why: whyCluster},
	{name: "controlled.shutdown.", why: whyCluster},
	{name: "request.timeout.ms", why: whyCluster},
	{name: "fetch.purgatory.purge.interval.requests", why: "waiting requests leave their queues at once"},
	{name: "producer.purgatory.purge.interval.requests", why: "waiting requests leave their queues at once"},
	{name: "delete.records.purgatory.purge.interval.requests", why: "waiting requests leave their queues at once"},
	{name: "log.flush.offset.checkpoint.interval.ms", why: "checkpoints are written every minute, and on clean shutdown"},
	{name: "log.flush.start.offset.checkpoint.interval.ms", why: "log starts are written when they move"},
	{name: "log.dir.failure.timeout.ms", why: whyKRaft},
	{name: "log.initial.task.delay.ms", why: "retention begins 30 s after the start, or after log.retention.check.interval.ms if that is less"},
	{name: "log.message.format.version", why: "removed from Kafka 4.0"},
	{name: "log.message.downconversion.enable", why: "removed from Kafka 4.0"},
	{name: "log.message.timestamp.difference.max.ms", why: "removed from Kafka 4.0, set log.message.timestamp.before.max.ms and .after.max.ms"},
	{name: "inter.broker.protocol.version", why: "removed from Kafka 4.0"},
	{name: "remote.", why: noTiered},
	{name: "group.", why: whyGroups},
	{name: "offsets.", why: whyGroups},
	{name: "offset.metadata.max.bytes", why: whyGroups},
	{name: "share.", why: whyGroups},
	{name: "errors.deadletterqueue.", why: whyGroups},
	{name: "transaction.", why: whyTxn},
	{name: "transactional.id.expiration.ms", why: whyTxn},
	{name: "max.connection.creation.rate", why: whyQuota},
	{name: "max.connections.per.ip.overrides", why: "the same limit holds for all addresses"},
	{name: "max.request.partition.size.limit", why: "no request in this release lists partitions in pages"},
	{name: "connection.failed.authentication.delay.ms", why: whySecurity},
	{name: "connections.max.reauth.ms", why: whySecurity},
	{name: "quota.", why: whyQuota},
	{name: "client.quota.", why: whyQuota},
	{name: "alter.config.policy.", why: whyJVM},
	{name: "create.topic.policy.", why: whyJVM},
	{name: "config.providers", why: whyJVM},
	{name: "metric.reporters", why: "metrics are served on admin.listener"},
	{name: "metrics.", why: "metrics are served on admin.listener"},
	{name: "auto.include.jmx.reporter", why: "metrics are served on admin.listener"},
	{name: "kafka.metrics.", why: "metrics are served on admin.listener"},
	{name: "telemetry.", why: "metrics are served on admin.listener"},
	{name: "ssl.", why: whySecurity},
	{name: "sasl.", why: whySecurity},
	{name: "security.providers", why: whyJVM},
	{name: "principal.builder.class", why: whyJVM},
	{name: "delegation.token.", why: whySecurity},
	{name: "password.encoder.", why: whySecurity},
	{name: "listener.name.", why: whySecurity},
	{name: "super.users", why: whySecurity},
	{name: "early.start.listeners", why: "there is no authorizer to wait for"},
	{name: "authorizer.class.name", why: "access control is not built yet, and starting without it would open what you mean to protect",
		refuse: true},
	{name: "allow.everyone.if.no.acl.found", why: whySecurity},
	{name: "eligible.leader.replicas.enable", why: whyCluster},
	{name: "unstable.", why: "an internal setting of Kafka"},
}

// findKnown looks a key up whose name is not in the table.
func findKnown(name string) (known, bool) {
	for _, k := range knownKeys {
		if k.name == name || strings.HasSuffix(k.name, ".") && strings.HasPrefix(name, k.name) && len(name) > len(k.name) {
			return k, true
		}
	}
	return known{}, false
}

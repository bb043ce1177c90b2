package config

// zooKeeperKeys are for the broker's side. Names and defaults are those of Kafka 3.9, the last that had them.
var zooKeeperKeys = []Key{
	row("zookeeper.connect", String, "", "Coordinator that the broker uses: host:port,host:port/chroot of a ZooKeeper ensemble or of "+
		"`sluice coordinator`. Not set: the broker runs one itself, at coordinator.listeners; if that is empty too there is none, and "+
		"topics are what lies in log.dirs.", null, kafkaHas("none")),
	row("zookeeper.session.timeout.ms", Int, "18000", "Time without a word from the broker after which the coordinator takes it for dead.",
		between(100, 86_400_000)),
	row("zookeeper.connection.timeout.ms", Int, "", "Time that the broker waits for the coordinator at its start; not set: "+
		"zookeeper.session.timeout.ms.", null, between(1, 86_400_000)),
	row("coordination.on.loss", String, "continue", "What a leader does once it cannot know whether the coordinator still takes it for "+
		"alive: continue, since nobody else can have been elected where it is the only replica in sync; or fence: refuse produce with acks=0 and "+
		"1, and fetch, until it is back, so that the time for which anybody reads old records is bounded.", own, oneOf("continue", "fence")),
	row("broker.rack", String, "", "Rack of this broker, as clients are told.", null),
}

// coordinatorKeys are the embedded coordinator's: in `serve` without zookeeper.connect, and in `coordinator`. What
// ZooKeeper has as well means the same and has its default; its name stands in the text.
var coordinatorKeys = []Key{
	row("coordinator.listeners", List, "127.0.0.1:2181", "Addresses, host:port, that the coordinator listens on for ZooKeeper clients "+
		"(ZooKeeper's clientPort). Port 0 takes any free port; an empty host binds all addresses.", own),
	row("coordinator.secure.listeners", List, "", "The same with TLS (ZooKeeper's secureClientPort).", own),
	row("coordinator.dir", String, "", "Directory of the coordinator's log and snapshots (ZooKeeper's dataDir); not set: coordinator, "+
		"beside the first of log.dirs.", own),
	row("coordinator.admin.listener", String, "127.0.0.1:9405", "host:port of the HTTP server of `sluice coordinator` with metrics, health "+
		"and profiles; empty turns it off. Inside a broker that is admin.listener.", own),
	row("coordinator.tick.time.ms", Int, "2000", "Sessions end at whole ticks, at most one late and never early (ZooKeeper's tickTime).",
		own, between(10, 600_000)),
	row("coordinator.min.session.timeout.ms", Int, "-1", "Shortest session time-out that clients get; -1 for 2 ticks "+
		"(ZooKeeper's minSessionTimeout).", own, between(-1, 86_400_000)),
	row("coordinator.max.session.timeout.ms", Int, "-1", "Longest session time-out that clients get; -1 for 20 ticks "+
		"(ZooKeeper's maxSessionTimeout).", own, between(-1, 86_400_000)),
	row("coordinator.jute.maxbuffer", Int, "1048575", "Largest request in bytes; a longer one closes the connection "+
		"(ZooKeeper's jute.maxbuffer). Answers may be longer.", own, between(1024, 64<<20)),
	row("coordinator.max.client.cnxns", Int, "60", "Connections held at a time from one address, 0 for no limit; more are closed at once "+
		"(ZooKeeper's maxClientCnxns).", own, atLeast(0)),
	row("coordinator.max.cnxns", Int, "0", "Connections held at a time in all, 0 for no limit; more are closed at once "+
		"(ZooKeeper's maxCnxns).", own, atLeast(0)),
	row("coordinator.snap.count", Int, "100000", "Transactions after which a snapshot is written (ZooKeeper's snapCount).", own, atLeast(2)),
	row("coordinator.autopurge.snap.retain.count", Int, "3", "Snapshots that are kept, with the log since the oldest of them "+
		"(ZooKeeper's autopurge.snapRetainCount; older ones always go).", own, between(3, 1000)),
	row("coordinator.4lw.commands.whitelist", List, "srvr", "Four-letter words that are answered, * for all "+
		"(ZooKeeper's 4lw.commands.whitelist).", own),
	row("coordinator.extended.types.enabled", Boolean, "false", "Let clients create nodes with a time to live "+
		"(ZooKeeper's extendedTypesEnabled).", own),
	row("coordinator.super.digest", Password, "", "user:hash, as in a digest ACL, of who passes every check "+
		"(ZooKeeper's DigestAuthenticationProvider.superDigest); empty for nobody.", own),
	row("coordinator.max.nodes", Int, "5000000", "Nodes in the tree; more are refused with QUOTAEXCEEDED. Each takes some 500 bytes of memory "+
		"and its data (ZooKeeper: no limit).", own, atLeast(10)),
	row("coordinator.max.bytes", Long, "1073741824", "Bytes of paths and data in the tree; a create or set that needs more is refused with "+
		"QUOTAEXCEEDED. 0: no limit, as in ZooKeeper.", own, atLeast(0)),
	row("coordinator.max.depth", Int, "1000", "Names in a path; deeper ones are refused with BADARGUMENTS (ZooKeeper: no limit).",
		own, atLeast(1)),
	row("coordinator.max.watches", Int, "200000", "Watches of one connection; more are refused with QUOTAEXCEEDED. Each takes some 200 "+
		"bytes and its path (ZooKeeper: no limit).", own, atLeast(1)),
	row("coordinator.ssl.keystore.location", String, "", "PEM file with the private key and the certificates of "+
		"coordinator.secure.listeners.", own),
	row("coordinator.ssl.truststore.location", String, "", "PEM file with the certificates of the authorities that sign clients'.", own),
	row("coordinator.ssl.client.auth", String, "required", "Whether clients have to show a certificate, whose subject is then an "+
		"identity of scheme x509 (ZooKeeper's ssl.clientAuth, with Kafka's words).", own, oneOf("required", "requested", "none")),
}

// Package registry keeps Kafka's metadata in znodes, as Kafka 3.9 does in ZooKeeper mode: cluster id, brokers, topics
// and partition states, the controller and its epoch, configuration, notifications, producer ids, ACLs, delegation
// tokens and the old consumer's groups. A Kafka broker can stand beside what this package writes, and it reads what
// every version of Kafka has written.
//
// It knows nodes, not policy: who is elected leader, which configuration is valid, what a change means are the
// callers' affairs. It knows nothing of KRaft migration but that a KRaft controller forbids writes (ErrKRaft).
//
// # Use
//
// New binds a Registry to one session. Ephemeral nodes (a broker's registration, the controller's) belong to it; when
// it has ended, nothing more goes through this Registry, and the caller makes another one on another session. All
// methods may be called by several goroutines. They start none that outlive the call.
//
//   - Prepare creates the fixed nodes; ClusterID, NextBrokerID.
//   - Register, Unregister, Brokers: the broker epoch is the czxid of the registration.
//   - Elect, Resign, Controller. What a controller writes is fenced by the Controller it got from Elect: a transaction
//     that checks the version of /controller_epoch. ErrFenced: somebody else was elected since.
//   - CreateTopic, CreatePartitionStates, UpdatePartitionStates, SetTopic, MarkTopicDeleted, DeleteTopic.
//   - Config, SetConfig, UpdateConfig; ConfigChanges is the queue of what has changed, PurgeChanges shortens it.
//   - AllocateProducerIDs, AddISRChange, AddLogDirFailure, ACLs, UpdateACLs, Tokens.
//   - LoadCluster reads everything at once.
//
// # Watches
//
// A method that ends in W is the read without it, plus a channel that gets one event when what was read is stale. The
// watch is set by the read itself, so that no change falls between. The channel is closed without an event when the
// session has ended.
//
// # Errors
//
// A write whose reply was lost is repeated until the context or the session ends; each is a compare-and-set, or looks
// at what is there, so that the repetition does no harm. What is left are the sentinels of errors.go, *DecodeError for
// a node that cannot be understood, the codes of package zk and the session's own errors.
package registry

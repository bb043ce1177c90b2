// Package zookeeper shows that the coordinator behaves as a ZooKeeper does. The tests have the build tag `peers`,
// because they start a real one (test/peers/zookeeper.sh). The runs:
//
//   - TestCrossCheck: the same seeded stream of random operations to both, over several connections, every byte of
//     every answer and every event compared. Both are restarted on the way. CROSSCHECK_OPS and CROSSCHECK_SEED change length and
//     seed.
//   - TestKnownDifferences: the list of what differs on purpose (differences_test.go), each with its reason, and each
//     shown: one that has gone fails the test.
//   - TestTwins: a short stream to two ZooKeepers. Shows that the stream is deterministic, and that the comparison hides no
//     more than what two equal servers differ in.
//   - TestDifferencesAreSeen: an answer that is changed in one field is reported, so the comparison can fail.
//   - TestCommandLine: zkCli, the same script against both.
//   - TestWhatEndsByItself: containers and nodes with a time to live.
//   - kazoo.sh, gozk.sh: the suites of two clients, against the coordinator.
//   - bench: a benchmark of both, side by side.
//
// How the cross-check is built: a world (world_test.go) has two sides and a number of connections that exist on both. A
// step (steps_test.go) makes one thing happen on both, or several requests at once, and compares what came
// (compare_test.go). Numbers that two servers must not share (transactions, times, sessions, passwords) are not left
// out, they are mapped: to one of the one always belongs the same one of the other, in the same order.
//
// It knows coordination/zk, and of coordination/server only how to open one. ZOOKEEPER_PEER names a running ZooKeeper
// to use instead of a started one.
package zookeeper

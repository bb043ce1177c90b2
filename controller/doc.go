// Package controller decides, for the one broker that was elected, who leads each partition and what becomes of topics
// that are to be deleted: Kafka's controller of its ZooKeeper mode, with its states and paths (ReplicaStateMachine,
// PartitionStateMachine, TopicDeletionManager).
//
// It is a core without goroutines, clock or I/O: Core.Step takes what has happened and returns what is to be done. Its
// driver, in package broker, carries the effects out, the writes fenced by the controller epoch, and tells the core
// what came of them. The driver sees to it that steps do not overlap; a core that is not elected does nothing.
//
// What it must not know: znodes' paths and sessions (package registry), logs, the protocol.
//
// Today it assigns leaders to new partitions, elects when brokers come and go, and deletes topics. Reassignment,
// preferred leaders and controlled shutdown are still to come.
//
// Entry points: New, Core.Step.
package controller

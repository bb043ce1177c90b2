// Package server is the coordinator: a tree of nodes, sessions and watches behind ZooKeeper's client protocol, kept in
// one durable log.
//
// It knows nodes and sessions, and nothing of brokers and topics. There is no replication and no consensus: one log
// needs no agreement. Who wants to survive the loss of a machine uses a ZooKeeper ensemble.
//
// Core (core.go, requests.go, writes.go) executes packets: values in, values out, without clock, goroutine, socket
// or file. One goroutine drives it.
package server

// Package server is the coordinator: a tree of nodes, sessions and watches behind ZooKeeper's client protocol, kept in
// one durable log.
//
// It knows nodes and sessions, and nothing of brokers and topics. There is no replication and no consensus: one log
// needs no agreement. Who wants to survive the loss of a machine uses a ZooKeeper ensemble.
//
// Core (core.go, requests.go, writes.go) executes packets: values in, values out, without clock, goroutine, socket
// or file. Server drives it: loop.go is the one goroutine that reads, executes, syncs and answers, conn.go and
// secure.go are connections, store.go is the directory (FORMAT.md), words.go what administrators ask.
//
// Entry points: Open and Server's methods, which any goroutine may call; Restore.
package server

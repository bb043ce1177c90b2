// Package broker answers Kafka requests: it is the place that knows the network layer, the protocol, the log and
// the catalogue of topics, and joins them.
//
// One file per API (api_NN_name.go) holds its version range, its registration and a handler that translates
// between the protocol and the packages below; registered.go lists them all. ApiVersions, metric labels and the
// compatibility table are derived from that list.
//
// Concurrency: a request runs on the event loop that read it. What can block (creating and deleting topics,
// look-ups by time) runs on the workers and comes back by Loop.Post. Per-loop state (reused decoders, free lists,
// counters) needs no lock. Shared are the image of the catalogue (immutable, behind an atomic pointer), the log of
// each partition (its own lock) and each partition's list of parked fetches (waiters.go).
//
// Entry points: Start, Broker.Drain, Broker.Close.
package broker

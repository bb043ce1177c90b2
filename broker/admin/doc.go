// Package admin is the broker's HTTP port: metrics, health and profiles. It is for operators and closed to the
// network by default (admin.listener is on loopback).
//
// It reads the broker, never changes it, and knows nothing of Kafka's protocol. Handlers run on the goroutines of
// net/http; a scrape costs a walk over the loops and partitions and takes no lock that the data path takes.
//
// Paths: /metrics (Prometheus), /livez, /readyz (JSON with the reason), /debug/pprof/.
//
// Entry points: Listen, Server.Attach, Server.Close.
package admin

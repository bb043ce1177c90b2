// Package registry runs coordination/registry against real servers: Sluice's coordinator in the same process and, with
// the build tag peers, real ZooKeeper and real Kafka brokers.
package registry

// Package coordination tests the coordinator's client, and `sluice consume --zookeeper`, over sockets and through
// connections that break. With the build tag `peers` the same tests run against a real ZooKeeper, and one against an
// ensemble that loses its leader. It has no code for others.
package coordination

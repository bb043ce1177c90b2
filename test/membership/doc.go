// Package membership runs `sluice serve` on its coordinator from outside: the one that it has built in, `sluice coordinator`,
// and, with the build tag peers, a real ZooKeeper and an ensemble of them. The broker has to behave the same on all.
package membership

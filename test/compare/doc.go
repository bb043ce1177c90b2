// Compare measures Sluice beside another broker in one run: time to the first answer, memory when idle, and the
// throughput and processor time of produce and fetch with batches made in advance, so that the driver costs little.
// The systems take turns, round by round; medians and the ratio of each round's pair are printed.
//
//	go run ./test/compare -sluice bin/sluice -kafka test/peers/kafka.sh -rounds 5
//
// It starts and stops both brokers itself, on loopback, with data in a temporary directory.
package main

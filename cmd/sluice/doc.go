// Program sluice is a Kafka-protocol broker and the tools around it.
//
// `sluice serve` runs the broker; topic, produce and consume are clients of any
// Kafka cluster; bench and demo measure; config explains settings. Only this
// package reads flags, environment variables and signals, or exits: all others are
// handed values.
//
// Each verb is a file with a constructor newXCommand; root.go lists them. run is
// main without the process: arguments and streams in, exit code out, which is what
// tests call. exit.go lists the exit codes, output.go the output formats.
package main

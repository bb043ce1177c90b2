// Package adopt takes a log directory through three hands: a real Kafka fills it, Sluice adopts it, serves it byte for
// byte and appends, and the same Kafka takes it back and reads everything. With the build tag `peers` only.
//
// Kafka stops in good order in one run, and by SIGKILL with a transaction open in the other. The load has all codecs,
// idempotent and other producers, committed and aborted transactions, compaction and retention.
package adopt

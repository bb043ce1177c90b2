// Package differential sends the same request bytes to Sluice and to a real Kafka broker and compares what comes
// back, field by field, for every API and version that Sluice serves.
//
// The tests have the build tag `peers`, because they start a Kafka (test/peers/kafka.sh). The runs:
//
//   - TestSluiceAgreesWithKafka: the point of it. Differences must be in the table of exceptions.go, each with its
//     reason, as narrow as it can be; an exception that nothing needs any more fails the test.
//   - TestKafkaAgreesWithKafka: the same cases, two Kafka brokers, no exceptions. Shows that the cases are
//     deterministic and that the normalisation hides no more than what differs between two equal brokers.
//   - TestRetentionAgreesWithKafka: the same logs on both sides, of several segments, start at the same offset when
//     retention has seen them.
//   - TestDifferencesAreSeen: an answer changed in one field is reported, so the comparison can fail.
//
// How it is built: a case (cases_*.go) is a name and a function that talks to a [pair] of brokers. The pair sends,
// waits for the answer, the end of the connection or nothing, decodes with kmsg, and flattens the answer into paths
// and texts (flatten.go). Values that two brokers must not share (addresses, ids, clocks) become words there.
//
// Must not know: anything of Sluice's packages. KAFKA_PEER and SUBJECT name running brokers to use instead of
// started ones.
package differential

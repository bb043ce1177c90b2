// Package restart stops and kills the broker under load and then checks the promise of an acknowledgement: a record
// acknowledged at acks 1 or all is there after a restart on the same directory, once, at the offset that was
// acknowledged, and in order.
//
// Producers write unique values with idempotence and retries off. So an outcome is one of three: acknowledged (must
// be there exactly once), refused or unknown (may be there once), and no record is ever sent twice by the client:
// any duplicate is the broker's.
//
// Idempotent producers, which do send again, are the other half: all that they sent must be there, once and in order.
//
// The tests run the built program through internal/testkit and franz-go. With the build tag `peers` Kafka's
// kafka-dump-log reads the directory afterwards.
package restart

// Package testkit runs the built program for end-to-end tests: builds it once per test process, starts it on
// free ports with a data directory of its own, waits for its ready file, and stops it by signal.
//
// It knows the program's command line (serve, --data, --set, --ready-file) and nothing of its packages, so that an
// end-to-end test sees what a user sees. Only tests import it.
//
// A [Broker] belongs to the test that started it and is killed in the test's cleanup if it still runs. A failed
// test prints the end of its log. A log that holds a data race report, a panic or a "BUG:" line fails the test
// even if nobody looked. Methods of one Broker are for one goroutine, except [Broker.Kill], which is for any.
//
// Entry points: [Main] in TestMain, then [Start]; [StartFailing] for starts that must be refused; [Kafka] and
// [ZooKeeper] for a real one to compare with.
package testkit

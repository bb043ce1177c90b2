package testkit

import (
	"os"
	"strings"
	"testing"
)

// ZooKeeper is the address of a real ZooKeeper: $ZOOKEEPER_PEER if set, else that of [StartZooKeeper].
func ZooKeeper(tb testing.TB) string {
	tb.Helper()
	if address := os.Getenv("ZOOKEEPER_PEER"); address != "" {
		return address
	}
	return StartZooKeeper(tb)
}

// StartZooKeeper starts a real ZooKeeper by test/peers/zookeeper.sh on free ports and returns the addresses of its
// servers, separated by commas; the test's cleanup stops it and removes its data. args are further options of start.
func StartZooKeeper(tb testing.TB, args ...string) string {
	tb.Helper()
	dir := tb.TempDir()
	tb.Cleanup(func() { script(tb, "zookeeper.sh", "clean", "--data", dir) })
	return strings.TrimSpace(script(tb, "zookeeper.sh", append([]string{"start", "--port", "0", "--data", dir}, args...)...))
}

// ZooKeeperScript runs test/peers/zookeeper.sh and returns what it prints on standard output.
func ZooKeeperScript(tb testing.TB, args ...string) string {
	tb.Helper()
	return script(tb, "zookeeper.sh", args...)
}

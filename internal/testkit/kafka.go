package testkit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Kafka is the address of a real Kafka broker: $KAFKA_PEER if set, else that of [StartKafka].
func Kafka(tb testing.TB) string {
	tb.Helper()
	if address := os.Getenv("KAFKA_PEER"); address != "" {
		return address
	}
	return StartKafka(tb)
}

// StartKafka starts a real Kafka broker by test/peers/kafka.sh on a free port; the test's cleanup stops it and
// removes its data. set holds broker properties as "key=value".
func StartKafka(tb testing.TB, set ...string) string {
	tb.Helper()
	dir := tb.TempDir()
	args := []string{"start", "--port", "0", "--data", dir}
	for _, kv := range set {
		args = append(args, "--set", kv)
	}
	tb.Cleanup(func() { Peer(tb, "clean", "--data", dir) })
	return strings.TrimSpace(Peer(tb, args...))
}

// Peer runs test/peers/kafka.sh and returns what it prints on standard output.
func Peer(tb testing.TB, args ...string) string {
	tb.Helper()
	return script(tb, "kafka.sh", args...)
}

// script runs one of the scripts in test/peers.
func script(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	cmd := exec.Command(filepath.Join(Root(tb), "test", "peers", name), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		tb.Fatalf("%s %q: %v\n%s%s", name, args, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

package broker

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/wire"
)

var update = flag.Bool("update", false, "write docs/compat.md anew")

// kafkaRanges are the versions that a Kafka 4.3 broker advertises; test/differential reads them off one.
var kafkaRanges = map[wire.Key]string{
	wire.KeyProduce: "0–13", wire.KeyFetch: "4–18", wire.KeyListOffsets: "1–11", wire.KeyMetadata: "0–13",
	wire.KeyFindCoordinator: "0–6", wire.KeyApiVersions: "0–4", wire.KeyCreateTopics: "2–7", wire.KeyDeleteTopics: "1–6",
	wire.KeyDeleteRecords: "0–2", wire.KeyInitProducerId: "0–5", wire.KeyDescribeConfigs: "1–4", wire.KeyAlterConfigs: "0–2", wire.KeyDescribeLogDirs: "1–5", wire.KeyCreatePartitions: "0–3", wire.KeyIncrementalAlterConfigs: "0–1", wire.KeyDescribeCluster: "0–2",
}

var compatNotes = map[wire.Key]string{
	wire.KeyProduce:                 "0 to 2 are advertised and refused, as Kafka does (KAFKA-18659); no transactional batches",
	wire.KeyFetch:                   "with sessions (KIP-227); no topic ids, no follower fetching",
	wire.KeyDeleteRecords:           "on disk before the answer; segments that lie wholly below go at once",
	wire.KeyFindCoordinator:         "always COORDINATOR_NOT_AVAILABLE: no groups and transactions yet",
	wire.KeyInitProducerId:          "ids for idempotent producers; transactional ids get COORDINATOR_NOT_AVAILABLE",
	wire.KeyDescribeConfigs:         "topics and brokers; no log levels, groups or client metrics",
	wire.KeyAlterConfigs:            "topics and brokers; on disk and in force before the answer",
	wire.KeyIncrementalAlterConfigs: "as AlterConfigs",
	wire.KeyMetadata:                "with auto-creation",
}

// TestCompatTable keeps docs/compat.md as the list of APIs says.
func TestCompatTable(t *testing.T) {
	var s strings.Builder
	s.WriteString("# Compatibility\n\nThe APIs that Sluice serves, made from the list of handlers by `go test ./broker -run Compat -update`.\n" +
		"Answers are compared field by field with Kafka 4.3 by `make clients`; what may differ, and why, is in\n" +
		"`test/differential/exceptions_test.go`.\n\n| key | API | versions | Kafka 4.3 | notes |\n|---|---|---|---|---|\n")
	for _, a := range registered() {
		fmt.Fprintf(&s, "| %d | %v | %d–%d | %s | %s |\n", a.key, a.key, a.min, a.max, kafkaRanges[a.key], compatNotes[a.key])
	}
	const name = "../docs/compat.md"
	if *update {
		if err := os.WriteFile(name, []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != s.String() {
		t.Errorf("%s is not what the handlers say (%v); go test ./broker -run Compat -update", name, err)
	}
}

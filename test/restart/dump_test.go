//go:build peers

package restart

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/internal/testkit"
)

// complaints is what kafka-dump-log prints about a segment or index that is not right.
var complaints = regexp.MustCompile(`(?i)isvalid: false|mismatch|could not|corrupt|exception|not consecutive|found timestamp|non-consecutive`)

func TestKafkaReadsTheSegments(t *testing.T) {
	dir := t.TempDir()
	rounds(t, dir, (*testkit.Broker).Kill)
	var logs, indexes []string
	err := filepath.Walk(filepath.Join(dir, "logs"), func(path string, info os.FileInfo, err error) error {
		switch filepath.Ext(path) {
		case ".log":
			logs = append(logs, path)
		case ".index", ".timeindex":
			indexes = append(indexes, path)
		}
		return err
	})
	if err != nil || len(logs) <= partitions || len(indexes) < 2*partitions {
		t.Fatalf("%d segments, %d indexes in %s, %v", len(logs), len(indexes), dir, err)
	}
	records := 0
	for _, args := range [][]string{
		{"--deep-iteration", "--print-data-log", "--files", strings.Join(logs, ",")},
		{"--files", strings.Join(indexes, ",")},
		{"--index-sanity-check", "--files", strings.Join(indexes, ",")},
		{"--verify-index-only", "--files", strings.Join(indexes, ",")},
	} {
		out := testkit.Peer(t, append([]string{"cli", "dump-log"}, args...)...)
		records += strings.Count(out, " payload: ")
		if found := complaints.FindStringIndex(out); found != nil {
			t.Errorf("dump-log %s:\n%s", args[0], out[max(0, found[0]-500):min(len(out), found[1]+500)])
		}
	}
	if records < 12000 {
		t.Errorf("dump-log shows %d records, fewer than were acknowledged", records)
	}
}

// TestKafkaReadsTheSnapshots: what Kafka shows of each snapshot is what its producers had last appended below it.
func TestKafkaReadsTheSnapshots(t *testing.T) {
	dir := t.TempDir()
	broker := testkit.Start(t, dir, settings...)
	createTopic(t, broker.Kafka)
	ctx, stop := context.WithCancel(t.Context())
	acked := 0
	sent := insist(ctx, t, broker.Kafka, "p0", func() {
		if acked++; acked == 12000 { // 6 MB, so that every partition rolls
			stop()
		}
	})
	broker.Terminate()
	snapshots, err := filepath.Glob(filepath.Join(dir, "logs", "*", "*.snapshot"))
	if err != nil || len(snapshots) < 2*partitions {
		t.Fatalf("%d snapshots, %v", len(snapshots), err)
	}
	total, shown := 0, 0
	entry := regexp.MustCompile(`producerEpoch: 0 .*lastSequence: (\d+) lastOffset: (\d+) `)
	for _, file := range snapshots {
		out := testkit.Peer(t, "cli", "dump-log", "--files", file)
		found := entry.FindStringSubmatch(out)
		end, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".snapshot"))
		// One producer, whose sequence numbers are the offsets.
		if found == nil || found[1] != found[2] || found[2] != strconv.Itoa(end-1) {
			t.Errorf("%s:\n%s", file, out)
		}
		shown++
		if later, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*.snapshot")); later[len(later)-1] == file {
			total += end
		}
	}
	if total != sent {
		t.Errorf("the last snapshots end at %d records, sent were %d", total, sent)
	}
	t.Logf("%d snapshots", shown)
}

//go:build peers

package restart

import (
	"os"
	"path/filepath"
	"regexp"
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

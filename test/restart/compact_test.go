//go:build peers

package restart

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/internal/testkit"
)

// compactKeys is how many keys there are; each gets some twenty values.
const compactKeys = 500

// TestKafkaReadsCompactedLogs compacts a topic whose records were compressed with each codec, and has Kafka's tool read
// every segment, record by record, and its indexes.
func TestKafkaReadsCompactedLogs(t *testing.T) {
	dir := t.TempDir()
	broker := testkit.Start(t, dir, append(settings, "log.cleaner.backoff.ms=50")...)
	admin, err := kgo.NewClient(kgo.SeedBrokers(broker.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	sent, err := fillCompacted(t.Context(), broker.Kafka, kadm.NewClient(admin))
	if err != nil {
		t.Fatal(err)
	}
	awaitCompacted(t, filepath.Join(dir, "logs"), sent)
	broker.Terminate()
	var logs, indexes []string
	files, _ := filepath.Glob(filepath.Join(dir, "logs", "compacted-*", "*"))
	for _, path := range files {
		switch filepath.Ext(path) {
		case ".log":
			logs = append(logs, path)
		case ".index", ".timeindex":
			indexes = append(indexes, path)
		}
	}
	for _, args := range [][]string{
		{"--deep-iteration", "--print-data-log", "--files", strings.Join(logs, ",")},
		{"--files", strings.Join(indexes, ",")},
		{"--index-sanity-check", "--files", strings.Join(indexes, ",")},
		{"--verify-index-only", "--files", strings.Join(indexes, ",")},
	} {
		out := testkit.Peer(t, append([]string{"cli", "dump-log"}, args...)...)
		if found := complaints.FindStringIndex(out); found != nil {
			t.Errorf("dump-log %s:\n%s", args[0], out[max(0, found[0]-500):min(len(out), found[1]+500)])
		}
		if n := strings.Count(out, " payload: "); args[0] == "--deep-iteration" && (n < compactKeys || n > sent*3/4) {
			t.Errorf("dump-log shows %d records, %d were sent", n, sent)
		}
	}
}

var compactCodecs = []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(),
	kgo.ZstdCompression()}

// fillCompacted makes a compacted topic of one partition for each codec and writes values of 600 bytes that do not
// compress well, with a tombstone now and then. It returns how many.
func fillCompacted(ctx context.Context, address string, admin *kadm.Client) (sent int, err error) {
	value := func(s string) *string { return &s }
	_, err = admin.CreateTopic(ctx, int32(len(compactCodecs)), 1, map[string]*string{"cleanup.policy": value("compact"),
		"min.cleanable.dirty.ratio": value("0.01"), "segment.bytes": value("1048576")}, "compacted")
	if err != nil {
		return 0, err
	}
	for p, codec := range compactCodecs {
		cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.DefaultProduceTopic("compacted"))
		if err != nil {
			return 0, err
		}
		state := uint64(p + 1)
		for round := range 10 {
			var records []*kgo.Record
			for i := range compactKeys {
				var text strings.Builder
				for text.Len() < 600 {
					state = state*6364136223846793005 + 1442695040888963407
					fmt.Fprintf(&text, "%016x", state)
				}
				r := &kgo.Record{Partition: int32(p), Key: fmt.Appendf(nil, "key %d", i), Value: []byte(text.String())}
				if (i+round)%50 == 0 {
					r.Value = nil
				}
				records = append(records, r)
			}
			sent += len(records)
			if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
				return 0, err
			}
		}
		cl.Close()
	}
	return sent, nil
}

// awaitCompacted waits until every partition's checkpoint has moved and nothing is being installed.
func awaitCompacted(t *testing.T, dir string, sent int) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	last := ""
	for same := 0; same < 20; {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%d records were not compacted: %q", sent, last)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "cleaner-offset-checkpoint"))
		if same++; string(b) != last || strings.Count(last, "compacted ") < len(compactCodecs) {
			same, last = 0, string(b)
		}
	}
}

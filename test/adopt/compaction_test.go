//go:build peers

package adopt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/internal/testkit"
	"github.com/sluice-mq/sluice/wire/batch"
)

// TestCompactionSurvivors has Kafka and Sluice compact copies of one directory: what is left must be the same batches
// with the same records.
func TestCompactionSurvivors(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	k := newKafka(t)
	fillVaried(ctx, t, k.address)
	k.stop()
	before := lastSegment(t, filepath.Join(k.data, varied+"-0"))
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(k.data)); err != nil {
		t.Fatal(err)
	}
	k.start()
	s := testkit.Start(t, t.TempDir(), "log.dirs="+copied, "--adopt", "log.cleaner.backoff.ms=300")
	for _, address := range []string{k.address, s.Kafka} {
		compact(ctx, t, address)
	}
	for _, dir := range []string{k.data, copied} {
		cleanedUpTo(ctx, t, dir, before)
	}
	survivors := func(address string) []string {
		return describe(t, look(ctx, t, address, 0, true)[place{varied, 0}])
	}
	kafkas, ours := survivors(k.address), survivors(s.Kafka)
	for i := range max(len(kafkas), len(ours)) {
		if at(kafkas, i) != at(ours, i) {
			t.Fatalf("line %d of %d and %d\nKafka  %s\nSluice %s", i, len(kafkas), len(ours), at(kafkas, i), at(ours, i))
		}
	}
	kinds := map[string]bool{}
	for _, line := range kafkas {
		for _, word := range strings.Fields(line) {
			kinds[word] = true
		}
	}
	for _, word := range []string{"empty", "control", "transactional", "horizon", "null", "none", "gzip", "snappy", "lz4", "zstd"} {
		if !kinds[word] {
			t.Errorf("the load has left nothing that is %s", word)
		}
	}
	t.Logf("%d batches and records are left", len(kafkas))
}

func at(list []string, i int) string {
	if i >= len(list) {
		return "(nothing)"
	}
	return list[i]
}

// varied is the topic that is compacted: few keys, tombstones, all codecs, producers with and without ids, transactions
// that commit and abort, producers whose last batch has nothing left.
const varied = "varied"

func fillVaried(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	settings := map[string]*string{"segment.bytes": kadm.StringPtr("1048576"), "retention.ms": kadm.StringPtr("-1")}
	if resp, err := kadm.NewClient(connect(t, address)).CreateTopic(ctx, 1, 1, settings, varied); err != nil || resp.Err != nil {
		t.Fatal(err, resp.Err)
	}
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	var plainClients, unnumbered, txnal []*kgo.Client
	for _, name := range names {
		codec := kgo.ProducerBatchCompression(codecs[name])
		plainClients = append(plainClients, connect(t, address, codec))
		unnumbered = append(unnumbered, connect(t, address, codec, kgo.DisableIdempotentWrite()))
		txnal = append(txnal, connect(t, address, codec, kgo.TransactionalID("varied "+name), kgo.TransactionTimeout(limit)))
	}
	keyed := func(key, i int) *kgo.Record {
		r := record(varied, 0, i, 20+i*37%3000)
		r.Key = fmt.Appendf(nil, "key %d", key)
		if i%17 == 0 {
			r.Value = nil
		}
		return r
	}
	for i := range 250 {
		var batch []*kgo.Record
		for j := range 10 {
			batch = append(batch, keyed((i*7+j*13)%203, i*10+j))
		}
		send(ctx, t, plainClients[i%5], batch...)
		send(ctx, t, unnumbered[i%5], batch...)
		if i%10 != 0 {
			continue
		}
		cl := txnal[i/10%5]
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		send(ctx, t, cl, batch[:4]...)
		if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(i%20 == 0)); err != nil {
			t.Fatal(err)
		}
	}
	// All keys once more, by a producer of its own: of the others' last batches nothing is left but that they were.
	last := connect(t, address, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for key := range 203 {
		if key%4 != 0 {
			send(ctx, t, last, keyed(key, 1))
		}
	}
	// Segments that compaction takes, up to the active one.
	for i := range 3 {
		send(ctx, t, last, &kgo.Record{Topic: varied, Key: []byte("large"), Value: append(filler(600_000), byte(i))})
	}
}

// compact has the topic's log compacted as soon as there is anything to.
func compact(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	resp, err := kadm.NewClient(connect(t, address)).AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")},
		{Op: kadm.SetConfig, Name: "min.cleanable.dirty.ratio", Value: kadm.StringPtr("0.001")},
	}, varied)
	if err != nil || resp[0].Err != nil {
		t.Fatal(err, resp)
	}
}

// lastSegment is the base offset of the last segment in the directory of a log.
func lastSegment(t *testing.T, dir string) (base int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(names) < 3 {
		t.Fatalf("%d segments in %s, %v", len(names), dir, err)
	}
	base, err = strconv.ParseInt(strings.TrimSuffix(filepath.Base(slices.Max(names)), ".log"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// cleanedUpTo waits until the checkpoint of a log directory tells that the topic is clean below offset.
func cleanedUpTo(ctx context.Context, t *testing.T, dir string, offset int64) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	want := fmt.Sprintf("%s 0 %d\n", varied, offset)
	for {
		text, err := os.ReadFile(filepath.Join(dir, "cleaner-offset-checkpoint"))
		if err == nil && strings.Contains(string(text), want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %q, want %q", dir, text, want)
		case <-tick.C:
		}
	}
}

// describe gives a line for each batch and each record, without what may differ: the compressed form, and when records
// that are to go may do so.
func describe(t *testing.T, s *seen) (lines []string) {
	t.Helper()
	var bases []int64
	for base := range s.batches {
		bases = append(bases, base)
	}
	slices.Sort(bases)
	var w batch.Walker
	for _, base := range bases {
		b := batch.Batch(s.batches[base])
		line := fmt.Sprintf("batch %d-%d %v count %d, newest %d, producer %d epoch %d sequence %d", b.BaseOffset(), b.LastOffset(), b.Codec(),
			b.Count(), b.MaxTimestamp(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
		if b.Count() == 0 {
			line += " empty"
		}
		if b.IsTransactional() {
			line += " transactional"
		}
		if b.IsControl() {
			line += " control"
		}
		if b.HasDeleteHorizon() {
			line += " horizon"
		}
		lines = append(lines, line)
		if err := w.Reset(b, 0); err != nil {
			t.Fatal(err)
		}
		var r batch.Record
		for w.Next(&r) {
			line := fmt.Sprintf("record %d, %d ms, key %x", b.BaseOffset()+int64(r.OffsetDelta), b.BaseTimestamp()+r.TimestampDelta, r.Key)
			for key, value := range r.Headers {
				line += fmt.Sprintf(", %s=%x", key, value)
			}
			if r.Value == nil {
				lines = append(lines, line+", value null")
			} else {
				lines = append(lines, fmt.Sprintf("%s, value %x", line, r.Value))
			}
		}
		if err := w.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

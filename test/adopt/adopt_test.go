//go:build peers

package adopt

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/internal/testkit"
	"github.com/sluice-mq/sluice/wire/batch"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// kafka is a Kafka broker that can be stopped and started again.
type kafka struct {
	t       *testing.T
	base    string // of test/peers/kafka.sh
	data    string // log.dirs
	address string
}

func newKafka(t *testing.T) *kafka {
	base := t.TempDir()
	k := &kafka{t: t, base: base, data: filepath.Join(base, "node-1", "data"), address: "0"}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(base, "node-1", "log"))
			t.Logf("end of Kafka's log:\n%s", log[max(0, len(log)-4000):])
		}
		testkit.Peer(t, "clean", "--data", base)
	})
	k.start()
	return k
}

func (k *kafka) start() {
	port := k.address
	if _, p, err := net.SplitHostPort(k.address); err == nil {
		port = p
	}
	args := []string{"start", "--port", port, "--data", k.base, "--heap", "512M"}
	for _, kv := range []string{"log.cleaner.backoff.ms=300", "log.retention.check.interval.ms=300", "offsets.topic.num.partitions=3",
		"transaction.state.log.num.partitions=3", "log.flush.offset.checkpoint.interval.ms=1000", "log.initial.task.delay.ms=100",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms=500"} {
		args = append(args, "--set", kv)
	}
	k.address = strings.TrimSpace(testkit.Peer(k.t, args...))
}

func (k *kafka) stop() { testkit.Peer(k.t, "stop", "--data", k.base) }

func (k *kafka) kill() {
	pid, err := strconv.Atoi(strings.TrimSpace(testkit.Peer(k.t, "pids", "--data", k.base)))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	k.stop() // waits for the end
}

func (k *kafka) file(name string) []byte {
	b, err := os.ReadFile(filepath.Join(k.data, name))
	if err != nil && !os.IsNotExist(err) {
		k.t.Fatal(err)
	}
	return b
}

func TestCleanStop(t *testing.T) { handOver(t, (*kafka).stop, (*testkit.Broker).Terminate) }

func TestKilled(t *testing.T) { handOver(t, (*kafka).kill, (*testkit.Broker).Kill) }

func handOver(t *testing.T, end func(*kafka), endSluice func(*testkit.Broker)) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	k := newKafka(t)
	open, now := fill(ctx, t, k.address)
	settled(ctx, t, kadm.NewClient(connect(t, k.address)), func() bool { return hasLine(k.file("cleaner-offset-checkpoint"), compacted) })
	before := look(ctx, t, k.address, now, true)
	records := committedRecords(ctx, t, k.address, before[place{txns, 0}].stable)
	end(k)
	open.Close()
	kept, indexes := k.files("__cluster_metadata-0", "meta.properties", "bootstrap.checkpoint"), k.files("txns-0/", "plain-0/")
	check(t, before)

	code, out := testkit.StartFailing(t, "--set", "log.dirs="+k.data)
	if code == 0 || !strings.Contains(out, "--adopt ") || !strings.Contains(out, k.data) {
		t.Errorf("exit code %d without the flag: %s", code, out)
	}
	s := testkit.Start(t, t.TempDir(), "log.dirs="+k.data, "--adopt")
	same(t, look(ctx, t, s.Kafka, now, true), before)
	if got := committedRecords(ctx, t, s.Kafka, before[place{txns, 0}].stable); !slices.Equal(got, records) {
		t.Errorf("%d committed records, Kafka had %d", len(got), len(records))
	}
	sameTxnIndexes(t, k.files("txns-0/", "plain-0/"), indexes)
	repeat(ctx, t, s.Kafka, before[place{plain, 0}])
	appendMore(ctx, t, s.Kafka)
	after := look(ctx, t, s.Kafka, now, true)
	grown(t, after, before)
	latest := values(ctx, t, s.Kafka, compacted, after[place{compacted, 0}].end)
	endSluice(s)
	dump(t, k.data)
	s = testkit.Start(t, s.Dir, "log.dirs="+k.data) // needs no flag any more
	same(t, look(ctx, t, s.Kafka, now, true), after)
	endSluice(s)
	for name, content := range k.files("__cluster_metadata-0", "meta.properties", "bootstrap.checkpoint") {
		if !bytes.Equal(content, kept[name]) {
			t.Errorf("%s was changed", name)
		}
	}

	k.start()
	grown(t, look(ctx, t, k.address, now, false), after)
	if got := values(ctx, t, k.address, compacted, after[place{compacted, 0}].end); !sameValues(got, latest) {
		t.Errorf("%d keys, Sluice had %d, or with other values", len(got), len(latest))
	}
	offsets, err := kadm.NewClient(connect(t, k.address)).FetchOffsets(ctx, "a group")
	if o, ok := offsets.Lookup(plain, 1); err != nil || !ok || o.At != 17 {
		t.Errorf("offset of the group: %+v, %v", o, err)
	}
	appendMore(ctx, t, k.address)
	k.stop()
	strays, _ := filepath.Glob(filepath.Join(k.data, "*-stray"))
	if len(strays) > 0 {
		t.Errorf("Kafka does not know %v any more", strays)
	}
}

// check makes sure that the load was what it is meant to be.
func check(t *testing.T, all map[place]*seen) {
	t.Helper()
	x := all[place{txns, 0}]
	if x.stable >= x.end || len(x.aborted) < 10 {
		t.Errorf("transactions: %s", x)
	}
	if x := all[place{short, 0}]; x.start == 0 {
		t.Errorf("retention has taken nothing: %s", x)
	}
	count := int32(0)
	for _, b := range all[place{compacted, 0}].batches {
		count += batch.Batch(b).Count()
	}
	if x := all[place{compacted, 0}]; int64(count) > x.end/2 {
		t.Errorf("%d records of %d are left after compaction", count, x.end)
	}
	found := map[batch.Codec]bool{}
	for _, b := range all[place{plain, 1}].batches {
		found[batch.Batch(b).Codec()] = true
	}
	if len(found) != len(codecs) {
		t.Errorf("codecs %v", found)
	}
}

// grown: all that there was is there, and more. Compaction may have gone on.
func grown(t *testing.T, got, want map[place]*seen) {
	t.Helper()
	for at, w := range want {
		g := got[at]
		if g == nil {
			t.Errorf("%v is missing", at)
			continue
		}
		if g.end < w.end || at.topic == plain && g.end == w.start {
			t.Errorf("%v: %s\nbefore %s", at, g, w)
		}
		if at.topic == plain || at.topic == txns || at.topic == quiet {
			g.holds(t, at, w, len(w.batches))
		}
	}
}

// repeat sends a producer's last batch of before again, as it would after a lost answer: the log knows it.
func repeat(ctx context.Context, t *testing.T, address string, s *seen) {
	t.Helper()
	var last batch.Batch
	for _, b := range s.batches {
		b := batch.Batch(b)
		if b.ProducerID() >= 0 && !b.IsTransactional() && (last == nil || b.BaseOffset() > last.BaseOffset()) {
			last = b
		}
	}
	last = bytes.Clone(last)
	base := last.BaseOffset()
	last.SetBaseOffset(0) // as the producer sent it
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = 1, 1000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: plain, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: last}}}}
	resp, err := req.RequestWith(ctx, connect(t, address))
	if err != nil {
		t.Fatal(err)
	}
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != base {
		t.Errorf("batch sent again: error %d, offset %d, want %d", p.ErrorCode, p.BaseOffset, base)
	}
}

// files are those whose paths begin with one of the prefixes.
func (k *kafka) files(prefixes ...string) map[string][]byte {
	k.t.Helper()
	found := map[string][]byte{}
	err := filepath.WalkDir(k.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(k.data, path)
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			found[name] = k.file(name)
		}
		return nil
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return found
}

// sameTxnIndexes: those that recovery has made anew are Kafka's, byte for byte.
func sameTxnIndexes(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	n := 0
	for name, content := range want {
		if filepath.Ext(name) == ".txnindex" && len(content) > 0 {
			if n++; !bytes.Equal(got[name], content) {
				t.Errorf("%s is %x, Kafka's was %x", name, got[name], content)
			}
		}
	}
	if n < 2 {
		t.Errorf("%d transaction indexes", n)
	}
}

// complaints is what kafka-dump-log prints about a segment or index that is not right.
var complaints = regexp.MustCompile(`(?i)isvalid: false|mismatch|could not|corrupt|exception|not consecutive|found timestamp|non-consecutive`)

func dump(t *testing.T, dir string) {
	t.Helper()
	var logs, indexes, txnIndexes []string
	names, err := filepath.Glob(filepath.Join(dir, "*-[0-9]", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range names {
		topic := filepath.Base(filepath.Dir(path))
		switch ext := filepath.Ext(path); {
		case strings.HasPrefix(topic, "__cluster_metadata"):
		case ext == ".log":
			logs = append(logs, path)
		case ext == ".txnindex":
			txnIndexes = append(txnIndexes, path)
		case (ext == ".index" || ext == ".timeindex") && !strings.HasPrefix(topic, compacted): // Kafka's own have entries for runs of batches there
			indexes = append(indexes, path)
		}
	}
	for _, args := range [][]string{
		{"--deep-iteration", "--files", strings.Join(logs, ",")},
		{"--files", strings.Join(indexes, ",")},
		{"--index-sanity-check", "--files", strings.Join(indexes, ",")},
		{"--verify-index-only", "--files", strings.Join(indexes, ",")},
		{"--files", strings.Join(txnIndexes, ",")},
	} {
		out := testkit.Peer(t, append([]string{"cli", "dump-log"}, args...)...)
		if found := complaints.FindStringIndex(out); found != nil {
			t.Errorf("dump-log %s:\n%s", args[0], out[max(0, found[0]-500):min(len(out), found[1]+500)])
		}
	}
}

func sameValues(a, b map[string]string) bool {
	for key, value := range b {
		if value != "" && a[key] != value {
			return false
		}
	}
	return len(a) > 0
}

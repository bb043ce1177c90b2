package broker

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// kafkaDir makes a log directory with the topics t (two partitions, 3 records each) and __consumer_offsets, a stray and
// a future replica, and Kafka's traces.
func kafkaDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	d, err := logstore.OpenDir(dir, logstore.Identity{ClusterID: "kafkas-own", NodeID: 1}, logstore.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		topic string
		index int32
		id    byte
	}{{"t", 0, 1}, {"t", 1, 1}, {"__consumer_offsets", 7, 2}, {"stray", 0, 3}} {
		l, err := d.Create(p.topic, p.index, [16]byte{p.id})
		if err != nil {
			t.Fatal(err)
		}
		appendTo(t, l, records(3, 10))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Rename(filepath.Join(dir, "stray-0"), filepath.Join(dir, "stray-0.0123456789abcdef0123456789abcdef-stray")),
		os.CopyFS(filepath.Join(dir, "t-0.0123456789abcdef0123456789abcdef-future"), os.DirFS(filepath.Join(dir, "t-0"))),
		os.Mkdir(filepath.Join(dir, "__cluster_metadata-0"), 0o755),
		os.WriteFile(filepath.Join(dir, "__cluster_metadata-0", "00000000000000000000.log"), []byte("Kafka's own"), 0o644),
		os.WriteFile(filepath.Join(dir, "__cluster_metadata-0", "quorum-state"), []byte("{}"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// adoptBroker starts a broker as serve --adopt does.
func adoptBroker(t *testing.T, adopt bool, sets ...string) (*Broker, error) {
	t.Helper()
	values, err := config.Load(config.Input{Sets: append([]string{
		"listeners=PLAINTEXT://127.0.0.1:0", "admin.listener=", "num.network.threads=1"}, sets...)})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := values.Broker()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Adopt = adopt
	return Start(cfg, values, slog.New(slog.DiscardHandler))
}

func mustStop(t *testing.T, b *Broker, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// tree is what lies in dir, by path, but for what ours to write.
func tree(t *testing.T, dir string, ours ...string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		for _, prefix := range ours {
			if strings.HasPrefix(name, prefix) {
				return nil
			}
		}
		b, err := os.ReadFile(path)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameFiles(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is new", name)
		}
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s was changed, or is gone", name)
		}
	}
}

// TestAdoptionIsAsked: without the flag nothing of the directory is touched, and the error names what to do.
func TestAdoptionIsAsked(t *testing.T) {
	dir := kafkaDir(t)
	before := tree(t, dir)
	_, err := adoptBroker(t, false, "log.dirs="+dir)
	for _, part := range []string{"--adopt ", dir, "__cluster_metadata-0", "kafkas-own"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want it to say %s", err, part)
		}
	}
	if _, err := adoptBroker(t, false, "log.dirs="+dir, "node.id=5"); err == nil || !strings.Contains(err.Error(), "--adopt --set node.id=1 ") {
		t.Errorf("as another node: %v", err)
	}
	sameFiles(t, tree(t, dir), before)
	if _, err := adoptBroker(t, true, "log.dirs="+dir, "node.id=5"); err == nil || !strings.Contains(err.Error(), "set node.id=1") {
		t.Errorf("adopted as another node: %v", err)
	}
}

// TestAdopt: topics keep their ids and records and get settings by which nothing is deleted; what is Kafka's stays as it
// is; new producers get ids that Kafka does not give out; the next start needs no flag.
func TestAdopt(t *testing.T) {
	dir := kafkaDir(t)
	const bystanders = 3 // files of metadata, stray and future replicas, meta.properties
	own := []string{"t-0/", "t-1/", "__consumer_offsets-7/", "sluice-catalog.json", "recovery-point", "log-start-offset", "replication-offset",
		"cleaner-offset", ".lock", ".kafka_cleanshutdown"}
	before := tree(t, dir, own...)
	if len(before) <= bystanders {
		t.Fatalf("bystanders: %v", before)
	}
	for _, adopt := range []bool{true, false, true} {
		b, err := adoptBroker(t, adopt, "log.dirs="+dir)
		if err != nil {
			t.Fatal(err)
		}
		if b.ClusterID() != "kafkas-own" {
			t.Errorf("cluster id %s", b.ClusterID())
		}
		im := b.catalog.Image()
		if n := len(im.Topics()); n != 2 {
			t.Errorf("%d topics", n)
		}
		topic, offsets := im.TopicNamed("t"), im.TopicNamed("__consumer_offsets")
		if topic.ID != [16]byte{1} || len(topic.Partitions) != 2 || topic.Partitions[0].log.EndOffset() < 3 {
			t.Errorf("topic t is %+v", topic)
		}
		if c := topic.Config; !c.Delete || c.RetentionMillis != -1 || c.RetentionBytes != -1 {
			t.Errorf("settings of t: %+v", c)
		}
		if offsets.Config.Delete || !offsets.Config.Compact || len(offsets.Partitions) != 8 || offsets.Partitions[0] != nil {
			t.Errorf("__consumer_offsets is %+v", offsets)
		}
		c := dial(t, b)
		id := c.ask(&kmsg.InitProducerIDRequest{Version: 4, TransactionTimeoutMillis: 1000, ProducerID: -1, ProducerEpoch: -1}).(*kmsg.InitProducerIDResponse)
		if id.ErrorCode != 0 || id.ProducerID < firstAdoptedID {
			t.Errorf("producer id %d, error %v", id.ProducerID, wire.ErrorCode(id.ErrorCode))
		}
		c.produce("t", records(1, 10))
		mustStop(t, b, nil)
		sameFiles(t, tree(t, dir, own...), before)
	}

	// Kafka has had it in between.
	if err := os.WriteFile(filepath.Join(dir, "__cluster_metadata-0", "00000000000000000000.log"), []byte("Kafka's own, longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := adoptBroker(t, false, "log.dirs="+dir); err == nil || !strings.Contains(err.Error(), "--adopt") {
		t.Errorf("after Kafka has run: %v", err)
	}
	b, err := adoptBroker(t, true, "log.dirs="+dir)
	mustStop(t, b, err)
}

// TestOwnDirectories: those of earlier releases, which may have no state file, and those without anything of Kafka's
// need no flag. A directory of Kafka that has nothing but its checkpoint files does.
func TestOwnDirectories(t *testing.T) {
	dir := t.TempDir()
	b, err := adoptBroker(t, false, "log.dirs="+dir)
	mustStop(t, b, err)
	if err := os.Remove(filepath.Join(dir, catalogStateFile)); err != nil {
		t.Fatal(err)
	}
	b, err = adoptBroker(t, false, "log.dirs="+dir)
	mustStop(t, b, err)

	cleaner := filepath.Join(dir, "cleaner-offset-checkpoint")
	if err := os.WriteFile(cleaner, []byte("0\n0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err = adoptBroker(t, false, "log.dirs="+dir)
	mustStop(t, b, err)
	if err := os.Remove(filepath.Join(dir, catalogStateFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := adoptBroker(t, false, "log.dirs="+dir); err == nil || !strings.Contains(err.Error(), "cleaner-offset-checkpoint") {
		t.Errorf("with nothing but a checkpoint of Kafka's: %v", err)
	}
	zk := t.TempDir()
	meta := "#\n#Mon Jan 06 10:00:00 CET 2025\ncluster.id=abc\nversion=0\nbroker.id=1\n"
	if err := os.WriteFile(filepath.Join(zk, "meta.properties"), []byte(meta), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := adoptBroker(t, false, "log.dirs="+zk); err == nil || !strings.Contains(err.Error(), "version 0") {
		t.Errorf("of a broker with ZooKeeper: %v", err)
	}
	b, err = adoptBroker(t, true, "log.dirs="+zk)
	mustStop(t, b, err)
	b, err = adoptBroker(t, false, "log.dirs="+zk)
	mustStop(t, b, err)
}

// TestAdoptKilled: recovery of a directory that Kafka left in a crash takes gaps for what compaction has left, and no
// later one meets them, whatever topic they are in.
func TestAdoptKilled(t *testing.T) {
	dir := kafkaDir(t)
	appendRaw(t, filepath.Join(dir, "t-0", "00000000000000000000.log"), records(1, 10), 100)
	appendRaw(t, filepath.Join(dir, "t-0", "00000000000000000101.log"), records(1, 10), 101) // compaction never takes the last one
	for _, name := range []string{".kafka_cleanshutdown", "recovery-point-offset-checkpoint"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := adoptBroker(t, true, "log.dirs="+dir)
	if err != nil {
		t.Fatal(err)
	}
	killed := t.TempDir() + "/d"
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	mustStop(t, b, nil)
	b, err = adoptBroker(t, false, "log.dirs="+killed)
	if err != nil {
		t.Fatal(err)
	}
	if end := b.catalog.Image().TopicNamed("t").Partitions[0].log.EndOffset(); end != 102 {
		t.Errorf("log ends at %d, want 102", end)
	}
	mustStop(t, b, nil)
}

// appendRaw writes a batch to a log's file as if it had got the base offset.
func appendRaw(t *testing.T, file string, b batch.Batch, base int64) {
	t.Helper()
	b.SetBaseOffset(base)
	b.SetLeaderEpoch(0)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

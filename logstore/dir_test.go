package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

func TestLocked(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, Options{})
	_, err := OpenDir(path, testID, Options{Logger: quiet()})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Fatalf("second open: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, path, Options{})
}

func TestNotWritable(t *testing.T) {
	file := filepath.Join(tempDir(t), "file")
	mustWrite(t, file, nil)
	for _, path := range []string{filepath.Join(file, "sub"), "/proc/sluice-test"} {
		if _, err := OpenDir(path, testID, Options{Logger: quiet()}); !errors.Is(err, ErrNotWritable) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestIdentity(t *testing.T) {
	const v1 = "#\n#Mon Jan 06 10:00:00 CET 2025\ncluster.id=abc\ndirectory.id=Yx1\nnode.id=7\nversion=1\n"
	const v0 = "#\n#Mon Jan 06 10:00:00 CET 2025\ncluster.id=abc\nversion=0\nbroker.id=7\n"
	for _, c := range []struct {
		name, content string
		id            Identity
		err           error
	}{
		{"v1", v1, Identity{"abc", 7}, nil},
		{"v1, any cluster", v1, Identity{"", 7}, nil},
		{"v1, other cluster", v1, Identity{"abd", 7}, ErrForeign},
		{"v1, other node", v1, Identity{"abc", 8}, ErrForeign},
		{"v0", v0, Identity{"abc", 7}, nil},
		{"v0, other node", v0, Identity{"abc", 1}, ErrForeign},
		{"v2", "version=2\n", Identity{"abc", 7}, ErrCorrupt},
		{"nothing", "", Identity{"abc", 7}, ErrCorrupt},
		{"no cluster", "version=1\nnode.id=7\n", Identity{"", 7}, ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := tempDir(t)
			mustWrite(t, filepath.Join(path, metaFile), []byte(c.content))
			d, err := OpenDir(path, c.id, Options{Logger: quiet()})
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if err == nil {
				if d.ClusterID() != "abc" {
					t.Fatalf("cluster id %q", d.ClusterID())
				}
				d.Close()
			}
			if got := string(mustRead(t, filepath.Join(path, metaFile))); got != c.content {
				t.Fatalf("file was changed to %q", got)
			}
		})
	}
}

// TestNewIdentity: a generated identity is kept.
func TestNewIdentity(t *testing.T) {
	path := filepath.Join(tempDir(t), "a", "b")
	d, err := OpenDir(path, Identity{NodeID: 3}, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	cluster, id := d.ClusterID(), d.ID()
	if len(cluster) != 22 || len(id) != 22 || cluster == id {
		t.Fatalf("ids %q, %q", cluster, id)
	}
	d.Close()
	d, err = OpenDir(path, Identity{NodeID: 3, ClusterID: cluster}, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.ClusterID() != cluster || d.ID() != id {
		t.Fatalf("ids are now %q, %q", d.ClusterID(), d.ID())
	}
}

func TestCleanShutdown(t *testing.T) {
	path := tempDir(t)
	mark := filepath.Join(path, cleanShutdownFile)
	recovered := 0
	o := small()
	o.Listener.Recovered = func(*Log, Recovery) { recovered++ }
	d := openTest(t, path, o)
	l := createTest(t, d, "t")
	for range 30 {
		appendTest(t, l, makeBatch(2, 50, 1, batch.None), nil)
	}
	crash := filepath.Join(tempDir(t), "crash")
	copyDir(t, path, crash)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := string(mustRead(t, mark)); got != `{"version":0,"brokerEpoch":-1}` {
		t.Fatalf("mark is %q", got)
	}
	want := fmt.Sprintf("0\n1\nt 0 %d\n", l.EndOffset())
	for _, name := range []string{recoveryPointFile, highWatermarkFile} {
		if got := string(mustRead(t, filepath.Join(path, name))); got != want {
			t.Fatalf("%s is %q, want %q", name, got, want)
		}
	}
	if got := string(mustRead(t, filepath.Join(path, logStartFile))); got != "0\n0\n" {
		t.Fatalf("%s is %q", logStartFile, got)
	}
	d = openTest(t, path, o)
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("mark is still there after the start")
	}
	if recovered != 0 || d.Logs()[0].RecoveryPoint() != l.EndOffset() {
		t.Fatalf("%d recoveries after a clean stop, recovery point %d", recovered, d.Logs()[0].RecoveryPoint())
	}
	openTest(t, crash, o)
	if recovered != 1 {
		t.Fatalf("%d recoveries after a crash", recovered)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", maxTopicLen)
	for name, ok := range map[string]bool{
		"a-0": true, "a-b-12": true, "__consumer_offsets-49": true, long + "-99999": true, "a.b_c-2147483647": true,
		"a": false, "-0": false, "a-": false, "a--1": true, "a-01": false, "a-2147483648": false, "a b-0": false,
		"..-0": false, "a-+1": false, long + "x-0": false, "ä-0": false,
	} {
		topic, p, got := parsePartitionDir(name)
		if got != ok || ok && partitionDirName(topic, p) != name {
			t.Errorf("%q: %v, %q %d", name, got, topic, p)
		}
	}
	for _, topic := range []string{"a", long} {
		n := deleteDirName(topic, 2147483647)
		if len(n) > maxNameLen || !strings.HasSuffix(n, deleteDirSuffix) {
			t.Errorf("%q has %d bytes", n, len(n))
		}
	}
	if got := deleteDirName("abc", 7); !strings.HasPrefix(got, "abc-7.") || len(got) != len("abc-7.")+32+len("-delete") {
		t.Errorf("%q", got)
	}
}

func TestCreate(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, small())
	long := strings.Repeat("x", maxTopicLen)
	if _, err := d.Create(long, 99999, testTopicID); err != nil {
		t.Fatal(err)
	}
	createTest(t, d, "a")
	if _, err := d.Create("a", 0, testTopicID); !errors.Is(err, ErrExists) {
		t.Fatalf("second create: %v", err)
	}
	for _, bad := range []string{"", ".", "a/b", long + "x"} {
		if _, err := d.Create(bad, 0, testTopicID); !errors.Is(err, ErrBadName) {
			t.Fatalf("create %q: %v", bad, err)
		}
	}
	if _, err := d.Create("a", -1, testTopicID); !errors.Is(err, ErrBadName) {
		t.Fatal(err)
	}
	const want = "version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA"
	if got := string(mustRead(t, filepath.Join(path, "a-0", partitionFile))); got != want {
		t.Fatalf("%s is %q", partitionFile, got)
	}
	crash := filepath.Join(tempDir(t), "crash")
	copyDir(t, path, crash)
	logs := openTest(t, crash, small()).Logs()
	if len(logs) != 2 || logs[0].Topic() != "a" || logs[0].TopicID() != testTopicID || logs[1].Partition() != 99999 {
		t.Fatalf("%d logs after a crash", len(logs))
	}
}

// TestKilledCreate goes through what a kill may leave of a Create, step by step: the log is there whole or not at
// all, and can be created again.
func TestKilledCreate(t *testing.T) {
	steps := []struct {
		name  string
		do    func(t *testing.T, dir string)
		there bool
	}{
		{"mkdir", func(t *testing.T, dir string) { os.Mkdir(dir, 0o755) }, false},
		{"tmp", func(t *testing.T, dir string) {
			mustWrite(t, filepath.Join(dir, partitionFile+tmpSuffix), []byte("vers"))
		}, false},
		{"metadata", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, partitionFile+tmpSuffix))
			if err := writePartitionFile(dir, testTopicID); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"segment", func(t *testing.T, dir string) { mustWrite(t, filepath.Join(dir, segmentName(0)+logSuffix), nil) }, true},
		{"index", func(t *testing.T, dir string) { mustWrite(t, filepath.Join(dir, segmentName(0)+indexSuffix), nil) }, true},
	}
	for i := range steps {
		t.Run(steps[i].name, func(t *testing.T) {
			path := tempDir(t)
			for _, s := range steps[:i+1] {
				s.do(t, filepath.Join(path, "t-0"))
			}
			d := openTest(t, path, small())
			if got := len(d.Logs()) == 1; got != steps[i].there {
				t.Fatalf("log is there: %v", got)
			}
			if !steps[i].there {
				createTest(t, d, "t")
			}
			appendTest(t, d.Logs()[0], makeBatch(1, 1, 1, batch.None), nil)
			checkAfterClose(t, d)
		})
	}
}

func TestDelete(t *testing.T) {
	path := tempDir(t)
	o := small()
	o.TailBytes = -1
	d := openTest(t, path, o)
	l := createTest(t, d, "t")
	var want []byte
	for range 3 {
		b := makeBatch(2, 50, 1, batch.None)
		appendTest(t, l, b, nil)
		want = append(want, b...)
	}
	spans, _, err := l.Read(nil, 0, l.EndOffset(), 1<<20, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(l); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(l); !errors.Is(err, ErrClosed) {
		t.Fatalf("second delete: %v", err)
	}
	if _, err := l.Append(makeBatch(1, 1, 1, batch.None), 0, nil); !errors.Is(err, ErrClosed) {
		t.Fatalf("append: %v", err)
	}
	if _, _, err := l.Read(nil, 0, l.EndOffset(), 1<<20, false); !errors.Is(err, ErrClosed) {
		t.Fatalf("read: %v", err)
	}
	if err := l.Flush(); err != nil {
		t.Fatalf("flush: %v", err)
	}
	l = createTest(t, d, "t") // the name is free
	if l.EndOffset() != 0 {
		t.Fatal("the new log is not empty")
	}
	if err := d.Close(); err != nil { // waits for removals
		t.Fatal(err)
	}
	names, _ := os.ReadDir(path)
	for _, e := range names {
		if strings.HasSuffix(e.Name(), deleteDirSuffix) {
			t.Fatalf("%s is left", e.Name())
		}
	}
	if got := spanBytes(t, spans); string(got) != string(want) {
		t.Fatal("the span held over the deletion has other bytes")
	}
}

// TestOtherDirectories: what is not a partition in service stays as it is, but for deleted ones.
func TestOtherDirectories(t *testing.T) {
	path := tempDir(t)
	id := strings.Repeat("0a", 16)
	stay := []string{"t-0." + id + futureDirSuffix, "t-1." + id + strayDirSuffix, "__cluster_metadata-0", "lost+found", "notes"}
	for _, name := range append(stay, "t-2."+id+deleteDirSuffix) {
		if err := os.Mkdir(filepath.Join(path, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := openTest(t, path, small())
	if n := len(d.Logs()); n != 0 {
		t.Fatalf("%d logs", n)
	}
	d.Close()
	for _, name := range stay {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(path, "t-2."+id+deleteDirSuffix)); err == nil {
		t.Error("the deleted log is still there")
	}
}

// TestKafkaLeftovers: files of an interrupted Kafka.
func TestKafkaLeftovers(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, small())
	l := createTest(t, d, "t")
	appendTest(t, l, makeBatch(1, 1, 1, batch.None), nil)
	d.Close()
	dir := filepath.Join(path, "t-0")
	gone := []string{segmentName(9) + ".log.deleted", segmentName(0) + ".log.cleaned", segmentName(9) + indexSuffix, "x.tmp",
		segmentName(0) + txnIndexSuffix}
	stay := []string{segmentName(0) + ".snapshot", "README"}
	for _, name := range append(gone, stay...) {
		mustWrite(t, filepath.Join(dir, name), []byte("x"))
	}
	openTest(t, path, small())
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range stay {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestCheckpoints(t *testing.T) {
	path := filepath.Join(tempDir(t), "c")
	for content, ok := range map[string]bool{
		"0\n0\n": true, "0\n1\nt 0 5\n": true, "0\n2\nt 0 5\na-b 12 0\n": true,
		"": true, "1\n0\n": false, "0\n": false, "0\n2\nt 0 5\n": false, "0\n1\nt 0\n": false, "0\n1\nt x 5\n": false,
		"0\n1\nt 0 -5\n": false, "0\n-1\n": false, "0\n1\nt 0 5\nu 0 5\n": false,
	} {
		mustWrite(t, path, []byte(content))
		m, err := readOffsets(path)
		if (err == nil) != ok {
			t.Errorf("%q: %v, %v", content, m, err)
		}
	}
	// As if it were empty: all is read again.
	dir, batches := crashed(t, 30, 20)
	mustWrite(t, filepath.Join(dir, recoveryPointFile), []byte("0\n9\n"))
	reopened(t, dir, func(l *Log, r Recovery) {
		if r.From != 0 || l.EndOffset() != batches[29].LastOffset()+1 {
			t.Fatalf("%+v", r)
		}
	})
}

package logstore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// compactable is a log of some segments in which keys repeat, rolled and flushed; a new Dir has it open. Nothing of it
// is compacted yet.
func compactable(t testing.TB, o Options) (*Dir, *Log) {
	t.Helper()
	o.Cleaner.Disabled = true
	d := openTest(t, filepath.Join(tempDir(t), "d"), o)
	l := createTest(t, d, "t")
	l.Configure(Settings{Compaction: &Compaction{MinDirtyRatio: -1, DeleteRetention: time.Hour}})
	fill(t, l, 0, 60)
	// Two or three of the segments fit into one.
	l.Configure(Settings{SegmentBytes: 3 * o.SegmentBytes, Compaction: &Compaction{MinDirtyRatio: -1, DeleteRetention: time.Hour}})
	return d, l
}

// fill appends batches of three records over 20 keys, every fifth a tombstone, from five codecs.
func fill(t testing.TB, l *Log, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		var bd batch.Builder
		bd.Reset(batch.Codec(i % 5))
		for j := range 3 {
			value := fmt.Appendf(nil, "value %d of batch %d, which is somewhat long, so that segments fill", j, i)
			if (i+j)%5 == 0 {
				value = nil
			}
			bd.Append(1_700_000_000_000+int64(i), fmt.Appendf(nil, "key%d", (i*7+j)%20), value)
		}
		appendTest(t, l, bd.Finish(), nil)
	}
	if err := l.flush(false); err != nil {
		t.Fatal(err)
	}
}

// content is what a log's readers see, one line for each record and each batch without any.
func content(t testing.TB, l *Log) (lines []string) {
	t.Helper()
	for _, b := range storedBatches(t, l) {
		if len(b.records) == 0 {
			lines = append(lines, fmt.Sprintf("%d-%d", b.base, b.last))
		}
		for _, r := range b.records {
			lines = append(lines, fmt.Sprintf("%d %s %q %d", r.offset, r.key, r.value, b.horizon))
		}
	}
	return lines
}

func listFiles(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestCompactionCrash kills the process at every step of a round: between two renames, before and after every sync.
// What is found then is, for each group of segments, what was there before or what took its place; the log has its end,
// takes appends, and another start changes nothing.
func TestCompactionCrash(t *testing.T) {
	var steps []string
	var d *Dir
	var copies string
	o := small()
	o.clock = func() (time.Time, time.Duration) { return time.UnixMilli(1_700_000_100_000), 0 }
	taking := false
	o.step = func(at string) {
		if taking {
			copyDir(t, d.path, filepath.Join(copies, fmt.Sprint(len(steps))))
			steps = append(steps, at)
		}
	}
	d, l := compactable(t, o)
	copies = tempDir(t)
	before, end := content(t, l), l.EndOffset()
	segments := l.Segments()
	taking = true
	if !d.cleaner.round() {
		t.Fatal("not compacted")
	}
	taking = false
	after := content(t, l)
	if len(after) > len(before)*2/3 || l.Segments() >= segments || len(steps) < 40 {
		t.Fatalf("%d records of %d in %d segments of %d, %d steps", len(after), len(before), l.Segments(), segments, len(steps))
	}
	for i, at := range steps {
		path := filepath.Join(copies, fmt.Sprint(i))
		first := checkCrash(t, at, path, before, after, end)
		files := listFiles(t, filepath.Join(path, "t-0"))
		if second := checkCrash(t, at, path, before, after, end); !slices.Equal(first, second) {
			t.Fatalf("%s: second start\n%v\n%v", at, first, second)
		}
		if again := listFiles(t, filepath.Join(path, "t-0")); !slices.Equal(files, again) {
			t.Fatalf("%s: files %v, then %v", at, files, again)
		}
	}
}

// checkCrash opens a copy that a crash has left, and leaves it as another crash does.
func checkCrash(t *testing.T, at, path string, before, after []string, end int64) []string {
	t.Helper()
	o := small()
	o.Cleaner.Disabled = true
	d := openTest(t, path, o)
	logs := d.Logs()
	if len(logs) != 1 || logs[0].Err() != nil || logs[0].EndOffset() != end {
		t.Fatalf("%s: %d logs, end %d, want %d; %v", at, len(logs), logs[0].EndOffset(), end, logs[0].Err())
	}
	got := content(t, logs[0])
	checkBetween(t, at, got, before, after)
	for _, name := range listFiles(t, logs[0].dir) {
		for _, suffix := range []string{cleanedFileSuffix, swapFileSuffix, deletedFileSuffix} {
			if strings.HasSuffix(name, suffix) {
				t.Fatalf("%s: %s is left", at, name)
			}
		}
	}
	if f := verifyAll(t, path, VerifyOptions{}); f.Damaged > 0 {
		t.Fatalf("%s: %+v", at, f.List)
	}
	copied := tempDir(t)
	copyDir(t, path, copied)
	appendTest(t, logs[0], makeBatch(1, 10, 1_700_000_000_000, batch.None), nil)
	d.Close()
	os.RemoveAll(path)
	copyDir(t, copied, path)
	return got
}

// checkBetween: whatever is there after a crash in a round is of the old state or the new one, offset by offset, and
// goes from one to the other once.
func checkBetween(t *testing.T, at string, got, before, after []string) {
	t.Helper()
	in := func(list []string, line string) bool { return slices.Contains(list, line) }
	for _, line := range got {
		if !in(before, line) && !in(after, line) {
			t.Fatalf("%s: %q is neither of the old nor of the new log", at, line)
		}
	}
	// Of the new state nothing is missing but what is there as it was.
	offsets := map[string]bool{}
	for _, line := range got {
		offsets[strings.Fields(line)[0]] = true
	}
	for _, line := range after {
		if offset := strings.Fields(line)[0]; !offsets[offset] && !strings.Contains(offset, "-") {
			t.Fatalf("%s: %q is lost", at, line)
		}
	}
	if equal := slices.Equal(got, before) || slices.Equal(got, after); equal {
		return
	}
	// Groups are replaced from the first one on: new up to some offset, old from there on.
	for i := range got {
		if n := len(got) - i; n <= len(before) && slices.Equal(got[i:], before[len(before)-n:]) && i <= len(after) &&
			slices.Equal(got[:i], after[:i]) {
			return
		}
	}
	t.Fatalf("%s: a mixture:\n%s", at, strings.Join(got, "\n"))
}

// TestFinishSwaps has the states that Kafka's loader tells apart, of a log with segments at 0, 4 and 8.
func TestFinishSwaps(t *testing.T) {
	r := newRuleLog(t, nil, always)
	for range 3 {
		r.add(1, "a=1", "b=1", "c=1", "d=1")
		r.roll()
	}
	r.d.Close()
	// What a compaction of 0 and 4 would have written: the batch at 4, under the base 0.
	swap := mustRead(t, segmentFile(r.d, r.l, 4, logSuffix))
	old := "0:a=1 1:b=1 2:c=1 3:d=1 4:a=1 5:b=1 6:c=1 7:d=1 8:a=1 9:b=1 10:c=1 11:d=1"
	for name, c := range map[string]struct {
		write map[string][]byte
		gone  []string
		want  string
	}{
		"cleaned": {map[string][]byte{segmentName(0) + ".log.cleaned": swap[:70], segmentName(0) + ".index.cleaned": nil}, nil, old},
		"some swap": {map[string][]byte{segmentName(0) + ".log.swap": swap, segmentName(0) + ".index.cleaned": nil,
			segmentName(0) + ".timeindex.cleaned": nil}, nil, old},
		"swap": {map[string][]byte{segmentName(0) + ".log.swap": swap, segmentName(0) + ".index.swap": nil,
			segmentName(0) + ".timeindex.swap": nil}, nil, old[strings.Index(old, "4:"):]},
		"old deleted": {map[string][]byte{segmentName(0) + ".log.swap": swap, segmentName(0) + ".index.swap": nil,
			segmentName(0) + ".log.deleted": swap}, []string{segmentName(0) + logSuffix, segmentName(0) + indexSuffix, segmentName(4) + logSuffix},
			old[strings.Index(old, "4:"):]},
		"log final": {map[string][]byte{segmentName(0) + logSuffix: swap, segmentName(0) + ".index.swap": nil},
			[]string{segmentName(0) + indexSuffix, segmentName(0) + timeIndexSuffix, segmentName(4) + logSuffix, segmentName(4) + indexSuffix}, old[strings.Index(old, "4:"):]},
		"an index alone": {map[string][]byte{segmentName(0) + ".index.swap": []byte("not of this log")}, nil, old},
		"empty": {map[string][]byte{segmentName(0) + ".log.swap": nil}, nil,
			old[strings.Index(old, "4:"):]},
	} {
		path := tempDir(t)
		copyDir(t, r.d.path, path)
		for file, b := range c.write {
			mustWrite(t, filepath.Join(path, "t-0", file), b)
		}
		for _, file := range c.gone {
			os.Remove(filepath.Join(path, "t-0", file))
		}
		for range 2 {
			d := openTest(t, path, r.d.opts)
			x := &ruleLog{TB: t, d: d, l: d.Logs()[0]}
			if got := x.state(); got != c.want || x.l.Err() != nil {
				t.Errorf("%s: %s, %v", name, got, x.l.Err())
			}
			d.Close()
			checkIndexes(t, filepath.Join(path, "t-0"))
		}
	}
}

// TestRecoverDirFinishesSwaps: offline too, and a rehearsal changes nothing.
func TestRecoverDirFinishesSwaps(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.add(1, "a=1")
	r.roll()
	r.add(1, "a=2")
	r.roll()
	r.d.Close()
	path := r.d.path
	swap := mustRead(t, segmentFile(r.d, r.l, 1, logSuffix))
	mustWrite(t, segmentFile(r.d, r.l, 0, logSuffix+swapFileSuffix), swap)
	files := listFiles(t, r.l.dir)
	for _, dry := range []bool{true, false} {
		err := RecoverDir(path, RecoverOptions{DryRun: dry}, func(l RecoveredLog) {
			if l.Err != nil || l.End != 2 || l.Batches != 1 {
				t.Errorf("dry %v: %+v", dry, l)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if dry && !slices.Equal(files, listFiles(t, r.l.dir)) {
			t.Errorf("a rehearsal has left %v", listFiles(t, r.l.dir))
		}
	}
	if b := mustRead(t, filepath.Join(path, cleanerFile)); string(b) != "0\n1\nt 0 0\n" {
		t.Errorf("checkpoint %q", b)
	}
	d := openTest(t, path, r.d.opts)
	x := &ruleLog{TB: t, d: d, l: d.Logs()[0]}
	x.want(x.state(), "1:a=2")
}

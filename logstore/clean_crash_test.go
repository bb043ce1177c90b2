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

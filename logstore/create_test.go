package logstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

func newLogs(topic string, n int) []NewLog {
	list := make([]NewLog, n)
	for i := range list {
		list[i] = NewLog{Topic: topic, Partition: int32(i), TopicID: testTopicID, Epoch: 0}
	}
	return list
}

// TestCreateAll: few and many logs, which are synced in different ways, are there after a crash at once, and a crash on
// the way leaves whole logs or none.
func TestCreateAll(t *testing.T) {
	for _, n := range []int{3, syncAllAbove + 40} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			path, crashes := tempDir(t), tempDir(t)
			o := small()
			var steps []string
			o.step = func(at string) {
				copyDir(t, path, filepath.Join(crashes, at))
				steps = append(steps, at)
			}
			d := openTest(t, path, o)
			logs, err := d.CreateAll(t.Context(), newLogs("t", n))
			if err != nil {
				t.Fatal(err)
			}
			o.step("done")
			if want := "[logs staged logs named done]"; fmt.Sprint(steps) != want {
				t.Fatalf("steps %v", steps)
			}
			// Of the renames a power cut keeps any.
			some := filepath.Join(crashes, "some")
			copyDir(t, filepath.Join(crashes, "logs staged"), some)
			staged, _ := filepath.Glob(filepath.Join(some, "t-*"+deleteDirSuffix))
			for _, at := range staged[:n/2] {
				name, _, _ := strings.Cut(filepath.Base(at), ".")
				if err := os.Rename(at, filepath.Join(some, name)); err != nil {
					t.Fatal(err)
				}
			}
			for at, want := range map[string]int{"logs staged": 0, "some": n / 2, "logs named": n, "done": n} {
				d := openTest(t, filepath.Join(crashes, at), small())
				if len(d.Logs()) != want {
					t.Errorf("%s: %d logs", at, len(d.Logs()))
				}
				for _, l := range d.Logs() {
					if l.TopicID() != testTopicID || l.LeaderEpoch() != 0 || l.EndOffset() != 0 || l.Err() != nil {
						t.Fatalf("%s: %s: %x, epoch %d, end %d, %v", at, l.Name(), l.TopicID(), l.LeaderEpoch(), l.EndOffset(), l.Err())
					}
				}
				d.Close() // ends the removals
				if left, _ := filepath.Glob(filepath.Join(d.path, "*"+deleteDirSuffix)); len(left) > max(0, n-want-removalsAtOnce) {
					t.Errorf("%s: %d directories are left", at, len(left))
				}
			}
			for _, l := range logs {
				appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			checkIndexes(t, logs[n-1].dir)
			if l := openTest(t, path, small()).Logs()[n-1]; l.EndOffset() != 1 || l.LeaderEpoch() != 0 {
				t.Errorf("end %d, epoch %d", l.EndOffset(), l.LeaderEpoch())
			}
		})
	}
}

// TestCreateAllOrNone: one that cannot be made.
func TestCreateAllOrNone(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, small())
	createTest(t, d, "t")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := os.Mkdir(filepath.Join(path, "other-7"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ctx  context.Context
		list []NewLog
		err  error
	}{
		{t.Context(), newLogs("t", 5), ErrExists},
		{t.Context(), newLogs("other", 100), ErrExists}, // a directory that nobody knows
		{t.Context(), append(newLogs("u", 3), newLogs("u", 1)...), ErrExists},
		{t.Context(), append(newLogs("u", 3), NewLog{Topic: "a/b"}), ErrBadName},
		{cancelled, newLogs("u", 100), context.Canceled},
	} {
		if logs, err := d.CreateAll(c.ctx, c.list); !errors.Is(err, c.err) || logs != nil {
			t.Errorf("%s and others: %v", c.list[0].name(), err)
		}
		if n := len(d.Logs()); n != 1 {
			t.Errorf("%d logs are there", n)
		}
		for _, x := range c.list[1:] {
			if _, err := os.Stat(filepath.Join(path, x.name())); err == nil && x.name() != "other-7" {
				t.Errorf("%s is there", x.name())
			}
		}
	}
	if _, err := d.CreateAll(t.Context(), newLogs("u", 100)); err != nil {
		t.Errorf("the names are not free: %v", err)
	}
}

// TestDeleteAll: a crash before the end leaves whole logs; the names are free after it.
func TestDeleteAll(t *testing.T) {
	const n = 100
	path := tempDir(t)
	d := openTest(t, path, small())
	logs, err := d.CreateAll(t.Context(), newLogs("t", n))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
	}
	if err := d.DeleteAll(logs[:n-1]); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteAll(logs[:1]); !errors.Is(err, ErrClosed) {
		t.Errorf("second deletion: %v", err)
	}
	if _, err := logs[0].Append(makeBatch(1, 10, 1, batch.None), 0, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if got := d.Logs(); len(got) != 1 || got[0] != logs[n-1] {
		t.Errorf("%d logs are there", len(got))
	}
	again, err := d.CreateAll(t.Context(), newLogs("t", n-1))
	if err != nil {
		t.Fatal(err)
	}
	if again[0].EndOffset() != 0 {
		t.Error("a new log has the records of an old one")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d := openTest(t, path, small()); len(d.Logs()) != n || d.Logs()[0].EndOffset() != 0 {
		t.Errorf("%d logs after a stop", len(d.Logs()))
	}
}

// TestIdleLogsAreNotSynced: neither a stop nor a start touches logs that nothing was written to, also after a kill.
func TestIdleLogsAreNotSynced(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, small())
	logs, err := d.CreateAll(t.Context(), newLogs("t", 20))
	if err != nil {
		t.Fatal(err)
	}
	appendTest(t, logs[3], makeBatch(1, 10, 1, batch.None), nil)
	after := filepath.Join(tempDir(t), "killed")
	copyDir(t, path, after)
	for _, at := range []string{path, after} {
		if at == path {
			d.Close()
		}
		syncs := 0
		o := small()
		o.Sync = func(int) error { syncs++; return nil }
		d := openTest(t, at, o)
		if n := d.OpenFiles(); n > 1 {
			t.Errorf("%d files are open after the start", n)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{path: 0, after: 1}[at]; syncs != want {
			t.Errorf("%d logs were synced, %d was written to", syncs, want)
		}
	}
}

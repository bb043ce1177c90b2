package logstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

func recoverTest(t *testing.T, dir string, o RecoverOptions) (list []RecoveredLog) {
	t.Helper()
	if err := RecoverDir(dir, o, func(r RecoveredLog) { r.Took = 0; list = append(list, r) }); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRecoverDir: a dry run says what the recovery then does and changes nothing; afterwards verify finds nothing and
// a broker's start has nothing to recover.
func TestRecoverDir(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string, batches []batch.Batch) (end int64){
		"nothing": func(_ *testing.T, _ string, b []batch.Batch) int64 { return b[len(b)-1].LastOffset() + 1 },
		"torn tail": func(t *testing.T, dir string, b []batch.Batch) int64 {
			name := lastSegment(t, dir)
			data := mustRead(t, name)
			mustWrite(t, name, data[:len(data)-7])
			return b[len(b)-1].BaseOffset()
		},
		"middle": func(t *testing.T, dir string, b []batch.Batch) int64 {
			flip(t, dir, b, 9, batch.HeaderSize+3, 1)
			return b[9].BaseOffset()
		},
		"indexes": func(t *testing.T, dir string, b []batch.Batch) int64 {
			mustWrite(t, filepath.Join(dir, "t-0", segmentName(0)+indexSuffix), make([]byte, 80))
			if err := os.Remove(filepath.Join(dir, "t-0", segmentName(0)+timeIndexSuffix)); err != nil {
				t.Fatal(err)
			}
			return b[len(b)-1].LastOffset() + 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, batches := crashed(t, 24, 0)
			end := spoil(t, dir, batches)
			before := snapshot(t, dir)
			plan := recoverTest(t, dir, RecoverOptions{DryRun: true})
			after := snapshot(t, dir)
			for path := range after {
				if before[path] != after[path] {
					t.Errorf("the dry run changed %s", path)
				}
			}
			if len(before) != len(after) {
				t.Errorf("%d files before the dry run, %d after", len(before), len(after))
			}
			did := recoverTest(t, dir, RecoverOptions{})
			if len(plan) != 1 || len(did) != 1 || plan[0] != did[0] {
				t.Fatalf("planned %+v, did %+v", plan, did)
			}
			if did[0].End != end || did[0].Err != nil || did[0].IndexesChanged == 0 {
				t.Errorf("end %d: %+v", end, did[0])
			}
			if f := verifyAll(t, dir, VerifyOptions{}); f.Damaged+f.Warnings > 0 {
				t.Errorf("%+v", f)
			}
			o := small()
			o.Listener.Recovered = func(_ *Log, r Recovery) { t.Errorf("the start recovers: %+v", r) }
			d := openTest(t, dir, o)
			if l := d.Logs()[0]; l.EndOffset() != end || l.RecoveryPoint() != end {
				t.Errorf("log ends at %d, recovery point %d, want %d", l.EndOffset(), l.RecoveryPoint(), end)
			}
			checkIndexes(t, filepath.Join(dir, "t-0"))
		})
	}
}

// TestRecoverDirBelowRecoveryPoint: what was safe is not cut unless that is asked for.
func TestRecoverDirBelowRecoveryPoint(t *testing.T) {
	dir, batches := crashed(t, 24, 20)
	flip(t, dir, batches, 3, batch.HeaderSize+3, 1)
	segment := filepath.Join(dir, "t-0", segmentName(0)+logSuffix)
	size := len(mustRead(t, segment))
	for _, dry := range []bool{true, false} {
		r := recoverTest(t, dir, RecoverOptions{DryRun: dry})[0]
		if !errors.Is(r.Err, ErrCorrupt) || r.CutAt != -1 || r.End != batches[3].BaseOffset() || r.Why == "" {
			t.Errorf("%+v", r)
		}
		if n := len(mustRead(t, segment)); n != size {
			t.Fatalf("%d bytes are left of %d", n, size)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, cleanShutdownFile)); err == nil {
		t.Error("a damaged directory is marked clean")
	}
	r := recoverTest(t, dir, RecoverOptions{Force: true, Partitions: []string{"t-0"}})[0]
	if r.Err != nil || r.CutAt != batches[3].BaseOffset() || r.CutBytes == 0 {
		t.Errorf("%+v", r)
	}
	if f := verifyAll(t, dir, VerifyOptions{}); f.Damaged > 0 {
		t.Errorf("%+v", f)
	}
	if err := RecoverDir(dir, RecoverOptions{Partitions: []string{"t-1"}}, nil); !errors.Is(err, ErrBadName) {
		t.Error(err)
	}
}

// TestRecoverDirKeepsTheMark: a directory that was stopped cleanly still is.
func TestRecoverDirKeepsTheMark(t *testing.T) {
	dir, _ := stopped(t, 20)
	mark := []byte(`{"version":0,"brokerEpoch":77}`)
	mustWrite(t, filepath.Join(dir, cleanShutdownFile), mark)
	before := snapshot(t, dir)
	if r := recoverTest(t, dir, RecoverOptions{}); r[0].IndexesChanged != 0 {
		// The intervals of the test's broker are not those of recovery.
		t.Logf("%+v", r)
	}
	if got := string(mustRead(t, filepath.Join(dir, cleanShutdownFile))); got != string(mark) {
		t.Errorf("the mark is %q", got)
	}
	for path, content := range before {
		if filepath.Ext(path) == logSuffix && string(mustRead(t, path)) != content {
			t.Errorf("%s was changed", path)
		}
	}
}

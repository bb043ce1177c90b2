package logstore

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// lossyLog is a log of several segments whose second one was found to be damaged at the returned offset.
func lossyLog(t *testing.T, path string, o Options) (l *Log, at, next int64) {
	t.Helper()
	d := openTest(t, path, o)
	l = createTest(t, d, "t")
	for l.Segments() < 4 {
		appendTest(t, l, makeBatch(2, 60, 1, batch.None), nil)
	}
	list := l.segs.Load().s
	at, next = list[1].base+2, list[2].base
	l.MarkLossy(at, "found by\na test")
	return l, at, next
}

// checkLossy: below the damage and behind its segment all is read, nothing is from there, and nothing is appended.
func checkLossy(t *testing.T, l *Log, at, next int64) {
	t.Helper()
	if x := l.Damage(); x == nil || x.At != at || x.UpTo != next || x.Why != "found by a test" && x.Why != "found by\na test" {
		t.Fatalf("damage %+v, want %d to %d", x, at, next)
	}
	if _, err := l.Append(makeBatch(1, 1, 1, batch.None), 0, nil); !errors.Is(err, ErrLossy) || !errors.Is(err, ErrFailed) {
		t.Errorf("append: %v", err)
	}
	for _, from := range []int64{at, next - 1} {
		if _, _, err := l.Read(nil, from, l.EndOffset(), 1<<20, true); !errors.Is(err, ErrLossy) {
			t.Errorf("read from %d: %v", from, err)
		}
	}
	for _, r := range [][2]int64{{0, at}, {at - 1, at}, {next, l.EndOffset()}} {
		spans, n, err := l.Read(nil, r[0], l.EndOffset(), 1<<20, true)
		b := spanBytes(t, spans)
		if err != nil || n == 0 || batch.Batch(b).BaseOffset() > r[0] {
			t.Fatalf("read from %d: %d bytes, %v", r[0], n, err)
		}
		end := int64(0)
		for len(b) > 0 {
			size := batch.LogOverhead + int(binary.BigEndian.Uint32(b[batch.OffsetLength:]))
			end = batch.Batch(b).BaseOffset() + int64(batch.Batch(b).LastOffsetDelta()) + 1
			b = b[size:]
		}
		if end != r[1] {
			t.Errorf("read from %d ends at %d, want %d", r[0], end, r[1])
		}
	}
	if spans, n, err := l.Read(nil, l.EndOffset(), l.EndOffset(), 1<<20, true); len(spans) > 0 || n > 0 || err != nil {
		t.Errorf("read at the end: %d bytes, %v", n, err)
	}
}

// TestMarkLossy: what a lossy log still does is the same after any stop, until it is recovered; the directory may be
// marked clean, since the mark tells.
func TestMarkLossy(t *testing.T) {
	for _, clean := range []bool{false, true} {
		path := filepath.Join(tempDir(t), "d")
		failures := 0
		o := small()
		o.Listener.Failed = func(*Log, error) { failures++ }
		l, at, next := lossyLog(t, path, o)
		checkLossy(t, l, at, next)
		l.MarkLossy(at, "again")
		if failures != 1 {
			t.Errorf("%d reports", failures)
		}
		if _, err := l.DeleteBefore(at, at); !errors.Is(err, ErrLossy) {
			t.Errorf("deletion: %v", err)
		}
		end := l.EndOffset()
		if clean {
			if err := l.d.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			to := filepath.Join(tempDir(t), "copy")
			copyDir(t, path, to)
			path = to
		}
		if info, err := InspectDir(path); err != nil || !strings.Contains(info.Partitions[0].Lossy, "found by a test") {
			t.Errorf("listed as %+v, %v", info.Partitions, err)
		}
		if f := verifyAll(t, path, VerifyOptions{}); f.Damaged != 1 || f.First().Kind != KindLossy || f.First().Offset != at {
			t.Errorf("verified as %+v", f)
		}
		d := openTest(t, path, small())
		if l = d.Logs()[0]; l.EndOffset() != end {
			t.Errorf("log ends at %d, want %d", l.EndOffset(), end)
		}
		checkLossy(t, l, at, next)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		// Nothing is wrong with the files in truth, so that recovery finds nothing to cut.
		if r := recoverTest(t, path, RecoverOptions{})[0]; r.Err != nil || r.CutAt >= 0 || r.End != end {
			t.Errorf("recovered as %+v", r)
		}
		l = openTest(t, path, small()).Logs()[0]
		if l.Damage() != nil {
			t.Errorf("still %+v", l.Damage())
		}
		appendTest(t, l, makeBatch(1, 1, 1, batch.None), nil)
	}
}

// TestMarkLossyGrows: the range covers all that was found.
func TestMarkLossyGrows(t *testing.T) {
	l, at, next := lossyLog(t, filepath.Join(tempDir(t), "d"), small())
	l.MarkLossy(at-1, "before")
	l.MarkLossy(next, "behind")
	if x := l.Damage(); x.At != at-1 || x.UpTo != l.segs.Load().s[3].base {
		t.Errorf("%+v", x)
	}
	mark, err := readMark(l.dir)
	if err != nil || mark.At != at-1 || mark.UpTo != l.Damage().UpTo {
		t.Errorf("mark %+v, %v", mark, err)
	}
}

// TestBadMark: a mark that nobody understands counts for the whole log.
func TestBadMark(t *testing.T) {
	for _, text := range []string{"nonsense", "0\n1\n5\n", "0\n1\n5 x y\n", "0\n1\n5 2 y\n", "0\n2\n1 2 y\n"} {
		dir, _ := stopped(t, 5)
		mustWrite(t, filepath.Join(dir, "t-0", lossyFile), []byte(text))
		l := openTest(t, dir, small()).Logs()[0]
		if _, _, err := l.Read(nil, 0, 1, 1<<20, true); !errors.Is(err, ErrLossy) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestRotMeetsConsumers: a log that recovery found to be rotten below its recovery point tells so to consumers further
// on. An offset out of range would send them to the other end.
func TestRotMeetsConsumers(t *testing.T) {
	dir, batches := crashed(t, 40, 40)
	flip(t, dir, batches, 39, batch.HeaderSize+5, 1)
	var log strings.Builder
	o := small()
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for range 2 {
		d := openTest(t, dir, o)
		l := d.Logs()[0]
		for _, from := range []int64{batches[39].BaseOffset(), batches[39].BaseOffset() + 1, 1000} {
			if _, _, err := l.Read(nil, from, 1<<40, 1<<20, true); !errors.Is(err, ErrLossy) {
				t.Errorf("read from %d: %v", from, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), "log is lossy") || !strings.Contains(log.String(), "sluice log recover --force") {
			t.Error(log.String())
		}
		log.Reset()
	}
	if r := recoverTest(t, dir, RecoverOptions{Force: true})[0]; r.Err != nil || r.CutAt != batches[39].BaseOffset() {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "t-0", lossyFile)); err == nil {
		t.Error("still marked")
	}
}

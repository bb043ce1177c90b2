package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/wire/batch"
)

// rolled appends n batches of one record each to l, every one in a segment of its own, and an empty active segment
// when roll says so.
func rolled(t testing.TB, l *Log, n int, ts func(i int) int64) {
	t.Helper()
	for i := range n {
		if l.active.size.Load() > 0 {
			rollTest(t, l)
		}
		appendTest(t, l, makeBatch(1, 50, ts(i), batch.None), nil)
	}
}

func rollTest(t testing.TB, l *Log) {
	t.Helper()
	l.mu.Lock()
	err := l.roll(l.end.Load())
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
}

func at(ts int64) func(int) int64 { return func(int) int64 { return ts } }

// TestTrimCrash looks at the files at every step of a deletion: before the checkpoint all is there again after a
// crash, from then on nothing below the start, and no step leaves anything that a second start would find different.
func TestTrimCrash(t *testing.T) {
	for _, clean := range []bool{false, true} {
		tmp := tempDir(t)
		o := small()
		var l *Log
		var copies []string
		var steps []string
		o.step = func(at string) {
			if l == nil {
				return
			}
			to := filepath.Join(tmp, fmt.Sprint("copy", len(copies)))
			copyDir(t, filepath.Join(tmp, "0"), to)
			if clean { // the load does not walk what a clean stop left
				mustWrite(t, filepath.Join(to, cleanShutdownFile), []byte("{}"))
			}
			copies, steps = append(copies, to), append(steps, at)
		}
		d := openTest(t, filepath.Join(tmp, "0"), o)
		made := createTest(t, d, "t")
		rolled(t, made, 6, at(1000))
		if err := made.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := d.writeCheckpoint(recoveryPointFile); err != nil {
			t.Fatal(err)
		}
		l = made
		if _, err := l.DeleteBefore(4, 6); err != nil {
			t.Fatal(err)
		}
		if err := d.Trim(); err != nil {
			t.Fatal(err)
		}
		l = nil
		if len(copies) < 2+4*3 {
			t.Fatalf("steps: %v", steps)
		}
		for i, path := range copies {
			want := int64(4)
			if steps[i] == "starts moved" {
				want = 0
			}
			for range 2 {
				d := openTest(t, path, small())
				l := d.Logs()[0]
				if l.StartOffset() != want || l.EndOffset() != 6 || l.Segments() != int(6-want) || l.Err() != nil {
					t.Errorf("clean %v, crash at %q: log %d to %d in %d segments, %v", clean, steps[i], l.StartOffset(),
						l.EndOffset(), l.Segments(), l.Err())
				}
				if got := readAll(t, l, 1000); len(got) != int(6-want) {
					t.Errorf("crash at %q: %d batches", steps[i], len(got))
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				checkIndexes(t, filepath.Join(path, "t-0"))
			}
		}
	}
}

// TestNewLogUnderOldName: checkpoints that name a deleted log say nothing about a new one, also after a crash.
func TestNewLogUnderOldName(t *testing.T) {
	tmp := tempDir(t)
	d := openTest(t, filepath.Join(tmp, "0"), small())
	l := createTest(t, d, "t")
	rolled(t, l, 5, at(1000))
	if _, err := l.DeleteBefore(5, 5); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Trim(), l.Flush(), d.writeCheckpoint(recoveryPointFile)); err != nil {
		t.Fatal(err)
	}
	for _, crash := range []bool{true, false} {
		name := fmt.Sprint("crash ", crash)
		t.Run(name, func(t *testing.T) {
			from := d
			if crash {
				copyDir(t, filepath.Join(tmp, "0"), filepath.Join(tmp, "1"))
				from = openTest(t, filepath.Join(tmp, "1"), small())
			}
			if err := from.Delete(from.Logs()[0]); err != nil {
				t.Fatal(err)
			}
			l := createTest(t, from, "t")
			appendTest(t, l, makeBatch(2, 50, 1, batch.None), nil)
			for gone := []string{"some"}; len(gone) > 0; runtime.Gosched() { // the copy meets no file that is being removed
				gone, _ = filepath.Glob(filepath.Join(from.Path(), "*"+deleteDirSuffix))
			}
			to := filepath.Join(tmp, "again "+name)
			copyDir(t, from.Path(), to)
			b := mustRead(t, filepath.Join(to, "t-0", segmentName(0)+logSuffix))
			mustWrite(t, filepath.Join(to, "t-0", segmentName(0)+logSuffix), append(b, 1, 2, 3)) // torn
			again := openTest(t, to, small()).Logs()[0]
			if again.StartOffset() != 0 || again.EndOffset() != 2 || again.Err() != nil {
				t.Errorf("log %d to %d, %v", again.StartOffset(), again.EndOffset(), again.Err())
			}
		})
	}
}

// TestDeleteDelay: the files of a deleted segment keep their bytes under other names until the delay is over.
func TestDeleteDelay(t *testing.T) {
	o := small()
	c := newTestClock()
	o.clock = c.now
	path := tempDir(t)
	d := openTest(t, path, o)
	l := createTest(t, d, "t")
	l.Configure(Settings{DeleteDelay: 1000})
	rolled(t, l, 3, at(1000))
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.DeleteBefore(2, 3); err != nil {
		t.Fatal(err)
	}
	if err := d.Trim(); err != nil {
		t.Fatal(err)
	}
	deleted := func() int {
		names, _ := filepath.Glob(filepath.Join(path, "t-0", "*"+deletedFileSuffix))
		return len(names)
	}
	d.removeDue()
	if n := deleted(); n != 7 || l.Segments() != 1 { // two segments of three files, and a snapshot
		t.Errorf("%d deleted files, %d segments", n, l.Segments())
	}
	c.pass(1000)
	d.removeDue()
	if n := deleted(); n != 0 {
		t.Errorf("%d deleted files after the delay", n)
	}
}

// TestHeldSegment: spans of a segment that is deleted keep their bytes, and the descriptor goes with the last.
func TestHeldSegment(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := createTest(t, d, "t")
	rolled(t, l, 3, at(1000))
	l.tail.sweep()
	l.tail.sweep()
	spans, n, err := l.Read(nil, 0, 3, 1000, true)
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	first := l.segs.Load().s[0]
	if _, err := l.DeleteBefore(3, 3); err != nil {
		t.Fatal(err)
	}
	if err := d.Trim(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Read(nil, 0, 3, 1000, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Errorf("read below the start: %v", err)
	}
	if _, err := os.Stat(segmentFile(d, l, 0, logSuffix)); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	b := spanBytes(t, spans) // and releases
	if got := offsets(t, b); got != "0-0 1-1 2-2" {
		t.Errorf("read %s", got)
	}
	if st := first.state.Load(); st != segGone {
		t.Errorf("its file is still open, state %x", st)
	}
}

// TestReadersDuringDeletion: whatever readers get while the log is appended to, rolled and trimmed is whole and in
// its place, or an error that says that it is gone.
func TestReadersDuringDeletion(t *testing.T) {
	o := small()
	o.SegmentBytes = 600
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	l.Configure(Settings{SegmentBytes: 600, DeleteDelay: 1})
	const appends = 600
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			var spans []span.Span
			for from := int64(0); from < appends; {
				var err error
				spans, _, err = l.Read(spans[:0], from, 1<<60, 1000, true)
				if errors.Is(err, ErrOffsetOutOfRange) {
					if from >= l.StartOffset() {
						t.Errorf("%d is not below the start %d: %v", from, l.StartOffset(), err)
						return
					}
					from = l.StartOffset()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				for rest := spanBytes(t, spans); len(rest) > 0; {
					b, next, err := batch.First(rest)
					if err != nil || b.BaseOffset() != from || !b.CRCOK() {
						t.Errorf("at %d: batch %d, %v", from, b.BaseOffset(), err)
						return
					}
					from, rest = b.LastOffset()+1, next
				}
			}
		})
	}
	wg.Go(func() { // look-ups by time go past what is being removed
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, _, _, err := l.OffsetForTime(l.StartOffset()); err != nil {
				t.Errorf("by time: %v", err)
				return
			}
		}
	})
	for i := range int64(appends) {
		appendTest(t, l, makeBatch(1, 50, i, batch.None), nil)
		if i%20 == 19 {
			if _, err := l.DeleteBefore(i-10, i); err != nil {
				t.Fatal(err)
			}
			if err := d.Trim(); err != nil {
				t.Fatal(err)
			}
		}
		if i%100 == 99 {
			d.removeDue()
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	wg.Wait()
	if l.Segments() > 10 || l.Err() != nil {
		t.Errorf("%d segments, %v", l.Segments(), l.Err())
	}
}

// TestTrimFails: when the start cannot be made to last, no segment goes.
func TestTrimFails(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, small())
	l := createTest(t, d, "t")
	rolled(t, l, 3, at(1000))
	if err := os.Mkdir(filepath.Join(path, logStartFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := l.DeleteBefore(2, 3); err != nil {
		t.Fatal(err)
	}
	if err := d.Trim(); err == nil || !strings.Contains(err.Error(), logStartFile) || l.Segments() != 3 {
		t.Errorf("%v, %d segments", err, l.Segments())
	}
	if err := os.Remove(filepath.Join(path, logStartFile)); err != nil {
		t.Fatal(err)
	}
	if err := d.Trim(); err != nil || l.Segments() != 1 {
		t.Errorf("%v, %d segments", err, l.Segments())
	}
}

// TestEpochsForgotten: epochs of which nothing is left go from memory and file, the last one never.
func TestEpochsForgotten(t *testing.T) {
	path := filepath.Join(tempDir(t), "d")
	d := openTest(t, path, small())
	l := createTest(t, d, "t")
	for epoch := range int32(5) {
		for range 3 { // a segment each
			if _, err := l.Append(makeBatch(1, int(l.d.opts.SegmentBytes)-100, 1, batch.None), epoch, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		start int64
		epoch int32 // the first that is known then
	}{{2, 0}, {3, 1}, {7, 2}, {12, 4}, {15, 4}} {
		if _, err := l.DeleteBefore(c.start, l.EndOffset()); err != nil {
			t.Fatal(err)
		}
		if err := d.Trim(); err != nil {
			t.Fatal(err)
		}
		list, err := readEpochs(l.dir)
		if err != nil || len(list) == 0 || list[0].epoch != c.epoch || list[len(list)-1].epoch != 4 || !slices.Equal(list, l.epochs.all()) {
			t.Errorf("from %d on: %v in the file, %v in memory; %v", c.start, list, l.epochs.all(), err)
		}
	}
	checkAfterClose(t, d)
}

package logstore

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// TestFailedWrite lets a write fail after every number of bytes: no part of the batch may stay, the log refuses
// more, and the next start finds all that was acknowledged.
func TestFailedWrite(t *testing.T) {
	good := makeBatch(2, 20, 1, batch.None)
	for _, errAfter := range []int{0, 1, batch.HeaderSize, len(good) - 1} {
		for _, short := range []bool{false, true} {
			path := filepath.Join(tempDir(t), "d")
			broken, failures := false, 0
			o := small()
			o.pwrite = func(fd int, b []byte, off int64) (int, error) {
				if !broken {
					return sys.Pwrite(fd, b, off)
				}
				n, err := sys.Pwrite(fd, b[:min(errAfter, len(b))], off)
				if err == nil && (!short || n == 0) {
					err = syscall.EFBIG
				}
				errAfter = 0
				return n, err
			}
			o.Listener.Failed = func(*Log, error) { failures++ }
			d := openTest(t, path, o)
			l := createTest(t, d, "t")
			appendTest(t, l, makeBatch(2, 20, 1, batch.None), nil)
			end, size := l.EndOffset(), l.Size()
			broken = true
			for range 2 {
				_, err := l.Append(makeBatch(2, 20, 1, batch.None), 0, nil)
				if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EFBIG) {
					t.Fatalf("append: %v", err)
				}
			}
			broken = false
			if _, err := l.Append(makeBatch(2, 20, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) || failures != 1 {
				t.Fatalf("append after a failure: %v, reported %d times", err, failures)
			}
			if got := len(mustRead(t, segmentFile(d, l, 0, logSuffix))); l.EndOffset() != end || int64(got) != size {
				t.Fatalf("log ends at %d, want %d; file has %d bytes, want %d", l.EndOffset(), end, got, size)
			}
			readAll(t, l, 1000)
			if err := d.Close(); !errors.Is(err, ErrFailed) {
				t.Fatalf("close: %v", err)
			}
			d = openTest(t, path, small())
			l = d.Logs()[0]
			if l.EndOffset() != end || l.Err() != nil {
				t.Fatalf("after a restart: end %d, %v", l.EndOffset(), l.Err())
			}
			appendTest(t, l, makeBatch(2, 20, 1, batch.None), nil)
			checkAfterClose(t, d)
		}
	}
}

// TestFailedFlush: a failed fdatasync is final, even if the next one would succeed.
func TestFailedFlush(t *testing.T) {
	path := filepath.Join(tempDir(t), "d")
	var fail atomic.Bool
	failed := make(chan error, 10)
	o := small()
	o.fdatasync = func(fd int) error {
		if fail.Swap(false) {
			return syscall.EIO
		}
		return sys.Fdatasync(fd)
	}
	o.Listener.Failed = func(_ *Log, err error) { failed <- err }
	d := openTest(t, path, o)
	l := createTest(t, d, "t")
	appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
	fail.Store(true)
	for range 2 {
		if err := l.Flush(); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("flush: %v", err)
		}
	}
	if l.RecoveryPoint() != 0 || len(failed) != 1 {
		t.Fatalf("recovery point %d, %d reports", l.RecoveryPoint(), len(failed))
	}
	if _, err := l.Append(makeBatch(1, 1, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) {
		t.Fatalf("append: %v", err)
	}
	readAll(t, l, 1000)

	if _, err := d.Create("u", 0, testTopicID); !errors.Is(err, ErrFailed) || !errors.Is(d.Err(), syscall.EIO) {
		t.Fatalf("create in a directory that is offline: %v", err)
	}

	// In the background, after a roll.
	<-failed
	path = filepath.Join(filepath.Dir(path), "e")
	d = openTest(t, path, o)
	l = createTest(t, d, "u")
	fail.Store(true)
	for l.Segments() < 2 {
		appendTest(t, l, makeBatch(1, 500, 1, batch.None), nil)
	}
	if err := <-failed; !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := d.Close(); !errors.Is(err, ErrFailed) {
		t.Fatalf("close: %v", err)
	}
	if _, err := os.Stat(filepath.Join(path, cleanShutdownFile)); err == nil {
		t.Fatal("marked clean")
	}
}

func TestShortWriteIsContinued(t *testing.T) {
	calls := 0
	o := small()
	o.pwrite = func(fd int, b []byte, off int64) (int, error) {
		calls++
		return sys.Pwrite(fd, b[:min(len(b), 50)], off)
	}
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	appendTest(t, l, makeBatch(3, 50, 1, batch.None), nil)
	if readAll(t, l, 1000); calls < 3 {
		t.Fatalf("%d writes", calls)
	}
}

func TestRefusedAppends(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := createTest(t, d, "t")
	if _, err := l.Append(makeBatch(1, 3000, 1, batch.None), 0, nil); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("a batch above segment.bytes: %v", err)
	}
	appendTest(t, l, makeBatch(1, 1, 1, batch.None), nil)
	if err := l.BeginEpoch(5); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(makeBatch(1, 1, 1, batch.None), 4, nil); !errors.Is(err, ErrEpoch) {
		t.Fatalf("a lower epoch: %v", err)
	}
	if l.EndOffset() != 1 {
		t.Fatalf("end %d", l.EndOffset())
	}
}

func TestEpochs(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := createTest(t, d, "t")
	if l.LeaderEpoch() != -1 {
		t.Fatal(l.LeaderEpoch())
	}
	for _, epoch := range []int32{2, 2, 5, 9} {
		if _, err := l.Append(makeBatch(10, 1, 1, batch.None), epoch, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		epoch, found int32
		end          int64
		ok           bool
	}{{1, -1, -1, false}, {2, 2, 20, true}, {4, 2, 20, true}, {5, 5, 30, true}, {9, 9, 40, true}, {100, 9, 40, true}} {
		if found, end, ok := l.EpochEnd(c.epoch); found != c.found || end != c.end || ok != c.ok {
			t.Errorf("end of %d: %d %d %v", c.epoch, found, end, ok)
		}
	}
	if got := string(mustRead(t, filepath.Join(l.dir, epochFile))); got != "0\n3\n2 0\n5 20\n9 30\n" {
		t.Fatalf("file %q", got)
	}
	// Epochs in which nothing was written leave only the last of them.
	l.BeginEpoch(12)
	l.BeginEpoch(13)
	if got := string(mustRead(t, filepath.Join(l.dir, epochFile))); got != "0\n4\n2 0\n5 20\n9 30\n13 40\n" {
		t.Fatalf("file %q", got)
	}
}

func TestRoll(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     Options
		ts    []int64
		rolls int
	}{
		{"size", Options{SegmentBytes: 250}, []int64{1, 1, 1, 1, 1, 1}, 2},
		{"time", Options{SegmentMillis: 100}, []int64{1000, 1050, 1100, 1101, 1150, 1202}, 2},
		{"time goes back", Options{SegmentMillis: 100}, []int64{1000, 10, 1100, 20}, 0},
		{"no time", Options{SegmentMillis: 100}, []int64{-1, 1000, 5000}, 0},
		{"index full", Options{IndexIntervalBytes: 1, IndexMaxBytes: 36}, []int64{1, 1, 1, 1, 1, 1}, 1},
		{"time index full", Options{IndexIntervalBytes: 1, IndexMaxBytes: 24}, []int64{1, 2, 3, 4}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			rolls := 0
			c.o.Listener.Rolled = func(*Log, int64) { rolls++ }
			d := openTest(t, tempDir(t), c.o)
			l := createTest(t, d, "t")
			for _, ts := range c.ts {
				appendTest(t, l, makeBatch(1, 15, ts, batch.None), nil)
			}
			if rolls != c.rolls || l.Segments() != 1+c.rolls {
				t.Errorf("%d rolls, %d segments", rolls, l.Segments())
			}
			readAll(t, l, 1000)
			checkAfterClose(t, d)
		})
	}
}

// TestRollRelativeOffset: offsets in an index entry are int32 from the base.
func TestRollRelativeOffset(t *testing.T) {
	d := openTest(t, tempDir(t), Options{})
	l := createTest(t, d, "t")
	for range 3 {
		b := makeBatch(1, 1, 1, batch.None)
		b[batch.OffsetLastOffsetDelta] = 0x7f // a compacted batch may span that much
		fixed := batch.Batch(b)
		ts := fixed.MaxTimestamp()
		fixed.SetMaxTimestamp(ts+1, false) // computes the checksum anew
		appendTest(t, l, fixed, nil)
	}
	if l.Segments() != 3 || l.EndOffset() <= math.MaxInt32 {
		t.Fatalf("%d segments, end %d", l.Segments(), l.EndOffset())
	}
	checkAfterClose(t, d)
}

// TestFlush: the recovery point follows rolls in the background, and Flush at once.
func TestFlush(t *testing.T) {
	flushed := make(chan int64, 100)
	o := small()
	o.Listener.Flushed = func(_ *Log, upTo int64, _ time.Duration) { flushed <- upTo }
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	for l.Segments() < 3 {
		appendTest(t, l, makeBatch(2, 50, 1, batch.None), nil)
	}
	last := l.segs.Load().last().base
	for got := int64(0); got < last; {
		got = <-flushed
	}
	if l.RecoveryPoint() != last {
		t.Fatalf("recovery point %d, want %d", l.RecoveryPoint(), last)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if l.RecoveryPoint() != l.EndOffset() {
		t.Fatalf("recovery point %d, want %d", l.RecoveryPoint(), l.EndOffset())
	}
}

// TestConcurrent has readers, flushes and deletion run against an appender.
func TestConcurrent(t *testing.T) {
	o := small()
	o.SegmentBytes = 10000
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	const total = 1500
	var wg sync.WaitGroup
	for r := range 4 {
		wg.Go(func() {
			var spans []span.Span
			for from := int64(0); from < total; {
				var n int64
				var err error
				spans, n, err = l.Read(spans[:0], from, l.EndOffset(), int64(500*(r+1)), true)
				if err != nil {
					t.Error(err)
					return
				}
				for rest := spanBytes(t, spans); n > 0 && len(rest) > 0; {
					b, next, err := batch.First(rest)
					if err != nil || b.BaseOffset() != from || !b.CRCOK() {
						t.Errorf("at %d: base %d, %v", from, b.BaseOffset(), err)
						return
					}
					from, rest = b.LastOffset()+1, next
				}
			}
		})
	}
	wg.Go(func() {
		for l.EndOffset() < total {
			if err := l.Flush(); err != nil {
				t.Error(err)
			}
			l.tail.sweep()
			if _, _, _, err := l.OffsetForTime(l.EndOffset()); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range total {
		b := makeBatch(1, i%150, int64(i), batch.None)
		var ref span.Ref
		if i%3 > 0 {
			ref = &testRef{size: len(b)}
		}
		appendTest(t, l, b, ref)
	}
	wg.Wait()
	checkAfterClose(t, d)
}

// TestDeleteWhileUsed: readers and appenders get ErrClosed, never another error or other bytes.
func TestDeleteWhileUsed(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := createTest(t, d, "t")
	var wg sync.WaitGroup
	started := make(chan struct{}, 4)
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				if _, err := l.Append(makeBatch(1, 50, 1, batch.None), 0, nil); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("append: %v", err)
					}
					return
				}
				if i == 100 {
					started <- struct{}{}
				}
			}
		})
		wg.Go(func() {
			for i := int64(0); ; i++ {
				end := l.EndOffset()
				spans, _, err := l.Read(nil, i%(end+1), end, 1000, true)
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("read: %v", err)
					}
					return
				}
				spanBytes(t, spans)
				if l.closed.Load() && i%(end+1) == end {
					return
				}
			}
		})
	}
	<-started
	if err := d.Delete(l); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := d.tails.used.Load(); n != 0 {
		t.Fatalf("%d bytes of tail left", n)
	}
}

// TestBeginEpochSurvives: an epoch in which nothing was written is known after a restart.
func TestBeginEpochSurvives(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, small())
	if err := createTest(t, d, "t").BeginEpoch(3); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := openTest(t, path, small()).Logs()[0].LeaderEpoch(); got != 3 {
		t.Fatalf("epoch %d", got)
	}
}

// TestSlowWrite: the listener learns of writes that took long, and of every append.
func TestSlowWrite(t *testing.T) {
	var slow, appended int
	o := small()
	o.pwrite = func(fd int, b []byte, off int64) (int, error) {
		if off == 0 {
			for began := time.Now(); time.Since(began) <= SlowWriteAfter; {
			}
		}
		return sys.Pwrite(fd, b, off)
	}
	o.Listener.SlowWrite = func(l *Log, bytes int, took time.Duration) {
		if l.Topic() != "t" || bytes == 0 || took <= SlowWriteAfter {
			t.Errorf("%s: %d bytes, %v", l.Topic(), bytes, took)
		}
		slow++
	}
	o.Listener.Appended = func(*Log, int) { appended++ }
	l := createTest(t, openTest(t, tempDir(t), o), "t")
	appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
	appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
	if slow < 1 || appended != 2 {
		t.Fatalf("%d slow writes, %d appends", slow, appended)
	}
}

// TestTimes: codecs, LogAppendTime, and the borders of the search.
func TestTimes(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := createTest(t, d, "t")
	if _, _, found, err := l.MaxTimestamp(); found || err != nil {
		t.Fatal(found, err)
	}
	if _, _, found, err := l.EarliestTimestamp(); found || err != nil {
		t.Fatal(found, err)
	}
	for i := range 50 { // offsets 5i to 5i+4, times 1000+10i to 1000+10i+4
		b := makeBatch(5, 20, int64(1000+10*i), batch.Codec(i%5))
		if i == 20 {
			b.SetMaxTimestamp(5000, true)
		}
		appendTest(t, l, b, nil)
	}
	for _, c := range []struct {
		ts, off, at int64
		found       bool
	}{
		{0, 0, 1000, true}, {1003, 3, 1003, true}, {1005, 5, 1010, true}, {1014, 9, 1014, true}, {1200, 100, 5000, true},
		{1495, 100, 5000, true}, {5000, 100, 5000, true}, {5001, 0, 0, false},
	} {
		off, at, found, err := l.OffsetForTime(c.ts)
		if off != c.off || at != c.at || found != c.found || err != nil {
			t.Errorf("time %d: %d %d %v %v, want %+v", c.ts, off, at, found, err, c)
		}
	}
	if off, ts, found, err := l.MaxTimestamp(); off != 100 || ts != 5000 || !found || err != nil {
		t.Errorf("max: %d %d %v %v", off, ts, found, err)
	}
	if off, ts, found, err := l.EarliestTimestamp(); off != 0 || ts != 1000 || !found || err != nil {
		t.Errorf("earliest: %d %d %v %v", off, ts, found, err)
	}
}

func TestSettingsOfOneLog(t *testing.T) {
	d := openTest(t, tempDir(t), Options{Logger: quiet()})
	own, usual := createTest(t, d, "own"), createTest(t, d, "usual")
	own.Configure(Settings{SegmentBytes: 1000})
	for _, l := range []*Log{own, usual} {
		for range 4 {
			appendTest(t, l, makeBatch(1, 400, 1, batch.None), nil)
		}
	}
	if own.Segments() != 2 || usual.Segments() != 1 {
		t.Errorf("%d and %d segments, want 2 and 1", own.Segments(), usual.Segments())
	}
	if _, err := own.Append(makeBatch(1, 2000, 1, batch.None), 0, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a batch larger than the log's segments: %v", err)
	}
}

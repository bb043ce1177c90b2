package logstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// waiter is a SyncWaiter that a test waits for.
type waiter chan error

func newWaiter() waiter           { return make(waiter, 1) }
func (w waiter) Synced(err error) { w <- err }
func (w waiter) told() (ok bool)  { return len(w) > 0 }
func fsyncClass() Settings        { return Settings{Flush: Flush{Records: 1, Wait: true}} }
func withSync(o Options, f func(fd int) error) Options {
	o.fdatasync = f
	return o
}

// gate is an fdatasync that a test lets through one by one.
type gate struct {
	entered chan int
	leave   chan error
	calls   atomic.Int64
}

func newGate() *gate { return &gate{entered: make(chan int), leave: make(chan error)} }

func (g *gate) sync(fd int) error {
	g.calls.Add(1)
	g.entered <- fd
	if err := <-g.leave; err != nil {
		return err
	}
	return sys.Fdatasync(fd)
}

// TestGroupCommit: appends that come while a sync is under way share the next one, and nothing of them is shown
// before.
func TestGroupCommit(t *testing.T) {
	g := newGate()
	o := withSync(small(), g.sync)
	o.SegmentBytes = 1 << 20
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	l.Configure(fsyncClass())
	var shown atomic.Int64
	l.OnStable(func() { shown.Store(l.StableEnd()) })
	one := func() waiter {
		w := newWaiter()
		info := appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil)
		if !info.Wait {
			t.Fatal("an append that need not wait")
		}
		l.AwaitSync(info.Last+1, w)
		return w
	}
	first := one()
	<-g.entered
	var rest []waiter
	for range 63 {
		rest = append(rest, one())
	}
	if l.StableEnd() != 0 || first.told() || l.EndOffset() != 64 {
		t.Errorf("shown up to %d of %d before any sync", l.StableEnd(), l.EndOffset())
	}
	g.leave <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-g.entered // so the first round is over
	if shown.Load() < 1 || l.StableEnd() != shown.Load() {
		t.Errorf("shown up to %d after the first sync, observer saw %d", l.StableEnd(), shown.Load())
	}
	if l.StableEnd() == 1 { // else the first round had begun late and served more
		for _, w := range rest {
			if w.told() {
				t.Error("told before the second sync")
			}
		}
	}
	g.leave <- nil
	for _, w := range rest {
		if err := <-w; err != nil {
			t.Fatal(err)
		}
	}
	if n := g.calls.Load(); n != 2 {
		t.Errorf("%d syncs for 64 appends", n)
	}
	if l.StableEnd() != 64 || l.RecoveryPoint() != 64 {
		t.Errorf("shown up to %d, recovery point %d", l.StableEnd(), l.RecoveryPoint())
	}
	w := newWaiter()
	if l.AwaitSync(64, w); !w.told() {
		t.Error("not told at once of what is done")
	}
	go func() { // of Close
		for range g.entered {
			g.leave <- nil
		}
	}()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	close(g.entered)
}

// counted is a waiter that is counted while it waits.
type counted struct {
	waiter
	n *atomic.Int64
}

func (c counted) Synced(err error) {
	c.n.Add(-1)
	c.waiter.Synced(err)
}

// TestCommitsOfManyLogs: with 64 appends in flight over 8 logs there are far fewer syncs than appends. The device is
// slow: a sync takes until every writer waits.
func TestCommitsOfManyLogs(t *testing.T) {
	const writers, perWriter = 64, 20
	var calls, waiting, active atomic.Int64
	active.Store(writers)
	o := Options{}
	d := openTest(t, tempDir(t), withSync(o, func(fd int) error {
		calls.Add(1)
		for waiting.Load() < active.Load() {
			runtime.Gosched()
		}
		return sys.Fdatasync(fd)
	}))
	var logs []*Log
	for i := range 8 {
		l := createTest(t, d, fmt.Sprint("t", i))
		l.Configure(fsyncClass())
		logs = append(logs, l)
	}
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			defer active.Add(-1)
			l, w := logs[i%len(logs)], newWaiter()
			for range perWriter {
				info, err := l.Append(makeBatch(1, 100, 1, batch.None), 0, nil)
				if err != nil {
					t.Error(err)
					return
				}
				waiting.Add(1)
				l.AwaitSync(info.Last+1, counted{w, &waiting})
				if err := <-w; err != nil || l.StableEnd() <= info.Last {
					t.Errorf("told with %v at %d, shown up to %d", err, info.Last, l.StableEnd())
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d syncs in %d rounds for %d appends", d.Commits().Syncs, d.Commits().Rounds, writers*perWriter)
	if n := d.Commits().Syncs; n > writers*perWriter/4 || n != calls.Load() {
		t.Errorf("%d syncs, %d calls, for %d appends", n, calls.Load(), writers*perWriter)
	}
}

// TestFailedCommit: a failed sync is final for all logs of the directory: nobody is acknowledged, then or later.
func TestFailedCommit(t *testing.T) {
	g := newGate()
	path := tempDir(t)
	var failures atomic.Int64
	o := withSync(small(), g.sync)
	o.Listener.Failed = func(*Log, error) { failures.Add(1) }
	d := openTest(t, filepath.Join(path, "0"), o)
	l, other := createTest(t, d, "t"), createTest(t, d, "u")
	l.Configure(fsyncClass())
	other.Configure(fsyncClass())
	for _, l := range []*Log{l, other} { // what turning the class on has begun is over then
		w := newWaiter()
		l.AwaitSync(appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil).Last+1, w)
		<-g.entered
		g.leave <- nil
		if err := <-w; err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := newWaiter(), newWaiter(), newWaiter()
	info := appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil)
	l.AwaitSync(info.Last+1, first)
	<-g.entered
	l.AwaitSync(appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil).Last+1, second)
	other.AwaitSync(appendTest(t, other, makeBatch(1, 50, 1, batch.None), nil).Last+1, third)
	g.leave <- syscall.EIO
	for i, w := range []waiter{first, second, third} {
		if err := <-w; !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("waiter %d is told %v", i, err)
		}
	}
	late := newWaiter()
	if l.AwaitSync(2, late); !errors.Is(<-late, ErrFailed) {
		t.Error("a late waiter is told that all is well")
	}
	for _, l := range []*Log{l, other} {
		if _, err := l.Append(makeBatch(1, 50, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) {
			t.Errorf("append after the failure: %v", err)
		}
		if l.StableEnd() != 1 {
			t.Errorf("shown up to %d", l.StableEnd())
		}
	}
	if _, err := d.Create("v", 0, testTopicID); !errors.Is(err, ErrFailed) || !errors.Is(d.Err(), ErrFailed) {
		t.Errorf("create after the failure: %v, directory %v", err, d.Err())
	}
	if n := failures.Load(); n != 2 {
		t.Errorf("%d logs reported", n)
	}
	if n := g.calls.Load(); n != 3 {
		t.Errorf("%d syncs: one was believed after a failure", n)
	}
	if err := d.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("close: %v", err)
	}
	again := openTest(t, filepath.Join(path, "0"), small())
	if l := again.Logs()[0]; l.EndOffset() != 3 || l.Err() != nil || l.StableEnd() != 3 {
		t.Errorf("after a restart: end %d, %v", l.EndOffset(), l.Err())
	}
}

// TestCommitOfNothingNamesNothing: the name of a new segment counts as safe only when the directory was synced. Else
// records in it would be acknowledged that a power cut takes with the file.
func TestCommitOfNothingNamesNothing(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := createTest(t, d, "t")
	l.Configure(fsyncClass())
	w := newWaiter()
	l.AwaitSync(appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil).Last+1, w)
	if err := <-w; err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	err := l.roll(l.end.Load())
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.commit(&d.committer.syncs, nil); err != nil {
		t.Fatal(err)
	}
	if at := l.durable.named.Load(); at == l.active.base {
		t.Errorf("segment %d counts as named, and nobody has synced the directory", at)
	}
}

// TestFlushMessages: of every so many records one append waits, and readers with it.
func TestFlushMessages(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := createTest(t, d, "t")
	l.Configure(Settings{Flush: Flush{Records: 4, Wait: true}})
	var waits []int64
	for range 6 {
		info := appendTest(t, l, makeBatch(2, 10, 1, batch.None), nil)
		if info.Wait {
			waits = append(waits, info.Last)
			w := newWaiter()
			l.AwaitSync(info.Last+1, w)
			if err := <-w; err != nil {
				t.Fatal(err)
			}
			if l.durable.synced.Load() != l.EndOffset() {
				t.Errorf("synced up to %d of %d", l.durable.synced.Load(), l.EndOffset())
			}
		}
		if l.StableEnd() != l.EndOffset() {
			t.Errorf("shown up to %d of %d", l.StableEnd(), l.EndOffset())
		}
	}
	if fmt.Sprint(waits) != "[3 7 11]" {
		t.Errorf("waited at %v", waits)
	}
}

// TestInterval: by bytes and by time the log is flushed in the background, and nobody waits.
func TestInterval(t *testing.T) {
	path := tempDir(t)
	synctest.Test(t, func(t *testing.T) {
		d := openTest(t, path, small())
		l := createTest(t, d, "t")
		quiet := createTest(t, d, "quiet")
		l.Configure(Settings{Flush: Flush{Bytes: 300, Every: 10 * time.Second}})
		appendTest(t, quiet, makeBatch(1, 50, 1, batch.None), nil)
		check := func(what string, point int64) {
			t.Helper()
			synctest.Wait()
			if l.RecoveryPoint() != point || l.StableEnd() != l.EndOffset() {
				t.Errorf("%s: recovery point %d, want %d; shown up to %d of %d", what, l.RecoveryPoint(), point, l.StableEnd(), l.EndOffset())
			}
		}
		for i := range 3 { // of some 120 bytes each
			if info := appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil); info.Wait {
				t.Errorf("append %d is to wait", i)
			}
			check("by bytes", []int64{0, 0, 3}[i])
		}
		appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil)
		<-time.After(5 * time.Second)
		check("too early", 3)
		<-time.After(6 * time.Second)
		check("by time", 4)
		if quiet.RecoveryPoint() != 0 {
			t.Errorf("the other log was flushed to %d", quiet.RecoveryPoint())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAcknowledgedIsOnDevice: whatever is lost that was not synced, what waiters were told of is there. A crash is
// played by cutting each file to what it was when it was last synced.
func TestAcknowledgedIsOnDevice(t *testing.T) {
	tmp := tempDir(t)
	var mu sync.Mutex
	sizes := map[int]int64{} // by descriptor: what the device has
	o := small()
	o.SegmentBytes = 700
	o.fdatasync = func(fd int) error {
		size, err := sys.FileSize(fd)
		mu.Lock()
		sizes[fd] = size
		mu.Unlock()
		return err
	}
	d := openTest(t, filepath.Join(tmp, "0"), o)
	l := createTest(t, d, "t")
	s := fsyncClass()
	s.SegmentBytes = 700
	l.Configure(s)
	for i := range 40 {
		w := newWaiter()
		info := appendTest(t, l, makeBatch(2, 30, int64(i), batch.None), nil)
		l.AwaitSync(info.Last+1, w)
		appendTest(t, l, makeBatch(1, 30, int64(i), batch.None), nil) // may be lost
		if err := <-w; err != nil {
			t.Fatal(err)
		}
		if i%5 != 0 {
			continue
		}
		to := filepath.Join(tmp, fmt.Sprint(i+1))
		copyDir(t, filepath.Join(tmp, "0"), to)
		mu.Lock()
		for _, s := range l.segs.Load().s {
			path := filepath.Join(to, "t-0", segmentName(s.base)+logSuffix)
			if b := mustRead(t, path); int64(len(b)) > sizes[s.fd] {
				mustWrite(t, path, b[:sizes[s.fd]])
			}
		}
		mu.Unlock()
		again := openTest(t, to, small())
		if l := again.Logs()[0]; l.EndOffset() <= info.Last || l.Err() != nil {
			t.Fatalf("log ends at %d, %d was acknowledged, %v", l.EndOffset(), info.Last, l.Err())
		}
		readAll(t, again.Logs()[0], 1000)
		again.Close()
	}
}

// TestDeletedWhileWaiting: who waits on a log that is deleted is told so.
func TestDeletedWhileWaiting(t *testing.T) {
	g := newGate()
	d := openTest(t, tempDir(t), withSync(small(), g.sync))
	l := createTest(t, d, "t")
	l.Configure(fsyncClass())
	w, late := newWaiter(), newWaiter()
	l.AwaitSync(appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil).Last+1, w)
	<-g.entered
	if err := d.Delete(l); err != nil {
		t.Fatal(err)
	}
	if err := <-w; !errors.Is(err, ErrClosed) {
		t.Errorf("told %v", err)
	}
	if l.AwaitSync(1, late); !errors.Is(<-late, ErrClosed) {
		t.Error("a late waiter is told that all is well")
	}
	g.leave <- nil
	if err := d.Close(); err != nil || d.Err() != nil {
		t.Error(err, d.Err())
	}
}

package logstore

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// wholeRig has a log for each of n, and one more to keep the committer busy with while the next round gathers.
type wholeRig struct {
	d     *Dir
	logs  []*Log
	first *Log

	busy, leave  chan struct{} // the fdatasync of the first log alone
	alone        atomic.Bool
	whole, files atomic.Int64
}

// newWholeRig calls syncFS in place of the system call.
func newWholeRig(t *testing.T, n int, o Options, syncFS func() error) *wholeRig {
	r := &wholeRig{busy: make(chan struct{}), leave: make(chan struct{})}
	o.Logger, o.wholeAlways = quiet(), true
	o.syncFS = func(int) error {
		r.whole.Add(1)
		return syncFS()
	}
	o.fdatasync = func(int) error {
		if r.alone.Swap(false) {
			r.busy <- struct{}{}
			<-r.leave
			return nil
		}
		r.files.Add(1)
		return nil
	}
	r.d = openTest(t, tempDir(t), o)
	r.first = createTest(t, r.d, "first")
	for i := range n {
		r.logs = append(r.logs, createTest(t, r.d, fmt.Sprint("t", i)))
	}
	for _, l := range append([]*Log{r.first}, r.logs...) { // turning the class on begins a sync, which this awaits
		l.Configure(fsyncClass())
		if err := <-appendWaiting(t, l); err != nil {
			t.Fatal(err)
		}
	}
	r.whole.Store(0)
	r.files.Store(0)
	return r
}

func appendWaiting(t *testing.T, l *Log) waiter {
	w := newWaiter()
	l.AwaitSync(appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil).Last+1, w)
	return w
}

// round appends to all logs and has them in one round.
func (r *wholeRig) round(t *testing.T) (waiters []waiter) {
	r.alone.Store(true)
	first := appendWaiting(t, r.first)
	<-r.busy
	for _, l := range r.logs {
		waiters = append(waiters, appendWaiting(t, l))
	}
	r.leave <- struct{}{}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	return waiters
}

func allTold(t *testing.T, waiters []waiter) {
	t.Helper()
	for _, w := range waiters {
		if err := <-w; err != nil {
			t.Error(err)
		}
	}
}

// TestWholeSync: many logs in a round are synced by one call and one fdatasync. What is appended while that is under
// way is not claimed.
func TestWholeSync(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := newWholeRig(t, wholeFrom, Options{}, func() error {
		entered <- struct{}{}
		<-leave
		return nil
	})
	before := r.d.Commits()
	waiters := r.round(t)
	<-entered
	for i, w := range waiters {
		if w.told() || r.logs[i].StableEnd() != 1 {
			t.Errorf("log %d is shown up to %d, told %v, before the sync", i, r.logs[i].StableEnd(), w.told())
		}
	}
	late := appendWaiting(t, r.logs[3])
	r.alone.Store(true) // the sync that it takes: the second of the fdatasyncs
	leave <- struct{}{}
	<-r.busy // of the round, after the syncfs
	if late.told() || waiters[0].told() {
		t.Error("told before the device's cache was flushed")
	}
	r.alone.Store(true)
	r.leave <- struct{}{}
	allTold(t, waiters)
	<-r.busy
	if l := r.logs[3]; late.told() || l.StableEnd() != 2 || l.durable.synced.Load() != 2 {
		t.Errorf("shown up to %d, synced %d, told %v: the late append was not synced", l.StableEnd(), l.durable.synced.Load(), late.told())
	}
	r.leave <- struct{}{}
	allTold(t, []waiter{late})
	for i, l := range r.logs {
		if end := l.EndOffset(); l.StableEnd() != end || l.RecoveryPoint() != end || l.active.unsynced.Load() {
			t.Errorf("log %d ends at %d, shown up to %d, recovery point %d", i, end, l.StableEnd(), l.RecoveryPoint())
		}
	}
	got := r.d.Commits()
	got = Commits{got.Rounds - before.Rounds, got.Syncs - before.Syncs, got.Whole - before.Whole}
	if want := (Commits{Rounds: 3, Syncs: 3, Whole: 1}); got != want || r.whole.Load() != 1 {
		t.Errorf("counted %+v, want %+v; %d calls", got, want, r.whole.Load())
	}
}

// TestFewFilesAreSyncedEach: below the threshold nothing but the files is synced.
func TestFewFilesAreSyncedEach(t *testing.T) {
	r := newWholeRig(t, wholeFrom-1, Options{}, func() error { return nil })
	allTold(t, r.round(t))
	if r.whole.Load() != 0 || r.files.Load() != wholeFrom-1 {
		t.Errorf("%d syncfs, %d fdatasync", r.whole.Load(), r.files.Load())
	}
}

// TestFailedWholeSync: as that of a file, the failure is final, for all logs, also those that were not in the round.
func TestFailedWholeSync(t *testing.T) {
	r := newWholeRig(t, wholeFrom, Options{}, func() error { return syscall.ENOSPC })
	for i, w := range r.round(t) {
		if err := <-w; !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("waiter %d is told %v", i, err)
		}
	}
	for _, l := range append(slices.Clone(r.logs), r.first) {
		if _, err := l.Append(makeBatch(1, 50, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) {
			t.Errorf("append after the failure: %v", err)
		}
	}
	for i, l := range r.logs {
		if l.StableEnd() != 1 || l.RecoveryPoint() != 1 || !l.active.unsynced.Load() || l.active.syncErr == nil {
			t.Errorf("log %d is shown up to %d, recovery point %d", i, l.StableEnd(), l.RecoveryPoint())
		}
	}
	if err := r.d.Close(); !errors.Is(err, ErrFailed) || r.whole.Load() != 1 || r.files.Load() != 0 {
		t.Errorf("close: %v; %d syncfs, %d fdatasync", err, r.whole.Load(), r.files.Load())
	}
}

// TestWholeSyncWritesLittleElse: while others have much that nobody has asked to be written, that is asked for, and
// the round does without; a file that somebody else is syncing is not waited for by the others.
func TestWholeSyncWritesLittleElse(t *testing.T) {
	r := newWholeRig(t, wholeFrom+1, Options{WriteBackBytes: 64 << 20}, func() error { return nil })
	other := createTest(t, r.d, "other")
	for other.Size() < wholeDirty+wholeDirty/8 {
		appendTest(t, other, makeBatch(1, 500_000, 1, batch.None), nil)
	}
	allTold(t, r.round(t))
	if n := r.whole.Load(); n != 0 {
		t.Errorf("%d syncfs beside %d dirty bytes", n, other.Size())
	}
	r.d.pacer.close() // what it was asked for is done, or is done here
	r.d.pacer.round()
	r.d.pacer.start(r.d)
	if n := r.d.pacer.appended.Load() - r.d.pacer.handled.Load(); n > wholeDirty {
		t.Fatalf("%d bytes nobody has seen to after a sweep", n)
	}
	s := r.logs[2].active
	s.syncMu.Lock()
	waiters := r.round(t)
	allTold(t, slices.Concat(waiters[:2], waiters[3:]))
	if waiters[2].told() || r.whole.Load() != 1 {
		t.Errorf("%d syncfs", r.whole.Load())
	}
	s.syncMu.Unlock()
	allTold(t, waiters[2:3])
}

// TestSlowWholeSync: after a call that took long, there is none for a while.
func TestSlowWholeSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newWholeRig(t, wholeFrom, Options{}, func() error {
			<-time.After(wholeSlow + 1)
			return nil
		})
		for i, want := range []int64{1, 1, 2} {
			if i == 2 {
				<-time.After(wholePause * (wholeSlow + 1))
			}
			allTold(t, r.round(t))
			if n := r.whole.Load(); n != want {
				t.Errorf("%d syncfs after round %d, want %d", n, i, want)
			}
		}
		r.d.Close()
	})
}

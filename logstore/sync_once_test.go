package logstore

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// TestFailedSyncIsFinalForTheFile: the kernel tells an error of writing to one fdatasync of a descriptor. Whoever syncs
// the file for another reason at the same time must hear of it too.
func TestFailedSyncIsFinalForTheFile(t *testing.T) {
	var calls, under atomic.Int32
	entered, hold := make(chan struct{}, 2), make(chan struct{})
	d := openTest(t, t.TempDir(), Options{Sync: func(int) error {
		if under.Add(1) > 1 {
			t.Error("two syncs of one file at a time")
		}
		defer under.Add(-1)
		entered <- struct{}{}
		<-hold
		if calls.Add(1) == 1 {
			return errors.New("lost")
		}
		return nil
	}})
	l := createTest(t, d, "t")
	appendTest(t, l, makeBatch(1, 100, 1, batch.None), nil)
	s := l.segs.Load().last()
	if err := s.hold(); err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- s.fdatasync() }()
	}
	<-entered
	close(hold)
	for range 2 {
		if err := <-errs; err == nil {
			t.Error("a sync beside the failed one succeeded")
		}
	}
}

// TestRoundSyncsFilesTogether: logs that wait in one round are synced at the same time.
func TestRoundSyncsFilesTogether(t *testing.T) {
	const logs = 3
	first, both := make(chan struct{}), make(chan struct{})
	begun := make(chan struct{}, 1)
	var n atomic.Int32
	d := openTest(t, t.TempDir(), Options{Sync: func(int) error {
		switch n.Add(1) {
		case 1:
			begun <- struct{}{}
			<-first
		case logs:
			close(both)
		case 2:
			<-both // in the round of the other log
		}
		return nil
	}})
	var waiters [logs]waiter
	for i := range waiters {
		l := createTest(t, d, string(rune('a'+i)))
		l.Configure(fsyncClass())
		info := appendTest(t, l, makeBatch(1, 100, 1, batch.None), nil)
		waiters[i] = newWaiter()
		l.AwaitSync(info.Last+1, waiters[i])
		if i == 0 {
			<-begun // the others gather while it is under way
		}
	}
	close(first)
	for _, w := range waiters {
		if err := <-w; err != nil {
			t.Error(err)
		}
	}
}

// TestRoundWritesFirst: all files of a round are on their way to the device before the first of them is synced.
func TestRoundWritesFirst(t *testing.T) {
	var asked atomic.Int32
	busy, leave := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	d := openTest(t, t.TempDir(), Options{
		Sync: func(int) error {
			if n.Add(1) == 1 {
				busy <- struct{}{}
				<-leave
			} else if asked.Load() != 2 {
				t.Errorf("a sync when %d of 2 files were asked for", asked.Load())
			}
			return nil
		},
		startWriteback: func(int, int64, int64) error {
			asked.Add(1)
			return nil
		},
	})
	var waiters [3]waiter
	for i := range waiters {
		l := createTest(t, d, string(rune('a'+i)))
		l.Configure(fsyncClass())
		waiters[i] = newWaiter()
		l.AwaitSync(appendTest(t, l, makeBatch(1, 100, 1, batch.None), nil).Last+1, waiters[i])
		if i == 0 {
			<-busy
		}
	}
	close(leave)
	for _, w := range waiters {
		if err := <-w; err != nil {
			t.Error(err)
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeCoordination ends when it is told to.
type fakeCoordination struct {
	done   chan struct{}
	err    error
	closed bool
}

func (f *fakeCoordination) Done() <-chan struct{} { return f.done }
func (f *fakeCoordination) Err() error            { return f.err }
func (f *fakeCoordination) Close() error          { f.closed = true; return f.err }

func (f *fakeCoordination) fail(err error) {
	f.err = err
	close(f.done)
}

// TestKeeper: a coordinator that has ended for want of space is opened again when there is some; after another failure,
// or a stop, it is not.
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := fmt.Errorf("log: %w", syscall.ENOSPC)
		first, second := &fakeCoordination{done: make(chan struct{})}, &fakeCoordination{done: make(chan struct{})}
		tries := 0
		k := keep(first, slog.New(slog.DiscardHandler), func() (coordination, error) {
			if tries++; tries < 3 {
				return nil, full
			}
			return second, nil
		})
		first.fail(full)
		<-time.After(4 * reopenPause)
		synctest.Wait()
		if tries != 3 || !first.closed || k.now != second {
			t.Errorf("opened %d times, closed %v", tries, first.closed)
		}
		second.fail(errors.New("sync: input/output error"))
		synctest.Wait()
		if err := k.close(); err == nil || tries != 3 || !second.closed {
			t.Errorf("after a failed sync: %v, opened %d times", err, tries)
		}

		third := &fakeCoordination{done: make(chan struct{})}
		k = keep(third, slog.New(slog.DiscardHandler), func() (coordination, error) { return nil, full })
		third.fail(full)
		synctest.Wait()
		if err := k.close(); err != nil {
			t.Error(err)
		}
	})
}

package main

import (
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

// keeper keeps the coordinator inside a broker running. For want of disk space that ends by itself; it is opened again as
// soon as that works: deleting topics is what helps, and takes a coordinator. Any other failure of its disk is final
// until the broker is started anew, which goes on serving without it.
type keeper struct {
	open func() (coordination, error)
	log  *slog.Logger

	now  coordination // of run alone, once that has begun
	stop chan struct{}
	done sync.WaitGroup
}

// coordination is what keeper has to know of a coordinator.
type coordination interface {
	Done() <-chan struct{}
	Err() error
	Close() error
}

// reopenPause is between attempts to open it again.
const reopenPause = 5 * time.Second

// keep begins with a coordinator that runs.
func keep(c coordination, log *slog.Logger, open func() (coordination, error)) *keeper {
	k := &keeper{open: open, log: log, now: c, stop: make(chan struct{})}
	k.done.Go(k.run)
	return k
}

func (k *keeper) run() {
	for k.now != nil {
		select {
		case <-k.stop:
			return
		case <-k.now.Done():
		}
		err := k.now.Err()
		if err == nil || !errors.Is(err, syscall.ENOSPC) {
			if err != nil {
				k.log.Error("the coordinator has ended and is not opened again before the next start; produce and fetch go on", "error", err)
			}
			return
		}
		_ = k.now.Close() // it has said what is wrong
		k.now = k.again()
	}
}

// again opens it until that works, nil when the broker stops.
func (k *keeper) again() coordination {
	for {
		select {
		case <-k.stop:
			return nil
		case <-time.After(reopenPause):
		}
		c, err := k.open()
		if err == nil {
			k.log.Info("the coordinator is open again")
			return c
		}
		k.log.Error("the coordinator cannot be opened", "error", err, "again_in", reopenPause)
	}
}

// close stops it, or tells why it has ended.
func (k *keeper) close() error {
	close(k.stop)
	k.done.Wait()
	if k.now == nil {
		return nil
	}
	return k.now.Close()
}

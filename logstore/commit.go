package logstore

import (
	"sync"
	"sync/atomic"
)

// committer is the one goroutine of a Dir that syncs what appends wait for.
//
// An append that waits queues its log, once, and wakes the committer; while it is in an fdatasync, further appends
// of all logs gather, and the next round serves them all. So a lone append waits for one fdatasync, and with many in
// flight the calls are as many as the device completes, whatever the number of appends: a group commit without a
// timer. The alternative, one fdatasync for each append as Kafka does with flush.messages=1, makes appends of one
// log queue behind each other.
//
// Bound: the queue holds a log at most once; waiters are bounded by the requests that brokers hold open.
type committer struct {
	d    *Dir
	wake chan struct{} // capacity 1
	stop chan struct{}
	done chan struct{}

	rounds, syncs atomic.Int64

	waiters []SyncWaiter // scratch

	mu          sync.Mutex
	logs, spare []*Log
}

// Commits counts the work of a Dir's group commits.
type Commits struct {
	Rounds int64 // times that the queue was taken
	Syncs  int64 // fdatasync calls
}

// Commits reads the counters.
func (d *Dir) Commits() Commits { return Commits{d.committer.rounds.Load(), d.committer.syncs.Load()} }

func startCommitter(d *Dir) *committer {
	c := &committer{d: d, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c
}

func (c *committer) add(l *Log) {
	if !l.durable.queued.CompareAndSwap(false, true) {
		return
	}
	c.mu.Lock()
	c.logs = append(c.logs, l)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *committer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.wake:
			c.round()
		case <-c.stop:
			c.round()
			return
		}
	}
}

// round serves all that is queued. The order within a log is: out of the queue, then look at its end; so an append
// that finds the log queued is in what is synced.
func (c *committer) round() {
	c.mu.Lock()
	logs := c.logs
	c.logs, c.spare = c.spare[:0], nil
	c.mu.Unlock()
	if len(logs) > 0 {
		c.rounds.Add(1)
	}
	for i, l := range logs {
		logs[i] = nil
		l.durable.queued.Store(false)
		if c.d.Err() != nil {
			continue // its waiters know
		}
		switch err := l.commit(c); {
		case err == nil:
		case isPassing(err):
			c.d.flusher.postpone(l, true) // those who wait go on waiting
		default:
			c.d.goOffline(err)
		}
	}
	c.mu.Lock()
	c.spare = logs[:0]
	c.mu.Unlock()
}

// close waits until all that was queued is done.
func (c *committer) close() {
	close(c.stop)
	<-c.done
}

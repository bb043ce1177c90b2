package logstore

import (
	"sync"
	"sync/atomic"
)

// committer syncs what appends to the logs of a Dir wait for.
//
// An append that waits queues its log, once, and wakes the committer; while a round of fdatasyncs is under way, further
// appends of all logs gather, and the next round serves them all. So a lone append waits for one fdatasync, and with
// many in flight the calls are as many as the device completes, whatever the number of appends: a group commit without
// a timer. The alternative, one fdatasync for each append as Kafka does with flush.messages=1, makes appends of one
// log queue behind each other.
//
// The files of a round are synced at the same time, by up to syncers goroutines: the file system puts the metadata of
// all into one journal commit, and the device's cache is flushed for all at once, where one after the other would wait
// for each. The kernel begins to write all of them before. A log is in a round once, so no file is ever in two syncs at a time: the kernel tells an error of writing to
// one of them only, and the other would believe that all is well.
//
// Bound: the queue holds a log at most once; waiters are bounded by the requests that brokers hold open.
type committer struct {
	d    *Dir
	wake chan struct{} // capacity 1
	stop chan struct{}
	done chan struct{}

	rounds, syncs atomic.Int64

	// A round. The committer's own goroutine sets it up and is the first to work on it; helpers are started when a
	// round first has use for them, and wait for the next one.
	work    []*Log
	next    atomic.Int64 // index in work
	helpers int
	begin   chan struct{} // one for each helper that is to work on the round
	left    sync.WaitGroup

	mu          sync.Mutex
	logs, spare []*Log
}

// syncers bounds the fdatasyncs under way at a time, each of which takes a thread. A journal commit or a flush of the
// device serves those that wait for it, so that more than a device's queue takes gain little.
const syncers = 16

// Commits counts the work of a Dir's group commits.
type Commits struct {
	Rounds int64 // times that the queue was taken
	Syncs  int64 // fdatasync calls
}

// Commits reads the counters.
func (d *Dir) Commits() Commits {
	c := d.committer
	return Commits{c.rounds.Load(), c.syncs.Load()}
}

func startCommitter(d *Dir) *committer {
	c := &committer{d: d, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		begin: make(chan struct{}, syncers)}
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
	defer close(c.begin)
	var waiters []SyncWaiter
	for {
		select {
		case <-c.wake:
			waiters = c.round(waiters)
		case <-c.stop:
			c.round(waiters)
			return
		}
	}
}

// round serves all that is queued. waiters is scratch.
func (c *committer) round(waiters []SyncWaiter) []SyncWaiter {
	c.mu.Lock()
	logs := c.logs
	c.logs, c.spare = c.spare[:0], nil
	c.mu.Unlock()
	if len(logs) > 0 {
		c.rounds.Add(1)
	}
	c.startWriting(logs)
	c.work = logs
	c.next.Store(0)
	help := min(len(logs), syncers) - 1
	for range help {
		if c.helpers < help {
			c.helpers++
			go c.help()
		}
		c.left.Add(1)
		c.begin <- struct{}{}
	}
	waiters = c.serve(waiters)
	c.left.Wait()
	clear(logs)
	c.mu.Lock()
	c.spare = logs[:0]
	c.mu.Unlock()
	return waiters
}

// startWriting has the kernel begin to write what several files of a round have, so that the device has all of it in its
// queue before the first fdatasync waits.
func (c *committer) startWriting(logs []*Log) {
	p := &c.d.pacer
	if len(logs) < 2 || p.piece == 0 {
		return
	}
	for _, l := range logs {
		if s := l.segs.Load().last(); s.hold() == nil {
			p.writeBack(s, s.size.Load())
			s.Release()
		}
	}
}

// help is a helper's life.
func (c *committer) help() {
	var waiters []SyncWaiter
	for range c.begin {
		waiters = c.serve(waiters)
		c.left.Done()
	}
}

// serve commits logs of the round until none is left. The order within a log is: out of the queue, then look at its
// end; so an append that finds the log queued is in what is synced.
func (c *committer) serve(waiters []SyncWaiter) []SyncWaiter {
	for {
		i := int(c.next.Add(1)) - 1
		if i >= len(c.work) {
			return waiters
		}
		l := c.work[i]
		l.durable.queued.Store(false)
		if c.d.Err() != nil {
			continue // its waiters know
		}
		var err error
		switch waiters, err = l.commit(&c.syncs, waiters); {
		case err == nil:
		case isPassing(err):
			c.d.flusher.postpone(l, true) // those who wait go on waiting
		default:
			c.d.goOffline(err)
		}
	}
}

// close waits until all that was queued is done.
func (c *committer) close() {
	close(c.stop)
	<-c.done
}

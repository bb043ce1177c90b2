package broker

import "sync"

// workers run what may block, so that the event loops do not. There are few of them: they are for topics and
// look-ups, not for the data path. The queue holds at most one entry per open request of an API that may block,
// which the network layer bounds per connection, and maxCreating topics to be auto-created.
type workers struct {
	mu     sync.Mutex
	cond   sync.Cond
	queue  []func()
	closed bool
	done   sync.WaitGroup
}

func startWorkers(n int) *workers {
	w := &workers{}
	w.cond.L = &w.mu
	for range n {
		w.done.Go(w.run)
	}
	return w
}

// do queues f. After close it does nothing.
func (w *workers) do(f func()) {
	w.mu.Lock()
	if !w.closed {
		w.queue = append(w.queue, f)
		w.cond.Signal()
	}
	w.mu.Unlock()
}

func (w *workers) run() {
	for f := w.next(); f != nil; f = w.next() {
		f()
	}
}

// next waits for the next entry of the queue, nil after close.
func (w *workers) next() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 {
		if w.closed {
			return nil
		}
		w.cond.Wait()
	}
	f := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return f
}

// close forgets what is queued, since nobody is left to be answered, and waits for what is being done.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	w.queue = nil
	w.cond.Broadcast()
	w.mu.Unlock()
	w.done.Wait()
}

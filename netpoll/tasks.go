package netpoll

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/sluice-mq/sluice/internal/sys"
)

// taskQueue carries tasks to a loop. The loop is woken through a socket pair, one end of which gnet watches like a
// connection, by one byte for each change from empty to not empty. gnet's own way (Execute) allocates twice for each
// wake-up, and serves tasks posted by tasks before it looks at any socket.
type taskQueue struct {
	wakeups atomic.Int64

	mu      sync.Mutex
	tasks   []Task
	bell    int // descriptor to write to
	stopped bool

	ringing sync.WaitGroup // posters that use the bell; grows under mu, before stopped is set

	running []Task // the loop's
}

// post reports false when the loop has stopped.
func (q *taskQueue) post(t Task) bool {
	q.mu.Lock()
	if q.stopped {
		q.mu.Unlock()
		return false
	}
	q.tasks = append(q.tasks, t)
	first := len(q.tasks) == 1
	if first {
		q.ringing.Add(1)
	}
	q.mu.Unlock()
	if first {
		q.ring()
	}
	return true
}

// ring wakes the loop, without the lock: the kernel may run the loop in place of the poster at once, and it would go
// back to sleep for the lock.
func (q *taskQueue) ring() {
	defer q.ringing.Done()
	q.wakeups.Add(1)
	// EPIPE or, with bytes unread, ECONNRESET: the loop has ended, and stop will run what is here.
	err := sys.WriteByte(q.bell)
	if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		panic("FATAL: netpoll: waking an event loop: " + err.Error())
	}
}

// run runs what was posted until now. What these tasks post comes after the sockets had their turn.
func (q *taskQueue) run() (ran int) {
	q.mu.Lock()
	q.tasks, q.running = q.running[:0], q.tasks
	q.mu.Unlock()
	for i, t := range q.running {
		q.running[i] = nil
		t.Run()
	}
	return len(q.running)
}

// stop refuses further tasks, those that tasks post too, and closes the bell. The loop's goroutine has ended: what is
// still there runs here, so that what the tasks hold is released. Called once.
func (q *taskQueue) stop() {
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	q.run()
	q.ringing.Wait()
	sys.CloseFile(q.bell)
}

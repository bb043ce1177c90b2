package loadgen

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// clock counts ns since a series began. Reading it costs one monotonic clock read.
type clock struct{ epoch time.Time }

func (c clock) now() int64 { return int64(time.Since(c.epoch)) }

// pacer lets the schedule's goroutine wait. The tests put a fake in its place.
type pacer interface {
	enter()                // called once, on the goroutine that will sleep
	sleep(d time.Duration) // may return early
}

// thread sleeps on an operating system thread of its own: Go's timers are served when
// some thread polls the network, up to a millisecond late on a quiet machine, and
// the kernel's default slack adds 50 us.
type thread struct{}

// enter never unlocks: the thread ends with the goroutine, so that no other goroutine
// inherits its timer slack.
func (thread) enter() {
	runtime.LockOSThread()
	// Failure costs 50 us of lateness, which is measured.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

func (thread) sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // EINTR: the caller looks at the clock again
}

package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Nanosleep sleeps in the kernel, on the calling thread, for about d: less when a signal comes, more by the thread's
// timer slack. It holds up no other goroutine for long: the scheduler takes the processor away from a thread that
// stays in a system call.
func Nanosleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // EINTR: the caller looks at the clock again
}

// SetTimerSlack tells the kernel how late it may wake the calling thread, 50 µs by default (prctl(2)).
func SetTimerSlack(d time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0)
}

package clock

import (
	"runtime"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// OwnThread ties the calling goroutine to a thread with the least timer slack there is. It is never untied: the
// thread ends with the goroutine, so that no other goroutine inherits the slack.
func OwnThread() {
	runtime.LockOSThread()
	_ = sys.SetTimerSlack(1) // failure costs 50 µs of lateness
}

// Sleep waits for about d in the kernel, possibly less: look at the time afterwards. Call it after OwnThread.
func Sleep(d time.Duration) { sys.Nanosleep(d) }

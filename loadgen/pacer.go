package loadgen

import (
	"time"

	"github.com/sluice-mq/sluice/internal/clock"
)

// stopwatch counts ns since a series began. Reading it costs one monotonic clock read.
type stopwatch struct{ epoch time.Time }

func (c stopwatch) now() int64 { return int64(time.Since(c.epoch)) }

// pacer lets the schedule's goroutine wait. The tests put a fake in its place.
type pacer interface {
	enter()                // called once, on the goroutine that will sleep
	sleep(d time.Duration) // may return early
}

// thread sleeps on an operating system thread of its own.
type thread struct{}

func (thread) enter() { clock.OwnThread() }

func (thread) sleep(d time.Duration) { clock.Sleep(d) }

package logstore

import (
	"sync"
	"time"
)

// testClock stands until it is moved.
type testClock struct {
	mu   sync.Mutex
	wall time.Time
	mono time.Duration
}

func newTestClock() *testClock { return &testClock{wall: time.UnixMilli(1_000_000_000)} }

func (c *testClock) now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall, c.mono
}

// pass lets time go by, on both clocks.
func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall.Add(d), c.mono+d
}

// jump sets the wall clock.
func (c *testClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

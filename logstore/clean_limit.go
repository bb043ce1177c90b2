package logstore

import (
	"context"
	"sync"
	"time"
)

// IOLimit spreads the bytes that cleaners read and write over time (Kafka's Throttler): each use waits until what was
// used before is paid for at the rate. Several Dirs may share one.
type IOLimit struct {
	rate  float64 // bytes per second
	began time.Time

	mu   sync.Mutex
	paid time.Duration // until when, since it began
}

// NewIOLimit returns a limit of so many bytes per second, more than 0.
func NewIOLimit(bytesPerSecond float64) *IOLimit {
	return &IOLimit{rate: bytesPerSecond, began: time.Now()}
}

// minPause is how far ahead the use may be before it pauses, so that it does not sleep after every read.
const minPause = 10 * time.Millisecond

// wait accounts for n bytes and blocks for as long as they are ahead, or until ctx ends.
func (t *IOLimit) wait(ctx context.Context, n int) error {
	t.mu.Lock()
	at := time.Since(t.began)
	t.paid = max(t.paid, at) + time.Duration(float64(n)/t.rate*float64(time.Second))
	pause := t.paid - at
	t.mu.Unlock()
	if pause < minPause {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

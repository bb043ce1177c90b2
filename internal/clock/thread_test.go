package clock

import (
	"testing"
	"time"
)

func TestSleep(t *testing.T) {
	done := make(chan time.Duration)
	go func() {
		OwnThread()
		begin := time.Now()
		for time.Since(begin) < time.Millisecond {
			Sleep(time.Millisecond - time.Since(begin))
		}
		done <- time.Since(begin)
	}()
	if took := <-done; took < time.Millisecond {
		t.Errorf("woke after %v", took)
	}
}

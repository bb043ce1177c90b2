package loadgen

import (
	"os"
	"sync"

	"github.com/sluice-mq/sluice/results"
)

// usageSampler reads this process and the broker's at both ends of the measured window.
type usageSampler struct {
	broker int // pid, 0: none

	mu     sync.Mutex // begin runs on a timer's goroutine
	begun  bool
	ended  bool
	before [2]reading // generator, broker
	after  [2]reading
}

type reading struct {
	p   Process
	err error
}

func newUsageSampler(broker int) *usageSampler { return &usageSampler{broker: broker} }

func (u *usageSampler) sample() (r [2]reading) {
	r[0].p, r[0].err = ReadProcess(os.Getpid())
	if u.broker != 0 {
		r[1].p, r[1].err = ReadProcess(u.broker)
	}
	return r
}

// begin reads at the start of the window, once. It does nothing after end.
func (u *usageSampler) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended {
		u.before, u.begun = u.sample(), true
	}
}

func (u *usageSampler) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.after, u.ended = u.sample(), true
}

// results returns nil for what was not asked for or could not be read.
func (u *usageSampler) results(gb float64) (generator, broker *results.Usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	between := func(i int) *results.Usage {
		if !u.begun || u.before[i].err != nil || u.after[i].err != nil {
			return nil
		}
		return UsageBetween(u.before[i].p, u.after[i].p, gb)
	}
	generator = between(0)
	if u.broker != 0 {
		broker = between(1)
	}
	return generator, broker
}

// trouble returns why the broker's figures are missing, nil when they are not.
func (u *usageSampler) trouble() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.broker == 0 {
		return nil
	}
	if err := u.before[1].err; err != nil {
		return err
	}
	return u.after[1].err
}

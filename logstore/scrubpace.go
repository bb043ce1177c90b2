package logstore

import "time"

// scrubPace bounds the rate of the scrub's reads, and holds them back under load.
//
// Load is what is appended: while it is more than scrubBusy times the scrub's own rate, the device has other things to
// do, and the scrub waits; but after scrubPatience times what it would have waited without load it goes on. So a broker
// that is never idle has its segments checked too, at a tenth of the rate.
type scrubPace struct {
	rate  int64        // bytes per second
	load  func() int64 // bytes appended so far
	now   func() time.Duration
	sleep func(time.Duration) bool // false: no more waiting

	owed int64 // bytes read that were not waited for
}

const (
	scrubBusy     = 4
	scrubPatience = 10
	// scrubNap is the least that is worth a timer.
	scrubNap = 10 * time.Millisecond
)

// read is called after n bytes were read; it blocks until the next may be.
func (p *scrubPace) read(n int64) {
	p.owed += n
	wait := time.Duration(float64(p.owed) / float64(p.rate) * float64(time.Second))
	if wait < scrubNap {
		return
	}
	p.owed = 0
	for range scrubPatience {
		before, began := p.load(), p.now()
		if !p.sleep(wait) {
			return
		}
		took := max(p.now()-began, wait)
		if float64(p.load()-before) <= scrubBusy*float64(p.rate)*took.Seconds() {
			return
		}
	}
}

package logstore

import (
	"fmt"
	"time"
)

const (
	// clockBound is how far the two clocks may part between two looks. Slewing by NTP is 500 ppm at most: 0.15 s in
	// the usual 5 minutes.
	clockBound = time.Minute
	// clockHold is how long a wall clock that has jumped must run evenly before it is believed: time for a person,
	// or NTP, to set it right.
	clockHold = time.Hour
)

// clockGuard tells whether the wall clock may be believed when age decides what to delete. A clock that jumps ahead
// by a week would empty every log with a retention of a week.
//
// It compares the wall clock with one that never jumps. When they part by more than clockBound, retention by time
// is suspended, until the wall clock has come back or has run evenly for clockHold. A machine that was suspended
// looks the same, which does no harm. What happened while the broker was not running is not seen.
type clockGuard struct {
	began bool
	wall  time.Time
	mono  time.Duration
	skew  time.Duration // by how much the wall clock is ahead of where it was believed; 0: it is believed
	until time.Duration // on the other clock
}

// check takes the clocks as they are. news is "" unless the answer has changed, or the clock has jumped.
func (g *clockGuard) check(wall time.Time, mono time.Duration) (ok bool, news string) {
	wall = wall.Round(0) // without the monotonic clock that Go keeps beside it
	jump := time.Duration(0)
	if g.began {
		jump = wall.Sub(g.wall) - (mono - g.mono)
	}
	g.began, g.wall, g.mono = true, wall, mono
	switch {
	case jump.Abs() > clockBound:
		g.skew += jump
		if g.skew.Abs() <= clockBound {
			g.skew = 0
			return true, "resumed, the wall clock is back"
		}
		g.until = mono + clockHold
		return false, fmt.Sprintf("suspended, the wall clock has jumped by %v", jump)
	case g.skew == 0:
		return true, ""
	case mono >= g.until:
		g.skew = 0
		return true, fmt.Sprintf("resumed, the wall clock has run evenly for %v", clockHold)
	}
	return false, ""
}

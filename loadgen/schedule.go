package loadgen

import (
	"math/rand/v2"
	"time"
)

// schedule yields intended send times in ns since the series began. It depends on
// nothing but its parameters, least of all on when the sends before were done.
type schedule struct {
	rate    float64
	end     int64
	i       int64
	at      float64 // ns, of the next Poisson arrival
	poisson *rand.Rand
}

func newSchedule(rate float64, arrival Arrival, total time.Duration, seed uint64) *schedule {
	s := &schedule{rate: rate, end: int64(total)}
	if arrival == Poisson {
		s.poisson = rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
		s.at = s.gap()
	}
	return s
}

// next returns the next intended time, and false after the last.
func (s *schedule) next() (int64, bool) {
	var t int64
	if s.poisson == nil {
		// From the count, not from the time before: no error adds up.
		t = int64(float64(s.i) / s.rate * float64(time.Second))
	} else {
		t = int64(s.at)
		s.at += s.gap()
	}
	s.i++
	return t, t < s.end
}

func (s *schedule) gap() float64 { return s.poisson.ExpFloat64() / s.rate * float64(time.Second) }

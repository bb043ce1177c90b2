package loadgen

import "time"

// longestSleep bounds how long a stop goes unnoticed.
const longestSleep = 20 * time.Millisecond

// sender walks the schedule on its thread. It decides nothing by what the cluster
// does, save that it waits for room when InFlight records are out.
type sender struct {
	*series
	schedule *schedule
	pace     pacer
	stop     <-chan struct{}

	offered int64 // records of the measured window that the schedule had
	waits   int64 // records sent late because the bound was reached
	unsent  int64 // records that stop cut off
}

// run returns when every record is handed over, or stop is closed. One reading of the
// clock serves as the time of sending and, when the thread is behind, as the decision
// not to sleep.
func (s *sender) run() {
	s.pace.enter()
	late := false // behind since the bound was reached
	stopped := false
	for turn := 0; ; turn++ {
		intended, more := s.schedule.next()
		if !more {
			return
		}
		measured := intended >= s.window
		if measured {
			s.offered++
		}
		if stopped {
			s.unsent++
			continue
		}
		now := s.clock.now()
		for now < intended && !stopped {
			late = false
			s.pace.sleep(min(time.Duration(intended-now), longestSleep))
			now = s.clock.now()
			stopped = s.isStopped()
		}
		slot := s.slots.take()
		for slot == nil && !stopped {
			late = true
			s.slots.wait(s.stop)
			slot, stopped, now = s.slots.take(), s.isStopped(), s.clock.now()
		}
		if stopped {
			if slot != nil {
				s.slots.put(slot)
			}
			s.unsent++
			continue
		}
		if late {
			s.waits++
			stopped = s.isStopped() // it may never sleep again
		}
		s.hand(slot, s.producers[turn%len(s.producers)], intended, now, measured)
	}
}

func (s *sender) isStopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// hand fills the slot and gives it to the engine.
func (s *sender) hand(slot *slot, p *producer, intended, now int64, measured bool) {
	partition, sequence := p.pick(len(slot.value))
	h := stamp{s.verify.run, s.verify.series, p.id, partition, sequence, intended}
	h.put(slot.value, slot.filler)
	slot.producer, slot.partition, slot.intended, slot.sent, slot.measured = p, partition, intended, now, measured
	s.sent.Add(1)
	n := s.outstanding.Add(1)
	s.peak = max(s.peak, n-1) // one is the sender's own
	s.engine.send(slot)
}

//go:build !race

package loadgen

import (
	"testing"
	"time"
)

// now completes every record at once, on the schedule's thread.
type now struct{ *series }

func (e now) send(s *slot)         { e.done(s, nil) }
func (e now) close()               {}
func (e now) batches() batchCounts { return batchCounts{} }

// hotPath returns a function that walks one record through the generator: schedule,
// header, engine, histograms, verification.
func hotPath(tb testing.TB) func() {
	spec := Spec{Bootstrap: []string{"none"}, Rate: 1e6, Duration: time.Hour, Size: 100, Partitions: 4, Producers: 2, Acks: []Acks{AcksLeader}}
	full, err := spec.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	m := newSeries(full, 0, 4, 1)
	m.engine = now{m}
	m.clock = stopwatch{time.Now()}
	s := &sender{series: m, schedule: newSchedule(1e6, Constant, time.Hour, 1)}
	turn := 0
	return func() {
		intended, _ := s.schedule.next()
		at := s.clock.now()
		slot := s.slots.take()
		p := s.producers[turn%2]
		turn++
		s.hand(slot, p, intended, at, true)
		m.verify.receiveLocked(slot.partition, 0, slot.value, at)
	}
}

// The generator's own part of a record allocates nothing.
func TestHotPathAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(10_000, hotPath(t)); n != 0 {
		t.Errorf("%v allocations per record", n)
	}
}

// BenchmarkHotPath is the generator's cost of one record of 100 bytes, without client
// and network, but with the verification of what comes back.
func BenchmarkHotPath(b *testing.B) {
	step := hotPath(b)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

package loadgen

import (
	"slices"
	"testing"
	"time"
)

func TestStampSurvivesAndDamageIsSeen(t *testing.T) {
	p := newSlots(1, 64, 9)
	s := p.take()
	in := stamp{run: 1<<63 + 5, series: 2, producer: 999, partition: 1 << 20, sequence: 1 << 40, intended: 123456789}
	in.put(s.value, s.filler)
	var out stamp
	if ours, intact := out.read(s.value); !ours || !intact || out != in {
		t.Fatalf("ours %v, intact %v, read %+v", ours, intact, out)
	}
	for i := range s.value {
		bad := slices.Clone(s.value)
		bad[i] ^= 0x10
		if ours, intact := out.read(bad); ours && intact {
			t.Errorf("a change of byte %d is not seen", i)
		}
	}
	for n := range s.value {
		if ours, intact := out.read(s.value[:n]); ours && intact {
			t.Errorf("a cut after %d bytes is not seen", n)
		}
	}
}

// The filler is the same for the same seed, and differs between buffers.
func TestFiller(t *testing.T) {
	a, b := newSlots(3, 100, 1), newSlots(3, 100, 1)
	var seen []uint32
	for range 3 {
		x, y := a.take(), b.take()
		if !slices.Equal(x.value, y.value) || slices.Contains(seen, x.filler) {
			t.Error("filler differs for one seed, or repeats")
		}
		seen = append(seen, x.filler)
	}
	if a.take() != nil {
		t.Error("more slots than the bound")
	}
}

func TestSlotsComeBack(t *testing.T) {
	p := newSlots(2, MinSize, 1)
	a, b := p.take(), p.take()
	stop := make(chan struct{})
	go func() { p.put(a); p.put(b) }()
	for got := 0; got < 2; {
		if p.take() != nil {
			got++
			continue
		}
		p.wait(stop)
	}
	close(stop)
	p.wait(stop) // returns at once
}

func TestSchedule(t *testing.T) {
	s := newSchedule(3, Constant, time.Second, 0)
	var got []int64
	for at, more := s.next(); more; at, more = s.next() {
		got = append(got, at)
	}
	if !slices.Equal(got, []int64{0, 333333333, 666666666}) {
		t.Errorf("constant: %v", got)
	}
	a, b := newSchedule(1000, Poisson, 100*time.Second, 5), newSchedule(1000, Poisson, 100*time.Second, 5)
	n, before, sum2 := 0, int64(0), 0.0
	for at, more := a.next(); more; at, more = a.next() {
		if other, _ := b.next(); other != at || at < before {
			t.Fatalf("arrival %d: %d and %d after %d", n, at, other, before)
		}
		gap := float64(at-before) / 1e6
		sum2 += gap * gap
		before = at
		n++
	}
	// The mean gap is 1 ms, its variance 1, so the mean of squares 2; 100,000 arrivals
	// are within 2 % by far.
	if mean2 := sum2 / float64(n); n < 98_000 || n > 102_000 || mean2 < 1.9 || mean2 > 2.1 {
		t.Errorf("%d arrivals, mean square of gaps %.3f", n, mean2)
	}
}

// Producers change the partition each 64 KiB, records larger than that each time.
func TestPick(t *testing.T) {
	p := newProducers(2, 3, []*recorder{nil})[1]
	count := map[int32]int{}
	for range 64 * 3 {
		part, seq := p.pick(1024)
		if int(seq) != count[part] {
			t.Fatalf("partition %d: sequence %d after %d records", part, seq, count[part])
		}
		count[part]++
	}
	if count[0] != 64 || count[1] != 64 || count[2] != 64 || p.partition != 0 {
		t.Errorf("shares %v, now at %d", count, p.partition)
	}
	a, _ := p.pick(100 << 10)
	b, _ := p.pick(100 << 10)
	if a == b {
		t.Error("two large records on one partition")
	}
}

// Late records are told from repeated ones, and the memory for that is bounded.
func TestHoles(t *testing.T) {
	v := newVerifier(1, 0, 1, 1, 100, 0)
	c := &v.cells[0]
	for _, step := range []struct {
		sequence       int64
		fresh, inOrder bool
	}{{0, true, true}, {5, true, true}, {3, true, false}, {3, false, false}, {1, true, false}, {5, false, false},
		{2, true, false}, {4, true, false}, {4, false, false}, {6, true, true}} {
		if fresh, inOrder := v.place(c, step.sequence); fresh != step.fresh || inOrder != step.inOrder {
			t.Errorf("sequence %d: fresh %v, in order %v", step.sequence, fresh, inOrder)
		}
	}
	if v.holes != 0 || len(c.holes) != 0 {
		t.Errorf("%d holes left", v.holes)
	}
	for i := range int64(maxHoles + 100) {
		v.place(c, 10+2*i)
	}
	if v.holes != maxHoles || len(c.holes) != maxHoles {
		t.Errorf("%d holes", v.holes)
	}
}

package loadgen

import (
	"sync"

	"github.com/sluice-mq/sluice/results"
)

// verifier judges every record that comes back. For each producer and partition the
// sequence has to come once, whole and in order, so a counter is enough; only what is
// skipped is remembered, within maxHoles, to tell late records from repeated ones.
type verifier struct {
	run        uint64
	series     uint16
	size       int
	partitions int
	window     int64 // start of the measured window, ns since the series began

	mu         sync.Mutex // guards everything below
	cells      []cell     // producer*partitions + partition
	holes      int        // ranges in all cells together
	counts     results.Verification
	seen       int64 // records of this series in any state
	read       int64 // records of any origin
	firstFault string
	cur        *arrivals
	last       int64   // receipt of the last measured record
	positions  []int64 // per partition: the offset after the last record read
	want       int64   // fulfilled when seen reaches it and positions reach ends
	ends       []int64
	fulfilled  chan struct{} // closed then; nil while nobody waits

	spare *arrivals // of the collector
}

type cell struct {
	next, received int64
	holes          []span
}

// span is a range of skipped sequences [from, to).
type span struct{ from, to int64 }

// maxHoles bounds the memory for skipped ranges: 16 bytes each make 1 MiB. Beyond it,
// what was skipped is still missing, but if it comes late it counts as repeated.
const maxHoles = 1 << 16

// arrivals is what the consumer received in one interval.
type arrivals struct {
	measured, warm *results.Histogram
	count          int64
}

func newArrivals() *arrivals {
	return &arrivals{measured: results.NewHistogram(), warm: results.NewHistogram()}
}

func newVerifier(run uint64, series, producers, partitions, size int, window int64) *verifier {
	return &verifier{
		run: run, series: uint16(series), size: size, partitions: partitions, window: window,
		cells: make([]cell, producers*partitions), positions: make([]int64, partitions),
		cur: newArrivals(), spare: newArrivals(),
	}
}

// receive judges the record with this value at an offset of a partition, which came at
// now. The caller holds mu.
func (v *verifier) receiveLocked(partition int32, offset int64, value []byte, now int64) {
	v.read++
	if int(partition) < len(v.positions) {
		v.positions[partition] = max(v.positions[partition], offset+1)
	}
	var s stamp
	ours, intact := s.read(value)
	switch {
	case !ours || (intact && (s.run != v.run || s.series != v.series)):
		v.counts.Foreign++
		v.fault("a record that this series did not write", partition, offset)
		return
	case !intact, len(value) != v.size, s.partition != partition, int(partition) >= v.partitions,
		int(s.producer) >= len(v.cells)/v.partitions, s.sequence < 0:
		v.seen++
		v.counts.Corrupt++
		v.fault("a record whose checksum, size or partition is wrong", partition, offset)
		return
	}
	v.seen++
	c := &v.cells[int(s.producer)*v.partitions+int(partition)]
	switch fresh, inOrder := v.place(c, s.sequence); {
	case !fresh:
		v.counts.Duplicates++
		v.fault("a record for the second time", partition, offset)
		return
	case !inOrder:
		v.counts.Disorder++
		v.fault("a record after its successor", partition, offset)
	}
	c.received++
	v.counts.Received++
	v.cur.count++
	if s.intended < v.window {
		v.cur.warm.Record(now - s.intended)
		return
	}
	v.cur.measured.Record(now - s.intended)
	v.last = now
}

// place notes that a sequence came.
func (v *verifier) place(c *cell, sequence int64) (fresh, inOrder bool) {
	if sequence >= c.next {
		if sequence > c.next && v.holes < maxHoles {
			c.holes = append(c.holes, span{c.next, sequence})
			v.holes++
		}
		c.next = sequence + 1
		return true, true
	}
	for i := range c.holes {
		h := c.holes[i]
		if sequence < h.from || sequence >= h.to {
			continue
		}
		c.holes = append(c.holes[:i], c.holes[i+1:]...)
		v.holes--
		for _, rest := range []span{{h.from, sequence}, {sequence + 1, h.to}} {
			if rest.from < rest.to && v.holes < maxHoles {
				c.holes = append(c.holes, rest)
				v.holes++
			}
		}
		return true, false
	}
	return false, false
}

func (v *verifier) fault(what string, partition int32, offset int64) {
	if v.firstFault == "" {
		v.firstFault = describe(what, partition, offset)
	}
}

// await returns a channel that is closed once want records of the series were seen and
// every partition was read up to ends, which may be nil.
func (v *verifier) await(want int64, ends []int64) <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.want, v.ends, v.fulfilled = want, ends, make(chan struct{})
	done := v.fulfilled
	v.checkLocked()
	return done
}

// checkLocked tells the waiter; called after each batch of records.
func (v *verifier) checkLocked() {
	if v.fulfilled == nil || v.seen < v.want {
		return
	}
	for p, end := range v.ends {
		if v.positions[p] < end {
			return
		}
	}
	close(v.fulfilled)
	v.fulfilled = nil
}

// progress returns how many records were read, to see whether more are coming.
func (v *verifier) progress() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.read
}

// swap returns what arrived since the swap before; valid until the next.
func (v *verifier) swap() *arrivals {
	v.spare.measured.Reset()
	v.spare.warm.Reset()
	v.spare.count = 0
	v.mu.Lock()
	v.cur, v.spare = v.spare, v.cur
	v.mu.Unlock()
	return v.spare
}

// verdict compares what came with what was sent, once everything is at rest. ownTopic
// tells that nobody else can have written.
func (v *verifier) verdict(producers []*producer, acks Acks, ownTopic bool) (*results.Verification, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.counts
	for _, p := range producers {
		for i := range v.partitions {
			sent, acked := p.sequence[i], p.acked[i]
			c.Sent += sent
			c.Acked += acked
			c.Missing += max(0, acked-v.cells[int(p.id)*v.partitions+i].received)
		}
	}
	c.Failed = c.Sent - c.Acked
	c.Claim = claim(acks)
	c.OK = c.Missing == 0 && c.Duplicates == 0 && c.Disorder == 0 && c.Corrupt == 0 && (c.Foreign == 0 || !ownTopic)
	return &c, v.firstFault
}

// claim says what a successful verification means.
func claim(a Acks) string {
	const each = "came back exactly once, intact, in order per producer and partition"
	if a == AcksNone {
		return "every record written to the socket " + each + " (nothing promises that at acks=0; a lost one makes the run invalid)"
	}
	return "every acknowledged record " + each
}

//go:build peers

package differential

import (
	"fmt"
)

// offsetsTopic prepares partition 0 with times 0, 10, 20 (one batch), 15 (older), 100..140 (gzip), 140 again;
// partition 1 is empty.
func (p *pair) offsetsTopic() string {
	p.Helper()
	const name = "offsets"
	p.topic(name, 2, nil)
	p.once("fill offsets", func() {
		p.fill(name, 0, batchOf{n: 3, step: 10}, batchOf{n: 1, at: 15}, batchOf{n: 5, at: 100, step: 10, codec: 1}, batchOf{n: 1, at: 140})
	})
	return name
}

func offsetsCases() (cs []testCase) {
	add := func(name string, from int16, run func(p *pair, v int16, t string)) {
		cs = append(cs, perVersion("ListOffsets/"+name, from, 7, func(p *pair, v int16) { run(p, v, p.offsetsTopic()) })...)
	}
	for _, special := range []int64{-1, -2, -3, -4, -5, -6, -7, -100} {
		add(fmt.Sprintf("special %d", special), 1, func(p *pair, v int16, t string) {
			p.ask(listOffsets(v, t, 0, special))
			p.ask(listOffsets(v, t, 1, special))
		})
	}
	add("by time", 1, func(p *pair, v int16, t string) {
		for _, ms := range []int64{-clock, -1, 0, 1, 10, 15, 16, 20, 21, 99, 100, 101, 105, 120, 139, 140, 141, 1e9} {
			p.ask(listOffsets(v, t, 0, clock+ms))
		}
		p.ask(listOffsets(v, t, 1, clock))
	})
	add("unknown", 1, func(p *pair, v int16, t string) {
		p.ask(listOffsets(v, "offsets-unknown", 0, -1))
		p.ask(listOffsets(v, t, 9, -1))
		p.ask(listOffsets(v, t, -1, -1))
		p.ask(listOffsets(v, "a b", 0, -1))
	})
	add("leader epoch", 4, func(p *pair, v int16, t string) {
		for _, epoch := range []int32{-1, 0, 5} {
			r := listOffsets(v, t, 0, -1)
			r.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
			p.ask(r)
		}
	})
	add("read committed", 2, func(p *pair, v int16, t string) {
		for _, ts := range []int64{-1, -2, clock + 100} {
			r := listOffsets(v, t, 0, ts)
			r.IsolationLevel = 1
			p.ask(r)
		}
	})
	add("a partition twice", 1, func(p *pair, v int16, t string) {
		r := listOffsets(v, t, 0, -1)
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, listOffsets(v, t, 0, -2).Topics[0].Partitions...)
		p.ask(r)
	})
	add("several", 1, func(p *pair, v int16, t string) {
		r := listOffsets(v, t, 0, -1)
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, listOffsets(v, t, 1, -2).Topics[0].Partitions...)
		r.Topics = append(r.Topics, listOffsets(v, "offsets-unknown", 0, -1).Topics...)
		p.ask(r)
	})
	add("none", 1, func(p *pair, v int16, t string) {
		r := listOffsets(v, t, 0, -1)
		r.Topics = nil
		p.ask(r)
	})
	add("from a debugging consumer", 1, func(p *pair, v int16, t string) {
		r := listOffsets(v, t, 0, -1)
		r.ReplicaID = -2
		p.ask(r)
	})
	cs = append(cs, perVersion("ListOffsets/maximum after an older batch", 7, 7, func(p *pair, v int16) {
		p.topic("offsets-max", 1, nil)
		p.fill("offsets-max", 0, batchOf{n: 3, at: 50, step: 10}, batchOf{n: 3, at: 0, step: 10})
		p.ask(listOffsets(v, "offsets-max", 0, -3))
	})...)
	return cs
}

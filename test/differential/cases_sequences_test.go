//go:build peers

package differential

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// sequenceCases are the rules for producers that number their batches. Every step goes to a topic of its own, so that
// a batch wrongly taken shifts the offsets of one case only.
func sequenceCases() (cs []testCase) {
	const id = 7000
	add := func(name string, steps ...batchOf) {
		for _, v := range []int16{3, 8, 11} {
			cs = append(cs, perVersion("Produce/sequence/"+name, v, v, func(p *pair, v int16) {
				topic := versioned("sequence "+name, v)
				p.topic(topic, 1, nil)
				for _, b := range steps {
					if b.producer == 0 {
						b.producer = id
					}
					p.ask(produce(v, -1, topic, 0, b.bytes()))
				}
				p.ask(fetch(12, fetchFrom{topic: topic}))
			})...)
		}
	}
	at := func(sequence int32, n int) batchOf { return batchOf{n: n, sequence: sequence} }
	epoch := func(e int16, b batchOf) batchOf { b.epoch = e; return b }
	of := func(producer int64, b batchOf) batchOf { b.producer = producer; return b }
	changed := func(b batchOf) batchOf { b.fill, b.size = 5, 50; return b }

	add("in order", at(0, 2), at(2, 1), at(3, 4))
	add("the last one again", at(0, 2), at(2, 3), at(2, 3), at(5, 1))
	add("the first one again", at(0, 2), at(2, 3), at(0, 2), at(0, 2), at(5, 1))
	add("each of five again", at(0, 1), at(1, 2), at(3, 3), at(6, 4), at(10, 5),
		at(0, 1), at(1, 2), at(3, 3), at(6, 4), at(10, 5), at(15, 1))
	add("older than five", at(0, 1), at(1, 1), at(2, 1), at(3, 1), at(4, 1), at(5, 1), at(0, 1), at(1, 1), at(6, 1))
	add("again, other content", at(0, 2), changed(at(0, 2)), at(2, 1))
	add("again, other time", at(0, 2), batchOf{n: 2, at: -5000}, at(2, 1))
	add("again, shorter", at(0, 3), at(0, 2), at(3, 1))
	add("again, longer", at(0, 3), at(0, 4), at(3, 1))
	add("overlap", at(0, 3), at(1, 3), at(2, 2), at(3, 1))
	add("gap", at(0, 2), at(3, 1), at(2, 1), at(3, 1))
	add("large gap", at(0, 2), at(math.MaxInt32-3, 1), at(2, 1))
	add("back to 0", at(0, 2), at(2, 2), at(0, 1), at(4, 1))
	add("unknown producer, not at 0", at(5, 2), at(7, 1), at(5, 2))
	add("unknown producer, the largest", at(math.MaxInt32, 1), at(0, 1))
	add("no sequence", of(id, batchOf{n: 1, sequence: -1}))
	add("wrap between batches", at(math.MaxInt32-1, 2), at(0, 2), at(math.MaxInt32-1, 2), at(2, 1), at(0, 2))
	add("wrap in a batch", at(math.MaxInt32-1, 4), at(math.MaxInt32-1, 4), at(1, 1), at(2, 1), at(3, 1))
	add("wrap to 1", at(math.MaxInt32, 1), at(1, 1))
	add("wrap to negative", at(math.MaxInt32, 1), at(math.MinInt32, 1))
	add("new epoch", at(0, 2), epoch(1, at(0, 2)), epoch(1, at(2, 1)))
	add("new epoch, not at 0", at(0, 2), epoch(1, at(2, 1)), at(2, 1), epoch(1, at(0, 1)))
	add("new epoch, far above", at(0, 2), epoch(math.MaxInt16, at(0, 2)), epoch(math.MaxInt16, at(2, 1)))
	add("old epoch", epoch(3, at(0, 2)), epoch(2, at(2, 1)), epoch(2, at(0, 2)), epoch(0, at(0, 1)), epoch(3, at(2, 1)))
	add("old epoch, a batch of its own again", at(0, 2), epoch(1, at(0, 2)), at(0, 2), epoch(1, at(0, 2)))
	add("unknown producer, late epoch and sequence", epoch(9, at(33, 2)), epoch(9, at(35, 1)))
	add("epoch -1", epoch(-1, at(0, 2)), epoch(-1, at(0, 2)), epoch(-1, at(9, 1)), epoch(0, at(5, 1)), epoch(-1, at(9, 1)))
	add("epoch -2", epoch(-2, at(0, 2)), epoch(-2, at(0, 2)), epoch(-2, at(2, 1)))
	add("two producers", at(0, 1), of(7001, at(0, 1)), at(1, 1), of(7001, at(0, 1)), of(7001, at(1, 1)), at(0, 1))
	add("id 0", of(7001, at(0, 1)), batchOf{n: 1, producer: idZero}, batchOf{n: 1, producer: idZero})
	add("id -2", of(-2, at(0, 1)), of(-2, at(0, 1)))
	add("largest id", of(math.MaxInt64, at(0, 1)), of(math.MaxInt64, at(0, 1)), of(math.MaxInt64, at(2, 1)))
	add("compressed", batchOf{n: 3, codec: 4}, batchOf{n: 3, codec: 4}, batchOf{n: 3, codec: 1, sequence: 3})
	for _, v := range []int16{3, 8, 11} {
		cs = append(cs, perVersion("Produce/sequence/transactional", v, v, func(p *pair, v int16) {
			topic := versioned("sequence transactional", v)
			p.topic(topic, 1, nil)
			b := batchOf{n: 1, producer: id, edit: func(b *kmsg.RecordBatch) { b.Attributes |= 16 }}
			p.ask(produce(v, -1, topic, 0, b.bytes())) // without a transactional id
			p.ask(produce(v, -1, topic, 1, b.bytes()))
			r := produce(v, -1, topic, 0, at(0, 1).bytes())
			name := "nobody"
			r.TransactionID = &name
			p.ask(r)
		})...)
	}
	cs = append(cs, perVersion("Produce/sequence/log append time", 3, 11, func(p *pair, v int16) {
		topic := versioned("sequence append time", v)
		p.topic(topic, 1, topicConfig{"message.timestamp.type": "LogAppendTime"})
		for range 3 {
			p.ask(produce(v, 1, topic, 0, batchOf{n: 2, producer: id}.bytes()))
		}
	})...)
	return append(cs, perVersion("Produce/sequence/acks 0", 3, 11, func(p *pair, v int16) {
		topic := versioned("sequence acks 0", v)
		p.topic(topic, 1, nil)
		for range 2 {
			p.tell(produce(v, 0, topic, 0, batchOf{n: 2, producer: id}.bytes()))
		}
		p.tell(produce(v, 0, topic, 0, batchOf{n: 2, producer: id, sequence: 9}.bytes()))
		p.ask(listOffsets(5, topic, 0, -1))
	})...)
}

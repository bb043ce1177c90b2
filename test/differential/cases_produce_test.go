//go:build peers

package differential

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func produceCases() (cs []testCase) {
	add := func(name string, run func(p *pair, v int16)) {
		cs = append(cs, perVersion("Produce/"+name, 3, 11, run)...)
	}
	for _, acks := range []int16{1, -1} {
		add(fmt.Sprintf("acks %d", acks), func(p *pair, v int16) {
			p.topic("produce", 1, nil)
			p.ask(produce(v, acks, "produce", 0, batchOf{n: 3}.bytes()))
		})
	}
	add("acks 0", func(p *pair, v int16) {
		p.topic("produce", 1, nil)
		p.tell(produce(v, 0, "produce", 0, batchOf{n: 3}.bytes()))
		p.ask(listOffsets(5, "produce", 0, -1))
	})
	add("acks 0, unknown topic", func(p *pair, v int16) { p.tell(produce(v, 0, "produce-unknown", 0, batchOf{n: 1}.bytes())) })
	add("acks 0, wrong CRC", func(p *pair, v int16) {
		p.topic("produce", 1, nil)
		p.tell(produce(v, 0, "produce", 0, edited(batchOf{n: 1}.bytes(), func(b []byte) { b[17]++ })))
	})
	for _, acks := range []int16{2, -2, 100} {
		add(fmt.Sprintf("bad acks %d", acks), func(p *pair, v int16) {
			p.topic("produce", 1, nil)
			p.ask(produce(v, acks, "produce", 0, batchOf{n: 1}.bytes()))
		})
	}
	add("unknown topic", func(p *pair, v int16) { p.ask(produce(v, 1, "produce-unknown", 0, batchOf{n: 1}.bytes())) })
	add("unknown partition", func(p *pair, v int16) {
		p.topic("produce", 1, nil)
		p.ask(produce(v, 1, "produce", 1, batchOf{n: 1}.bytes()))
		p.ask(produce(v, 1, "produce", -1, batchOf{n: 1}.bytes()))
	})
	add("bad topic name", func(p *pair, v int16) {
		p.ask(produce(v, 1, "a b", 0, batchOf{n: 1}.bytes()))
		p.ask(produce(v, 1, "", 0, batchOf{n: 1}.bytes()))
	})
	add("two topics, one unknown", func(p *pair, v int16) {
		p.topic("produce", 1, nil)
		r := produce(v, 1, "produce", 0, batchOf{n: 1}.bytes())
		r.Topics = append(r.Topics, produce(v, 1, "produce-unknown", 0, batchOf{n: 1}.bytes()).Topics...)
		p.ask(r)
	})
	add("two partitions, one wrong", func(p *pair, v int16) {
		p.topic("produce-two", 2, nil)
		r := produce(v, -1, "produce-two", 0, batchOf{n: 1}.bytes())
		wrong := kmsg.ProduceRequestTopicPartition{Partition: 1, Records: batchOf{n: 1}.bytes()}
		wrong.Records[17]++
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, wrong)
		p.ask(r)
	})
	add("no topics", func(p *pair, v int16) {
		r := produce(v, 1, "", 0, nil)
		r.Topics = nil
		p.ask(r)
	})
	for codec, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		add("codec "+name, func(p *pair, v int16) {
			p.topic("produce-"+name, 1, nil)
			p.ask(produce(v, -1, "produce-"+name, 0, batchOf{n: 5, size: 300, codec: uint16(codec)}.bytes()))
			p.ask(fetch(12, fetchFrom{topic: "produce-" + name}))
		})
	}
	add("from a producer with an id", func(p *pair, v int16) {
		name := versioned("produce-id", v)
		p.topic(name, 1, nil)
		p.ask(produce(v, -1, name, 0, batchOf{n: 2, producer: 4000}.bytes()))
		p.ask(produce(v, -1, name, 0, batchOf{n: 2, producer: 4000, sequence: 2}.bytes()))
	})
	for name, records := range refused() {
		add("refused/"+name, func(p *pair, v int16) {
			t := "refused-" + strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")
			p.topic(t, 1, nil) // one for each case: a batch wrongly taken shifts the offsets of one case only
			p.ask(produce(v, -1, t, 0, records))
			p.ask(listOffsets(5, t, 0, -1))
		})
	}
	add("log append time", func(p *pair, v int16) {
		name := versioned("produce-append-time", v)
		p.topic(name, 1, topicConfig{"message.timestamp.type": "LogAppendTime"})
		p.ask(produce(v, -1, name, 0, batchOf{n: 3, step: 5}.bytes()))
		p.ask(fetch(12, fetchFrom{topic: name}))
	})
	add("above the topic's own limit", func(p *pair, v int16) {
		p.topic("produce-small", 1, topicConfig{"max.message.bytes": "1000"})
		for _, size := range []int{700, 2000} {
			p.ask(produce(v, -1, "produce-small", 0, batchOf{n: 1, size: size}.bytes()))
		}
	})
	add("above the segment's size", func(p *pair, v int16) {
		p.topic("produce-segment", 1, topicConfig{"max.message.bytes": "3000000", "segment.bytes": "1048576"})
		p.ask(produce(v, -1, "produce-segment", 0, batchOf{n: 1, size: 1200000}.bytes()))
	})
	add("without a key to a compacted topic", func(p *pair, v int16) {
		p.topic("produce-compacted", 1, topicConfig{"cleanup.policy": "compact"})
		p.ask(produce(v, -1, "produce-compacted", 0, batchOf{n: 2}.bytes()))
		p.ask(produce(v, -1, "produce-compacted", 0, withoutKeys()))
	})
	cs = append(cs, perVersion("Produce/old version", 0, 2, func(p *pair, v int16) {
		p.topic("produce", 1, nil)
		p.ask(produce(v, 1, "produce", 0, oldMessage(1)))
	})...)
	return cs
}

func edited(batch []byte, edit func(b []byte)) []byte {
	edit(batch)
	return batch
}

// sealed is edited with a CRC that fits afterwards.
func sealed(batch []byte, edit func(b []byte)) []byte {
	edit(batch)
	seal(batch)
	return batch
}

func withoutKeys() []byte {
	return batchOf{n: 2, edit: func(b *kmsg.RecordBatch) {
		b.Records = nil
		for i := range 2 {
			r := kmsg.Record{OffsetDelta: int32(i), Value: []byte("value")}
			r.Length = int32(len(r.AppendTo(nil)) - 1)
			b.Records = r.AppendTo(b.Records)
		}
	}}.bytes()
}

// refused is record sets that a broker must not append.
func refused() map[string][]byte {
	good := func() []byte { return batchOf{n: 3}.bytes() }
	put32 := func(at int, v uint32) func([]byte) { return func(b []byte) { binary.BigEndian.PutUint32(b[at:], v) } }
	put64 := func(at int, v uint64) func([]byte) { return func(b []byte) { binary.BigEndian.PutUint64(b[at:], v) } }
	attributes := func(bits uint16) func([]byte) { return func(b []byte) { binary.BigEndian.PutUint16(b[21:], bits) } }
	return map[string][]byte{
		"empty":                         {},
		"wrong CRC":                     edited(good(), func(b []byte) { b[20]++ }),
		"changed content":               edited(good(), func(b []byte) { b[len(b)-1]++ }),
		"two batches":                   slices.Concat(good(), good()),
		"one and a half batches":        slices.Concat(good(), good()[:80]),
		"cut batch":                     good()[:90],
		"cut header":                    good()[:40],
		"11 bytes":                      good()[:11],
		"16 bytes":                      good()[:16],
		"length 0":                      edited(good(), put32(8, 0)),
		"length negative":               edited(good(), put32(8, 0xffffffff)),
		"length one too long":           edited(good(), func(b []byte) { b[11]++ }),
		"length one too short":          edited(good(), func(b []byte) { b[11]-- }),
		"magic 0":                       oldMessage(0),
		"magic 1":                       oldMessage(1),
		"magic 3":                       edited(good(), func(b []byte) { b[16] = 3 }),
		"magic -1":                      edited(good(), func(b []byte) { b[16] = 255 }),
		"control batch":                 sealed(good(), attributes(32)),
		"unknown codec 5":               sealed(good(), attributes(5)),
		"unknown codec 7":               sealed(good(), attributes(7)),
		"gzip that is none":             sealed(good(), attributes(1)),
		"zstd that is none":             sealed(good(), attributes(4)),
		"count too high":                sealed(good(), put32(57, 4)),
		"count too low":                 sealed(good(), put32(57, 2)),
		"count 0":                       sealed(good(), put32(57, 0)),
		"count negative":                sealed(good(), put32(57, 0xffffffff)),
		"last offset delta too high":    sealed(good(), put32(23, 5)),
		"last offset delta negative":    sealed(good(), put32(23, 0xffffffff)),
		"count and delta too high":      sealed(sealed(good(), put32(57, 4)), put32(23, 3)),
		"count and delta too low":       sealed(sealed(good(), put32(57, 2)), put32(23, 1)),
		"no records, count 0":           batchOf{n: 0}.bytes(),
		"base offset 5":                 edited(good(), put64(0, 5)),
		"base offset negative":          edited(good(), put64(0, 1<<63)),
		"id without sequence":           sealed(good(), put64(43, 77)),
		"offset deltas not consecutive": batchOf{n: 3, edit: func(b *kmsg.RecordBatch) { b.Records = unordered() }}.bytes(),
		"bytes after the records":       batchOf{n: 3, edit: func(b *kmsg.RecordBatch) { b.Records = append(b.Records, 0, 0) }}.bytes(),
		"record longer than the batch":  batchOf{n: 1, edit: func(b *kmsg.RecordBatch) { b.Records[0] += 100 }}.bytes(),
		"record of negative length":     batchOf{n: 1, edit: func(b *kmsg.RecordBatch) { b.Records[0] = 1 }}.bytes(),
		"time in the future":            batchOf{n: 3, at: 3 * 3600 * 1000}.bytes(),
		"one time in the future":        batchOf{n: 3, step: 2 * 3600 * 1000}.bytes(),
		"too large":                     batchOf{n: 1, size: 1100000}.bytes(),
	}
}

func unordered() (records []byte) {
	for _, delta := range []int32{0, 2, 1} {
		r := kmsg.Record{OffsetDelta: delta, Key: []byte("k"), Value: []byte("value")}
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		records = r.AppendTo(records)
	}
	return records
}

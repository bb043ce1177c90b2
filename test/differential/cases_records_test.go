//go:build peers

package differential

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deletion is one partition of a DeleteRecords request.
type deletion struct {
	topic     string
	partition int32
	offset    int64
}

func deleteRecords(v int16, ds ...deletion) *kmsg.DeleteRecordsRequest {
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Version, r.TimeoutMillis = v, 3000
	for _, d := range ds {
		p := kmsg.DeleteRecordsRequestTopicPartition{Partition: d.partition, Offset: d.offset}
		if n := len(r.Topics); n == 0 || r.Topics[n-1].Topic != d.topic {
			r.Topics = append(r.Topics, kmsg.DeleteRecordsRequestTopic{Topic: d.topic})
		}
		t := &r.Topics[len(r.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return r
}

func deleteRecordsCases() (cs []testCase) {
	add := func(name string, run func(p *pair, v int16, topic string)) {
		cs = append(cs, perVersion("DeleteRecords/"+name, 0, 2, func(p *pair, v int16) {
			t := versioned("records-"+name, v)
			p.topic(t, 2, nil)
			p.fill(t, 0, batchOf{n: 3, step: 10}, batchOf{n: 4, at: 100}, batchOf{n: 2, at: 200})
			run(p, v, t)
		})...)
	}
	// after is what clients see of the log afterwards.
	after := func(p *pair, t string) {
		for _, ts := range []int64{-1, -2, -3, clock} {
			p.ask(listOffsets(7, t, 0, ts))
		}
		for _, offset := range []int64{0, 3, 5, 9, 10} {
			p.ask(fetch(11, fetchFrom{topic: t, offset: offset}))
		}
	}
	for name, offsets := range map[string][]int64{
		"to the middle of a batch":   {5},
		"to the start of a batch":    {3},
		"to the high watermark":      {-1},
		"to the end by number":       {9},
		"to nothing":                 {0},
		"above the high watermark":   {10},
		"negative":                   {-2},
		"far negative":               {-1 << 63},
		"far above":                  {1<<63 - 1},
		"upwards, then back":         {3, 5, 2, -1},
		"all, then above, then none": {-1, 10, 0},
	} {
		add(name, func(p *pair, v int16, t string) {
			for _, o := range offsets {
				p.ask(deleteRecords(v, deletion{t, 0, o}))
			}
			after(p, t)
			p.fill(t, 0, batchOf{n: 2, at: 300})
		})
	}
	add("an empty partition", func(p *pair, v int16, t string) {
		p.ask(deleteRecords(v, deletion{t, 1, -1}))
		p.ask(deleteRecords(v, deletion{t, 1, 0}))
		p.ask(deleteRecords(v, deletion{t, 1, 1}))
	})
	add("several", func(p *pair, v int16, t string) {
		p.ask(deleteRecords(v, deletion{t, 0, 2}, deletion{t, 1, 1}, deletion{t, 7, 0}, deletion{"records-unknown", 0, 0}))
	})
	add("unknown", func(p *pair, v int16, t string) {
		p.ask(deleteRecords(v, deletion{"records-unknown", 0, 0}))
		p.ask(deleteRecords(v, deletion{t, 2, 0}))
		p.ask(deleteRecords(v, deletion{t, -1, 0}))
		p.ask(deleteRecords(v, deletion{"a b", 0, 0}))
		p.ask(deleteRecords(v, deletion{"", 0, 0}))
	})
	add("a partition twice", func(p *pair, v int16, t string) {
		p.ask(deleteRecords(v, deletion{t, 0, 2}, deletion{t, 0, 4}))
		p.ask(deleteRecords(v, deletion{t, 0, 6}, deletion{t, 0, 5}))
		p.ask(deleteRecords(v, deletion{t, 0, 7}, deletion{t, 1, 0}, deletion{"records-unknown", 0, 0}, deletion{t, 0, 8}))
		after(p, t)
	})
	add("none", func(p *pair, v int16, t string) {
		p.ask(deleteRecords(v))
		r := deleteRecords(v, deletion{t, 0, 2})
		r.Topics[0].Partitions = nil
		p.ask(r)
	})
	for name, policy := range map[string]string{"compact": "compact", "compact and delete": "compact,delete"} {
		cs = append(cs, perVersion("DeleteRecords/policy "+name, 0, 2, func(p *pair, v int16) {
			t := versioned("records-"+name, v)
			p.topic(t, 1, topicConfig{"cleanup.policy": policy})
			p.ask(deleteRecords(v, deletion{t, 0, -1}))
			p.ask(deleteRecords(v, deletion{t, 0, 0}))
			p.ask(deleteRecords(v, deletion{t, 0, 5}))
			p.ask(deleteRecords(v, deletion{t, 0, -2}))
		})...)
	}
	return cs
}

//go:build peers

package differential

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestRetentionAgreesWithKafka fills logs of several segments on both sides, lets retention run, and compares where
// the logs start then. Both look for old segments twice a second.
func TestRetentionAgreesWithKafka(t *testing.T) {
	const interval = "log.retention.check.interval.ms=500"
	kafka := testkit.StartKafka(t, interval, "log.initial.task.delay.ms=500")
	subject := testkit.Start(t, t.TempDir(), interval).Kafka
	p := &pair{T: t, world: newWorld(t, subject, kafka, nil), name: t.Name()}
	const minute, hour = 60_000, 3_600_000
	// Messages a day apart in order begin a segment each, since segment.ms is an hour; each batch has 500 bytes or so.
	times := func(ms ...int64) (bs []batchOf) {
		for _, at := range ms {
			bs = append(bs, batchOf{n: 5, at: at, step: 1, size: 100})
		}
		return bs
	}
	const day = 24 * hour
	old := times(-5*day, -4*day, -3*day, -2*day)
	cases := []struct {
		name    string
		config  topicConfig
		batches []batchOf
		start   int64 // what it is when retention is through, as far as that is known
	}{
		{"by time", topicConfig{"retention.ms": fmt.Sprint(3*day + 12*hour)}, old, 10},
		{"all", topicConfig{"retention.ms": fmt.Sprint(hour)}, old, 20},
		{"never", topicConfig{"retention.ms": "-1"}, old, 0},
		{"by size", topicConfig{"retention.ms": "-1", "retention.bytes": "1300"}, old, 5},
		{"by size, exactly", topicConfig{"retention.ms": "-1", "retention.bytes": "%2"}, old, 10},
		{"by size, a byte more", topicConfig{"retention.ms": "-1", "retention.bytes": "%2+1"}, old, 5},
		{"no bytes", topicConfig{"retention.ms": "-1", "retention.bytes": "0"}, old, 20},
		{"one byte", topicConfig{"retention.ms": "-1", "retention.bytes": "1"}, old, 15},
		{"by both", topicConfig{"retention.ms": fmt.Sprint(4*day + 12*hour), "retention.bytes": "%3"}, old, 5},
		{"pinned", topicConfig{"retention.ms": fmt.Sprint(hour)}, append(times(-5*day, 0), old...), 5},
		{"compacted", topicConfig{"retention.ms": "-1", "retention.bytes": "0", "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1",
			"min.compaction.lag.ms": fmt.Sprint(400 * day)}, nil, 0},
		{"empty", topicConfig{"retention.ms": "0"}, nil, 0},
	}
	size := len(old[0].bytes())
	for i, c := range cases {
		for k, v := range c.config {
			var n, more int
			if m, _ := fmt.Sscanf(v, "%%%d+%d", &n, &more); m > 0 {
				c.config[k] = fmt.Sprint(n*size + more)
			}
		}
		c.config["segment.ms"] = fmt.Sprint(hour)
		name := fmt.Sprint("retention-", i)
		p.topic(name, 1, c.config)
		for _, b := range c.batches {
			for _, s := range p.sides {
				if a := s.exchange(produce(9, -1, name, 0, b.bytes()), answerLimit); a.outcome != answered {
					t.Fatalf("%s: %s", s.name, a.outcome)
				}
			}
		}
	}
	start := func(s *side, name string) int64 {
		a := s.exchange(listOffsets(7, name, 0, -2), answerLimit)
		return a.response.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
	}
	// A log that loses everything, filled after all the others, says when retention has seen those.
	for _, marker := range []string{"marker-1", "marker-2"} {
		p.topic(marker, 1, topicConfig{"retention.ms": fmt.Sprint(hour), "segment.ms": fmt.Sprint(hour)})
		for _, s := range p.sides {
			s.exchange(produce(9, -1, marker, 0, old[0].bytes()), answerLimit)
			eventually(t, s.name+" has applied retention", func() bool { return start(s, marker) == 5 })
		}
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := &pair{T: t, world: p.world, name: t.Name()}
			name := fmt.Sprint("retention-", i)
			for _, s := range p.sides {
				if got := start(s, name); got != c.start {
					t.Errorf("%s: log starts at %d, want %d", s.name, got, c.start)
				}
			}
			for _, ts := range []int64{-1, -2, clock - 4*day, clock - minute} {
				p.ask(listOffsets(7, name, 0, ts))
			}
			for _, offset := range []int64{0, 5, 20} {
				p.ask(fetch(11, fetchFrom{topic: name, offset: offset, max: int32(size)})) // Kafka gives one segment at most
			}
			p.fill(name, 0, times(0)...)
		})
	}
}

//go:build peers

package adopt

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire/batch"
)

// place is a partition.
type place struct {
	topic string
	index int32
}

// seen is what a client sees of a partition.
type seen struct {
	start, end, stable int64
	batches            map[int64][]byte // by base offset; up to the end
	aborted            []aborted        // that the reader of all up to the last stable offset is told
	committed          int              // bytes up to there
	byTime             int64            // offset that is looked up for the timestamp below
}

type aborted struct{ producer, first int64 }

// look reads everything. Unless still is set the broker may write meanwhile, as Kafka does when it ends transactions.
func look(ctx context.Context, t *testing.T, address string, timestamp int64, still bool) map[place]*seen {
	t.Helper()
	cl := connect(t, address)
	adm := kadm.NewClient(cl)
	found, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	all := map[place]*seen{}
	for _, d := range found.Sorted() {
		for _, p := range d.Partitions.Sorted() {
			all[place{d.Topic, p.Partition}] = &seen{batches: map[int64][]byte{}}
		}
	}
	names := found.Names()
	offsets := func(list kadm.ListedOffsets, err error, into func(s *seen) *int64) {
		t.Helper()
		if err = cmp.Or(err, list.Error()); err != nil {
			t.Fatal(err)
		}
		list.Each(func(o kadm.ListedOffset) { *into(all[place{o.Topic, o.Partition}]) = o.Offset })
	}
	list, err := adm.ListStartOffsets(ctx, names...)
	offsets(list, err, func(s *seen) *int64 { return &s.start })
	list, err = adm.ListEndOffsets(ctx, names...)
	offsets(list, err, func(s *seen) *int64 { return &s.end })
	list, err = adm.ListCommittedOffsets(ctx, names...)
	offsets(list, err, func(s *seen) *int64 { return &s.stable })
	list, err = adm.ListOffsetsAfterMilli(ctx, timestamp, names...)
	offsets(list, err, func(s *seen) *int64 { return &s.byTime })
	for at, s := range all {
		for _, b := range s.read(ctx, t, cl, at, 0, s.end, still) {
			s.batches[b.BaseOffset()] = b
		}
		for _, b := range s.read(ctx, t, cl, at, 1, s.stable, still) {
			s.committed += len(b)
		}
	}
	return all
}

// read fetches the batches from the start to below upper; at read_committed (level 1) it notes the aborted transactions.
func (s *seen) read(ctx context.Context, t *testing.T, cl *kgo.Client, at place, level int8, upper int64, still bool) (list []batch.Batch) {
	t.Helper()
	told := map[aborted]bool{}
	for from := s.start; from < upper; {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = 100, 1, 1<<20, level, -1
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = at.index, from, 1<<20
		req.Topics = []kmsg.FetchRequestTopic{{Topic: at.topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			t.Fatal(err)
		}
		got := resp.Topics[0].Partitions[0]
		if err := kerr.ErrorForCode(got.ErrorCode); err != nil || got.LastStableOffset < s.stable || got.HighWatermark < s.end ||
			still && (got.LastStableOffset != s.stable || got.HighWatermark != s.end) {
			t.Fatalf("%v: fetch of %d: %v, last stable offset %d, high watermark %d, want %d, %d", at, from, err, got.LastStableOffset, got.HighWatermark, s.stable, s.end)
		}
		for _, a := range got.AbortedTransactions {
			told[aborted{a.ProducerID, a.FirstOffset}] = true
		}
		before := from
		for rest := got.RecordBatches; len(rest) > 0; {
			b, more, err := batch.First(rest)
			if err != nil {
				break // cut by the limit, as Kafka does
			}
			if !b.CRCOK() {
				t.Fatalf("%v: wrong checksum at %d", at, b.BaseOffset())
			}
			list, rest, from = append(list, bytes.Clone(b)), more, b.LastOffset()+1
		}
		if from == before { // compaction has left nothing up to the end
			break
		}
	}
	if level == 1 {
		s.aborted = slices.SortedFunc(maps.Keys(told), func(a, b aborted) int {
			return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.producer, b.producer))
		})
	}
	return list
}

// same compares what Sluice shows with what Kafka has shown.
func same(t *testing.T, got, want map[place]*seen) {
	t.Helper()
	for at, w := range want {
		g := got[at]
		if g == nil {
			t.Errorf("%v is missing", at)
			continue
		}
		if g.start != w.start || g.end != w.end || g.stable != w.stable || g.committed != w.committed || g.byTime != w.byTime ||
			!slices.Equal(g.aborted, w.aborted) {
			t.Errorf("%v: %s\nwant %s", at, g, w)
		}
		g.holds(t, at, w, len(w.batches))
	}
}

func (s *seen) String() string {
	return fmt.Sprintf("offsets %d to %d, stable %d with %d bytes, aborted %v, by time %d", s.start, s.end, s.stable, s.committed, s.aborted, s.byTime)
}

// holds checks that the batches of w that are still above the start are here, byte for byte; at least so many.
func (s *seen) holds(t *testing.T, at place, w *seen, atLeast int) {
	t.Helper()
	n := 0
	for base, b := range w.batches {
		switch {
		case bytes.Equal(s.batches[base], b):
			n++
		case batch.Batch(b).LastOffset() >= s.start:
			t.Errorf("%v: the batch at %d is gone or another", at, base)
			return
		}
	}
	if n < atLeast {
		t.Errorf("%v: %d batches of %d", at, n, len(w.batches))
	}
}

// values are the latest values of each key.
func values(ctx context.Context, t *testing.T, address, topic string, end int64) map[string]string {
	t.Helper()
	cl := connect(t, address, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	latest := map[string]string{}
	for next := int64(0); next < end; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			latest[string(r.Key)] = string(r.Value)
			next = r.Offset + 1
		})
	}
	return latest
}

// committedRecords are the values that a consumer at read_committed gets of txns.
func committedRecords(ctx context.Context, t *testing.T, address string, stable int64) (list []string) {
	t.Helper()
	cl := connect(t, address, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{txns: {0: kgo.NewOffset().AtStart()}}))
	for next := int64(0); next < stable; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				list = append(list, fmt.Sprint(r.Offset, string(r.Value[:min(len(r.Value), 20)])))
			}
			next = r.Offset + 1
		})
	}
	return list
}

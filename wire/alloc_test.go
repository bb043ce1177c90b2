//go:build !race

package wire

import (
	"bytes"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

func zeroAllocs(t *testing.T, name string, f func()) {
	t.Helper()
	f()
	f() // blocks have found their size after the second time
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("%s: %v allocations", name, n)
	}
}

// shapes are numbers of partitions per topic, each shape decoded in turn, so that reuse across different
// messages is seen too.
var shapes = [][]int{{1}, {50}, {1, 2, 3, 4, 5}, {300, 1}, {}}

func produceBody(version int16, shape []int) []byte {
	r := ProduceRequest{Version: version, TransactionalID: []byte("tx"), Acks: -1}
	for _, n := range shape {
		t := ProduceTopic{Name: []byte("topic")}
		for i := range n {
			t.Partitions = append(t.Partitions, ProducePartition{Index: int32(i), Records: make([]byte, 100)})
		}
		r.Topics = append(r.Topics, t)
	}
	return r.Append(nil)
}

func fetchBody(version int16, shape []int) []byte {
	r := FetchRequest{Version: version, Rack: []byte("rack"), ClusterID: []byte("cluster")}
	for _, n := range shape {
		t := FetchTopic{Name: []byte("topic")}
		f := ForgottenTopic{Name: []byte("gone")}
		for i := range n {
			t.Partitions = append(t.Partitions, DefaultFetchPartition(int32(i), 5, 1<<20))
			f.Partitions = append(f.Partitions, int32(i))
		}
		r.Topics, r.Forgotten = append(r.Topics, t), append(r.Forgotten, f)
	}
	return r.Append(nil)
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var (
		pr ProduceRequest
		fr FetchRequest
	)
	for v := MinProduceVersion; v <= MaxProduceVersion; v++ {
		var bodies [][]byte
		for _, s := range shapes {
			bodies = append(bodies, produceBody(v, s))
		}
		zeroAllocs(t, "produce request", func() {
			for _, b := range bodies {
				if err := pr.Decode(v, b); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	for v := MinFetchVersion; v <= MaxFetchVersion; v++ {
		var bodies [][]byte
		for _, s := range shapes {
			bodies = append(bodies, fetchBody(v, s))
		}
		zeroAllocs(t, "fetch request", func() {
			for _, b := range bodies {
				if err := fr.Decode(v, b); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestProduceResponseAllocatesNothing(t *testing.T) {
	var (
		r    ProduceResponse
		dst  []byte
		name = []byte("topic")
	)
	for v := MinProduceVersion; v <= MaxProduceVersion; v++ {
		zeroAllocs(t, "produce response", func() {
			for _, shape := range shapes {
				r.Reset()
				for _, n := range shape {
					r.Topic(name, [16]byte{1})
					for i := range n {
						p := r.Partition(int32(i))
						p.BaseOffset = int64(i)
						p.CurrentLeader = CurrentLeader{ID: 1, Epoch: 2}
					}
				}
				r.Endpoints = append(r.Endpoints, NodeEndpoint{ID: 1, Host: "host", Port: 9092})
				dst = AppendResponseHeader(dst[:0], KeyProduce, v, 9)
				dst = r.Append(dst, v)
			}
		})
	}
}

func TestFetchWriterAllocatesNothing(t *testing.T) {
	var (
		dst  []byte
		name = []byte("topic")
		w    = FetchWriter{Endpoints: []NodeEndpoint{{ID: 1, Host: "host", Port: 9092}}}
		p    FetchPartitionResponse
	)
	aborted := make([]AbortedTransaction, 3)
	for w.Version = MinFetchVersion; w.Version <= MaxFetchVersion; w.Version++ {
		zeroAllocs(t, "fetch response", func() {
			dst = AppendResponseHeader(dst[:0], KeyFetch, w.Version, 9)
			dst = w.AppendHead(dst, 0, None, 7, 1)
			dst = w.AppendTopic(dst, name, [16]byte{1}, 20)
			for i := range int32(20) {
				p.Reset(i)
				p.Aborted = aborted
				p.CurrentLeader = CurrentLeader{ID: 1, Epoch: 2}
				dst = w.AppendPartition(dst, &p, 0)
				dst = w.AppendPartitionEnd(dst, &p)
			}
			dst = w.AppendTopicEnd(dst)
			dst = w.AppendTail(dst)
		})
	}
}

// One produce request from frame to batch: header, body, batches, checksums, stamps.
func TestProducePathAllocatesNothing(t *testing.T) {
	var bd batch.Builder
	for i := range 20 {
		bd.Append(1_760_000_000_000+int64(i), []byte("key"), bytes.Repeat([]byte("v"), 100))
	}
	req := ProduceRequest{Version: 9, Acks: 1, Topics: []ProduceTopic{{
		Name: []byte("topic"), Partitions: []ProducePartition{{Index: 3, Records: bd.Finish()}},
	}}}
	h := RequestHeader{Key: KeyProduce, Version: 9, CorrelationID: 5, ClientID: []byte("c"), HasClientID: true}
	frame := req.Append(AppendRequestHeader(nil, &h))
	rules := batch.Rules{MaxMessageBytes: 1 << 20, Now: 1_760_000_000_000, TimestampBefore: 1 << 62, TimestampAfter: 1 << 40}
	var r ProduceRequest
	zeroAllocs(t, "produce", func() {
		h, body, err := ParseRequestHeader(frame)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Decode(h.Version, body); err != nil {
			t.Fatal(err)
		}
		b, err := batch.Single(r.Topics[0].Partitions[0].Records)
		if err != nil {
			t.Fatal(err)
		}
		res, err := batch.Validate(b, &rules)
		if err != nil {
			t.Fatal(err)
		}
		b.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime)
		b.SetLeaderEpoch(4)
	})
}

package wire

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"unsafe"
)

// Elements of every kind must stay small enough for what doc.go and keepElements say.
func TestElementSizes(t *testing.T) {
	for name, tc := range map[string]struct{ size, wire uintptr }{
		"produce topic":     {unsafe.Sizeof(ProduceTopic{}), 3},
		"produce partition": {unsafe.Sizeof(ProducePartition{}), 6},
		"fetch topic":       {unsafe.Sizeof(FetchTopic{}), 3},
		"fetch partition":   {unsafe.Sizeof(FetchPartition{}), 16},
		"forgotten topic":   {unsafe.Sizeof(ForgottenTopic{}), 3},
	} {
		if tc.size > 64 || tc.size > 22*tc.wire {
			t.Errorf("%s takes %d bytes for at least %d", name, tc.size, tc.wire)
		}
	}
	if n := unsafe.Sizeof(FetchPartitionResponse{}); n > 152 {
		t.Errorf("a fetched partition takes %d bytes", n)
	}
}

// crowded is a Fetch request of version 12 with as many of the smallest topics as n bytes hold.
func crowded(n int) []byte {
	body := make([]byte, 0, n+64)
	r := FetchRequest{Version: 12}
	r.Reset()
	r.Version = 12
	body = r.Append(body)[:4+4+4+4+1+4+4]
	count := uint32(n / 3)
	body = binary.AppendUvarint(body, uint64(count)+1)
	for range count {
		body = append(body, 1, 1, 0) // no name, no partitions, no tags
	}
	return append(body, 1, 1, 0) // nothing forgotten, no rack, no tags
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestMemoryIsAMultipleOfTheFrame(t *testing.T) {
	body := crowded(300_000)
	var r FetchRequest
	used := allocated(func() {
		if err := r.Decode(12, body); err != nil {
			t.Fatal(err)
		}
	})
	if len(r.Topics) != 100_000 || used > 22*uint64(len(body))+100_000 {
		t.Errorf("%d topics and %d bytes from %d", len(r.Topics), used, len(body))
	}
}

// Topics that each just do not fit into what the block has left make the most of cold blocks.
func TestColdBlocksAreBounded(t *testing.T) {
	r := ProduceRequest{Version: 9}
	for n := 1; n < 100_000; n = 2*n + 1 {
		r.Topics = append(r.Topics, ProduceTopic{Partitions: make([]ProducePartition, n)})
	}
	body := r.Append(nil)
	var again ProduceRequest
	used := allocated(func() {
		if err := again.Decode(9, body); err != nil {
			t.Fatal(err)
		}
	})
	if used > 22*uint64(len(body))+100_000 {
		t.Errorf("%d bytes from %d", used, len(body))
	}
}

func TestTooManyElements(t *testing.T) {
	body := crowded(3 * (MaxElements + 1))
	used := allocated(func() {
		if err := new(FetchRequest).Decode(12, body); !errors.Is(err, ErrLimit) {
			t.Errorf("error %v", err)
		}
	})
	if used > 100_000 {
		t.Errorf("%d bytes for a refused request", used)
	}
}

// The bound is on all arrays together: each topic here has few partitions.
func TestTooManyElementsTogether(t *testing.T) {
	r := ProduceRequest{Version: 3}
	one := make([]ProducePartition, 1000)
	for range 1000 {
		r.Topics = append(r.Topics, ProduceTopic{Partitions: one})
	}
	if err := new(ProduceRequest).Decode(3, r.Append(nil)); !errors.Is(err, ErrLimit) {
		t.Errorf("1,001,000 elements: %v", err)
	}
}

// A count that the bytes left cannot hold is refused before anything is made.
func TestCountsBeyondTheBody(t *testing.T) {
	body := (&ProduceRequest{Version: 3, Topics: []ProduceTopic{{Name: []byte("t")}}}).Append(nil)
	at := 2 + 2 + 4
	for _, n := range []int32{2, 1000, 1 << 30, 1<<31 - 1} {
		binary.BigEndian.PutUint32(body[at:], uint32(n))
		used := allocated(func() {
			if err := new(ProduceRequest).Decode(3, body); !errors.Is(err, ErrShort) {
				t.Errorf("%d topics: %v", n, err)
			}
		})
		if used > 4096 {
			t.Errorf("%d topics: %d bytes", n, used)
		}
	}
	for _, n := range []int32{-1, -2, -1 << 31} {
		binary.BigEndian.PutUint32(body[at:], uint32(n))
		if err := new(ProduceRequest).Decode(3, body); !errors.Is(err, ErrNull) {
			t.Errorf("%d topics: %v", n, err)
		}
	}
}

func TestTooManyTags(t *testing.T) {
	tags := func(n int) []byte {
		body := (&ProduceRequest{Version: 9}).Append(nil)
		body = binary.AppendUvarint(body[:len(body)-1], uint64(n))
		for range n {
			body = append(body, 9, 0)
		}
		return body
	}
	if err := new(ProduceRequest).Decode(9, tags(MaxTags)); err != nil {
		t.Errorf("%d tags: %v", MaxTags, err)
	}
	if err := new(ProduceRequest).Decode(9, tags(MaxTags+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("%d tags: %v", MaxTags+1, err)
	}
}

// After a giant message a decoder keeps no more than keepElements of a kind; one Reset is enough.
func TestGiantsAreNotKept(t *testing.T) {
	giant := ProduceRequest{Version: 9, Topics: make([]ProduceTopic, 3*keepElements)}
	giant.Topics[0].Partitions = make([]ProducePartition, 3*keepElements)
	var r ProduceRequest
	if err := r.Decode(9, giant.Append(nil)); err != nil {
		t.Fatal(err)
	}
	r.Reset()
	if cap(r.Topics) > keepElements || cap(r.partitions.buf) > keepElements {
		t.Errorf("kept %d topics, %d partitions", cap(r.Topics), cap(r.partitions.buf))
	}
	var f FetchRequest
	if err := f.Decode(12, crowded(9*keepElements)); err != nil {
		t.Fatal(err)
	}
	f.Reset()
	if cap(f.Topics) > keepElements {
		t.Errorf("kept %d topics", cap(f.Topics))
	}
	var resp ProduceResponse
	resp.Topic(nil, [16]byte{})
	for i := range int32(3 * keepElements) {
		resp.Partition(i)
	}
	resp.Reset()
	if cap(resp.partitions.buf) > keepElements {
		t.Errorf("kept %d partitions", cap(resp.partitions.buf))
	}
}

// A used value holds nothing of the message before: neither fields nor references into its frame.
func TestResetDropsReferences(t *testing.T) {
	full := ProduceRequest{Version: 9, TransactionalID: []byte("tx"), Topics: []ProduceTopic{
		{Name: []byte("topic"), ID: [16]byte{1}, Partitions: []ProducePartition{{Records: []byte("records")}}},
	}}
	var r ProduceRequest
	if err := r.Decode(9, full.Append(nil)); err != nil {
		t.Fatal(err)
	}
	r.Reset()
	topic, partition := r.Topics[:1][0], r.partitions.buf[:1][0]
	if topic.Name != nil || topic.Partitions != nil || partition.Records != nil || r.TransactionalID != nil {
		t.Errorf("kept %+v, %+v", topic, partition)
	}
	if err := r.Decode(9, []byte{1, 2}); err == nil || len(r.Topics) != 0 || r.Version != 0 {
		t.Errorf("after an error: %+v, %v", r, err)
	}
}

func TestFetchWriterRefusesImpossibleLengths(t *testing.T) {
	for _, n := range []int64{-1, 1 << 31} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("length %d is written", n)
				}
			}()
			new(FetchWriter).AppendPartition(nil, new(FetchPartitionResponse), n)
		}()
	}
}

func TestReplica(t *testing.T) {
	r := FetchRequest{Version: 14, ReplicaID: 3, ReplicaState: ReplicaState{ID: 5}}
	if r.Replica() != 3 {
		t.Errorf("version 14: %d", r.Replica())
	}
	if r.Version = 15; r.Replica() != 5 {
		t.Errorf("version 15: %d", r.Replica())
	}
	if r.Reset(); r.Replica() != -1 {
		t.Errorf("after Reset: %d", r.Replica())
	}
}

// Partitions of a response stay good while later topics make the block grow.
func TestProduceResponseGrows(t *testing.T) {
	var r ProduceResponse
	for topic := range 40 {
		r.Topic([]byte{byte(topic)}, [16]byte{})
		for i := range topic {
			r.Partition(int32(i)).BaseOffset = int64(topic*100 + i)
		}
	}
	for topic := range 40 {
		if len(r.Topics[topic].Partitions) != topic {
			t.Fatalf("topic %d has %d partitions", topic, len(r.Topics[topic].Partitions))
		}
		for i, p := range r.Topics[topic].Partitions {
			if p.Index != int32(i) || p.BaseOffset != int64(topic*100+i) || p.CurrentLeader != NoLeader || p.LogStartOffset != -1 {
				t.Fatalf("topic %d, partition %d: %+v", topic, i, p)
			}
		}
	}
}

package wire

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Ours beside kmsg's on the same bytes: what writing these codecs by hand is for.

func BenchmarkProduceDecode(b *testing.B) {
	body := produceBench(9)
	b.Run("ours", func(b *testing.B) {
		var r ProduceRequest
		b.ReportAllocs()
		for b.Loop() {
			if err := r.Decode(9, body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kmsg", func(b *testing.B) {
		k := kmsg.NewPtrProduceRequest()
		k.Version = 9
		b.ReportAllocs()
		for b.Loop() {
			if err := k.UnsafeReadFrom(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func produceBench(version int16) []byte {
	r := ProduceRequest{Version: version, Acks: -1, TimeoutMillis: 30_000, Topics: []ProduceTopic{
		{Name: []byte("topic"), Partitions: make([]ProducePartition, 3)},
	}}
	for i := range r.Topics[0].Partitions {
		r.Topics[0].Partitions[i] = ProducePartition{Index: int32(i), Records: make([]byte, 16<<10)}
	}
	return r.Append(nil)
}

func BenchmarkFetchDecode(b *testing.B) {
	r := FetchRequest{Version: 12, Topics: []FetchTopic{{Name: []byte("topic")}}}
	for i := range int32(50) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, DefaultFetchPartition(i, 1000, 1<<20))
	}
	body := r.Append(nil)
	b.Run("ours", func(b *testing.B) {
		var r FetchRequest
		b.ReportAllocs()
		for b.Loop() {
			if err := r.Decode(12, body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kmsg", func(b *testing.B) {
		k := kmsg.NewPtrFetchRequest()
		k.Version = 12
		b.ReportAllocs()
		for b.Loop() {
			if err := k.UnsafeReadFrom(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

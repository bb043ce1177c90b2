package loadgen

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

func dialFake(t *testing.T, o RawOptions) *Raw {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(int32(max(o.Partitions, 1)), "raw"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	o.Addr, o.Topic = fake.ListenAddrs()[0], "raw"
	r, err := DialRaw(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestRaw writes to another implementation of a broker and reads back as much.
func TestRaw(t *testing.T) {
	b := RawBatch(4000, 100, 10)
	for name, o := range map[string]RawOptions{
		"one":                  {},
		"pipelined":            {Connections: 2, InFlight: 8, Partitions: 5},
		"shared partition":     {Connections: 3, InFlight: 2},
		"partitions a request": {Connections: 2, InFlight: 3, Partitions: 7, PerRequest: 3, Acks: -1},
	} {
		t.Run(name, func(t *testing.T) {
			o.Batch = b
			r := dialFake(t, o)
			for range 2 {
				const n = 101
				got, err := r.Produce(t.Context(), RawLoad{Requests: n})
				if err != nil {
					t.Fatal(err)
				}
				batches := int64(n * max(o.PerRequest, 1))
				if got.Requests != n || got.Batches != batches || got.Bytes != batches*int64(len(b)) || got.Latency.Count() != n {
					t.Fatalf("%+v, %d latencies", got, got.Latency.Count())
				}
			}
			got, err := r.Fetch(t.Context(), 100*int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			if got.Bytes < 100*int64(len(b)) || got.Batches < 100 {
				t.Fatalf("fetched %+v", got)
			}
		})
	}
}

// TestRawOpenLoop: requests are as many as the schedule has, whenever they are answered.
func TestRawOpenLoop(t *testing.T) {
	r := dialFake(t, RawOptions{Connections: 2, InFlight: 4, Partitions: 2, Batch: RawBatch(100, 10, 0)})
	got, err := r.Produce(t.Context(), RawLoad{For: 200 * time.Millisecond, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 200 {
		t.Errorf("%d requests", got.Requests)
	}
}

func TestRawBatch(t *testing.T) {
	b := RawBatch(64<<10, 1024, 0)
	if len(b) > 64<<10 || len(b) < 63<<10 || !b.CRCOK() {
		t.Errorf("%d bytes", len(b))
	}
	if b := RawBatch(10, 100, 0); b.Count() != 1 {
		t.Errorf("%d records", b.Count())
	}
}

func TestRawRefusesSpec(t *testing.T) {
	if _, err := DialRaw(t.Context(), RawOptions{PerRequest: 2}); !errors.Is(err, ErrSpec) {
		t.Error(err)
	}
	r := dialFake(t, RawOptions{Batch: RawBatch(100, 10, 0)})
	if _, err := r.Produce(t.Context(), RawLoad{}); !errors.Is(err, ErrSpec) {
		t.Error(err)
	}
}

// liar is a broker whose answers to Produce a test makes up. Each gets the correlation id and is sent as it is.
func liar(t *testing.T, answers ...func(id int32) []byte) *Raw {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for n := -1; n < len(answers); n++ {
			var head [12]byte
			if _, err := io.ReadFull(c, head[:]); err != nil {
				return
			}
			rest := int64(binary.BigEndian.Uint32(head[:])) - 8
			if _, err := io.CopyN(io.Discard, c, rest); err != nil {
				return
			}
			id := int32(binary.BigEndian.Uint32(head[8:]))
			var answer []byte
			if n < 0 { // ApiVersions
				answer = append(binary.BigEndian.AppendUint32(nil, uint32(id)),
					0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 11, 0, 1, 0, 4, 0, 18) // no error; two ranges
			} else {
				answer = answers[n](id)
			}
			if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)); err != nil {
				return
			}
		}
	}()
	r, err := DialRaw(t.Context(), RawOptions{Addr: l.Addr().String(), Topic: "raw", Partitions: 2, Batch: RawBatch(100, 10, 0)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func produced(id, partition int32, offset int64, code wire.ErrorCode) []byte {
	var resp wire.ProduceResponse
	resp.Topic([]byte("raw"), [16]byte{})
	p := resp.Partition(partition)
	p.BaseOffset, p.Error = offset, code
	return resp.Append(wire.AppendResponseHeader(nil, wire.KeyProduce, 11, id), 11)
}

// TestRawNoticesWrongAnswers: the first wrong answer ends the call with an error that says what is wrong.
func TestRawNoticesWrongAnswers(t *testing.T) {
	right := func(id int32) []byte { return produced(id, 0, 0, wire.None) }
	for want, answers := range map[string][]func(id int32) []byte{
		"NOT_LEADER":       {func(id int32) []byte { return produced(id, 0, -1, wire.NotLeaderOrFollower) }},
		"correlation id":   {func(id int32) []byte { return produced(id+1, 0, 0, wire.None) }},
		"for partition 7":  {func(id int32) []byte { return produced(id, 7, 0, wire.None) }},
		"0 partitions":     {func(id int32) []byte { return append(produced(id, 0, 0, wire.None)[:5], 1, 0, 0, 0, 0, 0) }},
		"answer to Prod":   {func(id int32) []byte { return produced(id, 0, 0, wire.None)[:9] }},
		"offset 5, the on": {right, func(id int32) []byte { return produced(id, 0, 5, wire.None) }},
		"EOF":              {right},
	} {
		_, err := liar(t, answers...).Produce(context.Background(), RawLoad{Requests: 3})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestFetchNoticesWrongBatches looks at the checks of what is fetched.
func TestFetchNoticesWrongBatches(t *testing.T) {
	b := RawBatch(300, 50, 0)
	n := int64(b.Count())
	take := func(records []byte) error {
		c := &rawConn{raw: &Raw{o: RawOptions{Connections: 1, PerRequest: 1, Partitions: 1}}}
		c.prepare()
		f := &fetching{conn: c, sum: &RawResult{Requests: 7}}
		return f.take(&wire.FetchPartitionResponse{HighWatermark: 1000, Records: records})
	}
	at := func(offset int64) batch.Batch {
		c := batch.Batch(append([]byte(nil), b...))
		c.SetBaseOffset(offset)
		return c
	}
	good := append(at(0), at(n)...)
	if err := take(append(good, at(2 * n)[:70]...)); err != nil {
		t.Error(err)
	}
	if err := take(append(at(0), at(n+1)...)); err == nil {
		t.Error("a gap")
	}
	bad := at(n)
	bad[len(bad)-1] ^= 1
	if err := take(append(at(0), bad...)); err == nil {
		t.Error("a flipped bit")
	}
	if err := take([]byte(good[:20])); err == nil {
		t.Error("no whole batch")
	}
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// limit bounds one write or read of a whole set.
const limit = 90 * time.Second

var franzCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// franz is franz-go with its defaults, which include idempotence and fetch sessions; acks below all switch
// idempotence off.
type franz struct{ acks kgo.Acks }

func (f franz) write(bootstrap, topic, codec string, set []record) error {
	opts := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(franzCodecs[codec]), kgo.RequiredAcks(f.acks)}
	if f.acks != kgo.AllISRAcks() {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var once sync.Once
	var failed error
	for _, r := range set {
		k := &kgo.Record{Topic: topic, Partition: r.partition, Key: r.key, Value: r.value}
		for _, h := range r.headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.key, Value: h.value})
		}
		client.Produce(ctx, k, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	return failed
}

func (f franz) read(bootstrap, topic string, n int) (*digest, error) {
	d := newDigest()
	var err error
	d.codecs, err = franzRead(bootstrap, topic, partitions, n, func(k *kgo.Record) {
		r := record{partition: k.Partition, key: k.Key, value: k.Value}
		for _, h := range k.Headers {
			r.headers = append(r.headers, header{h.Key, h.Value})
		}
		d.add(r)
		d.count++
	})
	return d, err
}

// franzRead calls each for n records of the first partitions of a topic and returns the codecs that it saw.
// One more poll afterwards shows that there are not more than n.
func franzRead(bootstrap, topic string, parts int32, n int, each func(*kgo.Record)) (codecs []string, err error) {
	from := map[int32]kgo.Offset{}
	for p := range parts {
		from[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	seen := map[uint8]bool{}
	for got := 0; got < n; {
		fetches := client.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("after %d of %d: %w", got, n, e.Err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			got++
			seen[k.Attrs.CompressionType()] = true
			each(k)
		})
	}
	more, cancelMore := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancelMore()
	if extra := client.PollFetches(more).NumRecords(); extra > 0 {
		return nil, fmt.Errorf("%d records more than the %d that were written", extra, n)
	}
	for i, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		if seen[uint8(i)] {
			codecs = append(codecs, name)
		}
	}
	return codecs, nil
}

// createTopic makes a topic and returns when its partitions answer.
func createTopic(bootstrap, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	r := kmsg.NewPtrCreateTopicsRequest()
	r.TimeoutMillis, r.Topics = 10_000, append(r.Topics, t)
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if code := answer.Topics[0].ErrorCode; code != 0 {
		return fmt.Errorf("creating %s: error %d", topic, code)
	}
	return nil
}

func writeLines(bootstrap, topic, codec string) error {
	if err := createTopic(bootstrap, topic); err != nil {
		return err
	}
	return franz{kgo.AllISRAcks()}.write(bootstrap, topic, codec, slices.Collect(lineSet()))
}

func readLines(out *bufio.Writer, bootstrap, topic string) error {
	codecs, err := franzRead(bootstrap, topic, 1, records, func(k *kgo.Record) { writeLine(out, k.Key, k.Value) })
	fmt.Fprintln(os.Stderr, codecs)
	return err
}

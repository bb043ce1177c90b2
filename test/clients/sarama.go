package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

var saramaCodecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

// saramaClient is sarama with its default protocol version.
type saramaClient struct{}

func (saramaClient) write(bootstrap, topic, codec string, set []record) error {
	c := sarama.NewConfig()
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Compression = saramaCodecs[codec]
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Return.Successes = true
	c.Producer.MaxMessageBytes = 1_000_000 // its own limit, and the batch's too
	c.Producer.Flush.Frequency = 5 * time.Millisecond
	c.Net.MaxOpenRequests = 1
	producer, err := sarama.NewAsyncProducer([]string{bootstrap}, c)
	if err != nil {
		return err
	}
	go func() {
		for _, r := range set {
			m := &sarama.ProducerMessage{Topic: topic, Partition: r.partition}
			if r.key != nil {
				m.Key = sarama.ByteEncoder(r.key)
			}
			if r.value != nil {
				m.Value = sarama.ByteEncoder(r.value)
			}
			for _, h := range r.headers {
				m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.key), Value: h.value})
			}
			producer.Input() <- m
		}
		producer.AsyncClose()
	}()
	var all sync.WaitGroup
	var failed error
	all.Go(func() {
		for e := range producer.Errors() {
			failed = e
		}
	})
	acked := 0
	for range producer.Successes() {
		acked++
	}
	all.Wait()
	if failed == nil && acked != len(set) {
		failed = fmt.Errorf("%d of %d acknowledged", acked, len(set))
	}
	return failed
}

func (saramaClient) read(bootstrap, topic string, n int) (*digest, error) {
	c := sarama.NewConfig()
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Consumer.Fetch.Default = 2 << 20
	client, err := sarama.NewClient([]string{bootstrap}, c)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	d := newDigest()
	var counts [partitions]int
	var errs [partitions]error
	var all sync.WaitGroup
	for p := range int32(partitions) {
		all.Go(func() { counts[p], errs[p] = saramaRead(client, consumer, topic, p, d) })
	}
	all.Wait()
	for _, c := range counts {
		d.count += c
	}
	return d, errors.Join(errs[:]...)
}

func saramaRead(client sarama.Client, consumer sarama.Consumer, topic string, p int32, d *digest) (n int, err error) {
	end, err := client.GetOffset(topic, p, sarama.OffsetNewest)
	if err != nil {
		return 0, err
	}
	part, err := consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
	if err != nil {
		return 0, err
	}
	defer part.AsyncClose()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case m := <-part.Messages():
			r := record{partition: p, key: m.Key, value: m.Value}
			for _, h := range m.Headers {
				r.headers = append(r.headers, header{string(h.Key), h.Value})
			}
			d.add(r)
			n++
			if m.Offset+1 >= end {
				return n, nil
			}
		case <-timer.C:
			return n, fmt.Errorf("partition %d: %d records in %v", p, n, limit)
		}
	}
}

package main

import (
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// librdkafka is confluent-kafka-go, that is librdkafka 2.15, with its defaults.
type librdkafka struct{}

func (librdkafka) write(bootstrap, topic, codec string, set []record) error {
	producer, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": bootstrap, "compression.type": codec,
		"linger.ms": 5, "queue.buffering.max.messages": 2 * records, "go.delivery.reports": true})
	if err != nil {
		return err
	}
	defer producer.Close()
	result := make(chan error, 1)
	go func() { result <- deliveries(producer, len(set)) }()
	for _, r := range set {
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: r.partition}, Key: r.key, Value: r.value}
		for _, h := range r.headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.key, Value: h.value})
		}
		for {
			err := producer.Produce(m, nil)
			if e, ok := err.(kafka.Error); ok && e.Code() == kafka.ErrQueueFull {
				producer.Flush(100)
				continue
			}
			if err != nil {
				return err
			}
			break
		}
	}
	return <-result
}

func deliveries(producer *kafka.Producer, n int) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for n > 0 {
		select {
		case e := <-producer.Events():
			switch e := e.(type) {
			case *kafka.Message:
				if e.TopicPartition.Error != nil {
					return e.TopicPartition.Error
				}
				n--
			case kafka.Error:
				return e
			}
		case <-timer.C:
			return fmt.Errorf("%d not delivered in %v", n, limit)
		}
	}
	return nil
}

func (librdkafka) read(bootstrap, topic string, n int) (*digest, error) {
	consumer, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": bootstrap, "group.id": "unused",
		"enable.auto.commit": false, "enable.partition.eof": true, "fetch.wait.max.ms": 100})
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	var from []kafka.TopicPartition
	for p := range int32(partitions) {
		from = append(from, kafka.TopicPartition{Topic: &topic, Partition: p, Offset: kafka.OffsetBeginning})
	}
	if err := consumer.Assign(from); err != nil {
		return nil, err
	}
	d := newDigest()
	ended := map[int32]bool{}
	for deadline := time.Now().Add(limit); len(ended) < partitions; {
		if time.Now().After(deadline) {
			return d, fmt.Errorf("%d records in %v", d.count, limit)
		}
		switch e := consumer.Poll(100).(type) {
		case *kafka.Message:
			r := record{partition: e.TopicPartition.Partition, key: e.Key, value: e.Value}
			for _, h := range e.Headers {
				r.headers = append(r.headers, header{h.Key, h.Value})
			}
			d.add(r)
			d.count++
		case kafka.PartitionEOF:
			ended[e.Partition] = true
		case kafka.Error:
			if e.Code() != kafka.ErrAllBrokersDown || e.IsFatal() {
				return d, e
			}
		}
	}
	return d, nil
}

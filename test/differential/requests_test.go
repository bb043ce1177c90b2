//go:build peers

package differential

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicConfig is topic properties for create.
type topicConfig map[string]string

// topic makes sure that a topic exists on both sides and that its partitions take requests. It compares nothing.
func (p *pair) topic(name string, partitions int32, config topicConfig) {
	p.Helper()
	p.once("topic "+name, func() {
		t := newTopic(name, partitions, 1)
		for k, v := range config {
			t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
		}
		r := createTopics(7, t)
		for _, s := range p.sides {
			a := s.exchange(r, answerLimit)
			if a.outcome != answered || a.response.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
				p.Fatalf("%s does not create %s: %v", s.name, name, a.fields)
			}
			s.awaitLeaders(p, name, partitions)
		}
	})
}

// awaitLeaders learns a topic's id and returns when every partition answers ListOffsets: Kafka names leaders before
// they take requests.
func (s *side) awaitLeaders(p *pair, name string, partitions int32) {
	p.Helper()
	eventually(p.T, s.name+" knows "+name, func() bool {
		s.exchange(metadata(10, name), answerLimit)
		for _, known := range s.topics {
			if known == name {
				return true
			}
		}
		return false
	})
	eventually(p.T, s.name+" leads "+name, func() bool {
		for i := range partitions {
			a := s.exchange(listOffsets(5, name, i, -2), answerLimit)
			if a.outcome != answered || a.response.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode != 0 {
				return false
			}
		}
		return true
	})
}

// fill appends batches to a partition on both sides and compares the answers.
func (p *pair) fill(topic string, partition int32, batches ...batchOf) {
	p.Helper()
	for _, b := range batches {
		p.ask(produce(9, -1, topic, partition, b.bytes()))
	}
}

func produce(v, acks int16, topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = v, acks, 3000
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic,
		Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: records}}}}
	return r
}

// fetchFrom is one partition of a Fetch.
type fetchFrom struct {
	topic     string
	partition int32
	offset    int64
	max       int32 // bytes; 0: 1 MiB
}

// fetch asks without a session, answered at once.
func fetch(v int16, froms ...fetchFrom) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MaxWaitMillis, r.MinBytes, r.MaxBytes = v, 500, 0, 50<<20
	r.SessionID, r.SessionEpoch = 0, -1
	for _, f := range froms {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = f.partition, f.offset, 1<<20
		if f.max != 0 {
			part.PartitionMaxBytes = f.max
		}
		if n := len(r.Topics); n == 0 || r.Topics[n-1].Topic != f.topic {
			r.Topics = append(r.Topics, kmsg.FetchRequestTopic{Topic: f.topic})
		}
		t := &r.Topics[len(r.Topics)-1]
		t.Partitions = append(t.Partitions, part)
	}
	return r
}

func listOffsets(v int16, topic string, partition int32, timestamp int64) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID = v, -1
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = partition, timestamp
	r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{part}}}
	return r
}

func metadata(v int16, names ...string) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.Version = v
	r.Topics = []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		r.Topics = append(r.Topics, kmsg.MetadataRequestTopic{Topic: &n})
	}
	return r
}

func newTopic(name string, partitions int32, replicas int16) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	return t
}

func createTopics(v int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version, r.TimeoutMillis, r.Topics = v, 5000, topics
	return r
}

func deleteTopics(v int16, names ...string) *kmsg.DeleteTopicsRequest {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version, r.TimeoutMillis, r.TopicNames = v, 5000, names
	for _, n := range names {
		r.Topics = append(r.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &n})
	}
	return r
}

// learn stores the topic ids in an answer to CreateTopics or Metadata, so that they are recognised from then on.
func (s *side) learn(response kmsg.Response) {
	add := func(id [16]byte, name string) {
		if id != ([16]byte{}) && name != "" {
			s.topics[id] = name
		}
	}
	switch r := response.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range r.Topics {
			add(t.TopicID, t.Topic)
		}
	case *kmsg.MetadataResponse:
		for _, t := range r.Topics {
			if t.Topic != nil {
				add(t.TopicID, *t.Topic)
			}
		}
	}
}

// versioned names a topic of one case and version.
func versioned(name string, v int16) string {
	return fmt.Sprintf("%s-v%d", strings.NewReplacer(" ", "-", ",", "", "=", ".", "*", "").Replace(name), v)
}

package broker

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// CreateTopics, versions 0 to 7: 1 validate only, 4 defaults by -1, 5 flexible with settings in answers, 7 topic ids.
func createTopicsAPI() api {
	return api{key: wire.KeyCreateTopics, min: 0, max: 7, maxBody: maxMessageBody, handle: blocking(createTopics)}
}

func createTopics(c *call, req *kmsg.CreateTopicsRequest) kmsg.Response {
	resp := kmsg.NewPtrCreateTopicsResponse()
	times := make(map[string]int)
	for _, t := range req.Topics {
		times[t.Topic]++
	}
	var specs []TopicSpec
	var at []int // their places in the answer
	for i := range req.Topics {
		t := &req.Topics[i]
		switch n := times[t.Topic]; {
		case n == 1:
			spec, err := topicSpec(t)
			if err == nil {
				specs, at = append(specs, spec), append(at, len(resp.Topics))
			}
			resp.Topics = append(resp.Topics, creation(t.Topic, nil, err))
		case n > 1: // named more than once: refused, and answered once
			times[t.Topic] = answered
			resp.Topics = append(resp.Topics, creation(t.Topic, nil, refuse(wire.InvalidRequest, "Duplicate topic name.")))
		}
	}
	for i, made := range c.b.catalog.CreateAll(specs, req.ValidateOnly) {
		r := creation(specs[i].Name, made.Topic, made.Err)
		if made.Err == nil {
			r.Configs = c.b.settings(made.Topic)
		}
		resp.Topics[at[i]] = r
	}
	return resp
}

// topicSpec is what t asks for, if that can be told.
func topicSpec(t *kmsg.CreateTopicsRequestTopic) (TopicSpec, error) {
	spec := TopicSpec{Name: t.Topic, Partitions: t.NumPartitions, Replication: t.ReplicationFactor}
	for _, a := range t.ReplicaAssignment {
		if _, twice := spec.Assignment[a.Partition]; twice {
			return spec, refuse(wire.InvalidReplicaAssignment,
				"Found multiple manual partition assignments for partition %d", a.Partition)
		}
		if spec.Assignment == nil {
			spec.Assignment = make(map[int32][]int32, len(t.ReplicaAssignment))
		}
		spec.Assignment[a.Partition] = a.Replicas
	}
	for _, kv := range t.Configs {
		if kv.Value == nil {
			return spec, refuse(wire.InvalidConfig, "Null value not supported for topic configs: %s", kv.Name)
		}
		if spec.Overrides == nil {
			spec.Overrides = make(map[string]string, len(t.Configs))
		}
		spec.Overrides[kv.Name] = *kv.Value
	}
	return spec, nil
}

// creation is the answer for one topic: what was made, or why it was not. With neither it is a place to fill.
func creation(name string, made *Topic, err error) kmsg.CreateTopicsResponseTopic {
	r := kmsg.NewCreateTopicsResponseTopic()
	r.Topic = name
	r.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // the Java admin client fails on null
	r.NumPartitions, r.ReplicationFactor = -1, -1
	if err != nil {
		text := err.Error()
		r.ErrorCode, r.ErrorMessage = int16(codeOf(err)), &text
		return r
	}
	if made != nil {
		r.TopicID, r.NumPartitions, r.ReplicationFactor = made.ID, int32(len(made.Partitions)), 1
	}
	return r
}

func (b *Broker) settings(t *Topic) []kmsg.CreateTopicsResponseTopicConfig {
	entries := config.TopicEntries(t.Overrides, b.catalog.Image().Config)
	out := make([]kmsg.CreateTopicsResponseTopicConfig, 0, len(entries))
	for _, e := range entries {
		k := kmsg.NewCreateTopicsResponseTopicConfig()
		k.Name, k.Value, k.Source = e.Key.Name, &e.Text, int8(e.Source)
		out = append(out, k)
	}
	return out
}

// maxCreating is how many topics may wait for their auto-creation: some ten seconds of a worker. More are left for
// when they are asked for again.
const maxCreating = 1000

// autoCreate makes a topic that a Metadata request named, with the broker's defaults, in the background. However
// many requests name it meanwhile, it is tried once at a time.
func (b *Broker) autoCreate(name string) {
	if b.waiting.Load() >= maxCreating {
		return
	}
	if _, busy := b.creating.LoadOrStore(name, true); busy {
		return
	}
	b.waiting.Add(1)
	b.workers.do(func() {
		defer b.survive()
		defer b.waiting.Add(-1)
		defer b.creating.Delete(name)
		_, err := b.catalog.Create(TopicSpec{Name: name, Partitions: -1, Replication: -1}, false)
		var r *Refusal
		if err != nil && !(errors.As(err, &r) && r.Code == wire.TopicAlreadyExists) {
			b.log.Warn("topic not auto-created", "topic", name, "error", err)
		}
	})
}

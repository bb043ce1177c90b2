package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
)

// DeleteRecords, versions 0 to 2: 2 flexible. The new log starts are on disk before the answer, so it runs on a worker.
func deleteRecordsAPI() api {
	return api{key: wire.KeyDeleteRecords, min: 0, max: 2, maxBody: maxMessageBody, handle: blocking(deleteRecords)}
}

// toHighWatermark is the offset that stands for it (DeleteRecordsRequest.HIGH_WATERMARK).
const toHighWatermark = -1

func deleteRecords(c *call, req *kmsg.DeleteRecordsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	image := c.b.catalog.Image()
	// Of a partition that is named more than once the last offset counts, and it is answered once.
	type place struct {
		topic string
		index int32
	}
	wanted := make(map[place]int64)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			wanted[place{t.Topic, p.Partition}] = p.Offset
		}
	}
	at := make(map[string]int) // index of a topic in the answer
	trims := make(map[*logstore.Dir][]deletedRecords)
	for _, t := range req.Topics {
		topic := image.TopicNamed(t.Topic)
		for _, p := range t.Partitions {
			offset, ok := wanted[place{t.Topic, p.Partition}]
			if !ok {
				continue
			}
			delete(wanted, place{t.Topic, p.Partition})
			i, ok := at[t.Topic]
			if !ok {
				i = len(resp.Topics)
				at[t.Topic] = i
				resp.Topics = append(resp.Topics, kmsg.DeleteRecordsResponseTopic{Topic: t.Topic})
			}
			r, dir := topic.deleteRecords(p.Partition, offset)
			if dir != nil {
				trims[dir] = append(trims[dir], deletedRecords{i, len(resp.Topics[i].Partitions)})
			}
			resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, r)
		}
	}
	for dir, parts := range trims {
		if err := dir.Trim(); err != nil {
			c.b.log.Error("deleted records are not deleted for good", "dir", dir.Path(), "error", err)
			for _, d := range parts {
				r := &resp.Topics[d.topic].Partitions[d.partition]
				r.LowWatermark, r.ErrorCode = -1, int16(wire.KafkaStorageError)
			}
		}
	}
	return resp
}

// deletedRecords is a place in the answer.
type deletedRecords struct{ topic, partition int }

// deleteRecords moves the start of partition i of t, which may be nil. dir is where that has to be made to last, nil
// when nothing was done. The order of the checks is Kafka's (ReplicaManager.deleteRecordsOnLocalLog).
func (t *Topic) deleteRecords(i int32, offset int64) (r kmsg.DeleteRecordsResponseTopicPartition, dir *logstore.Dir) {
	r.Partition, r.LowWatermark = i, -1
	p := t.partition(i)
	switch {
	case p == nil:
		r.ErrorCode = int16(t.unavailable(i))
		return r, nil
	case t.Internal:
		r.ErrorCode = int16(wire.InvalidTopicException)
		return r, nil
	case t.Config.Compact && !t.Config.Delete:
		r.ErrorCode = int16(wire.PolicyViolation)
		return r, nil
	}
	upper := p.highWatermark()
	if offset == toHighWatermark {
		offset = upper
	}
	start, err := p.log.DeleteBefore(offset, upper)
	if err != nil {
		r.ErrorCode = int16(codeOf(err))
		return r, nil
	}
	r.LowWatermark = start
	return r, p.log.Dir()
}

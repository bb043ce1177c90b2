package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// ListOffsets, versions 1 to 7: 2 isolation level, 4 leader epoch, 6 flexible, 7 offset of the largest timestamp.
// It reads indexes and records, so it runs on a worker.
func listOffsetsAPI() api {
	return api{key: wire.KeyListOffsets, min: 1, max: 7, maxBody: maxMessageBody, handle: blocking(listOffsets)}
}

// Timestamps with a meaning of their own. Later versions have more, down to -6.
const (
	latestOffset   = -1
	earliestOffset = -2
	maxTimestamp   = -3
)

func listOffsets(c *call, req *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := kmsg.NewPtrListOffsetsResponse()
	image := c.b.catalog.Image()
	// Partitions that one request names twice are refused, and answered once.
	type place struct {
		topic string
		index int32
	}
	count := make(map[place]int)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			count[place{t.Topic, p.Partition}]++
		}
	}
	for _, t := range req.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		topic := image.TopicNamed(t.Topic)
		for _, p := range t.Partitions {
			at := place{t.Topic, p.Partition}
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset, rp.Timestamp, rp.LeaderEpoch = p.Partition, -1, -1, -1
			switch n := count[at]; {
			case n == answered:
				continue
			case n > 1:
				count[at] = answered
				rp.ErrorCode = int16(wire.InvalidRequest)
			case p.Timestamp < maxTimestamp || p.Timestamp == maxTimestamp && c.version() < 7:
				rp.ErrorCode = int16(wire.UnsupportedVersion)
			default:
				if part := topic.partition(p.Partition); part == nil {
					rp.ErrorCode = int16(topic.unavailable(p.Partition))
				} else {
					part.listOffset(p.Timestamp, p.CurrentLeaderEpoch, req.IsolationLevel == readCommitted, &rp)
				}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// listOffset answers for one partition. Nothing found is offset -1 and timestamp -1 without an error. With committed the
// partition ends at its last stable offset.
func (p *Partition) listOffset(timestamp int64, epoch int32, committed bool, r *kmsg.ListOffsetsResponseTopicPartition) {
	if p.offline() {
		r.ErrorCode = int16(wire.KafkaStorageError)
		return
	}
	if refusal := p.checkEpoch(epoch); refusal != nil {
		r.ErrorCode = int16(refusal.Code)
		return
	}
	var err error
	found, end := true, p.highWatermark
	if committed {
		end = p.log.LastStableOffset
	}
	switch timestamp {
	case latestOffset:
		r.Offset = end()
	case earliestOffset:
		r.Offset = p.log.StartOffset()
	case maxTimestamp:
		r.Offset, r.Timestamp, found, err = p.log.MaxTimestamp()
	default:
		r.Offset, r.Timestamp, found, err = p.log.OffsetForTime(timestamp)
	}
	if timestamp >= 0 || timestamp == maxTimestamp {
		found = found && r.Offset < end() // what waits for the disk is not there yet
	}
	switch {
	case err != nil:
		r.ErrorCode = int16(codeOf(err))
		fallthrough
	case !found:
		r.Offset, r.Timestamp = -1, -1
	default:
		r.LeaderEpoch = p.leaderEpoch()
	}
}

package wire

import "math"

// A Fetch response, with what is not in all versions in brackets:
//
//	head       throttle int32, [7+: error int16, session id int32], count of topics
//	topic      name, or id from 13 on; count of partitions
//	partition  index int32, error int16, high watermark, last stable offset, [5+: log start offset] int64,
//	           aborted transactions (producer id, first offset int64, [12+: tags]),
//	           [11+: preferred read replica int32], length of the records
//	           … records …
//	           [12+: tags: 0 diverging epoch, 1 current leader, 2 snapshot id]
//	topic end  [12+: tags]
//	tail       [12+: tags: 0 node endpoints, 16+]
//
// Lengths and counts are int32 below version 12, and compact (uvarint of one more) from there on.

// FetchPartitionResponse is a partition of a Fetch response. Reset gives the defaults; a zero value does not
// have them.
type FetchPartitionResponse struct {
	Index                int32
	Error                ErrorCode
	HighWatermark        int64
	LastStableOffset     int64
	LogStartOffset       int64                // from version 5
	Aborted              []AbortedTransaction // nil: null
	PreferredReadReplica int32                // from version 11; -1: none
	DivergingEpoch       EpochEnd             // from version 12; NoEpochEnd is left out
	CurrentLeader        CurrentLeader        // from version 12; NoLeader is left out
	SnapshotID           EpochEnd             // from version 12; NoEpochEnd is left out
	Records              []byte               // set by FetchResponse.Decode alone, a view; nil: null
}

// AbortedTransaction is a transaction that a read-committed consumer must leave out.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// EpochEnd is a leader epoch with an end offset: the point to truncate to, or a snapshot.
type EpochEnd struct {
	Epoch     int32
	EndOffset int64
}

// NoEpochEnd is the EpochEnd of an answer that names none.
var NoEpochEnd = EpochEnd{-1, -1}

// Reset gives p the defaults for the partition: no error, all else -1, nothing aborted (null), no tags.
func (p *FetchPartitionResponse) Reset(index int32) {
	*p = FetchPartitionResponse{
		Index: index, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1,
		DivergingEpoch: NoEpochEnd, CurrentLeader: NoLeader, SnapshotID: NoEpochEnd,
	}
}

// FetchWriter writes the body of a Fetch response in pieces, between which the caller puts the record bytes:
//
//	AppendHead { AppendTopic { AppendPartition <records> AppendPartitionEnd } AppendTopicEnd } AppendTail
type FetchWriter struct {
	Version   int16          // 4 to 18
	Endpoints []NodeEndpoint // of the leaders named in CurrentLeader; written by AppendTail from version 16
}

func (w *FetchWriter) flexible() bool { return w.Version >= fetchFlexible }

// AppendHead appends what precedes the first topic. Below version 7 a response has neither error nor session.
func (w *FetchWriter) AppendHead(
	dst []byte, throttleMillis int32, err ErrorCode, sessionID int32, topics int,
) []byte {
	dst = appendInt32(dst, throttleMillis)
	if w.Version >= 7 {
		dst = appendInt16(dst, int16(err))
		dst = appendInt32(dst, sessionID)
	}
	return appendCount(dst, w.flexible(), int64(topics))
}

// AppendTopic appends what precedes a topic's first partition: the name below version 13, the id from there on.
func (w *FetchWriter) AppendTopic(dst []byte, name []byte, id [16]byte, partitions int) []byte {
	dst = appendTopic(dst, w.flexible(), w.Version >= fetchTopicIDs, name, &id)
	return appendCount(dst, w.flexible(), int64(partitions))
}

// AppendPartition appends a partition up to and including the length of its records, 0 to 2^31-1 bytes, which
// must follow. They are never null: librdkafka does not take that.
func (w *FetchWriter) AppendPartition(dst []byte, p *FetchPartitionResponse, recordsLen int64) []byte {
	if recordsLen < 0 || recordsLen > math.MaxInt32 {
		panic("BUG: wire: length of fetched records out of range")
	}
	dst = appendInt32(dst, p.Index)
	dst = appendInt16(dst, int16(p.Error))
	dst = appendInt64(dst, p.HighWatermark)
	dst = appendInt64(dst, p.LastStableOffset)
	if w.Version >= 5 {
		dst = appendInt64(dst, p.LogStartOffset)
	}
	if p.Aborted == nil {
		dst = appendCount(dst, w.flexible(), -1)
	} else {
		dst = appendCount(dst, w.flexible(), int64(len(p.Aborted)))
	}
	for i := range p.Aborted {
		dst = appendInt64(dst, p.Aborted[i].ProducerID)
		dst = appendInt64(dst, p.Aborted[i].FirstOffset)
		dst = appendTags(dst, w.flexible())
	}
	if w.Version >= 11 {
		dst = appendInt32(dst, p.PreferredReadReplica)
	}
	return appendCount(dst, w.flexible(), recordsLen)
}

// AppendPartitionEnd appends what follows the records of p: its tags from version 12 on, nothing before.
func (w *FetchWriter) AppendPartitionEnd(dst []byte, p *FetchPartitionResponse) []byte {
	if !w.flexible() {
		return dst
	}
	at, n := len(dst), byte(0)
	dst = append(dst, 0)
	if p.DivergingEpoch != NoEpochEnd {
		n++
		dst = append(dst, 0, 4+8+1)
		dst = appendInt32(dst, p.DivergingEpoch.Epoch)
		dst = appendInt64(dst, p.DivergingEpoch.EndOffset)
		dst = append(dst, 0)
	}
	if p.CurrentLeader != NoLeader {
		n++
		dst = appendLeader(dst, 1, p.CurrentLeader)
	}
	if p.SnapshotID != NoEpochEnd {
		n++
		dst = append(dst, 2, 8+4+1)
		dst = appendInt64(dst, p.SnapshotID.EndOffset)
		dst = appendInt32(dst, p.SnapshotID.Epoch)
		dst = append(dst, 0)
	}
	dst[at] = n
	return dst
}

// AppendTopicEnd appends what follows the last partition of a topic.
func (w *FetchWriter) AppendTopicEnd(dst []byte) []byte { return appendTags(dst, w.flexible()) }

// AppendTail appends what follows the last topic.
func (w *FetchWriter) AppendTail(dst []byte) []byte {
	if w.Version >= fetchEndpoints {
		return appendEndpoints(dst, w.Endpoints)
	}
	return appendTags(dst, w.flexible())
}

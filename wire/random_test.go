package wire

import (
	"math/rand"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maker makes random kmsg messages. Fields that a version lacks keep kmsg's defaults, so that what is encoded
// can be compared with what comes back.
type maker struct {
	*rand.Rand
	v int16
}

func (m maker) text() string {
	b := make([]byte, 1+m.Intn(20))
	m.Read(b)
	return string(b)
}

func (m maker) nullable() *string {
	if m.Intn(3) == 0 {
		return nil
	}
	s := m.text()
	return &s
}

func (m maker) id() (id [16]byte) {
	m.Read(id[:])
	return id
}

func (m maker) blob() []byte {
	if m.Intn(4) == 0 {
		return nil
	}
	b := make([]byte, m.Intn(300))
	m.Read(b)
	return b
}

func (m maker) i32() int32 { return int32(m.Uint32()) >> m.Intn(32) }
func (m maker) i64() int64 { return int64(m.Uint64()) >> m.Intn(64) }
func (m maker) i16() int16 { return int16(m.Uint32()) }

func (m maker) tags(t *kmsg.Tags) {
	for range m.Intn(3) {
		t.Set(uint32(50+m.Intn(1000)), m.blob())
	}
}

func (m maker) produceRequest(tags bool) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version = m.v
	r.TransactionID, r.Acks, r.TimeoutMillis = m.nullable(), m.i16(), m.i32()
	for range m.Intn(4) {
		t := kmsg.NewProduceRequestTopic()
		if m.v < 13 {
			t.Topic = m.text()
		} else {
			t.TopicID = m.id()
		}
		for range m.Intn(5) {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = m.i32(), m.blob()
			if tags {
				m.tags(&p.UnknownTags)
			}
			t.Partitions = append(t.Partitions, p)
		}
		if tags {
			m.tags(&t.UnknownTags)
		}
		r.Topics = append(r.Topics, t)
	}
	if tags {
		m.tags(&r.UnknownTags)
	}
	return r
}

func (m maker) produceResponse(tags bool) *kmsg.ProduceResponse {
	r := kmsg.NewPtrProduceResponse()
	r.Version, r.ThrottleMillis = m.v, m.i32()
	for range m.Intn(4) {
		t := kmsg.NewProduceResponseTopic()
		if m.v < 13 {
			t.Topic = m.text()
		} else {
			t.TopicID = m.id()
		}
		for range m.Intn(5) {
			t.Partitions = append(t.Partitions, m.producePartition(tags))
		}
		if tags {
			m.tags(&t.UnknownTags)
		}
		r.Topics = append(r.Topics, t)
	}
	if m.v >= 10 {
		for range m.Intn(3) {
			b := kmsg.NewProduceResponseBroker()
			b.NodeID, b.Host, b.Port, b.Rack = m.i32(), m.text(), m.i32(), m.nullable()
			r.Brokers = append(r.Brokers, b)
		}
	}
	if tags {
		m.tags(&r.UnknownTags)
	}
	return r
}

func (m maker) producePartition(tags bool) kmsg.ProduceResponseTopicPartition {
	p := kmsg.NewProduceResponseTopicPartition()
	p.Partition, p.ErrorCode, p.BaseOffset, p.LogAppendTime = m.i32(), m.i16(), m.i64(), m.i64()
	if m.v >= 5 {
		p.LogStartOffset = m.i64()
	}
	if m.v >= 8 {
		p.ErrorMessage = m.nullable()
		for range m.Intn(3) {
			e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			e.RelativeOffset, e.ErrorMessage = m.i32(), m.nullable()
			p.ErrorRecords = append(p.ErrorRecords, e)
		}
	}
	if m.v >= 10 && m.Intn(2) == 0 {
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = m.i32(), m.i32()
	}
	if tags {
		m.tags(&p.UnknownTags)
	}
	return p
}

func (m maker) fetchRequest(tags bool) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version = m.v
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.IsolationLevel = m.i32(), m.i32(), m.i32(), int8(m.i32())
	if m.v < 15 {
		r.ReplicaID = m.i32()
	} else if m.Intn(2) == 0 {
		r.ReplicaState.ID, r.ReplicaState.Epoch = m.i32(), m.i64()
	}
	if m.v >= 7 {
		r.SessionID, r.SessionEpoch = m.i32(), m.i32()
	}
	if m.v >= 11 {
		r.Rack = m.text()
	}
	if m.v >= 12 {
		r.ClusterID = m.nullable()
	}
	for range m.Intn(4) {
		t := kmsg.NewFetchRequestTopic()
		if m.v < 13 {
			t.Topic = m.text()
		} else {
			t.TopicID = m.id()
		}
		for range m.Intn(5) {
			t.Partitions = append(t.Partitions, m.fetchPartition(tags))
		}
		if tags {
			m.tags(&t.UnknownTags)
		}
		r.Topics = append(r.Topics, t)
	}
	for range m.Intn(3) {
		if m.v < 7 {
			break
		}
		t := kmsg.NewFetchRequestForgottenTopic()
		if m.v < 13 {
			t.Topic = m.text()
		} else {
			t.TopicID = m.id()
		}
		for range m.Intn(5) {
			t.Partitions = append(t.Partitions, m.i32())
		}
		r.ForgottenTopics = append(r.ForgottenTopics, t)
	}
	if tags {
		m.tags(&r.UnknownTags)
	}
	return r
}

func (m maker) fetchPartition(tags bool) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = m.i32(), m.i64(), m.i32()
	if m.v >= 5 {
		p.LogStartOffset = m.i64()
	}
	if m.v >= 9 {
		p.CurrentLeaderEpoch = m.i32()
	}
	if m.v >= 12 {
		p.LastFetchedEpoch = m.i32()
	}
	if m.v >= 17 && m.Intn(2) == 0 {
		p.ReplicaDirectoryID = m.id()
	}
	if m.v >= 18 && m.Intn(2) == 0 {
		p.HighWatermark = m.i64()
	}
	if tags {
		m.tags(&p.UnknownTags)
	}
	return p
}

func (m maker) fetchResponse(tags bool) *kmsg.FetchResponse {
	r := kmsg.NewPtrFetchResponse()
	r.Version, r.ThrottleMillis = m.v, m.i32()
	if m.v >= 7 {
		r.ErrorCode, r.SessionID = m.i16(), m.i32()
	}
	for range m.Intn(4) {
		t := kmsg.NewFetchResponseTopic()
		if m.v < 13 {
			t.Topic = m.text()
		} else {
			t.TopicID = m.id()
		}
		for range m.Intn(5) {
			t.Partitions = append(t.Partitions, m.fetchedPartition(tags))
		}
		if tags {
			m.tags(&t.UnknownTags)
		}
		r.Topics = append(r.Topics, t)
	}
	if m.v >= 16 {
		for range m.Intn(3) {
			b := kmsg.NewFetchResponseBroker()
			b.NodeID, b.Host, b.Port, b.Rack = m.i32(), m.text(), m.i32(), m.nullable()
			r.Brokers = append(r.Brokers, b)
		}
	}
	if tags {
		m.tags(&r.UnknownTags)
	}
	return r
}

func (m maker) fetchedPartition(tags bool) kmsg.FetchResponseTopicPartition {
	p := kmsg.NewFetchResponseTopicPartition()
	p.Partition, p.ErrorCode, p.HighWatermark, p.LastStableOffset = m.i32(), m.i16(), m.i64(), m.i64()
	if p.RecordBatches = m.blob(); p.RecordBatches == nil && !tags {
		p.RecordBatches = []byte{} // our writer never writes null
	}
	if m.v >= 5 {
		p.LogStartOffset = m.i64()
	}
	if m.Intn(2) == 0 {
		p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		for range m.Intn(4) {
			a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			a.ProducerID, a.FirstOffset = m.i64(), m.i64()
			p.AbortedTransactions = append(p.AbortedTransactions, a)
		}
	}
	if m.v >= 11 {
		p.PreferredReadReplica = m.i32()
	}
	if m.v >= 12 && m.Intn(2) == 0 {
		p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = m.i32(), m.i64()
	}
	if m.v >= 12 && m.Intn(2) == 0 {
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = m.i32(), m.i32()
	}
	if m.v >= 12 && m.Intn(2) == 0 {
		p.SnapshotID.Epoch, p.SnapshotID.EndOffset = m.i32(), m.i64()
	}
	if tags {
		m.tags(&p.UnknownTags)
	}
	return p
}

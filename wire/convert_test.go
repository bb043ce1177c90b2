package wire

import (
	"fmt"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The functions here turn our messages into kmsg's, so that the two can be compared field by field, tags that
// nobody knows left out.

func pointer(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}

func textPointer(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func kmsgProduceRequest(r *ProduceRequest) *kmsg.ProduceRequest {
	k := kmsg.NewPtrProduceRequest()
	k.Version, k.TransactionID, k.Acks, k.TimeoutMillis = r.Version, pointer(r.TransactionalID), r.Acks, r.TimeoutMillis
	for _, t := range r.Topics {
		kt := kmsg.ProduceRequestTopic{Topic: string(t.Name), TopicID: t.ID}
		for _, p := range t.Partitions {
			kt.Partitions = append(kt.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p.Index, Records: p.Records})
		}
		k.Topics = append(k.Topics, kt)
	}
	return k
}

func kmsgProduceResponse(r *ProduceResponse, version int16) *kmsg.ProduceResponse {
	k := kmsg.NewPtrProduceResponse()
	k.Version, k.ThrottleMillis = version, r.ThrottleMillis
	for _, t := range r.Topics {
		kt := kmsg.ProduceResponseTopic{Topic: string(t.Name), TopicID: t.ID}
		for _, p := range t.Partitions {
			kp := kmsg.NewProduceResponseTopicPartition()
			kp.Partition, kp.ErrorCode, kp.BaseOffset = p.Index, int16(p.Error), p.BaseOffset
			kp.LogAppendTime, kp.LogStartOffset, kp.ErrorMessage = p.LogAppendTime, p.LogStartOffset, textPointer(p.ErrorMessage)
			kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.CurrentLeader.ID, p.CurrentLeader.Epoch
			for _, e := range p.RecordErrors {
				kp.ErrorRecords = append(kp.ErrorRecords, kmsg.ProduceResponseTopicPartitionErrorRecord{
					RelativeOffset: e.Index, ErrorMessage: textPointer(e.Message)})
			}
			kt.Partitions = append(kt.Partitions, kp)
		}
		k.Topics = append(k.Topics, kt)
	}
	for _, e := range r.Endpoints {
		k.Brokers = append(k.Brokers, kmsg.ProduceResponseBroker{NodeID: e.ID, Host: e.Host, Port: e.Port, Rack: textPointer(e.Rack)})
	}
	return k
}

func kmsgFetchRequest(r *FetchRequest) *kmsg.FetchRequest {
	k := kmsg.NewPtrFetchRequest()
	k.Version, k.ClusterID, k.ReplicaID = r.Version, pointer(r.ClusterID), r.ReplicaID
	k.ReplicaState.ID, k.ReplicaState.Epoch = r.ReplicaState.ID, r.ReplicaState.Epoch
	k.MaxWaitMillis, k.MinBytes, k.MaxBytes, k.IsolationLevel = r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.IsolationLevel
	k.SessionID, k.SessionEpoch, k.Rack = r.SessionID, r.SessionEpoch, string(r.Rack)
	for _, t := range r.Topics {
		kt := kmsg.FetchRequestTopic{Topic: string(t.Name), TopicID: t.ID}
		for _, p := range t.Partitions {
			kt.Partitions = append(kt.Partitions, kmsg.FetchRequestTopicPartition{
				Partition: p.Index, CurrentLeaderEpoch: p.CurrentLeaderEpoch, FetchOffset: p.FetchOffset,
				LastFetchedEpoch: p.LastFetchedEpoch, LogStartOffset: p.LogStartOffset, PartitionMaxBytes: p.MaxBytes,
				ReplicaDirectoryID: p.ReplicaDirectoryID, HighWatermark: p.HighWatermark,
			})
		}
		k.Topics = append(k.Topics, kt)
	}
	for _, t := range r.Forgotten {
		kt := kmsg.FetchRequestForgottenTopic{Topic: string(t.Name), TopicID: t.ID}
		kt.Partitions = append(kt.Partitions, t.Partitions...)
		k.ForgottenTopics = append(k.ForgottenTopics, kt)
	}
	return k
}

func kmsgFetchResponse(r *FetchResponse, version int16) *kmsg.FetchResponse {
	k := kmsg.NewPtrFetchResponse()
	k.Version, k.ThrottleMillis, k.ErrorCode, k.SessionID = version, r.ThrottleMillis, int16(r.Error), r.SessionID
	for _, t := range r.Topics {
		kt := kmsg.FetchResponseTopic{Topic: string(t.Name), TopicID: t.ID}
		for _, p := range t.Partitions {
			kp := kmsg.NewFetchResponseTopicPartition()
			kp.Partition, kp.ErrorCode, kp.HighWatermark = p.Index, int16(p.Error), p.HighWatermark
			kp.LastStableOffset, kp.LogStartOffset, kp.PreferredReadReplica = p.LastStableOffset, p.LogStartOffset, p.PreferredReadReplica
			kp.DivergingEpoch.Epoch, kp.DivergingEpoch.EndOffset = p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset
			kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.CurrentLeader.ID, p.CurrentLeader.Epoch
			kp.SnapshotID.Epoch, kp.SnapshotID.EndOffset = p.SnapshotID.Epoch, p.SnapshotID.EndOffset
			kp.RecordBatches = p.Records
			if p.Aborted != nil {
				kp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			}
			for _, a := range p.Aborted {
				kp.AbortedTransactions = append(kp.AbortedTransactions,
					kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
			}
			kt.Partitions = append(kt.Partitions, kp)
		}
		k.Topics = append(k.Topics, kt)
	}
	for _, e := range r.Endpoints {
		k.Brokers = append(k.Brokers, kmsg.FetchResponseBroker{NodeID: e.ID, Host: e.Host, Port: e.Port, Rack: textPointer(e.Rack)})
	}
	return k
}

// writeFetch writes a response with our writer, the records spliced in.
func writeFetch(r *FetchResponse, version int16) []byte {
	w := FetchWriter{Version: version, Endpoints: r.Endpoints}
	dst := w.AppendHead(nil, r.ThrottleMillis, r.Error, r.SessionID, len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		dst = w.AppendTopic(dst, t.Name, t.ID, len(t.Partitions))
		for j := range t.Partitions {
			p := &t.Partitions[j]
			dst = w.AppendPartition(dst, p, int64(len(p.Records)))
			dst = append(dst, p.Records...)
			dst = w.AppendPartitionEnd(dst, p)
		}
		dst = w.AppendTopicEnd(dst)
	}
	return w.AppendTail(dst)
}

// differ tells where two messages differ. Nil and empty arrays are alike (except those of aborted
// transactions and of records), unknown tags are left out, and so are the texts kmsg has empty and we null.
func differ(a, b any) string { return diff(reflect.ValueOf(a), reflect.ValueOf(b), "") }

// diff builds the path to the difference on the way back, so that it costs nothing when there is none.
func diff(a, b reflect.Value, field string) string {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return diffNil(a, b)
		}
		return diff(a.Elem(), b.Elem(), field)
	case reflect.Struct:
		for i := range a.NumField() {
			name := a.Type().Field(i).Name
			if name == "UnknownTags" {
				continue
			}
			if d := diff(a.Field(i), b.Field(i), name); d != "" {
				return "." + name + d
			}
		}
		return ""
	case reflect.Slice:
		bytes := a.Type().Elem().Kind() == reflect.Uint8
		if a.Len() != b.Len() || (bytes || field == "AbortedTransactions") && a.IsNil() != b.IsNil() {
			return fmt.Sprintf(": %v and %v", a, b)
		}
		for i := 0; i < a.Len() && !bytes; i++ {
			if d := diff(a.Index(i), b.Index(i), ""); d != "" {
				return fmt.Sprintf("[%d]%s", i, d)
			}
		}
		if bytes && string(a.Bytes()) != string(b.Bytes()) {
			return fmt.Sprintf(": %x and %x", a, b)
		}
		return ""
	}
	if !a.Equal(b) {
		return fmt.Sprintf(": %v and %v", a, b)
	}
	return ""
}

// diffNil compares texts of which one is null: where we hold a string, empty is null.
func diffNil(a, b reflect.Value) string {
	some := a
	if a.IsNil() {
		some = b
	}
	if s, ok := some.Interface().(*string); ok && (s == nil || *s == "") {
		return ""
	}
	return ": one is null"
}

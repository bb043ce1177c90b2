package wire

import "github.com/sluice-mq/sluice/wire/batch"

// ProduceResponse is the body of a Produce response. The version decides which of its fields are written.
//
//	5   log start offset
//	8   record errors and error message
//	9   flexible
//	10  current leader and node endpoints, as tagged fields
//	13  topic ids in place of names
//
// To build one: Reset, then for each topic Topic and for each of its partitions Partition.
type ProduceResponse struct {
	Topics         []ProduceTopicResponse
	ThrottleMillis int32
	Endpoints      []NodeEndpoint // of the leaders named in CurrentLeader; from version 10

	partitions arena[ProducePartitionResponse]
	errors     arena[batch.RecordError]
}

// ProduceTopicResponse is a topic of a ProduceResponse.
type ProduceTopicResponse struct {
	Name       []byte
	ID         [16]byte
	Partitions []ProducePartitionResponse
}

// ProducePartitionResponse is a partition of a ProduceResponse. Partition makes one with the defaults.
type ProducePartitionResponse struct {
	Index          int32
	Error          ErrorCode
	BaseOffset     int64               // offset of the first record written, -1 on error
	LogAppendTime  int64               // milliseconds, -1 unless the topic has LogAppendTime
	LogStartOffset int64               // -1: unknown
	RecordErrors   []batch.RecordError // from version 8
	ErrorMessage   string              // from version 8; empty is null
	CurrentLeader  CurrentLeader       // from version 10; NoLeader is left out
}

// CurrentLeader names the leader of a partition in an answer from a broker that is not (KIP-951).
type CurrentLeader struct{ ID, Epoch int32 }

// NoLeader is the CurrentLeader of an answer that names none.
var NoLeader = CurrentLeader{-1, -1}

// NodeEndpoint is the address of a leader named in a response.
type NodeEndpoint struct {
	ID   int32
	Host string
	Port int32
	Rack string // empty: null
}

// Reset empties r and drops what it points to. Arrays of up to keepElements elements are kept for the next
// response; larger ones are left to the garbage collector.
func (r *ProduceResponse) Reset() {
	kept := ProduceResponse{
		Topics: emptied(r.Topics), Endpoints: emptied(r.Endpoints), partitions: r.partitions, errors: r.errors,
	}
	kept.partitions.reset()
	kept.errors.reset()
	*r = kept
}

// Topic begins a topic; the partitions that follow are its own. name is kept, not copied.
func (r *ProduceResponse) Topic(name []byte, id [16]byte) {
	r.Topics = append(r.Topics, ProduceTopicResponse{Name: name, ID: id})
}

// Partition adds a partition to the topic begun last: no error, offsets and times -1, no leader. The pointer
// is good until the next call of Partition, Topic or Reset; later the partition is found in r.Topics.
func (r *ProduceResponse) Partition(index int32) *ProducePartitionResponse {
	t := &r.Topics[len(r.Topics)-1]
	t.Partitions = r.partitions.extend(t.Partitions)
	p := &t.Partitions[len(t.Partitions)-1]
	*p = ProducePartitionResponse{
		Index: index, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, CurrentLeader: NoLeader,
	}
	return p
}

// Append appends the body in the given version, 3 to 13.
func (r *ProduceResponse) Append(dst []byte, version int16) []byte {
	flexible, ids := version >= produceFlexible, version >= produceTopicIDs
	dst = appendCount(dst, flexible, int64(len(r.Topics)))
	for i := range r.Topics {
		t := &r.Topics[i]
		dst = appendTopic(dst, flexible, ids, t.Name, &t.ID)
		dst = appendCount(dst, flexible, int64(len(t.Partitions)))
		for j := range t.Partitions {
			dst = t.Partitions[j].append(dst, version)
		}
		dst = appendTags(dst, flexible)
	}
	dst = appendInt32(dst, r.ThrottleMillis)
	if version >= produceCurrentLead {
		return appendEndpoints(dst, r.Endpoints)
	}
	return appendTags(dst, flexible)
}

func (p *ProducePartitionResponse) append(dst []byte, version int16) []byte {
	flexible := version >= produceFlexible
	dst = appendInt32(dst, p.Index)
	dst = appendInt16(dst, int16(p.Error))
	dst = appendInt64(dst, p.BaseOffset)
	dst = appendInt64(dst, p.LogAppendTime)
	if version >= 5 {
		dst = appendInt64(dst, p.LogStartOffset)
	}
	if version >= 8 {
		dst = appendCount(dst, flexible, int64(len(p.RecordErrors)))
		for i := range p.RecordErrors {
			dst = appendInt32(dst, p.RecordErrors[i].Index)
			dst = appendText(dst, flexible, p.RecordErrors[i].Message)
			dst = appendTags(dst, flexible)
		}
		dst = appendText(dst, flexible, p.ErrorMessage)
	}
	if version >= produceCurrentLead && p.CurrentLeader != NoLeader {
		return appendLeader(append(dst, 1), 0, p.CurrentLeader)
	}
	return appendTags(dst, flexible)
}

// appendLeader appends a CurrentLeader as a tagged field.
func appendLeader(dst []byte, tag byte, l CurrentLeader) []byte {
	dst = append(dst, tag, 4+4+1)
	dst = appendInt32(dst, l.ID)
	dst = appendInt32(dst, l.Epoch)
	return append(dst, 0)
}

// appendEndpoints appends the tag section of a whole response: tag 0 has the endpoints, if there are any.
func appendEndpoints(dst []byte, endpoints []NodeEndpoint) []byte {
	if len(endpoints) == 0 {
		return append(dst, 0)
	}
	size := uvarintSize(uint32(len(endpoints)) + 1)
	for i := range endpoints {
		e := &endpoints[i]
		size += 4 + uvarintSize(uint32(len(e.Host))+1) + len(e.Host) + 4 + 1 + 1
		if e.Rack != "" {
			size += uvarintSize(uint32(len(e.Rack))+1) - 1 + len(e.Rack)
		}
	}
	dst = append(dst, 1, 0)
	dst = appendUvarint(dst, uint32(size))
	dst = appendUvarint(dst, uint32(len(endpoints))+1)
	for i := range endpoints {
		e := &endpoints[i]
		dst = appendInt32(dst, e.ID)
		dst = appendString(dst, true, e.Host)
		dst = appendInt32(dst, e.Port)
		dst = appendText(dst, true, e.Rack)
		dst = append(dst, 0)
	}
	return dst
}

// Decode reads a body of the given version, 3 to 13. Names are views into body; messages and hosts, which
// come only with errors, are copies. On error r is empty.
func (r *ProduceResponse) Decode(version int16, body []byte) error {
	r.Reset()
	if version < MinProduceVersion || version > MaxProduceVersion {
		return ErrVersion
	}
	b := reader{src: body, flexible: version >= produceFlexible}
	r.Topics = sized(r.Topics, b.count(minTopic(b.flexible, version >= produceTopicIDs)))
	for i := range r.Topics {
		if r.decodeTopic(&b, version, &r.Topics[i]); b.err != nil {
			break
		}
	}
	r.ThrottleMillis = b.int32()
	for n := b.tagCount(); n > 0 && b.err == nil; n-- {
		if key, val := b.tag(); key == 0 {
			r.Endpoints = decodeEndpoints(&b, r.Endpoints, val)
		}
	}
	if b.err != nil {
		r.Reset()
	}
	return b.err
}

func (r *ProduceResponse) decodeTopic(b *reader, version int16, t *ProduceTopicResponse) {
	if version >= produceTopicIDs {
		t.ID = b.uuid()
	} else {
		t.Name = b.string()
	}
	minSize := 4 + 2 + 8 + 8 // index, error, base offset, append time
	t.Partitions = r.partitions.take(b.count(minSize))
	for i := range t.Partitions {
		if r.decodePartition(b, version, &t.Partitions[i]); b.err != nil {
			return
		}
	}
	b.skipTags()
}

func (r *ProduceResponse) decodePartition(b *reader, version int16, p *ProducePartitionResponse) {
	p.Index = b.int32()
	p.Error = ErrorCode(b.int16())
	p.BaseOffset = b.int64()
	p.LogAppendTime = b.int64()
	p.LogStartOffset = -1
	p.CurrentLeader = NoLeader
	if version >= 5 {
		p.LogStartOffset = b.int64()
	}
	if version >= 8 {
		r.decodeRecordErrors(b, p)
		p.ErrorMessage = string(b.nullableString())
	}
	for n := b.tagCount(); n > 0 && b.err == nil; n-- {
		if key, val := b.tag(); key == 0 {
			p.CurrentLeader = decodeLeader(b, val)
		}
	}
}

func (r *ProduceResponse) decodeRecordErrors(b *reader, p *ProducePartitionResponse) {
	minSize := 4 + 2 // index, message
	if b.flexible {
		minSize = 4 + 1 + 1 // and tags
	}
	p.RecordErrors = r.errors.take(b.count(minSize))
	for i := range p.RecordErrors {
		p.RecordErrors[i].Index = b.int32()
		p.RecordErrors[i].Message = string(b.nullableString())
		b.skipTags()
	}
}

func decodeLeader(b *reader, val []byte) CurrentLeader {
	s := b.sub(val)
	l := CurrentLeader{ID: s.int32(), Epoch: s.int32()}
	s.skipTags()
	b.join(&s)
	return l
}

func decodeEndpoints(b *reader, dst []NodeEndpoint, val []byte) []NodeEndpoint {
	s := b.sub(val)
	dst = sized(emptied(dst), s.count(4+1+4+1+1))
	for i := range dst {
		e := &dst[i]
		e.ID = s.int32()
		e.Host = string(s.string())
		e.Port = s.int32()
		e.Rack = string(s.nullableString())
		s.skipTags()
	}
	b.join(&s)
	return dst
}

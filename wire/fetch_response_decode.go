package wire

// FetchResponse is the body of a Fetch response as a client reads it. Brokers write one with FetchWriter.
type FetchResponse struct {
	ThrottleMillis int32
	Error          ErrorCode // from version 7
	SessionID      int32     // from version 7
	Topics         []FetchTopicResponse
	Endpoints      []NodeEndpoint

	partitions arena[FetchPartitionResponse]
	aborted    arena[AbortedTransaction]
}

// FetchTopicResponse is a topic of a FetchResponse.
type FetchTopicResponse struct {
	Name       []byte
	ID         [16]byte
	Partitions []FetchPartitionResponse
}

// Reset empties r and drops what it points to. Arrays of up to keepElements elements are kept for the next
// Decode; larger ones are left to the garbage collector. Decode begins with a Reset.
func (r *FetchResponse) Reset() {
	kept := FetchResponse{
		Topics: emptied(r.Topics), Endpoints: emptied(r.Endpoints), partitions: r.partitions, aborted: r.aborted,
	}
	kept.partitions.reset()
	kept.aborted.reset()
	*r = kept
}

// Decode reads a body of the given version, 4 to 18. Names and records are views into body. Bytes after the
// last field are ignored. On error r is empty.
func (r *FetchResponse) Decode(version int16, body []byte) error {
	r.Reset()
	if version < MinFetchVersion || version > MaxFetchVersion {
		return ErrVersion
	}
	b := reader{src: body, flexible: version >= fetchFlexible}
	r.ThrottleMillis = b.int32()
	if version >= 7 {
		r.Error = ErrorCode(b.int16())
		r.SessionID = b.int32()
	}
	r.Topics = sized(r.Topics, b.count(minTopic(b.flexible, version >= fetchTopicIDs)))
	for i := range r.Topics {
		if r.decodeTopic(&b, version, &r.Topics[i]); b.err != nil {
			break
		}
	}
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

func (r *FetchResponse) decodeTopic(b *reader, version int16, t *FetchTopicResponse) {
	if version >= fetchTopicIDs {
		t.ID = b.uuid()
	} else {
		t.Name = b.string()
	}
	minSize := 4 + 2 + 8 + 8 + 1 + 1 // index, error, two offsets, counts of transactions and bytes
	t.Partitions = r.partitions.take(b.count(minSize))
	for i := range t.Partitions {
		if r.decodePartition(b, version, &t.Partitions[i]); b.err != nil {
			return
		}
	}
	b.skipTags()
}

func (r *FetchResponse) decodePartition(b *reader, version int16, p *FetchPartitionResponse) {
	p.Reset(b.int32())
	p.Error = ErrorCode(b.int16())
	p.HighWatermark = b.int64()
	p.LastStableOffset = b.int64()
	if version >= 5 {
		p.LogStartOffset = b.int64()
	}
	if n := b.nullableCount(8 + 8); n >= 0 {
		p.Aborted = r.aborted.take(n)
	}
	for i := range p.Aborted {
		p.Aborted[i] = AbortedTransaction{ProducerID: b.int64(), FirstOffset: b.int64()}
		b.skipTags()
	}
	if version >= 11 {
		p.PreferredReadReplica = b.int32()
	}
	p.Records = b.nullableBytes()
	for n := b.tagCount(); n > 0 && b.err == nil; n-- {
		key, val := b.tag()
		s := b.sub(val)
		switch key {
		case 0:
			p.DivergingEpoch = EpochEnd{Epoch: s.int32(), EndOffset: s.int64()}
			s.skipTags()
		case 1:
			p.CurrentLeader = CurrentLeader{ID: s.int32(), Epoch: s.int32()}
			s.skipTags()
		case 2:
			end := s.int64()
			p.SnapshotID = EpochEnd{Epoch: s.int32(), EndOffset: end}
			s.skipTags()
		}
		b.join(&s)
	}
}

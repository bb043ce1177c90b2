package wire

// Versions of Produce that the codecs know. Kafka 4 refuses those below 3.
const (
	MinProduceVersion int16 = 3
	MaxProduceVersion int16 = 13

	produceFlexible    = 9
	produceCurrentLead = 10 // KIP-951
	produceTopicIDs    = 13 // KIP-516
)

// ProduceRequest is the body of a Produce request.
//
//	3   the oldest that Kafka 4 takes: record batches of format 2
//	7   zstd allowed
//	9   flexible
//	12  transactions of KIP-890
//	13  topic ids in place of names
type ProduceRequest struct {
	Version         int16
	TransactionalID []byte // nil: null
	Acks            int16
	TimeoutMillis   int32
	Topics          []ProduceTopic

	partitions arena[ProducePartition]
}

// ProduceTopic is a topic of a ProduceRequest: its name below version 13, its id from there on.
type ProduceTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []ProducePartition
}

// ProducePartition is a partition of a ProduceRequest.
type ProducePartition struct {
	Index   int32
	Records []byte // record batches; nil: null
}

// Reset empties r and drops what it points to. Arrays of up to keepElements elements are kept for the next
// Decode; larger ones are left to the garbage collector. Decode begins with a Reset.
func (r *ProduceRequest) Reset() {
	topics, partitions := emptied(r.Topics), r.partitions
	partitions.reset()
	*r = ProduceRequest{Topics: topics, partitions: partitions}
}

// Decode reads a body of the given version, 3 to 13. All byte slices are views into body. Bytes after the
// last field are ignored. On error r is empty: ErrVersion, ErrShort, ErrNull or ErrLimit.
func (r *ProduceRequest) Decode(version int16, body []byte) error {
	r.Reset()
	if version < MinProduceVersion || version > MaxProduceVersion {
		return ErrVersion
	}
	r.Version = version
	b := reader{src: body, flexible: version >= produceFlexible}
	r.TransactionalID = b.nullableString()
	r.Acks = b.int16()
	r.TimeoutMillis = b.int32()
	r.Topics = sized(r.Topics, b.count(minTopic(b.flexible, version >= produceTopicIDs)))
	for i := range r.Topics {
		if r.decodeTopic(&b, &r.Topics[i]); b.err != nil {
			break
		}
	}
	b.skipTags()
	if b.err != nil {
		r.Reset()
	}
	return b.err
}

func (r *ProduceRequest) decodeTopic(b *reader, t *ProduceTopic) {
	if r.Version >= produceTopicIDs {
		t.ID = b.uuid()
	} else {
		t.Name = b.string()
	}
	minSize := 4 + 4 // index, length of the records
	if b.flexible {
		minSize = 4 + 1 + 1 // and tags
	}
	t.Partitions = r.partitions.take(b.count(minSize))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		p.Index = b.int32()
		p.Records = b.nullableBytes()
		b.skipTags()
	}
	b.skipTags()
}

// minTopic is the least size of a topic in the array of any of the messages: its name or id, the count of
// its partitions, its tags.
func minTopic(flexible, ids bool) int {
	switch {
	case ids:
		return 16 + 1 + 1
	case flexible:
		return 1 + 1 + 1
	default:
		return 2 + 4
	}
}

// Append appends the body in r.Version.
func (r *ProduceRequest) Append(dst []byte) []byte {
	flexible, ids := r.Version >= produceFlexible, r.Version >= produceTopicIDs
	dst = appendNullableString(dst, flexible, r.TransactionalID)
	dst = appendInt16(dst, r.Acks)
	dst = appendInt32(dst, r.TimeoutMillis)
	dst = appendCount(dst, flexible, int64(len(r.Topics)))
	for i := range r.Topics {
		t := &r.Topics[i]
		dst = appendTopic(dst, flexible, ids, t.Name, &t.ID)
		dst = appendCount(dst, flexible, int64(len(t.Partitions)))
		for j := range t.Partitions {
			p := &t.Partitions[j]
			dst = appendInt32(dst, p.Index)
			dst = appendRecords(dst, flexible, p.Records)
			dst = appendTags(dst, flexible)
		}
		dst = appendTags(dst, flexible)
	}
	return appendTags(dst, flexible)
}

func appendRecords(dst []byte, flexible bool, records []byte) []byte {
	if records == nil {
		return appendCount(dst, flexible, -1)
	}
	dst = appendCount(dst, flexible, int64(len(records)))
	return append(dst, records...)
}

package wire

import "math"

// Versions of Fetch that the codecs know. Kafka 4 has none below 4.
const (
	MinFetchVersion int16 = 4
	MaxFetchVersion int16 = 18

	fetchFlexible     = 12
	fetchTopicIDs     = 13 // KIP-516
	fetchReplicaState = 15 // KIP-903
	fetchEndpoints    = 16 // KIP-951
)

// FetchRequest is the body of a Fetch request.
//
//	5   log start offset of a follower
//	7   sessions and forgotten topics (KIP-227)
//	9   current leader epoch (KIP-320)
//	11  rack (KIP-392)
//	12  flexible; last fetched epoch, cluster id
//	13  topic ids in place of names
//	15  replica state, a tagged field, in place of the replica id
//	17  replica directory id, a tagged field (KIP-853)
//	18  high watermark of a follower, a tagged field (KIP-1166)
//
// A field that the version lacks has Kafka's default after Decode.
type FetchRequest struct {
	Version        int16
	ClusterID      []byte // nil: null
	ReplicaID      int32  // -1: a consumer; below version 15, see Replica
	ReplicaState   ReplicaState
	MaxWaitMillis  int32
	MinBytes       int32
	MaxBytes       int32
	IsolationLevel int8 // 0 read uncommitted, 1 read committed
	SessionID      int32
	SessionEpoch   int32
	Topics         []FetchTopic
	Forgotten      []ForgottenTopic
	Rack           []byte

	partitions        arena[FetchPartition]
	forgottenElements arena[int32]
}

// ReplicaState is the broker a request comes from, with the epoch of its registration; -1, -1 for a consumer.
type ReplicaState struct {
	ID    int32
	Epoch int64
}

// FetchTopic is a topic of a FetchRequest: its name below version 13, its id from there on.
type FetchTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []FetchPartition
}

// FetchPartition is a partition of a FetchRequest.
type FetchPartition struct {
	Index              int32
	CurrentLeaderEpoch int32 // -1: not checked
	FetchOffset        int64
	LastFetchedEpoch   int32 // -1: not known
	LogStartOffset     int64 // of a follower, -1 of a consumer
	MaxBytes           int32
	ReplicaDirectoryID [16]byte
	HighWatermark      int64 // of a follower, math.MaxInt64 of a consumer
}

// ForgottenTopic names partitions that a session shall drop.
type ForgottenTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []int32
}

// Replica is the id of the broker that fetches, wherever the version keeps it; -1 for a consumer.
func (r *FetchRequest) Replica() int32 {
	if r.Version >= fetchReplicaState {
		return r.ReplicaState.ID
	}
	return r.ReplicaID
}

// Reset gives all fields Kafka's defaults and drops what r points to. Arrays of up to keepElements elements
// are kept for the next Decode; larger ones are left to the garbage collector. Decode begins with a Reset.
func (r *FetchRequest) Reset() {
	kept := FetchRequest{
		ReplicaID: -1, ReplicaState: ReplicaState{-1, -1}, MaxBytes: math.MaxInt32, SessionEpoch: -1,
		Topics: emptied(r.Topics), Forgotten: emptied(r.Forgotten),
		partitions: r.partitions, forgottenElements: r.forgottenElements,
	}
	kept.partitions.reset()
	kept.forgottenElements.reset()
	*r = kept
}

// Decode reads a body of the given version, 4 to 18. All byte slices are views into body. Bytes after the
// last field are ignored. On error r is empty: ErrVersion, ErrShort, ErrNull or ErrLimit.
func (r *FetchRequest) Decode(version int16, body []byte) error {
	r.Reset()
	if version < MinFetchVersion || version > MaxFetchVersion {
		return ErrVersion
	}
	r.Version = version
	b := reader{src: body, flexible: version >= fetchFlexible}
	if version < fetchReplicaState {
		r.ReplicaID = b.int32()
	}
	r.MaxWaitMillis = b.int32()
	r.MinBytes = b.int32()
	r.MaxBytes = b.int32()
	r.IsolationLevel = b.int8()
	if version >= 7 {
		r.SessionID = b.int32()
		r.SessionEpoch = b.int32()
	}
	r.decodeTopics(&b)
	if version >= 7 {
		r.decodeForgotten(&b)
	}
	if version >= 11 {
		r.Rack = b.string()
	}
	r.decodeTags(&b)
	if b.err != nil {
		r.Reset()
	}
	return b.err
}

func (r *FetchRequest) decodeTopics(b *reader) {
	ids := r.Version >= fetchTopicIDs
	r.Topics = sized(r.Topics, b.count(minTopic(b.flexible, ids)))
	for i := range r.Topics {
		t := &r.Topics[i]
		if ids {
			t.ID = b.uuid()
		} else {
			t.Name = b.string()
		}
		t.Partitions = r.partitions.take(b.count(4 + 8 + 4)) // index, offset, max bytes
		for j := range t.Partitions {
			if r.decodePartition(b, &t.Partitions[j]); b.err != nil {
				return
			}
		}
		if b.skipTags(); b.err != nil {
			return
		}
	}
}

func (r *FetchRequest) decodePartition(b *reader, p *FetchPartition) {
	p.CurrentLeaderEpoch, p.LastFetchedEpoch, p.LogStartOffset = -1, -1, -1
	p.HighWatermark = math.MaxInt64
	p.Index = b.int32()
	if r.Version >= 9 {
		p.CurrentLeaderEpoch = b.int32()
	}
	p.FetchOffset = b.int64()
	if r.Version >= 12 {
		p.LastFetchedEpoch = b.int32()
	}
	if r.Version >= 5 {
		p.LogStartOffset = b.int64()
	}
	p.MaxBytes = b.int32()
	for n := b.tagCount(); n > 0 && b.err == nil; n-- {
		key, val := b.tag()
		s := b.sub(val)
		switch key {
		case 0:
			p.ReplicaDirectoryID = s.uuid()
		case 1:
			p.HighWatermark = s.int64()
		}
		b.join(&s)
	}
}

func (r *FetchRequest) decodeForgotten(b *reader) {
	ids := r.Version >= fetchTopicIDs
	r.Forgotten = sized(r.Forgotten, b.count(minTopic(b.flexible, ids)))
	for i := range r.Forgotten {
		t := &r.Forgotten[i]
		if ids {
			t.ID = b.uuid()
		} else {
			t.Name = b.string()
		}
		t.Partitions = r.forgottenElements.take(b.count(4))
		for j := range t.Partitions {
			t.Partitions[j] = b.int32()
		}
		if b.skipTags(); b.err != nil {
			return
		}
	}
}

func (r *FetchRequest) decodeTags(b *reader) {
	for n := b.tagCount(); n > 0 && b.err == nil; n-- {
		key, val := b.tag()
		s := b.sub(val)
		switch key {
		case 0:
			r.ClusterID = s.nullableString()
		case 1:
			r.ReplicaState = ReplicaState{ID: s.int32(), Epoch: s.int64()}
			s.skipTags()
		}
		b.join(&s)
	}
}

// Append appends the body in r.Version. Begin with Reset, so that fields not set have Kafka's defaults; a
// FetchPartition has DefaultFetchPartition for that.
func (r *FetchRequest) Append(dst []byte) []byte {
	flexible := r.Version >= fetchFlexible
	if r.Version < fetchReplicaState {
		dst = appendInt32(dst, r.ReplicaID)
	}
	dst = appendInt32(dst, r.MaxWaitMillis)
	dst = appendInt32(dst, r.MinBytes)
	dst = appendInt32(dst, r.MaxBytes)
	dst = append(dst, byte(r.IsolationLevel))
	if r.Version >= 7 {
		dst = appendInt32(dst, r.SessionID)
		dst = appendInt32(dst, r.SessionEpoch)
	}
	dst = appendCount(dst, flexible, int64(len(r.Topics)))
	for i := range r.Topics {
		t := &r.Topics[i]
		dst = appendTopic(dst, flexible, r.Version >= fetchTopicIDs, t.Name, &t.ID)
		dst = appendCount(dst, flexible, int64(len(t.Partitions)))
		for j := range t.Partitions {
			dst = t.Partitions[j].append(dst, r.Version)
		}
		dst = appendTags(dst, flexible)
	}
	if r.Version >= 7 {
		dst = r.appendForgotten(dst, flexible)
	}
	if r.Version >= 11 {
		dst = appendString(dst, flexible, r.Rack)
	}
	if flexible {
		dst = r.appendTagged(dst)
	}
	return dst
}

// DefaultFetchPartition is what a consumer sends for the fields it does not use.
func DefaultFetchPartition(index int32, offset int64, maxBytes int32) FetchPartition {
	return FetchPartition{
		Index: index, CurrentLeaderEpoch: -1, FetchOffset: offset, LastFetchedEpoch: -1, LogStartOffset: -1,
		MaxBytes: maxBytes, HighWatermark: math.MaxInt64,
	}
}

func (p *FetchPartition) append(dst []byte, version int16) []byte {
	dst = appendInt32(dst, p.Index)
	if version >= 9 {
		dst = appendInt32(dst, p.CurrentLeaderEpoch)
	}
	dst = appendInt64(dst, p.FetchOffset)
	if version >= 12 {
		dst = appendInt32(dst, p.LastFetchedEpoch)
	}
	if version >= 5 {
		dst = appendInt64(dst, p.LogStartOffset)
	}
	dst = appendInt32(dst, p.MaxBytes)
	if version < fetchFlexible {
		return dst
	}
	at, n := len(dst), byte(0)
	dst = append(dst, 0)
	if version >= 17 && p.ReplicaDirectoryID != [16]byte{} {
		n++
		dst = append(dst, 0, 16)
		dst = append(dst, p.ReplicaDirectoryID[:]...)
	}
	if version >= 18 && p.HighWatermark != math.MaxInt64 {
		n++
		dst = appendInt64(append(dst, 1, 8), p.HighWatermark)
	}
	dst[at] = n
	return dst
}

func (r *FetchRequest) appendForgotten(dst []byte, flexible bool) []byte {
	dst = appendCount(dst, flexible, int64(len(r.Forgotten)))
	for i := range r.Forgotten {
		t := &r.Forgotten[i]
		dst = appendTopic(dst, flexible, r.Version >= fetchTopicIDs, t.Name, &t.ID)
		dst = appendCount(dst, flexible, int64(len(t.Partitions)))
		for _, p := range t.Partitions {
			dst = appendInt32(dst, p)
		}
		dst = appendTags(dst, flexible)
	}
	return dst
}

func (r *FetchRequest) appendTagged(dst []byte) []byte {
	at, n := len(dst), byte(0)
	dst = append(dst, 0)
	if r.ClusterID != nil {
		n++
		length := uint32(len(r.ClusterID)) + 1
		dst = append(dst, 0)
		dst = appendUvarint(dst, uint32(uvarintSize(length))+length-1)
		dst = appendString(dst, true, r.ClusterID)
	}
	if r.Version >= fetchReplicaState && r.ReplicaState != (ReplicaState{-1, -1}) {
		n++
		dst = append(dst, 1, 4+8+1)
		dst = appendInt32(dst, r.ReplicaState.ID)
		dst = appendInt64(dst, r.ReplicaState.Epoch)
		dst = append(dst, 0)
	}
	dst[at] = n
	return dst
}

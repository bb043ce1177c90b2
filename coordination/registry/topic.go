package registry

import (
	"encoding/base64"
	"slices"
	"strconv"
)

// TopicID is a topic's id; the zero one is none.
type TopicID [16]byte

// String is Kafka's form: URL-safe base64 without padding.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// Assignment is which brokers have a replica of a partition, the preferred leader first. While the partition is being
// moved, Adding and Removing are the replicas that come and go; Replicas has both (KIP-455).
type Assignment struct {
	Replicas, Adding, Removing []int32
}

// Topic is a topic's node.
type Topic struct {
	Name       string
	ID         TopicID
	Partitions []Assignment // by partition
	Version    int32        // of the node, for SetTopic. Set when read
}

// encode is the node's content, version 3 (since Kafka 2.8).
func (t *Topic) encode() []byte {
	dst := make([]byte, 0, 128+16*len(t.Partitions))
	dst = append(dst, `{"partitions":`...)
	dst = appendAssignment(dst, t.Partitions, func(a *Assignment) []int32 { return a.Replicas }, true)
	if t.ID != (TopicID{}) {
		dst = append(append(append(dst, `,"topic_id":"`...), t.ID.String()...), '"')
	}
	dst = append(dst, `,"adding_replicas":`...)
	dst = appendAssignment(dst, t.Partitions, func(a *Assignment) []int32 { return a.Adding }, false)
	dst = append(dst, `,"removing_replicas":`...)
	dst = appendAssignment(dst, t.Partitions, func(a *Assignment) []int32 { return a.Removing }, false)
	return append(dst, `,"version":3}`...)
}

// appendAssignment appends an object with the replicas that of selects, by partition; empty ones only if all is set.
func appendAssignment(dst []byte, list []Assignment, of func(*Assignment) []int32, all bool) []byte {
	dst = append(dst, '{')
	empty := len(dst)
	for i := range list {
		ids := of(&list[i])
		if len(ids) == 0 && !all {
			continue
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(appendInt(append(dst, '"'), int64(i)), '"', ':')
		dst = appendIDs(dst, ids)
	}
	return append(dst, '}')
}

// decodeTopic reads the versions 1 (replicas alone), 2 (replicas that come and go) and 3 (topic id). Partitions have
// to be numbered from 0 without a gap, as Kafka creates them.
func decodeTopic(name string, data []byte) (*Topic, error) {
	o := parse(TopicPath(name), data)
	if o.has("version") {
		o.version(1, 3)
	}
	t := &Topic{Name: name, ID: o.topicID("topic_id")}
	replicas := o.assignment("partitions")
	adding, removing := o.assignment("adding_replicas"), o.assignment("removing_replicas")
	t.Partitions = make([]Assignment, len(replicas))
	for p := range t.Partitions {
		ids, ok := replicas[int32(p)]
		if !ok {
			o.fail("%d partitions, but none with number %d", len(replicas), p)
			break
		}
		t.Partitions[p] = Assignment{ids, adding[int32(p)], removing[int32(p)]}
	}
	return t, o.done()
}

// topicID is the key's value, zero if it is not there.
func (o *object) topicID(key string) (id TopicID) {
	s := optional(o, key, "")
	if s == "" {
		return id
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) != len(id) {
		o.fail("%q is no topic id: %q", key, s)
		return id
	}
	return TopicID(raw)
}

// assignment is an object of broker ids by partition; without the key there are none.
func (o *object) assignment(key string) map[int32][]int32 {
	raw := optional[map[string][]int32](o, key, nil)
	list := make(map[int32][]int32, len(raw))
	for s, ids := range raw {
		p, err := strconv.ParseInt(s, 10, 32)
		if err != nil || p < 0 || itoa(int32(p)) != s {
			o.fail("%q has a partition %q", key, s)
			return nil
		}
		list[int32(p)] = ids
	}
	return list
}

// RecoveryState tells whether a partition's leader was elected from outside the in-sync replicas and has not caught
// up with that yet (KIP-704).
type RecoveryState int8

// The recovery states.
const (
	Recovered  RecoveryState = 0
	Recovering RecoveryState = 1
)

// NoLeader is the leader of a partition that has none.
const NoLeader = -1

// PartitionState is the node of a partition's leader and in-sync replicas.
type PartitionState struct {
	Leader          int32
	LeaderEpoch     int32
	ControllerEpoch int32 // of the controller that wrote it
	ISR             []int32
	Recovery        RecoveryState
	// Epoch is the partition epoch, which is the version of the node: what an update expects, and what was read or
	// written.
	Epoch int32
}

// Same tells whether the two say the same, whatever their partition epochs.
func (s *PartitionState) Same(o *PartitionState) bool {
	return s.Leader == o.Leader && s.LeaderEpoch == o.LeaderEpoch && s.ControllerEpoch == o.ControllerEpoch &&
		s.Recovery == o.Recovery && slices.Equal(s.ISR, o.ISR)
}

// encode is the node's content.
func (s *PartitionState) encode() []byte {
	dst := append(make([]byte, 0, 96), `{"controller_epoch":`...)
	dst = appendInt(dst, int64(s.ControllerEpoch))
	dst = appendInt(append(dst, `,"leader":`...), int64(s.Leader))
	dst = append(dst, `,"version":1`...)
	if s.Recovery != Recovered {
		dst = appendInt(append(dst, `,"leader_recovery_state":`...), int64(s.Recovery))
	}
	dst = appendInt(append(dst, `,"leader_epoch":`...), int64(s.LeaderEpoch))
	return append(appendIDs(append(dst, `,"isr":`...), s.ISR), '}')
}

// decodeState reads a partition's state; epoch is the version of its node.
func decodeState(path string, data []byte, epoch int32) (*PartitionState, error) {
	o := parse(path, data)
	s := &PartitionState{Leader: o.int32("leader"), LeaderEpoch: o.int32("leader_epoch"),
		ControllerEpoch: o.int32("controller_epoch"), ISR: value[[]int32](o, "isr"), Epoch: epoch,
		Recovery: optional(o, "leader_recovery_state", Recovered)}
	if s.Recovery != Recovered && s.Recovery != Recovering {
		o.fail("leader_recovery_state is %d", s.Recovery)
	}
	return s, o.done()
}

package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// Metadata, versions 0 to 12: 1 all topics by null, 4 auto-creation by request, 5 offline replicas, 7 leader epoch,
// 8 authorised operations, 9 flexible, 10 topic ids in answers, 12 topics by id.
func metadataAPI() api {
	return api{key: wire.KeyMetadata, min: 0, max: 12, maxBody: maxMessageBody, handle: message(metadata)}
}

func metadata(c *call, req *kmsg.MetadataRequest) kmsg.Response {
	if c.version() < 12 && slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.Topic == nil || hasID(t) }) {
		return refuseIDs(req)
	}
	image := c.b.catalog.Image()
	resp := kmsg.NewPtrMetadataResponse()
	resp.ClusterID = &image.ClusterID
	resp.ControllerID = image.Controller
	for i := range image.Nodes {
		n := &image.Nodes[i]
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID = n.ID
		var ok bool
		if b.Host, b.Port, ok = c.endpoint(image, n); !ok {
			continue // as Kafka: it cannot be told under a name that it does not have
		}
		if n.Rack != "" {
			b.Rack = &n.Rack
		}
		resp.Brokers = append(resp.Brokers, b)
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	switch {
	case req.Topics == nil || (c.version() == 0 && len(req.Topics) == 0):
		for _, t := range image.Topics() {
			resp.Topics = append(resp.Topics, describe(image, t))
		}
	case slices.ContainsFunc(req.Topics, hasID):
		resp.Topics = topicsByID(image, req)
	default:
		resp.Topics = c.topicsByName(image, req)
	}
	if req.IncludeTopicAuthorizedOperations {
		for i := range resp.Topics {
			resp.Topics[i].AuthorizedOperations = topicOperations
		}
	}
	return resp
}

func hasID(t kmsg.MetadataRequestTopic) bool { return t.TopicID != [16]byte{} }

// refuseIDs answers topic ids, or topics without a name, in versions that have the field and no meaning for it yet.
func refuseIDs(req *kmsg.MetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	resp.ControllerID = -1
	for i := range req.Topics {
		r := kmsg.NewMetadataResponseTopic()
		r.Topic, r.TopicID, r.ErrorCode = req.Topics[i].Topic, req.Topics[i].TopicID, int16(wire.InvalidRequest)
		if r.Topic == nil {
			r.Topic = new(string)
		}
		resp.Topics = append(resp.Topics, r)
	}
	return resp
}

// topicsByID describes the topics with the ids asked for, each once. One id makes the whole request one by ids.
func topicsByID(image *Image, req *kmsg.MetadataRequest) (out []kmsg.MetadataResponseTopic) {
	seen := make(map[[16]byte]bool)
	for i := range req.Topics {
		id := req.Topics[i].TopicID
		if seen[id] || !hasID(req.Topics[i]) {
			continue
		}
		seen[id] = true
		if t := image.TopicByID(id); t != nil {
			out = append(out, describe(image, t))
			continue
		}
		r := kmsg.NewMetadataResponseTopic()
		r.TopicID, r.ErrorCode = id, int16(wire.UnknownTopicID)
		out = append(out, r)
	}
	return out
}

// topicsByName describes the topics with the names asked for, each once. An unknown one is made when both sides
// allow it: the answer is UNKNOWN_TOPIC_OR_PARTITION until it exists, and clients ask again.
func (c *call) topicsByName(image *Image, req *kmsg.MetadataRequest) (out []kmsg.MetadataResponseTopic) {
	seen := make(map[string]bool)
	for i := range req.Topics {
		name := req.Topics[i].Topic
		if name == nil || seen[*name] {
			continue
		}
		seen[*name] = true
		if t := image.TopicNamed(*name); t != nil {
			out = append(out, describe(image, t))
			continue
		}
		r := kmsg.NewMetadataResponseTopic()
		r.Topic, r.ErrorCode = name, int16(wire.UnknownTopicOrPartition)
		if err := checkTopicName(*name); err != nil {
			r.ErrorCode = int16(wire.InvalidTopicException)
		} else if c.b.limits.autoCreate && (c.version() < 4 || req.AllowAutoTopicCreation) {
			c.b.autoCreate(*name)
		}
		out = append(out, r)
	}
	return out
}

// describe: a partition in a directory that is offline has no leader, as in Kafka. A lossy log has one, since what is
// whole of it can be read; that it is in the list of offline replicas and of nobody in sync is what tells people
// (kafka-topics --describe --under-replicated-partitions).
func describe(image *Image, t *Topic) kmsg.MetadataResponseTopic {
	r := kmsg.NewMetadataResponseTopic()
	r.Topic, r.TopicID, r.IsInternal = &t.Name, t.ID, t.Internal
	for i, p := range t.Partitions {
		rp := kmsg.NewMetadataResponseTopicPartition()
		rp.Partition = int32(i)
		switch {
		case p == nil && t.Assigned != nil && !t.Assigned[i].Here:
			image.describeElsewhere(&t.Assigned[i], &rp)
		case p == nil: // its directory could not be opened, or is missing, though it is led here
			here := []int32{image.Node}
			rp.ErrorCode, rp.Leader, rp.LeaderEpoch = int16(wire.LeaderNotAvailable), -1, -1
			rp.Replicas, rp.ISR, rp.OfflineReplicas = here, here, here
		case p.offline():
			rp.ErrorCode, rp.Leader, rp.LeaderEpoch = int16(wire.LeaderNotAvailable), -1, p.leaderEpoch()
			rp.Replicas, rp.ISR, rp.OfflineReplicas = p.Replicas, p.ISR, p.Replicas
		case p.log.Damage() != nil:
			rp.Leader, rp.LeaderEpoch, rp.Replicas, rp.OfflineReplicas = p.Leader, p.leaderEpoch(), p.Replicas, p.Replicas
		default:
			rp.Leader, rp.LeaderEpoch, rp.Replicas, rp.ISR = p.Leader, p.leaderEpoch(), p.Replicas, p.ISR
		}
		if t.Assigned != nil && len(t.Assigned[i].Replicas) > 1 {
			rp.Replicas, rp.OfflineReplicas = t.Assigned[i].Replicas, image.offline(t.Assigned[i].Replicas, rp.OfflineReplicas)
		}
		r.Partitions = append(r.Partitions, rp)
	}
	return r
}

// offline adds to list those of the replicas whose brokers are not there.
func (im *Image) offline(replicas, list []int32) []int32 {
	list = slices.Clone(list) // it may be shared
	for _, id := range replicas {
		if im.node(id) == nil && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// describeElsewhere describes a partition that this broker does not lead. One whose leader is gone has none.
func (im *Image) describeElsewhere(a *Assigned, r *kmsg.MetadataResponseTopicPartition) {
	r.Leader, r.LeaderEpoch, r.Replicas, r.ISR = a.Leader, a.LeaderEpoch, a.Replicas, a.ISR
	r.OfflineReplicas = im.offline(a.Replicas, nil)
	if im.node(a.Leader) == nil {
		r.ErrorCode, r.Leader = int16(wire.LeaderNotAvailable), -1
	}
}

// Operations that nobody is denied while there is no authorizer: bit sets of Kafka's AclOperation codes.
var (
	clusterOperations = operations(opCreate, opClusterAction, opDescribeConfigs, opAlterConfigs, opIdempotentWrite, opAlter, opDescribe)
	topicOperations   = operations(opRead, opWrite, opCreate, opDescribe, opDelete, opAlter, opDescribeConfigs, opAlterConfigs)
)

const (
	opRead            = 3
	opWrite           = 4
	opCreate          = 5
	opDelete          = 6
	opAlter           = 7
	opDescribe        = 8
	opClusterAction   = 9
	opDescribeConfigs = 10
	opAlterConfigs    = 11
	opIdempotentWrite = 12
)

func operations(ops ...int) int32 {
	var set int32
	for _, op := range ops {
		set |= 1 << op
	}
	return set
}

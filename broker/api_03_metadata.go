package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// Metadata, versions 0 to 12: 1 all topics by null, 4 auto-creation by request, 5 offline replicas, 7 leader epoch,
// 8 authorised operations, 9 flexible, 10 topic ids in answers, 12 topics by id.
func metadataAPI() api {
	return api{key: wire.KeyMetadata, min: 0, max: 12, maxBody: maxMessageBody, handle: message(metadata)}
}

func metadata(c *call, req *kmsg.MetadataRequest) kmsg.Response {
	image := c.b.catalog.Image()
	resp := kmsg.NewPtrMetadataResponse()
	resp.ClusterID = &image.ClusterID
	resp.ControllerID = image.Controller
	for i := range image.Nodes {
		n := &image.Nodes[i]
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID = n.ID
		b.Host, b.Port = c.endpoint(n)
		if n.Rack != "" {
			b.Rack = &n.Rack
		}
		resp.Brokers = append(resp.Brokers, b)
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, c.metadataFor(image, req, &req.Topics[i]))
	}
	if req.Topics == nil || (c.version() == 0 && len(req.Topics) == 0) {
		for _, t := range image.Topics() {
			resp.Topics = append(resp.Topics, describe(t))
		}
	}
	if req.IncludeTopicAuthorizedOperations {
		for i := range resp.Topics {
			if resp.Topics[i].ErrorCode == 0 {
				resp.Topics[i].AuthorizedOperations = topicOperations
			}
		}
	}
	return resp
}

// metadataFor describes one topic that was asked for. An unknown one is made when both sides allow it: the answer
// is UNKNOWN_TOPIC_OR_PARTITION until it exists, and clients ask again.
func (c *call) metadataFor(image *Image, req *kmsg.MetadataRequest, want *kmsg.MetadataRequestTopic) kmsg.MetadataResponseTopic {
	if want.Topic == nil {
		if t := image.TopicByID(want.TopicID); t != nil {
			return describe(t)
		}
		r := kmsg.NewMetadataResponseTopic()
		r.TopicID, r.ErrorCode = want.TopicID, int16(wire.UnknownTopicID)
		return r
	}
	if t := image.TopicNamed(*want.Topic); t != nil {
		return describe(t)
	}
	r := kmsg.NewMetadataResponseTopic()
	r.Topic, r.ErrorCode = want.Topic, int16(wire.UnknownTopicOrPartition)
	if err := checkTopicName(*want.Topic); err != nil {
		r.ErrorCode = int16(wire.InvalidTopicException)
	} else if c.b.limits.autoCreate && (c.version() < 4 || req.AllowAutoTopicCreation) {
		c.b.autoCreate(*want.Topic)
	}
	return r
}

func describe(t *Topic) kmsg.MetadataResponseTopic {
	r := kmsg.NewMetadataResponseTopic()
	r.Topic, r.TopicID, r.IsInternal = &t.Name, t.ID, t.Internal
	for i, p := range t.Partitions {
		rp := kmsg.NewMetadataResponseTopicPartition()
		rp.Partition = int32(i)
		if p == nil { // its directory is missing
			rp.ErrorCode, rp.Leader, rp.LeaderEpoch = int16(wire.LeaderNotAvailable), -1, -1
		} else {
			rp.Leader, rp.LeaderEpoch, rp.Replicas, rp.ISR = p.Leader, p.leaderEpoch(), p.Replicas, p.ISR
		}
		r.Partitions = append(r.Partitions, rp)
	}
	return r
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

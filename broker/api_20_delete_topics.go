package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// DeleteTopics, versions 0 to 6: 4 flexible, 5 messages, 6 by name or id.
func deleteTopicsAPI() api {
	return api{key: wire.KeyDeleteTopics, min: 0, max: 6, maxBody: maxMessageBody, handle: blocking(deleteTopics)}
}

func deleteTopics(c *call, req *kmsg.DeleteTopicsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteTopicsResponse()
	for i := range req.TopicNames {
		req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &req.TopicNames[i]})
	}
	names, ids := make(map[string]int), make(map[[16]byte]int)
	for _, t := range req.Topics {
		if t.Topic != nil {
			names[*t.Topic]++
		} else {
			ids[t.TopicID]++
		}
	}
	for _, t := range req.Topics {
		r := kmsg.NewDeleteTopicsResponseTopic()
		r.Topic, r.TopicID = t.Topic, t.TopicID
		var err error
		switch {
		case t.Topic != nil && names[*t.Topic] == answered, t.Topic == nil && ids[t.TopicID] == answered:
			continue
		case t.Topic != nil && t.TopicID != [16]byte{}:
			err = refuse(wire.InvalidRequest, "You may not specify both topic name and topic id.")
		case t.Topic == nil && t.TopicID == [16]byte{}:
			err = refuse(wire.InvalidRequest, "Neither topic name nor id were specified.")
		case t.Topic != nil && names[*t.Topic] > 1:
			names[*t.Topic] = answered
			err = refuse(wire.InvalidRequest, "Duplicate topic name.")
		case t.Topic == nil && ids[t.TopicID] > 1:
			ids[t.TopicID] = answered
			err = refuse(wire.InvalidRequest, "Duplicate topic id.")
		default:
			err = c.deleteTopic(t, &r)
		}
		if err != nil {
			text := err.Error()
			r.ErrorCode, r.ErrorMessage = int16(codeOf(err)), &text
		}
		resp.Topics = append(resp.Topics, r)
	}
	return resp
}

func (c *call) deleteTopic(want kmsg.DeleteTopicsRequestTopic, r *kmsg.DeleteTopicsResponseTopic) error {
	if !c.b.limits.deleteTopics {
		if c.version() < 3 {
			return refuse(wire.InvalidRequest, "Topic deletion is disabled.")
		}
		return refuse(wire.TopicDeletionDisabled, "%s", wire.TopicDeletionDisabled.Message())
	}
	image := c.b.catalog.Image()
	var t *Topic
	if want.Topic != nil {
		t = image.TopicNamed(*want.Topic)
	} else {
		t = image.TopicByID(want.TopicID)
	}
	switch {
	case t == nil && want.Topic == nil:
		return refuse(wire.UnknownTopicID, "%s", wire.UnknownTopicID.Message())
	case t == nil:
		return refuse(wire.UnknownTopicOrPartition, "%s", wire.UnknownTopicOrPartition.Message())
	}
	r.Topic, r.TopicID = &t.Name, t.ID
	return c.b.catalog.Delete(t)
}

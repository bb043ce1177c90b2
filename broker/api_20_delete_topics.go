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
	image, chosen := c.b.catalog.Image(), make(map[*Topic]bool)
	var topics []*Topic
	var at []int // their places in the answer
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
			var found *Topic
			if found, err = c.topicToDelete(image, t, chosen); err == nil {
				chosen[found] = true
				r.Topic, r.TopicID = &found.Name, found.ID
				topics, at = append(topics, found), append(at, len(resp.Topics))
			}
		}
		failed(&r, err)
		resp.Topics = append(resp.Topics, r)
	}
	for i, err := range c.b.catalog.DeleteAll(topics) {
		failed(&resp.Topics[at[i]], err)
	}
	return resp
}

// failed puts err, if there is one, into the answer.
func failed(r *kmsg.DeleteTopicsResponseTopic, err error) {
	if err != nil {
		text := err.Error()
		r.ErrorCode, r.ErrorMessage = int16(codeOf(err)), &text
	}
}

// topicToDelete is the topic that the request wants gone; others are those it named before.
func (c *call) topicToDelete(image *Image, want kmsg.DeleteTopicsRequestTopic, others map[*Topic]bool) (t *Topic, err error) {
	if !c.b.limits.deleteTopics {
		if c.version() < 3 {
			return nil, refuse(wire.InvalidRequest, "Topic deletion is disabled.")
		}
		return nil, refuse(wire.TopicDeletionDisabled, "%s", wire.TopicDeletionDisabled.Message())
	}
	if want.Topic != nil {
		t = image.TopicNamed(*want.Topic)
	} else {
		t = image.TopicByID(want.TopicID)
	}
	there := t != nil && !others[t] // named before, by the other of name and id: it will be gone
	switch {
	case !there && want.Topic == nil:
		return nil, refuse(wire.UnknownTopicID, "%s", wire.UnknownTopicID.Message())
	case !there:
		return nil, refuse(wire.UnknownTopicOrPartition, "%s", wire.UnknownTopicOrPartition.Message())
	}
	return t, nil
}

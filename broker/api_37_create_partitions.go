package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// CreatePartitions, versions 0 to 3: 2 flexible, 3 an error for quotas, which there are none of.
func createPartitionsAPI() api {
	return api{key: wire.KeyCreatePartitions, min: 0, max: 3, maxBody: maxMessageBody, handle: blocking(createPartitions)}
}

func createPartitions(c *call, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	times := make(map[string]int)
	for _, t := range req.Topics {
		times[t.Topic]++
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		var err error
		switch n := times[t.Topic]; {
		case n == 1:
			err = c.b.growTopic(t, req.ValidateOnly)
		case n > 1: // named more than once: refused, and answered once
			times[t.Topic] = answered
			err = refuse(wire.InvalidRequest, "Duplicate topic name.")
		default:
			continue
		}
		r := kmsg.NewCreatePartitionsResponseTopic()
		r.Topic = t.Topic
		if err != nil {
			r.ErrorCode = int16(codeOf(err))
			if text := err.Error(); text != "" {
				r.ErrorMessage = &text
			}
		}
		resp.Topics = append(resp.Topics, r)
	}
	return resp
}

func (b *Broker) growTopic(t *kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	var assignment [][]int32 // nil: none was given
	for _, a := range t.Assignment {
		assignment = append(assignment, a.Replicas)
	}
	if t.Assignment != nil && assignment == nil {
		assignment = [][]int32{}
	}
	return b.catalog.Grow(t.Topic, t.Count, assignment, validateOnly)
}

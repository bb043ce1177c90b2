package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// InitProducerId, versions 0 to 4: 2 flexible, 3 epoch to continue with, 4 PRODUCER_FENCED. Ids are given to
// idempotent producers; a transactional one needs a coordinator, of which there is none yet. It may have to
// reserve a block of ids on disk, so it runs on a worker.
func initProducerIDAPI() api {
	return api{key: wire.KeyInitProducerId, min: 0, max: 4, maxBody: maxMessageBody, handle: blocking(initProducerID)}
}

func initProducerID(c *call, req *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case req.TransactionalID != nil && *req.TransactionalID == "":
		resp.ErrorCode = int16(wire.InvalidRequest)
	case (req.ProducerID == -1) != (req.ProducerEpoch == -1): // an id to continue with needs its epoch
		resp.ErrorCode = int16(wire.InvalidRequest)
	case req.TransactionalID != nil:
		resp.ErrorCode = int16(wire.CoordinatorNotAvailable)
	default:
		id, err := c.b.producerIDs.next()
		if err != nil {
			resp.ErrorCode = int16(codeOf(err))
			break
		}
		resp.ProducerID, resp.ProducerEpoch = id, 0
	}
	return resp
}

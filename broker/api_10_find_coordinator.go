package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// FindCoordinator, versions 0 to 4: 1 kinds of keys and messages, 3 flexible, 4 several keys. There are no groups
// and no transactions yet: every coordinator is not available, which clients take as "try again".
func findCoordinatorAPI() api {
	return api{key: wire.KeyFindCoordinator, min: 0, max: 4, maxBody: maxMessageBody, handle: message(findCoordinator)}
}

func findCoordinator(c *call, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	resp.NodeID, resp.Port = -1, -1
	code := wire.CoordinatorNotAvailable
	if req.CoordinatorType < 0 || req.CoordinatorType > 1 {
		code = wire.InvalidRequest
	}
	if c.version() < 4 {
		resp.ErrorCode = int16(code)
		return resp
	}
	for _, key := range req.CoordinatorKeys {
		rc := kmsg.NewFindCoordinatorResponseCoordinator()
		rc.Key, rc.NodeID, rc.Port, rc.ErrorCode = key, -1, -1, int16(code)
		resp.Coordinators = append(resp.Coordinators, rc)
	}
	return resp
}

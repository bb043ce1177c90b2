package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// DescribeCluster, version 0 (KIP-700).
func describeClusterAPI() api {
	return api{key: wire.KeyDescribeCluster, min: 0, max: 0, maxBody: maxMessageBody, handle: message(describeCluster)}
}

func describeCluster(c *call, req *kmsg.DescribeClusterRequest) kmsg.Response {
	image := c.b.catalog.Image()
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.ClusterID, resp.ControllerID = image.ClusterID, image.Controller
	for i := range image.Nodes {
		n := &image.Nodes[i]
		b := kmsg.NewDescribeClusterResponseBroker()
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
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return resp
}

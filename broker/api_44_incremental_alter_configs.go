package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// IncrementalAlterConfigs, versions 0 and 1 (KIP-339): 1 flexible. Settings that the request does not name stay.
func incrementalAlterConfigsAPI() api {
	return api{key: wire.KeyIncrementalAlterConfigs, min: 0, max: 1, maxBody: maxMessageBody, handle: blocking(incrementalAlterConfigs)}
}

func incrementalAlterConfigs(c *call, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	var all []resource
	for i := range req.Resources {
		all = append(all, resource{req.Resources[i].ResourceType, req.Resources[i].ResourceName})
	}
	twice := repeated(all)
	for i, r := range all {
		var changes []settingChange
		for _, k := range req.Resources[i].Configs {
			changes = append(changes, settingChange{k.Name, k.Op, k.Value})
		}
		lookup := config.LookupTopic
		if r.kind == kmsg.ConfigResourceTypeBroker {
			lookup = config.Lookup
		}
		x := kmsg.NewIncrementalAlterConfigsResponseResource()
		x.ResourceType, x.ResourceName = r.kind, r.name
		x.ErrorCode, x.ErrorMessage = c.b.alter(r, twice[r], changes, applying(changes, lookup), req.ValidateOnly)
		resp.Resources = append(resp.Resources, x)
	}
	return resp
}

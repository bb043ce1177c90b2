package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// AlterConfigs, versions 0 to 2: 2 flexible. The request's settings take the place of all that the resource has.
func alterConfigsAPI() api {
	return api{key: wire.KeyAlterConfigs, min: 0, max: 2, maxBody: maxMessageBody, handle: blocking(alterConfigs)}
}

func alterConfigs(c *call, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterConfigsResponse()
	var all []resource
	for i := range req.Resources {
		all = append(all, resource{req.Resources[i].ResourceType, req.Resources[i].ResourceName})
	}
	twice := repeated(all)
	for i, r := range all {
		var changes []settingChange
		for _, k := range req.Resources[i].Configs {
			changes = append(changes, settingChange{k.Name, kmsg.IncrementalAlterConfigOpSet, k.Value})
		}
		x := kmsg.NewAlterConfigsResponseResource()
		x.ResourceType, x.ResourceName = r.kind, r.name
		x.ErrorCode, x.ErrorMessage = c.b.alter(r, twice[r], changes, replacing(changes), req.ValidateOnly)
		resp.Resources = append(resp.Resources, x)
	}
	return resp
}

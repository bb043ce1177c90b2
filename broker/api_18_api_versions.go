package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// ApiVersions, versions 0 to 4: 3 flexible with the client's name (KIP-511), 4 features with a minimum of 0.
func apiVersionsAPI() api {
	return api{key: wire.KeyApiVersions, min: 0, max: 4, maxBody: maxMessageBody, handle: message(apiVersions)}
}

func apiVersions(c *call, req *kmsg.ApiVersionsRequest) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	if c.version() >= 3 && !(softwareWord(req.ClientSoftwareName) && softwareWord(req.ClientSoftwareVersion)) {
		resp.ErrorCode = int16(wire.InvalidRequest)
		return resp
	}
	for i := range c.b.apis {
		a := &c.b.apis[i]
		resp.ApiKeys = append(resp.ApiKeys, versionsOf(a))
	}
	return resp
}

// apiVersionsUnsupported answers a version that is not served, in the format of version 0 and with the one range
// that the client needs to ask again (KIP-511).
func (c *call) apiVersionsUnsupported() {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(wire.UnsupportedVersion)
	resp.ApiKeys = append(resp.ApiKeys, versionsOf(c.api))
	c.header.Version = 0
	c.reply(resp)
}

func versionsOf(a *api) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = int16(a.key), a.min, a.max
	return k
}

// softwareWord tells whether s may be a client's name or version: letters, digits, '.' and '-', beginning and
// ending with a letter or digit (KIP-511).
func softwareWord(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case (c == '-' || c == '.') && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return s != ""
}

package registry

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Entity is what has a configuration: the path of its node below /config, as in notifications. Make one with
// TopicEntity and its like.
type Entity string

// Default names the entity that gives defaults to all others of its type.
const Default = "<default>"

// The types of entities (ConfigType), which are the first part of an Entity.
const (
	TopicType         = "topics"
	BrokerType        = "brokers"
	UserType          = "users"
	ClientType        = "clients"
	IPType            = "ips"
	ClientMetricsType = "client-metrics"
	GroupType         = "groups"
)

// TopicEntity is a topic.
func TopicEntity(topic string) Entity { return TopicType + Entity("/"+topic) }

// BrokerEntity is a broker.
func BrokerEntity(id int32) Entity { return BrokerType + Entity("/"+itoa(id)) }

// DefaultBroker is all brokers.
const DefaultBroker Entity = BrokerType + "/" + Default

// ClientEntity is a client id, or Default.
func ClientEntity(id string) Entity { return ClientType + Entity("/"+sanitize(id)) }

// UserEntity is a user's name, or Default.
func UserEntity(user string) Entity { return UserType + Entity("/"+sanitize(user)) }

// UserClientEntity is a client id of a user; both may be Default.
func UserClientEntity(user, id string) Entity { return UserEntity(user) + "/" + ClientEntity(id) }

// IPEntity is an address, or Default.
func IPEntity(ip string) Entity { return IPType + Entity("/"+ip) }

// GroupEntity is a consumer group.
func GroupEntity(group string) Entity { return GroupType + Entity("/"+sanitize(group)) }

// Type is the first part: what kind of thing is configured.
func (e Entity) Type() string {
	t, _, _ := strings.Cut(string(e), "/")
	return t
}

// Name is what is configured, without escapes. For a client of a user it is the client's id, and User tells whose.
func (e Entity) Name() string { return desanitize(zk.Base(string(e))) }

// User is the user that a client id belongs to, "" if e is no such pair.
func (e Entity) User() string {
	if parts := strings.Split(string(e), "/"); len(parts) == 4 {
		return desanitize(parts[1])
	}
	return ""
}

// Path is the node of the configuration.
func (e Entity) Path() string { return ConfigPath + "/" + string(e) }

// check says whether there can be a configuration of that name.
func (e Entity) check() error {
	parts := strings.Split(string(e), "/")
	pair := len(parts) == 4 && parts[0] == UserType && parts[2] == ClientType
	known := slices.Contains([]string{TopicType, BrokerType, UserType, ClientType, IPType, ClientMetricsType, GroupType}, parts[0])
	if !known || len(parts) != 2 && !pair || zk.CheckPath(e.Path()) != nil {
		return fmt.Errorf("%w: configuration of %q", ErrBadName, string(e))
	}
	return nil
}

// sanitize escapes a name for a node as Kafka does (Sanitizer): percent signs for all but letters, digits and "._-".
// The name Default is left as it is.
func sanitize(name string) string {
	if name == Default {
		return name
	}
	return sanitizeAll(name)
}

func sanitizeAll(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// desanitize is the name that was escaped; one that cannot have been is left as it is.
func desanitize(name string) string {
	if plain, err := url.QueryUnescape(name); err == nil {
		return plain
	}
	return name
}

// encodeConfig is the content of a configuration's node, version 1.
func encodeConfig(values map[string]string) []byte {
	dst := []byte(`{"version":1,"config":{`)
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(append(appendString(dst, key), ':'), values[key])
	}
	return append(dst, `}}`...)
}

// decodeConfig reads a configuration. An empty node has none, as the one above the clients of a user.
func decodeConfig(path string, data []byte) (map[string]string, error) {
	if len(data) == 0 {
		return map[string]string{}, nil
	}
	o := parse(path, data)
	return optional(o, "config", map[string]string{}), o.done()
}

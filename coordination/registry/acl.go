package registry

import (
	"fmt"
	"strings"
)

// Resource is what ACLs are about: all resources of a type with that name, or with names that begin with it.
type Resource struct {
	Type     string // Topic, Group, Cluster, TransactionalId, DelegationToken, User
	Name     string
	Prefixed bool
}

// ACL lets a principal do something, or forbids it. The words are Kafka's, in its spelling of the nodes: Allow, Deny;
// Read, DescribeConfigs.
type ACL struct {
	Principal, Permission, Host, Operation string
}

// aclTypes are the types and their names in notifications.
var aclTypes = map[string]string{
	"Topic": "TOPIC", "Group": "GROUP", "Cluster": "CLUSTER", "TransactionalId": "TRANSACTIONAL_ID",
	"DelegationToken": "DELEGATION_TOKEN", "User": "USER",
}

// Path is the node with the resource's ACLs.
func (r Resource) Path() string { return r.parent() + "/" + r.Name }

func (r Resource) parent() string {
	if r.Prefixed {
		return ACLExtendedPath + "/prefixed/" + r.Type // in lower case, unlike anywhere else
	}
	return ACLPath + "/" + r.Type
}

func (r Resource) check() error {
	if aclTypes[r.Type] == "" {
		return fmt.Errorf("%w: type of resource %q", ErrBadName, r.Type)
	}
	return checkName(r.Name)
}

// encodeACLs is the content of a resource's node.
func encodeACLs(list []ACL) []byte {
	dst := appendList([]byte(`{"acls":`), list, func(dst []byte, a ACL) []byte {
		dst = appendString(append(dst, `{"principal":`...), a.Principal)
		dst = appendString(append(dst, `,"permissionType":`...), a.Permission)
		dst = appendString(append(dst, `,"host":`...), a.Host)
		return append(appendString(append(dst, `,"operation":`...), a.Operation), '}')
	})
	return append(dst, `,"version":1}`...)
}

// decodeACLs reads them; an empty node has none.
func decodeACLs(path string, data []byte) ([]ACL, error) {
	if len(data) == 0 {
		return nil, nil
	}
	o := parse(path, data)
	o.version(1, 1)
	var list []ACL
	o.objects("acls", func(a *object) {
		list = append(list, ACL{a.string("principal"), a.string("permissionType"), a.string("host"), a.string("operation")})
	})
	return list, o.done()
}

// encodeChange is the notification that a resource's ACLs have changed: a text, or JSON for names that are prefixes.
func (r Resource) encodeChange() []byte {
	if !r.Prefixed {
		return []byte(aclTypes[r.Type] + ":" + r.Name)
	}
	dst := appendString([]byte(`{"version":1,"resourceType":`), aclTypes[r.Type])
	dst = appendString(append(dst, `,"name":`...), r.Name)
	return append(dst, `,"patternType":"PREFIXED"}`...)
}

// decodeACLChange reads the text that literal names have; the type may have either spelling, as an older Kafka wrote.
func decodeACLChange(path string, data []byte) (Resource, error) {
	kind, name, ok := strings.Cut(string(data), ":")
	r, found := resourceOf(kind, name, false)
	if !ok || !found {
		return r, &DecodeError{path, fmt.Errorf("%.100q is no resource", data)}
	}
	return r, nil
}

// decodeACLChangeExtended reads the JSON that other patterns have.
func decodeACLChangeExtended(path string, data []byte) (Resource, error) {
	o := parse(path, data)
	o.version(1, 1)
	r, found := resourceOf(o.string("resourceType"), o.string("name"), true)
	if pattern := o.string("patternType"); o.err == nil && (!found || pattern != "PREFIXED") {
		o.fail("no resource, or pattern type %q", pattern)
	}
	return r, o.done()
}

func resourceOf(kind, name string, prefixed bool) (Resource, bool) {
	for node, notice := range aclTypes {
		if kind == notice || kind == node {
			return Resource{node, name, prefixed}, true
		}
	}
	return Resource{}, false
}

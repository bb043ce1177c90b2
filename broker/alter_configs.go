package broker

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// What AlterConfigs and IncrementalAlterConfigs have in common. Rules and their order are those of Kafka's
// ConfigAdminManager, then ConfigurationControlManager.

// resource is what settings belong to.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// settingChange is one key of a request.
type settingChange struct {
	key   string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

// repeated tells which resources a request names more than once: each time is refused.
func repeated(all []resource) map[resource]bool {
	times := make(map[resource]int, len(all))
	for _, r := range all {
		times[r]++
	}
	twice := make(map[resource]bool)
	for r, n := range times {
		if n > 1 {
			twice[r] = true
		}
	}
	return twice
}

// alter changes one resource and returns the error fields of its answer. twice: the request names it again.
func (b *Broker) alter(r resource, twice bool, changes []settingChange, change Change, validateOnly bool) (code int16, message *string) {
	err := checkAlter(r, twice, changes)
	if err == nil {
		err = b.alterResource(r, change, validateOnly)
	}
	if err == nil {
		return 0, nil
	}
	if text := err.Error(); text != "" {
		message = &text
	}
	return int16(codeOf(err)), message
}

// checkAlter has the rules that are the same for all kinds of resources.
func checkAlter(r resource, twice bool, changes []settingChange) error {
	if twice {
		return refuse(wire.InvalidRequest, "Each resource must appear at most once.")
	}
	seen := make(map[string]bool, len(changes))
	var empty []string
	for _, c := range changes {
		if seen[c.key] {
			return refuse(wire.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[c.key] = true
		if r.kind == kmsg.ConfigResourceTypeBroker && c.op > kmsg.IncrementalAlterConfigOpSubtract {
			return refuse(wire.InvalidRequest, "Unknown operations type %d", c.op)
		}
		if c.value == nil && c.op != kmsg.IncrementalAlterConfigOpDelete {
			empty = append(empty, c.key)
		}
	}
	if empty != nil {
		return refuse(wire.InvalidRequest, "Null value not supported for : %s", strings.Join(empty, ", "))
	}
	return nil
}

func (b *Broker) alterResource(r resource, change Change, validateOnly bool) error {
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
		return b.catalog.AlterTopic(r.name, change, validateOnly)
	case kmsg.ConfigResourceTypeBroker:
		if r.name == "" {
			return b.catalog.AlterBroker(true, change, validateOnly)
		}
		if err := b.checkOwnID(r.name, "Node"); err != nil {
			return err
		}
		return b.catalog.AlterBroker(false, change, validateOnly)
	}
	return refuse(wire.InvalidRequest, "Unknown resource type %d", r.kind)
}

// checkOwnID refuses what is not this broker's id. kind is how Kafka's sentence begins.
func (b *Broker) checkOwnID(name, kind string) error {
	own := b.catalog.Image().Node
	switch id, err := strconv.ParseInt(name, 10, 32); {
	case err != nil:
		return refuse(wire.InvalidRequest, "%s id must be an integer, but it is: %s", kind, name)
	case int32(id) != own:
		return refuse(wire.InvalidRequest, "Unexpected broker id, expected %d or empty string, but received %s", own, name)
	}
	return nil
}

// replacing is the change of AlterConfigs: the request's settings and no others.
func replacing(changes []settingChange) Change {
	return func(map[string]string) (map[string]string, error) {
		next := make(map[string]string, len(changes))
		for _, c := range changes {
			next[c.key] = *c.value
		}
		return next, nil
	}
}

// applying is the change of IncrementalAlterConfigs. lookup finds the keys of the kind of resource.
func applying(changes []settingChange, lookup func(string) (*config.Key, bool)) Change {
	return func(now map[string]string) (map[string]string, error) {
		next := maps.Clone(now)
		if next == nil {
			next = make(map[string]string, len(changes))
		}
		for _, c := range changes {
			switch c.op {
			case kmsg.IncrementalAlterConfigOpSet:
				next[c.key] = *c.value
			case kmsg.IncrementalAlterConfigOpDelete:
				delete(next, c.key)
			case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
				key, ok := lookup(c.key)
				if !ok || key.Type != config.List {
					return nil, refuse(wire.InvalidConfig, "Can't %s to key %s because its type is not LIST.",
						strings.ToUpper(c.op.String()), c.key)
				}
				text, ok := next[c.key]
				if !ok {
					text = key.Default
				}
				next[c.key] = strings.Join(edited(text, *c.value, c.op), ",")
			default:
				return nil, refuse(wire.UnknownServerError, "") // what Kafka makes of it for topics
			}
		}
		return next, nil
	}
}

// edited is a list with the elements of arg at its end, as far as they are not in it, or without them.
func edited(text, arg string, op kmsg.IncrementalAlterConfigOp) []string {
	list := slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" })
	for e := range strings.SplitSeq(arg, ",") {
		at := slices.Index(list, e)
		switch {
		case op == kmsg.IncrementalAlterConfigOpAppend && at < 0:
			list = append(list, e)
		case op == kmsg.IncrementalAlterConfigOpSubtract && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	return list
}

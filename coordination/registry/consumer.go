package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// The nodes of the consumers that Kafka had before 0.9, which keep groups and offsets here.

// Consumer is a member of a group, as it registers.
type Consumer struct {
	ID string // group_host-milliseconds-uuid8
	// Subscription has the number of streams (threads) for each topic. With a Pattern of WhiteList or BlackList the one
	// key is a regular expression, and the topics are those that match it, or do not.
	Subscription map[string]int32
	Pattern      string
	Timestamp    int64 // milliseconds since 1970
}

// The patterns of subscriptions.
const (
	StaticPattern = "static"
	WhiteList     = "white_list"
	BlackList     = "black_list"
)

// ConsumerIDsPath has a child for each member of a group.
func ConsumerIDsPath(group string) string { return ConsumersPath + "/" + group + "/ids" }

// ConsumerPath is a member's registration.
func ConsumerPath(group, id string) string { return ConsumerIDsPath(group) + "/" + id }

// OwnerPath says who reads a partition.
func OwnerPath(group string, p TopicPartition) string {
	return ConsumersPath + "/" + group + "/owners/" + p.Topic + "/" + itoa(p.Partition)
}

// OffsetPath is the offset that a group has come to.
func OffsetPath(group string, p TopicPartition) string {
	return ConsumersPath + "/" + group + "/offsets/" + p.Topic + "/" + itoa(p.Partition)
}

// encode is the content of a member's node, version 1.
func (c *Consumer) encode() []byte {
	dst := []byte(`{"version":1,"subscription":{`)
	for i, topic := range slices.Sorted(maps.Keys(c.Subscription)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendInt(append(appendString(dst, topic), ':'), int64(c.Subscription[topic]))
	}
	dst = appendString(append(dst, `},"pattern":`...), c.Pattern)
	return append(appendInt(append(dst, `,"timestamp":"`...), c.Timestamp), `"}`...)
}

func decodeConsumer(path string, data []byte) (*Consumer, error) {
	o := parse(path, data)
	c := &Consumer{ID: zk.Base(path), Subscription: value[map[string]int32](o, "subscription"),
		Pattern: optional(o, "pattern", StaticPattern)}
	if ms, err := strconv.ParseInt(strings.Trim(string(o.fields["timestamp"]), `"`), 10, 64); err == nil {
		c.Timestamp = ms
	}
	if o.err == nil && c.Pattern != StaticPattern && c.Pattern != WhiteList && c.Pattern != BlackList {
		o.fail("pattern %q", c.Pattern)
	}
	return c, o.done()
}

// RegisterConsumer makes a member's ephemeral node, or brings this session's up to date. zk.NodeExists if another
// session has it.
func (r *Registry) RegisterConsumer(ctx context.Context, group string, c *Consumer) error {
	if err := errors.Join(checkName(group), checkName(c.ID)); err != nil {
		return err
	}
	if c.Timestamp == 0 {
		c.Timestamp = r.opt.Now().UnixMilli()
	}
	path := ConsumerPath(group, c.ID)
	_, err := r.claim(ctx, path, c.encode())
	if err != nil {
		return err
	}
	_, err = r.set(ctx, path, c.encode(), -1)
	return at(path, err)
}

// claim makes an ephemeral node with its parents; made is false if this session has it already, zk.NodeExists is the
// answer if another one has.
func (r *Registry) claim(ctx context.Context, path string, data []byte) (made bool, err error) {
	for {
		_, err := again(ctx, func() error {
			_, _, err := r.s.Create(ctx, path, data, r.acl(path), zk.Ephemeral)
			return err
		})
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, zk.NoNode):
			if err := r.ensure(ctx, zk.Parent(path)); err != nil {
				return false, err
			}
			continue
		case !errors.Is(err, zk.NodeExists):
			return false, at(path, err)
		}
		stat, found, getErr := r.exists(ctx, path)
		switch {
		case getErr != nil:
			return false, at(path, getErr)
		case found && stat.EphemeralOwner == r.s.ID():
			return false, nil
		case found:
			return false, at(path, err)
		}
	}
}

// UnregisterConsumer removes a member's node.
func (r *Registry) UnregisterConsumer(ctx context.Context, group, id string) error {
	return r.remove(ctx, ConsumerPath(group, id), -1)
}

// ConsumersW are the members of a group, by id, with a watch for those that come and go. If some cannot be understood,
// the others are returned with the error, which has a *DecodeError for each.
func (r *Registry) ConsumersW(ctx context.Context, group string) ([]*Consumer, <-chan zk.Event, error) {
	if err := checkName(group); err != nil {
		return nil, nil, err
	}
	ids, stale, err := r.childrenW(ctx, ConsumerIDsPath(group))
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(ids)
	list, broken := make([]*Consumer, len(ids)), make([]error, len(ids))
	err = each(len(ids), inFlight, func(i int) error {
		path := ConsumerPath(group, ids[i])
		data, _, err := r.get(ctx, path)
		if errors.Is(err, zk.NoNode) {
			return nil
		}
		if err == nil {
			list[i], broken[i] = decodeConsumer(path, data)
		}
		return at(path, err)
	})
	for i := range broken {
		if broken[i] != nil {
			list[i] = nil
		}
	}
	list = slices.DeleteFunc(list, func(c *Consumer) bool { return c == nil })
	return list, stale, errors.Join(append(broken, err)...)
}

// ClaimPartition makes the ephemeral node that says that a thread of a member reads a partition. zk.NodeExists if
// another session has it, which has not given it up yet.
func (r *Registry) ClaimPartition(ctx context.Context, group string, p TopicPartition, id string, thread int) error {
	_, err := r.claim(ctx, OwnerPath(group, p), fmt.Appendf(nil, "%s-%d", id, thread))
	return err
}

// ReleasePartition removes that node.
func (r *Registry) ReleasePartition(ctx context.Context, group string, p TopicPartition) error {
	return r.remove(ctx, OwnerPath(group, p), -1)
}

// Owner is who reads a partition, as id-thread; "" if nobody does.
func (r *Registry) Owner(ctx context.Context, group string, p TopicPartition) (string, error) {
	data, _, err := r.get(ctx, OwnerPath(group, p))
	if errors.Is(err, zk.NoNode) {
		return "", nil
	}
	return string(data), at(OwnerPath(group, p), err)
}

// Offset is the offset that a group has committed; found is false if there is none.
func (r *Registry) Offset(ctx context.Context, group string, p TopicPartition) (offset int64, found bool, err error) {
	path := OffsetPath(group, p)
	data, _, err := r.get(ctx, path)
	if errors.Is(err, zk.NoNode) || err == nil && len(data) == 0 {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, at(path, err)
	}
	if offset, err = strconv.ParseInt(string(data), 10, 64); err != nil {
		return 0, false, &DecodeError{path, fmt.Errorf("%.40q is no offset", data)}
	}
	return offset, true, nil
}

// SetOffset commits an offset; the last one wins.
func (r *Registry) SetOffset(ctx context.Context, group string, p TopicPartition, offset int64) error {
	path, data := OffsetPath(group, p), strconv.AppendInt(nil, offset, 10)
	for {
		_, err := r.set(ctx, path, data, -1)
		if !errors.Is(err, zk.NoNode) {
			return at(path, err)
		}
		if err := r.createDeep(ctx, path, data); !errors.Is(err, zk.NodeExists) {
			return at(path, err)
		}
	}
}

package registry

import (
	"context"
	"errors"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// The nodes that tools of older Kafka versions write to ask the controller for something. Since 2.4 there are requests
// for both, but the controller still looks at the nodes.

// Reassignments are the partitions to be moved, found is false if there is no such wish. The watch is for its coming,
// changing and going.
func (r *Registry) Reassignments(ctx context.Context) (list []Reassignment, found bool, stale <-chan zk.Event, err error) {
	data, found, stale, err := r.wish(ctx, ReassignPath)
	if found && err == nil {
		list, err = decodeReassignments(data)
	}
	return list, found, stale, err
}

// PreferredElection are the partitions whose preferred leaders are to be elected, as Reassignments.
func (r *Registry) PreferredElection(ctx context.Context) (list []TopicPartition, found bool, stale <-chan zk.Event, err error) {
	data, found, stale, err := r.wish(ctx, PreferredPath)
	if found && err == nil {
		list, err = decodePartitions(PreferredPath, data)
	}
	return list, found, stale, err
}

func (r *Registry) wish(ctx context.Context, path string) (data []byte, found bool, stale <-chan zk.Event, err error) {
	for {
		data, _, stale, err = r.getW(ctx, path)
		if !errors.Is(err, zk.NoNode) {
			return data, err == nil, stale, at(path, err)
		}
		found, stale, err = r.existsW(ctx, path)
		if err != nil || !found {
			return nil, false, stale, at(path, err)
		}
		r.s.Unwatch(stale) // it has come between the two
	}
}

// RequestReassignment asks the controller to move partitions; zk.NodeExists if another wish is still there.
func (r *Registry) RequestReassignment(ctx context.Context, list []Reassignment) error {
	return r.request(ctx, ReassignPath, encodeReassignments(list))
}

// RequestPreferredElection asks the controller for an election; zk.NodeExists if another wish is still there.
func (r *Registry) RequestPreferredElection(ctx context.Context, list []TopicPartition) error {
	return r.request(ctx, PreferredPath, encodePartitions(list))
}

func (r *Registry) request(ctx context.Context, path string, data []byte) error {
	lost, err := r.create(ctx, path, data)
	if errors.Is(err, zk.NoNode) {
		return at(path, r.createDeep(ctx, path, data))
	}
	if lost && errors.Is(err, zk.NodeExists) {
		if now, _, err := r.get(ctx, path); err == nil && string(now) == string(data) {
			return nil
		}
	}
	return at(path, err)
}

// SetReassignments leaves only list of the wish, and removes it if that is empty.
func (r *Registry) SetReassignments(ctx context.Context, c Controller, list []Reassignment) error {
	if len(list) == 0 {
		return r.deleteTree(ctx, c, ReassignPath)
	}
	data := encodeReassignments(list)
	_, _, err := r.fenced(ctx, c, opSet(ReassignPath, data, -1))
	if errors.Is(err, zk.NoNode) {
		err = r.createFenced(ctx, c, ReassignPath, data, zk.NodeExists)
	}
	return at(ReassignPath, err)
}

// DonePreferredElection removes the wish.
func (r *Registry) DonePreferredElection(ctx context.Context, c Controller) error {
	return r.deleteTree(ctx, c, PreferredPath)
}

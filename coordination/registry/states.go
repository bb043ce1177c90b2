package registry

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// StateUpdate is a partition's state to be written, and what became of it.
type StateUpdate struct {
	TopicPartition
	State PartitionState
	// Err is ErrChanged if the partition epoch is not State's, or if a state to be created is there already;
	// ErrNotFound if there is none, or no topic.
	Err error
}

// CreatePartitionStates writes the first states of partitions, and the nodes above them. For each, the controller epoch
// is set to c's, and Epoch or Err to the outcome. A state that is there and says the same is a success: it is what a
// try before has left. The error is what kept the rest from being tried: ErrFenced, the session's, the context's.
func (r *Registry) CreatePartitionStates(ctx context.Context, c Controller, list []StateUpdate) error {
	topics := make([]string, len(list))
	for i := range list {
		list[i].State.ControllerEpoch, list[i].Err = c.Epoch, nil
		topics[i] = list[i].Topic
	}
	slices.Sort(topics)
	if err := r.createPartitions(ctx, c, slices.Compact(topics)); err != nil {
		return err
	}
	return r.many(ctx, c, things{
		n: len(list),
		parts: func(i int) []op {
			u := &list[i]
			return []op{r.opCreate(PartitionPath(u.Topic, u.Partition), nil, zk.Persistent),
				r.opCreate(StatePath(u.Topic, u.Partition), u.State.encode(), zk.Persistent)}
		},
		done:  func(i int, _ []result) { list[i].State.Epoch = 0 },
		alone: func(i int) error { return list[i].settle(r.createState(ctx, c, &list[i])) },
	})
}

// createPartitions makes the nodes that the partitions' nodes are under. A topic that is not there is found out later.
func (r *Registry) createPartitions(ctx context.Context, c Controller, topics []string) error {
	return r.many(ctx, c, things{
		n:     len(topics),
		parts: func(i int) []op { return []op{r.opCreate(PartitionsPath(topics[i]), nil, zk.Persistent)} },
		alone: func(i int) error {
			return r.createFenced(ctx, c, PartitionsPath(topics[i]), nil, zk.NodeExists, zk.NoNode)
		},
	})
}

// createFenced makes a node; the answers in fine are no errors.
func (r *Registry) createFenced(ctx context.Context, c Controller, path string, data []byte, fine ...zk.Error) error {
	_, _, err := r.fenced(ctx, c, r.opCreate(path, data, zk.Persistent))
	if slices.ContainsFunc(fine, func(e zk.Error) bool { return errors.Is(err, e) }) {
		return nil
	}
	return err
}

// createState makes one partition's nodes, some of which may be there.
func (r *Registry) createState(ctx context.Context, c Controller, u *StateUpdate) error {
	if err := r.createFenced(ctx, c, PartitionPath(u.Topic, u.Partition), nil, zk.NodeExists); err != nil {
		return err
	}
	err := r.createFenced(ctx, c, StatePath(u.Topic, u.Partition), u.State.encode())
	if errors.Is(err, zk.NodeExists) {
		return r.readBack(ctx, u, 0)
	}
	u.State.Epoch = 0
	return err
}

// UpdatePartitionStates replaces states whose partition epoch is still State.Epoch. For each, the controller epoch is
// set to c's, and State.Epoch to the new partition epoch or Err to what kept it from being written. The error is as
// that of CreatePartitionStates.
func (r *Registry) UpdatePartitionStates(ctx context.Context, c Controller, list []StateUpdate) error {
	for i := range list {
		list[i].State.ControllerEpoch, list[i].Err = c.Epoch, nil
	}
	return r.many(ctx, c, things{
		n:     len(list),
		parts: func(i int) []op { return []op{list[i].set()} },
		done:  func(i int, results []result) { list[i].State.Epoch = results[0].stat.Version },
		alone: func(i int) error { return list[i].settle(r.updateState(ctx, c, &list[i])) },
	})
}

func (r *Registry) updateState(ctx context.Context, c Controller, u *StateUpdate) error {
	results, _, err := r.fenced(ctx, c, u.set())
	switch {
	case err == nil:
		u.State.Epoch = results[0].stat.Version
	case errors.Is(err, zk.BadVersion): // it may have been written by a try whose reply was lost
		return r.readBack(ctx, u, u.State.Epoch+1)
	}
	return err
}

func (u *StateUpdate) set() op {
	return opSet(StatePath(u.Topic, u.Partition), u.State.encode(), u.State.Epoch)
}

// readBack looks whether a state that is in the way is the one to be written: then it was written by an earlier try.
// Its partition epoch has to be the one that this try would have made, since a later one is somebody else's.
func (r *Registry) readBack(ctx context.Context, u *StateUpdate, epoch int32) error {
	now, err := r.PartitionState(ctx, u.TopicPartition)
	switch {
	case err != nil:
		return err
	case now.Epoch != epoch || !now.Same(&u.State):
		return zk.BadVersion
	}
	u.State.Epoch = now.Epoch
	return nil
}

// settle keeps an error that is about this partition alone, and returns any other.
func (u *StateUpdate) settle(err error) error {
	var broken *DecodeError
	if ownFault(err) || errors.Is(err, ErrNotFound) || errors.As(err, &broken) {
		if errors.Is(err, zk.NodeExists) {
			err = zk.BadVersion
		}
		u.Err = at(StatePath(u.Topic, u.Partition), err)
		return nil
	}
	return err
}

// PartitionState is one partition's state; ErrNotFound if it has none.
func (r *Registry) PartitionState(ctx context.Context, p TopicPartition) (*PartitionState, error) {
	path := StatePath(p.Topic, p.Partition)
	data, stat, err := r.get(ctx, path)
	if err != nil {
		return nil, at(path, err)
	}
	return decodeState(path, data, stat.Version)
}

// PartitionStateW is PartitionState with a watch for its changes.
func (r *Registry) PartitionStateW(ctx context.Context, p TopicPartition) (*PartitionState, <-chan zk.Event, error) {
	path := StatePath(p.Topic, p.Partition)
	data, stat, stale, err := r.getW(ctx, path)
	if err != nil {
		return nil, nil, at(path, err)
	}
	s, err := decodeState(path, data, stat.Version)
	return s, stale, err
}

// PartitionStates are the states of partitions, in their order, nil for one that has none. If some cannot be
// understood, the others are returned with the error, which has a *DecodeError for each.
func (r *Registry) PartitionStates(ctx context.Context, list []TopicPartition) ([]*PartitionState, error) {
	states, broken := make([]*PartitionState, len(list)), make([]error, len(list))
	err := each(len(list), inFlight, func(i int) (err error) {
		var bad *DecodeError
		switch states[i], err = r.PartitionState(ctx, list[i]); {
		case errors.Is(err, ErrNotFound):
			return nil
		case errors.As(err, &bad):
			states[i], broken[i] = nil, err
			return nil
		}
		return err
	})
	return states, errors.Join(append(broken, err)...)
}

package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Notifications are nodes with numbers. Two kinds of readers:
//
//   - All brokers act on changes of configuration, ACLs and tokens: each remembers the last number that it has acted
//     on and takes what is above it; the nodes stay for PurgeAge and are then removed by whoever comes by.
//   - The controller alone acts on changed in-sync replicas and failed log directories, and removes what it has seen.

// PurgeAge is how long a notification stays, so that a broker that was away for less than that misses none
// (ZkNodeChangeNotificationListener). One that was away for longer reads everything again at its start.
const PurgeAge = 15 * time.Minute

// Change is one notification.
type Change[T any] struct {
	Number int64
	What   T
	Err    error // a *DecodeError: it cannot be understood, and is to be passed over
}

// queue is a node with notifications below it.
type queue[T any] struct {
	path, prefix string
	decode       func(path string, data []byte) (T, error)
}

var (
	configQueue      = queue[Entity]{ConfigChangesPath, configChangePrefix, decodeConfigChange}
	aclQueue         = queue[Resource]{ACLChangesPath, aclChangePrefix, decodeACLChange}
	aclExtendedQueue = queue[Resource]{ACLExtendedChanges, aclChangePrefix, decodeACLChangeExtended}
	tokenQueue       = queue[string]{TokenChangesPath, tokenChangePrefix, func(_ string, data []byte) (string, error) { return string(data), nil }}
	isrQueue         = queue[[]TopicPartition]{ISRChangesPath, isrChangePrefix, decodePartitions}
	logDirQueue      = queue[int32]{LogDirEventsPath, logDirEventPrefix, decodeLogDirFailure}
)

// ConfigChanges are the entities whose configuration has changed, by notifications with numbers above after (-1: all
// that are left), in order. The watch is for more of them. What the configuration is now, Config tells; it may have
// changed again, which is then in a later notification.
func (r *Registry) ConfigChanges(ctx context.Context, after int64) ([]Change[Entity], <-chan zk.Event, error) {
	return changes(ctx, r, configQueue, after)
}

// ACLChanges are the resources whose ACLs have changed. Names and prefixes have queues, and so numbers, of their own.
func (r *Registry) ACLChanges(ctx context.Context, prefixed bool, after int64) ([]Change[Resource], <-chan zk.Event, error) {
	if prefixed {
		return changes(ctx, r, aclExtendedQueue, after)
	}
	return changes(ctx, r, aclQueue, after)
}

// TokenChanges are the ids of the delegation tokens that were made, changed or deleted.
func (r *Registry) TokenChanges(ctx context.Context, after int64) ([]Change[string], <-chan zk.Event, error) {
	return changes(ctx, r, tokenQueue, after)
}

// ISRChanges are the partitions whose leaders have changed the in-sync replicas by themselves. See DoneISRChanges.
func (r *Registry) ISRChanges(ctx context.Context) ([]Change[[]TopicPartition], <-chan zk.Event, error) {
	return changes(ctx, r, isrQueue, -1)
}

// LogDirFailures are the brokers that have lost a log directory. See DoneLogDirFailures.
func (r *Registry) LogDirFailures(ctx context.Context) ([]Change[int32], <-chan zk.Event, error) {
	return changes(ctx, r, logDirQueue, -1)
}

// numbered are the nodes of a queue above a number, in order.
type numbered struct {
	name   string
	number int64
}

func (q *queue[T]) above(names []string, after int64) []numbered {
	var list []numbered
	for _, name := range names {
		if n, ok := sequence(name, q.prefix); ok && n > after {
			list = append(list, numbered{name, n})
		}
	}
	slices.SortFunc(list, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	return list
}

func changes[T any](ctx context.Context, r *Registry, q queue[T], after int64) ([]Change[T], <-chan zk.Event, error) {
	names, stale, err := r.childrenW(ctx, q.path)
	if err != nil {
		return nil, nil, err
	}
	nodes := q.above(names, after)
	list, gone := make([]Change[T], len(nodes)), make([]bool, len(nodes))
	err = each(len(nodes), inFlight, func(i int) error {
		path := q.path + "/" + nodes[i].name
		data, _, err := r.get(ctx, path)
		if errors.Is(err, zk.NoNode) { // purged since
			gone[i] = true
			return nil
		}
		list[i].Number = nodes[i].number
		if err == nil {
			list[i].What, list[i].Err = q.decode(path, data)
		}
		return at(path, err)
	})
	if err != nil {
		r.s.Unwatch(stale)
		return nil, nil, err
	}
	kept := list[:0]
	for i := range list {
		if !gone[i] {
			kept = append(kept, list[i])
		}
	}
	return kept, stale, nil
}

// PurgeChanges removes the notifications to all brokers that are older than PurgeAge.
func (r *Registry) PurgeChanges(ctx context.Context) error {
	return errors.Join(purge(ctx, r, configQueue), purge(ctx, r, aclQueue), purge(ctx, r, aclExtendedQueue),
		purge(ctx, r, tokenQueue))
}

// purge goes by the coordinator's clock in the nodes and the own one: it matters little if they differ by minutes.
func purge[T any](ctx context.Context, r *Registry, q queue[T]) error {
	names, err := r.children(ctx, q.path)
	if err != nil {
		return err
	}
	before := r.opt.Now().Add(-PurgeAge).UnixMilli()
	for _, n := range q.above(names, -1) {
		path := q.path + "/" + n.name
		stat, found, err := r.exists(ctx, path)
		if err != nil {
			return at(path, err)
		}
		if found && stat.Ctime >= before {
			return nil // those behind it are younger
		}
		if err := r.remove(ctx, path, -1); err != nil {
			return err
		}
	}
	return nil
}

// AddISRChange tells the controller that a leader has changed the in-sync replicas of partitions. Brokers that ask the
// controller to do that (AlterPartition) have no use for it.
func (r *Registry) AddISRChange(ctx context.Context, list []TopicPartition) error {
	return r.append(ctx, ISRChangesPath+"/"+isrChangePrefix, encodePartitions(list))
}

// AddLogDirFailure tells the controller that the broker has lost a log directory.
func (r *Registry) AddLogDirFailure(ctx context.Context, broker int32) error {
	return r.append(ctx, LogDirEventsPath+"/"+logDirEventPrefix, encodeLogDirFailure(broker))
}

// DoneISRChanges removes what the controller has acted on.
func (r *Registry) DoneISRChanges(ctx context.Context, c Controller, list []Change[[]TopicPartition]) error {
	return done(ctx, r, c, isrQueue, list)
}

// DoneLogDirFailures removes what the controller has acted on.
func (r *Registry) DoneLogDirFailures(ctx context.Context, c Controller, list []Change[int32]) error {
	return done(ctx, r, c, logDirQueue, list)
}

func done[T any](ctx context.Context, r *Registry, c Controller, q queue[T], list []Change[T]) error {
	path := func(i int) string { return q.path + "/" + q.prefix + zk.SequenceSuffix(int32(list[i].Number)) }
	return r.many(ctx, c, things{
		n:     len(list),
		parts: func(i int) []op { return []op{opDelete(path(i))} },
		alone: func(i int) error { return r.deleteTree(ctx, c, path(i)) },
	})
}

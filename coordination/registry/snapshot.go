package registry

import (
	"context"
	"errors"
	"sync"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Cluster is everything about brokers and topics at about one time. It is put together from many reads, between which
// the tree may change: who keeps one up to date sets the watches first, then loads.
type Cluster struct {
	ID         string // "" if there is none yet
	Brokers    []*BrokerInfo
	Controller ControllerInfo
	// ControllerEpoch is that of the newest controller, 0 if there was none.
	ControllerEpoch int32
	Topics          map[string]*TopicInfo
	Deleted         []string // names of the topics that are marked for deletion, sorted
	// Configs are those of brokers, users, clients and addresses; the topics' are with the topics.
	Configs map[Entity]map[string]string
	// Broken has a *DecodeError for each node that cannot be understood, and is left out above.
	Broken []error
}

// TopicInfo is all about a topic.
type TopicInfo struct {
	Topic
	Config map[string]string
	States []*PartitionState // by partition; nil for one that has none yet
}

// loader gathers a Cluster from several goroutines.
type loader struct {
	*Registry
	mu sync.Mutex
	c  *Cluster // under mu, while there are several
}

// LoadCluster reads the whole cluster, with many requests under way at the same time.
func (r *Registry) LoadCluster(ctx context.Context) (*Cluster, error) {
	// A server of an ensemble may lag behind: have it catch up with what was written before this call.
	if _, err := again(ctx, func() error { return r.s.Sync(ctx, "/") }); err != nil {
		return nil, at("/", err)
	}
	l := &loader{Registry: r, c: &Cluster{Topics: map[string]*TopicInfo{}, Configs: map[Entity]map[string]string{}}}
	steps := []func(context.Context) error{l.loadID, l.loadBrokers, l.loadController, l.loadTopics, l.loadConfigs}
	if err := each(len(steps), len(steps), func(i int) error { return steps[i](ctx) }); err != nil {
		return nil, err
	}
	return l.c, nil
}

// sort keeps errors about single nodes, and returns any other.
func (l *loader) sort(err error) error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		all = j.Unwrap()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range all {
		var bad *DecodeError
		if !errors.As(err, &bad) && !errors.Is(err, ErrBadName) {
			return err
		}
		l.c.Broken = append(l.c.Broken, err)
	}
	return nil
}

func (l *loader) loadID(ctx context.Context) error {
	data, _, err := l.get(ctx, ClusterIDPath)
	if errors.Is(err, zk.NoNode) {
		return nil
	}
	if err != nil {
		return at(ClusterIDPath, err)
	}
	l.c.ID, err = decodeClusterID(data)
	return l.sort(err)
}

func (l *loader) loadBrokers(ctx context.Context) (err error) {
	l.c.Brokers, err = l.Brokers(ctx)
	return l.sort(err)
}

func (l *loader) loadController(ctx context.Context) (err error) {
	l.c.Controller, err = l.Controller(ctx)
	if err := l.sort(err); err != nil {
		return err
	}
	l.c.ControllerEpoch, err = l.ControllerEpoch(ctx)
	return l.sort(err)
}

func (l *loader) loadConfigs(ctx context.Context) error {
	for _, kind := range [...]string{BrokerType, UserType, ClientType, IPType, ClientMetricsType, GroupType} {
		all, err := l.Configs(ctx, kind)
		if err := l.sort(err); err != nil {
			return err
		}
		for e, values := range all {
			l.c.Configs[e] = values
		}
	}
	return nil
}

func (l *loader) loadTopics(ctx context.Context) error {
	names, err := l.Topics(ctx)
	if err != nil {
		return err
	}
	if l.c.Deleted, err = l.DeletedTopics(ctx); err != nil {
		return err
	}
	topics := make([]*TopicInfo, len(names))
	err = each(len(names), inFlight, func(i int) (err error) {
		topics[i], err = l.loadTopic(ctx, names[i])
		return l.sort(err)
	})
	if err != nil {
		return err
	}
	// All partitions of all topics together, so that one large topic takes no longer than many small ones.
	var list []TopicPartition
	for i, t := range topics {
		if t == nil {
			continue
		}
		l.c.Topics[names[i]] = t
		for p := range t.Partitions {
			list = append(list, TopicPartition{t.Name, int32(p)})
		}
	}
	states, err := l.PartitionStates(ctx, list)
	for i, s := range states {
		t := l.c.Topics[list[i].Topic]
		t.States[list[i].Partition] = s
	}
	return l.sort(err)
}

// loadTopic is nil for a topic that is gone.
func (l *loader) loadTopic(ctx context.Context, name string) (*TopicInfo, error) {
	t, err := l.Topic(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	info := &TopicInfo{Topic: *t, States: make([]*PartitionState, len(t.Partitions))}
	if info.Config, err = l.Config(ctx, TopicEntity(name)); err != nil {
		return info, err
	}
	return info, nil
}

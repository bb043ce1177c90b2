package broker

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/coordination/registry"
)

// What a broker has kept in its log directories while it had no coordinator, or what another broker has left there
// (adoption), is brought into an empty coordinator once. The state file says that it has begun before anything is
// written, and that it is done afterwards, so that a crash has it go on; what is there already is left as it is.

// move brings topics, settings and producer ids into the coordinator, if that has not been done.
func (c *coordCatalog) move(l *link) error {
	ctx := l.calls()
	if c.state.Coordinator == moved {
		return nil
	}
	names, err := l.reg.Topics(ctx)
	if err != nil {
		return err
	}
	topics, err := c.toMove()
	if err != nil {
		return err
	}
	if c.state.Coordinator == "" && len(names) > 0 {
		// The coordinator has topics of its own: it is the truth, and logs of others are left alone.
		if err := c.conflicts(l, topics); err != nil {
			return err
		}
		return c.movedNow()
	}
	if c.state.Coordinator == "" && len(topics)+len(c.state.Brokers) > 0 || c.state.NextProducerID > 0 {
		if err := c.state.update(func(s *catalogState) { s.Coordinator = moving }); err != nil {
			return err
		}
	}
	for name, settings := range c.state.Brokers {
		e := registry.DefaultBroker
		if id, err := strconv.ParseInt(name, 10, 32); err == nil {
			e = registry.BrokerEntity(int32(id))
		}
		if err := l.reg.SetConfig(ctx, e, settings); err != nil {
			return err
		}
	}
	if err := l.reg.SkipProducerIDs(ctx, c.node, c.state.NextProducerID); err != nil {
		return err
	}
	list := slices.Collect(maps.Values(topics))
	errs := make([]error, len(list))
	parallel(len(list), func(i int) { errs[i] = c.moveTopic(l, list[i]) })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(list) > 0 {
		c.log.Info("topics of the log directories were brought into the coordinator", "topics", len(list))
	}
	return c.movedNow()
}

// movedNow has the state file forget what is in the coordinator.
func (c *coordCatalog) movedNow() error {
	return c.state.update(func(s *catalogState) {
		s.Coordinator, s.Brokers, s.NextProducerID = moved, nil, 0
		s.Topics = maps.Clone(s.Topics)
		maps.DeleteFunc(s.Topics, func(_ string, settings map[string]string) bool { return !mirrored(settings) })
	})
}

// toMove are the topics by what lies in the directories, and by what the state knows of those that are missing.
func (c *coordCatalog) toMove() (map[string]*registry.Topic, error) {
	topics := map[string]*registry.Topic{}
	grow := func(name string, id [16]byte, n int) error {
		t := topics[name]
		if t == nil {
			t = &registry.Topic{Name: name, ID: id}
			topics[name] = t
		}
		if t.ID != id {
			return fmt.Errorf("log.dirs holds partitions of two different topics named %s (ids %x and %x): "+
				"move the directories of one of them away", name, t.ID, id)
		}
		if n > maxPartitionNumber+1 {
			return fmt.Errorf("log.dirs holds %s-%d, a partition number beyond %d: move the directory away", name, n-1, maxPartitionNumber)
		}
		for len(t.Partitions) < n {
			t.Partitions = append(t.Partitions, registry.Assignment{Replicas: c.alone})
		}
		return nil
	}
	for _, l := range c.logsByName {
		if err := grow(l.Topic(), l.TopicID(), int(l.Partition())+1); err != nil {
			return nil, err
		}
	}
	if c.state.Coordinator == moved {
		return topics, nil
	}
	for name, k := range c.state.Known {
		var id [16]byte
		n, err := hex.Decode(id[:], []byte(k.ID))
		if err != nil || n != len(id) || k.Partitions > maxPartitionNumber+1 || topics[name] != nil && topics[name].ID != id {
			continue
		}
		if topics[name] == nil && !c.missing {
			c.log.Warn("topic is gone: no log directory has any of its partitions", "topic", name)
			continue
		}
		if err := grow(name, id, k.Partitions); err != nil {
			return nil, err
		}
	}
	for name := range topics {
		if _, err := config.Topic(c.state.Topics[name], c.static); err != nil {
			return nil, fmt.Errorf("%s: topic %s: %w", catalogStateFile, name, err)
		}
	}
	return topics, nil
}

// conflicts refuses to serve logs under the name of another topic of the coordinator.
func (c *coordCatalog) conflicts(l *link, topics map[string]*registry.Topic) error {
	for name, t := range topics {
		there, err := l.reg.Topic(l.calls(), name)
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := sameTopic(there, t); err != nil {
			return err
		}
	}
	return nil
}

func sameTopic(there, ours *registry.Topic) error {
	if there.ID == ours.ID || ours.ID == (registry.TopicID{}) {
		return nil
	}
	return fmt.Errorf("topic %s of the log directories (id %s) is not the coordinator's topic of that name (id %s): "+
		"move its directories away, or use another coordinator", ours.Name, ours.ID, there.ID)
}

// moveTopic brings one topic into the tree. One that is there gets the partitions that it lacks.
func (c *coordCatalog) moveTopic(l *link, t *registry.Topic) error {
	ctx := l.calls()
	if t.ID == (registry.TopicID{}) { // of before topics had ids
		t.ID = registry.NewTopicID()
	}
	settings := c.state.Topics[t.Name]
	if settings == nil {
		settings = map[string]string{}
	}
	err := l.reg.CreateTopic(ctx, *t, settings)
	if !errors.Is(err, registry.ErrTopicExists) {
		return err
	}
	there, err := l.reg.Topic(ctx, t.Name)
	if err != nil {
		return err
	}
	return sameTopic(there, t)
}

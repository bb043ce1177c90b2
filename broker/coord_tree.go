package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/controller"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// Reading of the coordinator's tree: all of it when a session begins, and what a watch tells of afterwards. The callers
// hold mu.

// reload reads everything and sets the watches of the session. Watches come first: what changes while it reads is read
// again.
func (c *coordCatalog) reload(l *link) error {
	ctx := l.calls()
	if err := c.watch(l); err != nil {
		return err
	}
	all, err := l.reg.LoadCluster(ctx)
	if err != nil {
		return err
	}
	if err := c.checkCluster(all.ID); err != nil {
		return err
	}
	for _, err := range all.Broken {
		c.log.Error("a node of the coordinator cannot be understood and is passed over", "error", err)
	}
	before := c.topics
	c.topics = make(map[string]*known, len(all.Topics))
	for name, t := range all.Topics {
		k := &known{Topic: t.Topic, states: make([]registry.PartitionState, len(t.Partitions)), overrides: t.Config}
		for i := range k.states {
			k.states[i] = absentState
			if i < len(t.States) && t.States[i] != nil {
				k.states[i] = *t.States[i]
			}
		}
		c.topics[name] = k
		c.inherit(k, before[name])
	}
	for _, name := range all.Deleted {
		if k := c.topics[name]; k != nil {
			k.deleting = true
		}
	}
	c.dynamic.Cluster, c.dynamic.Broker = all.Configs[registry.DefaultBroker], all.Configs[registry.BrokerEntity(c.node)]
	c.useDynamic()
	c.first = false
	c.settleAll()
	return nil
}

// inherit keeps what is known of the topic besides what the tree says.
func (c *coordCatalog) inherit(k, old *known) {
	switch {
	case old != nil && old.ID == k.ID:
		k.before, k.topic = old.before, old.topic
	case c.first:
		k.before = len(k.Partitions)
	}
}

// checkCluster keeps the broker out of another cluster than the one that its logs are of. It goes on serving what it led.
func (c *coordCatalog) checkCluster(id string) error {
	lost := id != c.clusterID
	c.loss.lost.Store(lost)
	switch {
	case lost && id == "":
		return fmt.Errorf("%w: it has no cluster id, this broker is of cluster %s: restore its data", errLost, c.clusterID)
	case lost:
		return fmt.Errorf("%w: it is of cluster %s, this broker is of cluster %s", errLost, id, c.clusterID)
	}
	return nil
}

// watch sets the watches that last as long as the session.
func (c *coordCatalog) watch(l *link) error {
	ctx := l.calls()
	if l.watching {
		return nil
	}
	w, err := l.session.AddWatch(ctx, registry.TopicsPath, true)
	if err != nil {
		return err
	}
	l.watching = true
	l.tasks.Go(func() {
		for e := range w.C {
			l.topicEvent(e)
		}
	})
	if err := c.readMarks(l); err != nil {
		return err
	}
	return c.readChanges(l)
}

// topicEvent sorts what happened below /brokers/topics. Changes of states are the controller's own while this broker is
// it.
func (l *link) topicEvent(e zk.Event) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(e.Path, registry.TopicsPath+"/"), "/")
	switch {
	case e.Type == zk.EventNone || e.Path == registry.TopicsPath:
		l.mark(func(s *staleParts) { s.allTopics = true })
	case rest == "" || strings.HasSuffix(rest, "/state") && !l.controls.Load():
		l.mark(func(s *staleParts) {
			if s.topics == nil {
				s.topics = map[string]bool{}
			}
			s.topics[name] = true
		})
	}
}

// refresh reads again what is stale. What fails because the connection is gone is read when it is back.
func (c *coordCatalog) refresh(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lead {
		return // enlist reads what it needs, and starts with everything
	}
	s := l.takeStale()
	parts := [partKinds]func(*link) error{partBrokers: c.readBrokers, partController: c.readController,
		partMarks: c.readMarks, partChanges: c.readChanges}
	for part, read := range parts {
		if s.parts[part] {
			c.again(l, read(l), func(s *staleParts) { s.parts[part] = true })
		}
	}
	all := func(s *staleParts) { s.allTopics = true }
	if s.allTopics {
		c.again(l, c.readAllTopics(l), all)
	} else if len(s.topics) > 0 {
		c.again(l, c.readTopics(l, slices.Sorted(maps.Keys(s.topics))), all)
	}
}

// again keeps in mind what could not be read because the connection was gone.
func (c *coordCatalog) again(l *link, err error, stale func(*staleParts)) {
	if err == nil {
		return
	}
	c.log.Warn("a change that the coordinator told of is not read yet", "error", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		stale(&l.stale)
	}
}

// readBrokers learns who is registered.
func (c *coordCatalog) readBrokers(l *link) error {
	list, stale, err := l.reg.BrokersW(l.calls())
	l.await(partBrokers, stale)
	var broken *registry.DecodeError
	if err != nil && !errors.As(err, &broken) {
		return err
	}
	if err != nil {
		c.log.Error("a broker's registration cannot be understood and is passed over", "error", err)
	}
	nodes, epochs := make([]Node, 0, len(list)), make(map[int32]int64, len(list))
	for _, b := range list {
		n := Node{ID: b.ID, Rack: b.Rack}
		for _, e := range b.Endpoints {
			n.Endpoints = append(n.Endpoints, Endpoint{e.Name, e.Host, e.Port})
		}
		nodes, epochs[b.ID] = append(nodes, n), b.Epoch
	}
	c.nodes, c.epochs = nodes, epochs
	if err := c.step(l, controller.BrokersChanged{Live: maps.Clone(epochs)}); err != nil {
		return err
	}
	c.publish()
	return nil
}

// readController learns who is the controller, and stands for election if nobody is.
func (c *coordCatalog) readController(l *link) error {
	for {
		now, stale, err := l.reg.ControllerW(l.calls())
		l.await(partController, stale)
		if err != nil {
			return err
		}
		own := now.ID == c.node && now.Session == l.session.ID()
		switch {
		case now.ID == registry.NoController:
			c.resign()
			elected, won, err := l.reg.Elect(l.calls(), c.node)
			if err != nil {
				return err
			}
			if won {
				return c.begin(l, elected)
			}
			continue // somebody was quicker
		case own && c.elected.ID == c.node && l.reg.CheckController(l.calls(), c.elected) == nil:
			if c.core.Active() {
				return nil
			}
			return c.begin(l, c.elected)
		}
		c.resign()
		c.controller = now.ID
		c.publish()
		return nil
	}
}

// begin begins the role of the controller.
func (c *coordCatalog) begin(l *link, elected registry.Controller) error {
	c.elected, c.controller = elected, c.node
	l.controls.Store(true)
	c.log.Info("this broker is the controller", "epoch", elected.Epoch)
	e := controller.Elected{Epoch: elected.Epoch, Live: maps.Clone(c.epochs)}
	for name, k := range c.topics {
		if err := c.giveID(l, k); err != nil {
			return err
		}
		e.Topics = append(e.Topics, k.Topic)
		e.States = append(e.States, k.writtenStates()...)
		if k.deleting {
			e.Deleting = append(e.Deleting, name)
		}
	}
	err := c.step(l, e)
	c.settleAll()
	return err
}

// giveID gives a topic an id that a tool of before topics had ids has made, as Kafka's controller does
// (KafkaController.processTopicIds).
func (c *coordCatalog) giveID(l *link, k *known) error {
	if k.ID != (registry.TopicID{}) || !l.controls.Load() {
		return nil
	}
	k.ID = registry.NewTopicID()
	err := l.reg.SetTopic(l.calls(), c.elected, &k.Topic)
	if errors.Is(err, registry.ErrChanged) || errors.Is(err, registry.ErrNotFound) {
		k.ID = registry.TopicID{} // the watch tells
		return nil
	}
	return err
}

// writtenStates are those that partitions have.
func (k *known) writtenStates() (list []controller.State) {
	for i, s := range k.states {
		if s.Epoch >= 0 {
			list = append(list, controller.State{Partition: controller.Partition{Topic: k.Name, Index: int32(i)}, PartitionState: s})
		}
	}
	return list
}

// readAllTopics looks for what has changed about any topic, when it was not told which.
func (c *coordCatalog) readAllTopics(l *link) error {
	names, err := l.reg.Topics(l.calls())
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	for name := range c.topics {
		if !there[name] {
			names = append(names, name)
		}
	}
	return c.readTopics(l, names)
}

// readTopics reads topics again, takes over what has changed, and tells the controller.
func (c *coordCatalog) readTopics(l *link, names []string) error {
	var e controller.TopicsChanged
	var changed []string
	for _, name := range names {
		k, err := c.readTopic(l.calls(), l, name)
		switch {
		case err != nil:
			return err
		case k == nil && c.topics[name] == nil, k != nil && k == c.topics[name]:
			continue
		case k == nil:
			c.gone(name)
			e.Gone = append(e.Gone, name)
		default:
			if err := c.giveID(l, k); err != nil {
				return err
			}
			c.topics[name] = k
			e.Topics = append(e.Topics, k.Topic)
			e.States = append(e.States, k.writtenStates()...)
			changed = append(changed, name)
		}
	}
	err := c.step(l, e)
	c.settle(changed)
	return err
}

// readTopic is what the tree has of a topic, nil if it is not there, and what is known of it if that is the same.
func (c *coordCatalog) readTopic(ctx context.Context, l *link, name string) (*known, error) {
	old := c.topics[name]
	t, err := l.reg.Topic(ctx, name)
	var broken *registry.DecodeError
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil, nil
	case errors.As(err, &broken):
		c.log.Error("a node of the coordinator cannot be understood and is passed over", "error", err)
		return old, nil
	case err != nil:
		return nil, err
	}
	same := old != nil && old.ID == t.ID && old.Version == t.Version
	if same && c.core.Active() {
		return old, nil // states are written by the controller
	}
	k := &known{Topic: *t, states: make([]registry.PartitionState, len(t.Partitions))}
	list := make([]registry.TopicPartition, len(k.states))
	for i := range list {
		list[i] = registry.TopicPartition{Topic: name, Partition: int32(i)}
	}
	states, err := l.reg.PartitionStates(ctx, list)
	if err != nil && !errors.As(err, &broken) {
		return nil, err
	}
	for i := range k.states {
		k.states[i] = absentState
		if states[i] != nil {
			k.states[i] = *states[i]
		}
	}
	if same && slices.EqualFunc(k.states, old.states, func(a, b registry.PartitionState) bool { return a.Epoch == b.Epoch }) {
		return old, nil
	}
	if k.overrides, err = l.reg.Config(ctx, registry.TopicEntity(name)); err != nil {
		return nil, err
	}
	c.inherit(k, old)
	if old != nil {
		k.deleting = old.deleting
	}
	return k, nil
}

// gone takes a topic away that is not in the tree any more. What this broker has of it goes too if it was marked for
// deletion; else nobody has said so.
func (c *coordCatalog) gone(name string) {
	k := c.topics[name]
	if k.deleting {
		if err := c.removeLogs(k); err != nil {
			c.log.Error("logs of a deleted topic are left", "topic", name, "error", err)
		}
	} else {
		c.log.Warn("a topic has vanished from the coordinator; its logs are left", "topic", name)
	}
	delete(c.topics, name)
}

// readMarks learns which topics are to be deleted.
func (c *coordCatalog) readMarks(l *link) error {
	names, stale, err := l.reg.DeletedTopicsW(l.calls())
	l.await(partMarks, stale)
	if err != nil {
		return err
	}
	var changed []string
	for name, k := range c.topics {
		if marked := slices.Contains(names, name); marked != k.deleting {
			k.deleting = marked
			changed = append(changed, name)
		}
	}
	if !c.lead {
		return nil
	}
	err = c.step(l, controller.DeletionAsked{Names: names})
	c.settle(changed)
	return err
}

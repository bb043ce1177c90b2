package broker

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/controller"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/wire"
)

// Creation, growth and deletion of topics by request, in Kafka's order: settings and the topic's node, in one
// transaction; the states of its partitions; then the logs. Deletion: the mark; the logs; the nodes, the mark last. What
// a crash leaves in between is finished by the next controller, or, as for logs, at the next start.

// forTopics locks the catalogue for changes of topics, which only the controller makes. The caller unlocks mu.
func (c *coordCatalog) forTopics() (l *link, err error) {
	if l, err = c.forChange(); err != nil {
		return nil, err
	}
	if !c.core.Active() {
		c.mu.Unlock()
		return nil, errNoController
	}
	return l, nil
}

// forChange locks the catalogue for a change of what the coordinator has. Without a connection there is none.
func (c *coordCatalog) forChange() (*link, error) {
	if !c.online() {
		return nil, errAway
	}
	c.mu.Lock()
	if !c.online() || !c.lead || c.loss.lost.Load() { // it may have taken a while
		c.mu.Unlock()
		return nil, errAway
	}
	return c.link.Load(), nil
}

func (c *coordCatalog) Create(spec TopicSpec, validateOnly bool) (*Topic, error) {
	made := c.CreateAll([]TopicSpec{spec}, validateOnly)[0]
	return made.Topic, made.Err
}

func (c *coordCatalog) CreateAll(specs []TopicSpec, validateOnly bool) []Creation {
	out := make([]Creation, len(specs))
	l, err := c.forTopics()
	if err != nil {
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	defer c.mu.Unlock()
	im := c.image.Load()
	taken := takenNames(im)
	var at []int // those to make
	for i := range specs {
		x := &out[i]
		if x.Topic, x.Err = c.design(im, taken, &specs[i]); x.Err == nil && !validateOnly {
			taken.add(specs[i].Name)
			at = append(at, i)
		}
	}
	parallel(len(at), func(i int) {
		x := &out[at[i]]
		x.Err = c.writeTopic(l, x.Topic)
	})
	c.finish(l, out, at)
	return out
}

// design checks s and returns the topic that it describes, without logs.
func (c *coordCatalog) design(im *Image, taken topicNames, s *TopicSpec) (*Topic, error) {
	if k := c.topics[s.Name]; k != nil && k.deleting {
		return nil, refuse(wire.TopicAlreadyExists, "Topic '%s' is marked for deletion.", s.Name)
	}
	n, err := c.check(im, taken, s)
	if err != nil {
		return nil, err
	}
	t := &Topic{Name: s.Name, ID: registry.NewTopicID(), Overrides: s.Overrides, Partitions: make([]*Partition, n)}
	if t.Config, err = config.Topic(s.Overrides, c.values); err != nil {
		return nil, refuse(wire.InvalidConfig, "%v", err)
	}
	return t, nil
}

// writeTopic brings a topic into the tree.
func (c *coordCatalog) writeTopic(l *link, t *Topic) error {
	r := registry.Topic{Name: t.Name, ID: t.ID, Partitions: make([]registry.Assignment, len(t.Partitions))}
	for i := range r.Partitions {
		r.Partitions[i].Replicas = c.alone
	}
	overrides := t.Overrides
	if overrides == nil {
		overrides = map[string]string{}
	}
	return coordErr(l.reg.CreateTopic(l.calls(), r, overrides))
}

// finish has the controller do its part for the topics at those places, and the logs made. A topic without all of its
// logs is taken back.
func (c *coordCatalog) finish(l *link, out []Creation, at []int) {
	var e controller.TopicsChanged
	var names []string
	for _, i := range at {
		t := out[i].Topic
		if out[i].Err != nil {
			out[i].Topic = nil
			continue
		}
		k := &known{Topic: registry.Topic{Name: t.Name, ID: t.ID, Partitions: make([]registry.Assignment, len(t.Partitions))},
			states: slices.Repeat([]registry.PartitionState{absentState}, len(t.Partitions)), overrides: t.Overrides}
		for j := range k.Partitions {
			k.Partitions[j].Replicas = c.alone
		}
		c.topics[t.Name] = k
		e.Topics = append(e.Topics, k.Topic)
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return
	}
	err := coordErr(c.step(l, e))
	errs := c.settle(names)
	var undo []string
	for _, i := range at {
		t := out[i].Topic
		if t == nil {
			continue
		}
		k := c.topics[t.Name]
		switch {
		case k != nil && k.topic != nil && k.topic.complete():
			out[i].Topic = k.topic
			c.mirror(t.Name, t.Overrides)
			c.log.Info("topic created", "topic", t.Name, "partitions", len(t.Partitions))
		case errs[t.Name] != nil && c.ctx.Err() == nil:
			out[i] = Creation{Err: refuse(wire.KafkaStorageError, "%v", errs[t.Name])}
			undo = append(undo, t.Name)
		default: // the next controller goes on
			out[i] = Creation{Err: err}
			if err == nil {
				out[i].Err = errAway
			}
		}
	}
	if len(undo) > 0 {
		c.takeBack(l, undo)
	}
}

// complete tells whether this broker serves all partitions.
func (t *Topic) complete() bool { return countNil(t.Partitions) == 0 }

// takeBack deletes topics that could not be made. What is left of them after an error, or a crash, is a topic with
// partitions that are offline, which can be deleted.
func (c *coordCatalog) takeBack(l *link, names []string) {
	var errs []error
	for _, name := range names {
		errs = append(errs, l.reg.MarkTopicDeleted(l.calls(), name))
	}
	if err := errors.Join(append(errs, c.step(l, controller.DeletionAsked{Names: names}))...); err != nil {
		c.log.Error("a topic that could not be made is left", "topics", names, "error", err)
	}
	c.publish()
}

// Grow gives the topic n partitions in all.
func (c *coordCatalog) Grow(name string, n int32, assignment [][]int32, validateOnly bool) error {
	l, err := c.forTopics()
	if err != nil {
		return err
	}
	defer c.mu.Unlock()
	im := c.image.Load()
	t := im.TopicNamed(name)
	if err := c.checkGrowth(im, t, n, assignment); err != nil || validateOnly {
		return err
	}
	old := c.topics[name]
	k := *old
	k.Partitions = slices.Clone(old.Partitions)
	k.states = slices.Clone(old.states)
	for len(k.Partitions) < int(n) {
		k.Partitions = append(k.Partitions, registry.Assignment{Replicas: c.alone})
		k.states = append(k.states, absentState)
	}
	if err := l.reg.SetTopic(l.calls(), c.elected, &k.Topic); err != nil {
		if errors.Is(err, registry.ErrChanged) { // by somebody else: the watch tells
			err = errAway
		}
		return coordErr(err)
	}
	c.topics[name] = &k
	err = coordErr(c.step(l, controller.TopicsChanged{Topics: []registry.Topic{k.Topic}}))
	failed := c.settle([]string{name})[name]
	switch {
	case failed != nil:
		return refuse(wire.KafkaStorageError, "%v", failed) // the partitions are there, and offline
	case err != nil:
		return err
	}
	c.log.Info("partitions added", "topic", name, "partitions", n)
	return nil
}

func (c *coordCatalog) Delete(t *Topic) error { return c.DeleteAll([]*Topic{t})[0] }

func (c *coordCatalog) DeleteAll(topics []*Topic) []error {
	errs := make([]error, len(topics))
	l, err := c.forTopics()
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	defer c.mu.Unlock()
	gone := make(map[string]bool, len(topics))
	for i, t := range topics {
		if k := c.topics[t.Name]; k == nil || k.ID != t.ID || k.deleting || gone[t.Name] {
			errs[i] = refuse(wire.UnknownTopicOrPartition, "%s", wire.UnknownTopicOrPartition.Message())
			continue
		}
		gone[t.Name] = true
	}
	parallel(len(topics), func(i int) {
		if errs[i] == nil {
			errs[i] = coordErr(l.reg.MarkTopicDeleted(l.calls(), topics[i].Name))
		}
	})
	for i, t := range topics {
		if errs[i] != nil {
			delete(gone, t.Name)
		}
	}
	names := slices.Sorted(maps.Keys(gone))
	err = coordErr(c.step(l, controller.DeletionAsked{Names: names}))
	c.settle(names)
	for i, t := range topics {
		if k := c.topics[t.Name]; errs[i] == nil && k != nil && k.ID == t.ID {
			if errs[i] = err; err == nil {
				errs[i] = refuse(wire.KafkaStorageError, "The topic is marked for deletion and not wholly deleted yet.")
			}
		}
	}
	return errs
}

func (c *coordCatalog) ProducerIDs() (first, count int64, err error) {
	l := c.link.Load()
	if !c.online() || c.loss.lost.Load() {
		return 0, 0, refuse(wire.CoordinatorLoadInProgress, "%s", errAway.Message)
	}
	b, err := l.reg.AllocateProducerIDs(l.calls(), c.node)
	if errors.Is(err, context.Canceled) {
		return 0, 0, refuse(wire.CoordinatorLoadInProgress, "%s", errAway.Message)
	}
	if err != nil {
		return 0, 0, coordErr(err)
	}
	return b.First, b.Last - b.First + 1, nil
}

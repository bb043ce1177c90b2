package broker

import (
	"errors"
	"slices"

	"github.com/sluice-mq/sluice/controller"
	"github.com/sluice-mq/sluice/coordination/registry"
)

// The driver of the controller's core: it carries the effects out, one after the other. The callers hold mu.

// resigned ends the core's role.
var resigned controller.Event = controller.Resigned{}

// step tells the core of an event and does what it wants. An error ends the role here if another controller was elected,
// or leaves things to be done by the next one.
func (c *coordCatalog) step(l *link, e controller.Event) error {
	queue := c.core.Step(e)
	if e == resigned && l == nil {
		if now := c.link.Load(); now != nil {
			now.controls.Store(false)
		}
		return nil
	}
	for len(queue) > 0 {
		next, err := c.carryOut(l, queue[0])
		if errors.Is(err, registry.ErrFenced) {
			c.resign()
		}
		if err != nil {
			return err
		}
		queue = append(queue[1:], c.core.Step(next)...)
	}
	return nil
}

// carryOut does one thing and returns what came of it.
func (c *coordCatalog) carryOut(l *link, e controller.Effect) (controller.Event, error) {
	switch e := e.(type) {
	case controller.WriteStates:
		return c.writeStates(l, e.States)
	case controller.DeleteReplicas:
		return c.deleteReplicas(e), nil
	case controller.RemoveTopic:
		if err := l.reg.DeleteTopic(l.calls(), c.elected, e.Topic); err != nil {
			return nil, err
		}
		delete(c.topics, e.Topic)
		c.log.Info("topic deleted", "topic", e.Topic)
		return controller.TopicRemoved(e), nil
	case controller.Unmark:
		if k := c.topics[e.Topic]; k != nil {
			c.log.Warn("a topic was marked for deletion, which delete.topic.enable=false forbids", "topic", e.Topic)
			k.deleting = false
		}
		return controller.TopicsChanged{}, l.reg.DropDeletion(l.calls(), c.elected, e.Topic)
	}
	panic("BUG: an effect that nobody carries out")
}

// writeStates writes states, as new ones or over those that are there. What another one has changed meanwhile is taken
// as it is.
func (c *coordCatalog) writeStates(l *link, list []controller.State) (controller.Event, error) {
	var fresh, others []registry.StateUpdate
	for _, s := range list {
		u := registry.StateUpdate{TopicPartition: registry.TopicPartition{Topic: s.Topic, Partition: s.Index}, State: s.PartitionState}
		if s.Epoch < 0 {
			u.State.LeaderEpoch = c.epochBefore(&u, u.State.LeaderEpoch)
			fresh = append(fresh, u)
		} else {
			others = append(others, u)
		}
	}
	if err := l.reg.CreatePartitionStates(l.calls(), c.elected, fresh); err != nil {
		return nil, err
	}
	if err := l.reg.UpdatePartitionStates(l.calls(), c.elected, others); err != nil {
		return nil, err
	}
	var written []controller.State
	for _, u := range slices.Concat(fresh, others) {
		if u.Err != nil {
			now, err := l.reg.PartitionState(l.calls(), u.TopicPartition)
			if err != nil {
				c.log.Error("the state of a partition cannot be written", "partition", u.TopicPartition, "error", errors.Join(u.Err, err))
				continue
			}
			u.State = *now
		}
		if k := c.topics[u.Topic]; k != nil && int(u.Partition) < len(k.states) {
			k.states[u.Partition] = u.State
		}
		written = append(written, controller.State{
			Partition: controller.Partition{Topic: u.Topic, Index: u.Partition}, PartitionState: u.State})
	}
	return controller.StatesWritten{States: written}, nil
}

// epochBefore is the leader epoch for a first state: that of a log which was here before its topic was in the tree never
// falls.
func (c *coordCatalog) epochBefore(u *registry.StateUpdate, epoch int32) int32 {
	l, k := c.logsByName[u.String()], c.topics[u.Topic]
	if l == nil || k == nil || !c.isOf(l, k) {
		return epoch
	}
	return max(epoch, l.LeaderEpoch())
}

// deleteReplicas deletes what a broker has of a topic. Other brokers cannot be told yet.
func (c *coordCatalog) deleteReplicas(e controller.DeleteReplicas) controller.Event {
	done := controller.ReplicasDeleted{Topic: e.Topic, Broker: e.Broker}
	k := c.topics[e.Topic]
	if e.Broker != c.node {
		c.log.Warn("a topic has replicas on another broker, which this controller cannot tell to delete them yet", "topic", e.Topic, "broker", e.Broker)
		done.Failed = true
		return done
	}
	if k == nil {
		return done
	}
	k.deleting = true
	c.settle([]string{e.Topic})
	if err := c.removeLogs(k); err != nil {
		c.log.Error("topic not wholly deleted", "topic", e.Topic, "error", err)
		done.Failed = true
	}
	return done
}

// removeLogs deletes all logs of the topic. Those in directories that are not there go when they are.
func (c *coordCatalog) removeLogs(k *known) error {
	t := &Topic{Name: k.Name, ID: k.ID}
	absent := 0
	for i := range k.Partitions {
		l := c.logsByName[partitionName(k.Name, i)]
		switch {
		case l != nil && c.isOf(l, k):
			t.Partitions = append(t.Partitions, &Partition{log: l})
			delete(c.logsByName, l.Name())
		case l == nil && slices.Contains(k.Partitions[i].Replicas, c.node) && c.absent(k, i):
			absent++
		}
	}
	list, err := c.remove([]*Topic{t})
	list[0].Absent += absent
	for _, p := range t.Partitions {
		if err != nil { // whatever is still there is found again
			if there := slices.Contains(p.log.Dir().Logs(), p.log); there {
				c.logsByName[p.log.Name()] = p.log
			}
		}
	}
	if err != nil || list[0].Absent == 0 && !c.several && !mirrored(c.state.Topics[k.Name]) {
		return err
	}
	return c.state.updateOrForce(func(s *catalogState) {
		s.know(k.Name, nil)
		s.set(k.Name, nil)
		if list[0].Absent > 0 {
			s.end(list[0])
		}
	})
}

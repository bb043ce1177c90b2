package controller

import (
	"maps"
	"slices"

	"github.com/sluice-mq/sluice/coordination/registry"
)

// Core is the controller's state. Its methods must not be called at the same time.
//
// Memory: some 150 bytes for each partition of the cluster, besides its lists of replicas.
type Core struct {
	deletes bool // delete.topic.enable

	epoch  int32 // 0: not elected
	live   map[int32]int64
	topics map[string]*topic
}

type topic struct {
	id         registry.TopicID
	partitions []partition
	deleting   bool
	removing   bool // nobody has anything of it any more
}

type partition struct {
	replicas      []int32
	replicaStates []ReplicaState // of each of replicas
	state         PartitionState
	current       registry.PartitionState // of a partition that is New it is nothing
}

// New makes a core that is not elected. Without deletes marks for deletion are taken away, as Kafka does with
// delete.topic.enable=false.
func New(deletes bool) *Core {
	c := &Core{deletes: deletes}
	c.forget()
	return c
}

func (c *Core) forget() { c.epoch, c.live, c.topics = 0, map[int32]int64{}, map[string]*topic{} }

// Active tells whether it is elected.
func (c *Core) Active() bool { return c.epoch != 0 }

// Step takes an event and returns what is to be done, in that order.
func (c *Core) Step(e Event) []Effect {
	if elected, ok := e.(Elected); ok {
		return c.elected(&elected)
	}
	if !c.Active() {
		return nil // late news of an earlier life
	}
	switch e := e.(type) {
	case Resigned:
		c.forget()
	case BrokersChanged:
		return c.brokersChanged(e.Live)
	case TopicsChanged:
		return c.topicsChanged(&e)
	case DeletionAsked:
		return c.deletionAsked(e.Names)
	case StatesWritten:
		c.statesWritten(e.States)
	case ReplicasDeleted:
		return c.replicasDeleted(&e)
	case TopicRemoved:
		delete(c.topics, e.Topic)
	}
	return nil
}

// elected begins anew with what the registry has (KafkaController.onControllerFailover).
func (c *Core) elected(e *Elected) []Effect {
	c.forget()
	c.epoch = e.Epoch
	maps.Copy(c.live, e.Live)
	for i := range e.Topics {
		c.learn(&e.Topics[i])
	}
	c.statesWritten(e.States)
	for name := range c.topics {
		c.judgeReplicas(c.topics[name])
	}
	return append(c.elect(slices.Sorted(maps.Keys(c.topics))), c.deletionAsked(e.Deleting)...)
}

// learn enters a topic, or what it has grown by. The new partitions are New.
func (c *Core) learn(r *registry.Topic) {
	t := c.topics[r.Name]
	if t == nil || t.id != r.ID {
		t = &topic{id: r.ID}
		c.topics[r.Name] = t
	}
	for i := len(t.partitions); i < len(r.Partitions); i++ {
		p := partition{replicas: r.Partitions[i].Replicas}
		p.replicaStates = make([]ReplicaState, len(p.replicas))
		p.become(NewPartition)
		for j := range p.replicas {
			p.replicaBecomes(j, NewReplica)
		}
		t.partitions = append(t.partitions, p)
	}
}

// judgeReplicas has replicas of New ones come online, and of brokers that are gone go offline.
func (c *Core) judgeReplicas(t *topic) {
	if t.removing {
		return
	}
	for i := range t.partitions {
		p := &t.partitions[i]
		for j, id := range p.replicas {
			if s := p.replicaStates[j]; s == DeletionStarted || s == DeletionSuccessful {
				continue
			}
			if c.isLive(id) && !t.deleting {
				p.replicaBecomes(j, OnlineReplica)
			} else {
				p.replicaBecomes(j, OfflineReplica)
			}
		}
	}
}

func (c *Core) isLive(id int32) bool {
	_, ok := c.live[id]
	return ok
}

func (c *Core) brokersChanged(live map[int32]int64) []Effect {
	if maps.Equal(live, c.live) {
		return nil
	}
	c.live = maps.Clone(live)
	for _, t := range c.topics {
		c.judgeReplicas(t)
	}
	names := slices.Sorted(maps.Keys(c.topics))
	out := c.elect(names)
	for _, name := range names {
		if t := c.topics[name]; t.deleting {
			out = append(out, c.startDeletion(name, t)...)
		}
	}
	return out
}

func (c *Core) topicsChanged(e *TopicsChanged) []Effect {
	for _, name := range e.Gone {
		delete(c.topics, name)
	}
	var names []string
	for i := range e.Topics {
		c.learn(&e.Topics[i])
		names = append(names, e.Topics[i].Name)
	}
	c.statesWritten(e.States)
	for _, name := range names {
		c.judgeReplicas(c.topics[name])
	}
	return c.elect(names)
}

// statesWritten takes what stands in the registry.
func (c *Core) statesWritten(list []State) {
	for i := range list {
		s := &list[i]
		t := c.topics[s.Topic]
		if t == nil || s.Index < 0 || int(s.Index) >= len(t.partitions) {
			continue
		}
		p := &t.partitions[s.Index]
		p.current = s.PartitionState
		if t.deleting {
			continue
		}
		if c.isLive(s.Leader) {
			p.become(OnlinePartition)
		} else {
			p.become(OfflinePartition)
		}
	}
}

// elect finds leaders for the partitions of the topics that have none, or one that is gone.
func (c *Core) elect(names []string) []Effect {
	var list []State
	for _, name := range names {
		t := c.topics[name]
		if t == nil || t.deleting {
			continue
		}
		for i := range t.partitions {
			if s, ok := c.next(&t.partitions[i]); ok {
				list = append(list, State{Partition{name, int32(i)}, s})
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	return []Effect{WriteStates{list}}
}

// next is the state that the partition should have, ok if that is another one.
func (c *Core) next(p *partition) (s registry.PartitionState, ok bool) {
	switch p.state {
	case NewPartition:
		return c.initial(p)
	case OnlinePartition:
		if c.isLive(p.current.Leader) {
			return s, false
		}
		p.become(OfflinePartition)
	}
	return c.offline(p)
}

// initial is the first state of a partition: the first replica whose broker is there leads, and those that are there are
// in sync. Without any it waits for one (PartitionStateMachine.initializeLeaderAndIsrForPartitions).
func (c *Core) initial(p *partition) (s registry.PartitionState, ok bool) {
	live := slices.DeleteFunc(slices.Clone(p.replicas), func(id int32) bool { return !c.isLive(id) })
	if len(live) == 0 {
		return s, false
	}
	return registry.PartitionState{Leader: live[0], ControllerEpoch: c.epoch, ISR: live, Epoch: -1}, true
}

// offline is the state after the leader has gone: the first replica in sync whose broker is there leads
// (PartitionLeaderElectionAlgorithms.offlinePartitionLeaderElection). Without one there is no leader, and the last
// member in sync stays: nobody else has all records.
func (c *Core) offline(p *partition) (s registry.PartitionState, ok bool) {
	s = p.current
	isr := slices.DeleteFunc(slices.Clone(s.ISR), func(id int32) bool { return !c.isLive(id) })
	leader := int32(registry.NoLeader)
	for _, id := range p.replicas {
		if slices.Contains(isr, id) {
			leader = id
			break
		}
	}
	if len(isr) == 0 && len(s.ISR) > 0 {
		isr = s.ISR[:1]
		if slices.Contains(s.ISR, s.Leader) {
			isr = []int32{s.Leader}
		}
	}
	if leader == s.Leader && slices.Equal(isr, s.ISR) {
		return s, false
	}
	s.Leader, s.ISR, s.ControllerEpoch = leader, isr, c.epoch
	s.LeaderEpoch++
	return s, true
}

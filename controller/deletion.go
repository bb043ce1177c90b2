package controller

import (
	"slices"
)

// Deletion of a topic (TopicDeletionManager): its replicas go offline; each broker deletes its own; when all have, the
// topic's nodes go. While a broker with a replica is away, or could not delete it, the topic waits: what is on that
// disk would be found there later without a topic.

func (c *Core) deletionAsked(names []string) (out []Effect) {
	for _, name := range names {
		t := c.topics[name]
		if t == nil || !c.deletes {
			out = append(out, Unmark{name})
			continue
		}
		if t.deleting {
			continue
		}
		t.deleting = true
		for i := range t.partitions {
			p := &t.partitions[i]
			p.become(OfflinePartition)
		}
		c.judgeReplicas(t)
		out = append(out, c.startDeletion(name, t)...)
	}
	return out
}

// startDeletion asks each broker that is there for its replicas.
func (c *Core) startDeletion(name string, t *topic) (out []Effect) {
	if t.removing {
		return []Effect{RemoveTopic{name}} // it has failed
	}
	var brokers []int32
	for i := range t.partitions {
		p := &t.partitions[i]
		for j, id := range p.replicas {
			switch {
			case p.replicaStates[j] != OfflineReplica:
			case c.isLive(id):
				p.replicaBecomes(j, DeletionStarted)
				if !slices.Contains(brokers, id) {
					brokers = append(brokers, id)
				}
			}
		}
	}
	for _, id := range brokers {
		out = append(out, DeleteReplicas{name, id})
	}
	if len(brokers) == 0 {
		out = c.endDeletion(name, t)
	}
	return out
}

func (c *Core) replicasDeleted(e *ReplicasDeleted) []Effect {
	t := c.topics[e.Topic]
	if t == nil || !t.deleting || t.removing {
		return nil
	}
	for i := range t.partitions {
		p := &t.partitions[i]
		for j, id := range p.replicas {
			switch {
			case id != e.Broker || p.replicaStates[j] != DeletionStarted:
			case e.Failed:
				p.replicaBecomes(j, DeletionIneligible)
			default:
				p.replicaBecomes(j, DeletionSuccessful)
			}
		}
	}
	return c.endDeletion(e.Topic, t)
}

// endDeletion removes the topic if nobody has anything of it.
func (c *Core) endDeletion(name string, t *topic) []Effect {
	for i := range t.partitions {
		for _, s := range t.partitions[i].replicaStates {
			if s != DeletionSuccessful {
				return nil
			}
		}
	}
	t.removing = true
	for i := range t.partitions {
		p := &t.partitions[i]
		p.become(NonExistentPartition)
		for j := range p.replicas {
			p.replicaBecomes(j, NonExistentReplica)
		}
	}
	return []Effect{RemoveTopic{name}}
}

package broker

import (
	"errors"
	"slices"

	"github.com/sluice-mq/sluice/wire"
)

// Grow gives the topic n partitions in all. The new ones are unfinished in the state file until all of them are made:
// a crash before that leaves the topic as it was.
func (d *dirCatalog) Grow(name string, n int32, assignment [][]int32, validateOnly bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	im := d.image.Load()
	t := im.TopicNamed(name)
	if err := d.checkGrowth(im, t, n, assignment); err != nil || validateOnly {
		return err
	}
	u := unfinishedTopic(t.Name, t.ID)
	u.From = int32(len(t.Partitions))
	if err := d.state.update(func(s *catalogState) { s.begin(u) }); err != nil {
		return refuse(wire.KafkaStorageError, "%v", err)
	}
	added, err := d.addLogs(t, n)
	if err == nil {
		err = d.state.update(func(s *catalogState) {
			s.end(u)
			if d.several {
				s.know(name, &Topic{ID: t.ID, Partitions: make([]*Partition, n)})
			}
		})
	}
	if err != nil {
		d.log.Error("partitions not added", "topic", name, "error", err)
		return errors.Join(refuse(codeOf(err), "%v", err), d.undoGrowth(u, added))
	}
	grown := *t
	grown.Partitions = append(slices.Clone(t.Partitions), added...)
	all := slices.DeleteFunc(slices.Clone(im.Topics()), func(x *Topic) bool { return x == t })
	d.image.Store(im.withTopics(append(all, &grown)))
	d.log.Info("partitions added", "topic", name, "partitions", n)
	return nil
}

// checkGrowth has the rules and the order of Kafka's ReplicationControlManager.createPartitions.
func (d topicRules) checkGrowth(im *Image, t *Topic, n int32, assignment [][]int32) error {
	if t == nil {
		return refuse(wire.UnknownTopicOrPartition, "") // without words, as Kafka
	}
	now := int32(len(t.Partitions))
	switch {
	case n == now:
		return refuse(wire.InvalidPartitions, "Topic already has %d partition(s).", now)
	case n < now:
		return refuse(wire.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, now, n)
	case n > maxPartitions:
		return refuse(wire.InvalidPartitions, "%d partitions are more than the %d that one topic may have.", n, maxPartitions)
	case assignment == nil:
		return nil
	case int32(len(assignment)) != n-now:
		return refuse(wire.InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.",
			n-now, len(assignment))
	}
	for _, replicas := range assignment {
		if r := d.checkReplicas(im, replicas); r != nil {
			return r
		}
	}
	return nil
}

// addLogs makes the partitions of t from the first that it does not have to n. It returns those that it made, with an
// error too: the others are nil then.
func (d *dirCatalog) addLogs(t *Topic, n int32) (added []*Partition, err error) {
	now := len(t.Partitions)
	grown := *t
	grown.Partitions = make([]*Partition, n)
	copy(grown.Partitions, t.Partitions)
	var list []place
	for i := int32(now); i < n; i++ {
		list = append(list, place{&grown, i, firstEpoch})
	}
	err = d.make(list)
	switch {
	case err != nil && d.ctx.Err() != nil:
		err = refuse(wire.BrokerNotAvailable, "The broker is stopping.")
	case err != nil:
		err = refuse(wire.KafkaStorageError, "%v", err)
	}
	return grown.Partitions[now:], err
}

// undoGrowth removes what was made. If that fails the next start does it.
func (d *dirCatalog) undoGrowth(u unfinished, added []*Partition) error {
	var errs []error
	for _, p := range added {
		if p != nil {
			errs = append(errs, p.log.Dir().Delete(p.log))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return d.state.update(func(s *catalogState) { s.end(u) })
}

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
	if err := d.checkGrowth(t, n, assignment); err != nil || validateOnly {
		return err
	}
	from := len(t.Partitions)
	grown := *t
	grown.Partitions = append(slices.Clone(t.Partitions), make([]*Partition, int(n)-from)...)
	just := []*Topic{&grown}
	if err := d.state.update(func(s *catalogState) { s.beginGrowth(&grown, int32(from)) }); err != nil {
		return refuse(wire.KafkaStorageError, "%v", err)
	}
	err := d.createLogs(just, from)
	if err == nil {
		err = d.state.update(func(s *catalogState) { s.end(just) })
	}
	if err != nil && d.ctx.Err() != nil { // the next start removes what is there
		return refuse(wire.BrokerNotAvailable, "The broker is stopping.")
	}
	if err != nil {
		d.log.Error("partitions not added", "topic", name, "error", err)
		return errors.Join(refuse(codeOf(err), "%v", err), d.undoGrowth(&grown, from))
	}
	all := slices.DeleteFunc(slices.Clone(im.Topics()), func(x *Topic) bool { return x == t })
	d.image.Store(im.withTopics(append(all, &grown)))
	d.log.Info("partitions added", "topic", name, "partitions", n)
	return nil
}

// checkGrowth has the rules and the order of Kafka's ReplicationControlManager.createPartitions.
func (d *dirCatalog) checkGrowth(t *Topic, n int32, assignment [][]int32) error {
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
		if r := d.checkReplicas(replicas); r != nil {
			return r
		}
	}
	return nil
}

// undoGrowth removes what was made from partition from on. If that fails the next start does it.
func (d *dirCatalog) undoGrowth(t *Topic, from int) error {
	if err := d.deleteLogs(t.Partitions[from:]); err != nil {
		return err
	}
	return d.state.update(func(s *catalogState) { s.end([]*Topic{t}) })
}

package broker

import (
	"crypto/rand"
	"errors"
	"slices"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
)

// Creation and deletion of topics that lie in directories. Both take any number of topics, with any number of
// partitions, in about as many syncs as one takes: the state file before and after, and what logstore needs for many
// logs at once.

func (d *dirCatalog) Create(spec TopicSpec, validateOnly bool) (*Topic, error) {
	c := d.CreateAll([]TopicSpec{spec}, validateOnly)[0]
	return c.Topic, c.Err
}

func (d *dirCatalog) CreateAll(specs []TopicSpec, validateOnly bool) []Creation {
	d.mu.Lock()
	defer d.mu.Unlock()
	im := d.image.Load()
	out := make([]Creation, len(specs))
	var at []int // those to make
	taken := takenNames(im)
	for i := range specs {
		c := &out[i]
		if c.Topic, c.Err = d.design(im, taken, &specs[i]); c.Err == nil && !validateOnly {
			taken.add(specs[i].Name)
			at = append(at, i)
		}
	}
	topics := make([]*Topic, len(at))
	for i, j := range at {
		topics[i] = out[j].Topic
	}
	made := slices.Clone(im.Topics())
	for i, err := range d.makeTopics(topics) {
		c := &out[at[i]]
		if c.Err = err; err != nil {
			c.Topic = nil
			continue
		}
		made = append(made, c.Topic)
		d.log.Info("topic created", "topic", c.Topic.Name, "partitions", len(c.Topic.Partitions))
	}
	if len(made) > len(im.Topics()) {
		d.image.Store(im.withTopics(made))
	}
	return out
}

// design checks s and returns the topic that it describes, without logs.
func (d *dirCatalog) design(im *Image, taken topicNames, s *TopicSpec) (*Topic, error) {
	n, err := d.check(im, taken, s)
	if err != nil {
		return nil, err
	}
	t := &Topic{Name: s.Name, Partitions: make([]*Partition, n)}
	for t.ID == [16]byte{} { // zero means "no id" in the protocol
		_, _ = rand.Read(t.ID[:]) // never fails (crypto/rand)
	}
	if err := d.configure(t, s.Overrides, d.values); err != nil {
		return nil, refuse(wire.InvalidConfig, "%v", err)
	}
	return t, nil
}

// makeTopics creates the partitions of topics and tells for each topic why it could not: all or none of its
// partitions. What hinders one hinders only that one, though then they are made one by one.
func (d *dirCatalog) makeTopics(topics []*Topic) []error {
	errs := make([]error, len(topics))
	if len(topics) == 0 {
		return errs
	}
	err := d.makeLogs(topics)
	if err == nil || len(topics) == 1 || d.ctx.Err() != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i, t := range topics {
		errs[i] = d.makeLogs([]*Topic{t})
	}
	return errs
}

// makeLogs creates the partitions of topics, all or none; settings first, so that a topic never exists without them,
// nor with those that a deleted topic of its name has left because of a crash.
func (d *dirCatalog) makeLogs(topics []*Topic) error {
	several := d.several || slices.ContainsFunc(topics, func(t *Topic) bool { return !hasOne(t) })
	if several || slices.ContainsFunc(topics, func(t *Topic) bool { return len(t.Overrides) > 0 || d.state.Topics[t.Name] != nil }) {
		if err := d.state.update(func(s *catalogState) {
			for _, t := range topics {
				s.set(t.Name, t.Overrides)
			}
			s.begin(unfinishedTopics(slices.DeleteFunc(slices.Clone(topics), func(t *Topic) bool { return hasOne(t) && !d.several }))...)
		}); err != nil {
			return refuse(wire.KafkaStorageError, "%v", err)
		}
	}
	err := d.make(allPlaces(topics...))
	if err == nil && several {
		err = d.state.update(func(s *catalogState) {
			s.end(unfinishedTopics(topics)...)
			for _, t := range topics {
				if d.several {
					s.know(t.Name, t)
				}
			}
		})
	}
	if d.ctx.Err() != nil && err != nil { // the next start removes what is there
		return refuse(wire.BrokerNotAvailable, "The broker is stopping.")
	}
	if err != nil {
		d.log.Error("topic not created", "topic", topics[0].Name, "topics", len(topics), "error", err)
		return errors.Join(refuse(wire.KafkaStorageError, "%v", err), d.removeLogs(made(topics)))
	}
	return nil
}

// hasOne tells topics of one partition, whose creation is one step.
func hasOne(t *Topic) bool { return len(t.Partitions) == 1 }

// made is topics with those of their partitions that were made before the creation failed.
func made(topics []*Topic) []*Topic {
	list := make([]*Topic, len(topics))
	for i, t := range topics {
		there := slices.DeleteFunc(slices.Clone(t.Partitions), func(p *Partition) bool { return p == nil })
		list[i] = &Topic{Name: t.Name, ID: t.ID, Partitions: there}
	}
	return list
}

func (d *dirCatalog) Delete(t *Topic) error { return d.DeleteAll([]*Topic{t})[0] }

func (d *dirCatalog) DeleteAll(topics []*Topic) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	im := d.image.Load()
	errs := make([]error, len(topics))
	gone := make(map[*Topic]bool, len(topics))
	var there []*Topic
	for i, t := range topics {
		now := im.TopicNamed(t.Name) // it may have other settings than the caller saw
		if now == nil || now.ID != t.ID || gone[now] {
			errs[i] = refuse(wire.UnknownTopicOrPartition, "%s", wire.UnknownTopicOrPartition.Message())
			continue
		}
		gone[now] = true
		there = append(there, now)
	}
	if err := d.delete(im, there, gone); err != nil {
		d.log.Error("topic not wholly deleted", "topic", there[0].Name, "topics", len(there), "error", err)
		for i := range errs {
			if errs[i] == nil {
				errs[i] = refuse(wire.KafkaStorageError, "%v", err)
			}
		}
	}
	return errs
}

// delete takes topics out of the image, and then their logs out of the directories.
func (d *dirCatalog) delete(im *Image, topics []*Topic, gone map[*Topic]bool) error {
	if len(topics) == 0 {
		return nil
	}
	begin := func(s *catalogState) {
		for _, t := range topics {
			s.set(t.Name, nil)
			s.know(t.Name, nil)
		}
		s.begin(unfinishedTopics(topics)...)
	}
	switch err := d.state.update(begin); {
	case logstore.IsNoSpace(err):
		d.state.force(begin) // to delete is what helps; a crash now leaves what is not removed yet, to be deleted again
	case err != nil:
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(im.Topics()), func(x *Topic) bool { return gone[x] })
	d.image.Store(im.withTopics(rest))
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p != nil {
				p.waiters.wakeAll()
			}
		}
	}
	if err := d.removeLogs(topics); err != nil {
		return err
	}
	for _, t := range topics {
		d.log.Info("topic deleted", "topic", t.Name)
	}
	return nil
}

// removeLogs removes what there is of topics and then their traces in the state. If that fails the next start goes on,
// and so does one that finds the directories which are offline today.
func (d *dirCatalog) removeLogs(topics []*Topic) error {
	list, err := d.remove(topics)
	if err != nil {
		return err
	}
	end := func(s *catalogState) {
		for _, t := range topics {
			s.set(t.Name, nil)
			s.know(t.Name, nil)
		}
		s.end(list...)
	}
	return d.state.updateOrForce(end)
}

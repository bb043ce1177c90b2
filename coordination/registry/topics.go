package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Topics are the topics' names, sorted.
func (r *Registry) Topics(ctx context.Context) ([]string, error) {
	names, err := r.children(ctx, TopicsPath)
	slices.Sort(names)
	return names, err
}

// TopicsW is Topics with a watch for topics that come and go. What changes about one it does not tell, see TopicW.
func (r *Registry) TopicsW(ctx context.Context) ([]string, <-chan zk.Event, error) {
	names, stale, err := r.childrenW(ctx, TopicsPath)
	slices.Sort(names)
	return names, stale, err
}

// Topic is a topic's id and assignment; ErrNotFound if there is none of that name.
func (r *Registry) Topic(ctx context.Context, name string) (*Topic, error) {
	data, stat, err := r.get(ctx, TopicPath(name))
	return readTopic(name, data, stat, err)
}

// TopicW is Topic with a watch for changes of the assignment and the topic's end.
func (r *Registry) TopicW(ctx context.Context, name string) (*Topic, <-chan zk.Event, error) {
	data, stat, stale, err := r.getW(ctx, TopicPath(name))
	t, err := readTopic(name, data, stat, err)
	return t, stale, err
}

func readTopic(name string, data []byte, stat zk.Stat, err error) (*Topic, error) {
	if err != nil {
		return nil, at(TopicPath(name), err)
	}
	t, err := decodeTopic(name, data)
	if err != nil {
		return nil, err
	}
	t.Version = stat.Version
	return t, nil
}

// CreateTopic writes the topic's configuration and then its node, in one transaction; any broker may. The partitions'
// states are the controller's, see CreatePartitionStates. ErrTopicExists, ErrTopicDeleting. The id must be new (see
// NewTopicID), since by it a lost reply is told from somebody else's topic.
func (r *Registry) CreateTopic(ctx context.Context, t Topic, config map[string]string) error {
	if err := checkName(t.Name); err != nil {
		return err
	}
	if t.ID == (TopicID{}) {
		return fmt.Errorf("registry: topic %s has no id", t.Name) // a Kafka controller would give it one, unchecked
	}
	if _, found, err := r.exists(ctx, DeleteTopicPath(t.Name)); err != nil {
		return at(DeleteTopicPath(t.Name), err)
	} else if found {
		return fmt.Errorf("%w: %s", ErrTopicDeleting, t.Name)
	}
	for {
		conf, err := r.configOp(ctx, TopicEntity(t.Name), config)
		if err != nil {
			return err
		}
		results, _, err := r.multi(ctx, conf, r.opCreate(TopicPath(t.Name), t.encode(), zk.Persistent))
		switch failed := failedPart(results); {
		case err == nil:
			return nil
		case failed == 0 && conf.kind == zk.OpCreate && errors.Is(err, zk.NoNode):
			err = r.ensure(ctx, zk.Parent(conf.path))
		case failed == 1 && errors.Is(err, zk.NoNode):
			err = r.ensure(ctx, TopicsPath)
		case ownFault(err):
			err = r.topicExists(ctx, &t)
			if err == nil {
				return nil
			}
			if errors.Is(err, ErrNotFound) { // the configuration was made or deleted meanwhile
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// topicExists is nil if the topic is there and is t, by its id; ErrNotFound, ErrTopicExists.
func (r *Registry) topicExists(ctx context.Context, t *Topic) error {
	old, err := r.Topic(ctx, t.Name)
	if err == nil && old.ID == t.ID {
		return nil
	}
	var broken *DecodeError
	if err == nil || errors.As(err, &broken) {
		return fmt.Errorf("%w: %s", ErrTopicExists, t.Name)
	}
	return err
}

// configOp is the part of a transaction that creates or replaces a configuration.
func (r *Registry) configOp(ctx context.Context, e Entity, values map[string]string) (op, error) {
	_, found, err := r.exists(ctx, e.Path())
	if err != nil {
		return op{}, at(e.Path(), err)
	}
	if found {
		return opSet(e.Path(), encodeConfig(values), -1), nil
	}
	return r.opCreate(e.Path(), encodeConfig(values), zk.Persistent), nil
}

// SetTopic replaces a topic's assignment, if its node still has t.Version, which is brought up to date; ErrChanged if
// it has not. The id stays what t has.
func (r *Registry) SetTopic(ctx context.Context, c Controller, t *Topic) error {
	path, data := TopicPath(t.Name), t.encode()
	results, lost, err := r.fenced(ctx, c, opSet(path, data, t.Version))
	if err == nil {
		t.Version = results[0].stat.Version
		return nil
	}
	if lost && errors.Is(err, zk.BadVersion) {
		now, stat, getErr := r.get(ctx, path)
		if getErr == nil && stat.Version == t.Version+1 && string(now) == string(data) {
			t.Version = stat.Version
			return nil
		}
	}
	return at(path, err)
}

// MarkTopicDeleted asks the controller to delete a topic; any broker may. ErrNotFound if there is none of that name.
// One that is marked already is no error.
func (r *Registry) MarkTopicDeleted(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if _, found, err := r.exists(ctx, TopicPath(name)); err != nil || !found {
		if err == nil {
			err = zk.NoNode
		}
		return at(TopicPath(name), err)
	}
	err := r.createDeep(ctx, DeleteTopicPath(name), nil)
	if errors.Is(err, zk.NodeExists) {
		return nil
	}
	return at(DeleteTopicPath(name), err)
}

// DeletedTopics are the names of the topics that are marked for deletion, sorted.
func (r *Registry) DeletedTopics(ctx context.Context) ([]string, error) {
	names, err := r.children(ctx, DeleteTopicsPath)
	slices.Sort(names)
	return names, err
}

// DeletedTopicsW is DeletedTopics with a watch for marks that come and go.
func (r *Registry) DeletedTopicsW(ctx context.Context) ([]string, <-chan zk.Event, error) {
	names, stale, err := r.childrenW(ctx, DeleteTopicsPath)
	slices.Sort(names)
	return names, stale, err
}

// DeleteTopic removes all nodes of a topic, in this order: partition states, topic, configuration, mark. What is gone
// already is no error, so that it can be called again after a failure.
func (r *Registry) DeleteTopic(ctx context.Context, c Controller, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	partitions, err := r.children(ctx, PartitionsPath(name))
	if err != nil {
		return err
	}
	dir := PartitionsPath(name) + "/"
	err = r.many(ctx, c, things{
		n:     len(partitions),
		parts: func(i int) []op { return []op{opDelete(dir + partitions[i] + "/state"), opDelete(dir + partitions[i])} },
		alone: func(i int) error { return r.deleteTree(ctx, c, dir+partitions[i]) },
	})
	if err != nil {
		return at(PartitionsPath(name), err)
	}
	for _, path := range [...]string{TopicPath(name), TopicEntity(name).Path(), DeleteTopicPath(name)} {
		if err := r.deleteTree(ctx, c, path); err != nil {
			return err
		}
	}
	return nil
}

// DropDeletion removes the mark of a topic that will not be deleted, as the one of a topic that is not there.
func (r *Registry) DropDeletion(ctx context.Context, c Controller, name string) error {
	return r.deleteTree(ctx, c, DeleteTopicPath(name))
}

// deleteTree removes a node with all below it, if it is there.
func (r *Registry) deleteTree(ctx context.Context, c Controller, path string) error {
	for {
		_, _, err := r.fenced(ctx, c, opDelete(path))
		if err == nil || errors.Is(err, zk.NoNode) {
			return nil
		}
		if !errors.Is(err, zk.NotEmpty) {
			return at(path, err)
		}
		names, err := r.children(ctx, path)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := r.deleteTree(ctx, c, path+"/"+name); err != nil {
				return err
			}
		}
	}
}

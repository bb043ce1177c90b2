package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
)

// dirCatalog is the catalogue of a broker without a coordinator: a topic exists when log.dirs holds its
// partitions. What Kafka's files have no place for (settings of topics, the last producer id given out) is in
// the state file of one directory.
//
// Making or removing one partition is atomic (logstore.Dir). For more of them their topic is unfinished in the state
// file until all are done, so that a crash between them leaves no half topic.
type dirCatalog struct {
	node     int32
	values   *config.Values       // with what was set while running; guarded by mu
	static   *config.Values       // without
	changed  func(*config.Broker) // see onChange; guarded by mu
	defaults *config.Broker
	dirs     []*logstore.Dir
	log      *slog.Logger

	image   atomic.Pointer[Image]
	closing atomic.Bool

	mu    sync.Mutex // one change at a time; held while writing to disk
	state *catalogState
}

func openDirCatalog(cfg *config.Broker, values *config.Values, dirs []*logstore.Dir, log *slog.Logger) (*dirCatalog, error) {
	state, err := loadCatalogState(dirs)
	if err != nil {
		return nil, err
	}
	d := &dirCatalog{node: cfg.NodeID, values: values, static: values, defaults: cfg, dirs: dirs, log: log, state: state,
		changed: func(*config.Broker) {}}
	if err := d.clear(); err != nil {
		return nil, err
	}
	d.loadBrokerSettings()
	var logs []*logstore.Log
	for _, dir := range dirs {
		logs = append(logs, dir.Logs()...)
	}
	topics, err := d.found(logs)
	if err != nil {
		return nil, err
	}
	im := &Image{ClusterID: dirs[0].ClusterID(), Controller: cfg.NodeID, Nodes: []Node{{ID: cfg.NodeID}}, Config: d.values}
	d.image.Store(im.withTopics(topics))
	return d, nil
}

// clear removes what is there of unfinished topics.
func (d *dirCatalog) clear() error {
	if len(d.state.Unfinished) == 0 {
		return nil
	}
	for _, dir := range d.dirs {
		for _, l := range dir.Logs() {
			if !slices.ContainsFunc(d.state.Unfinished, func(u unfinished) bool { return u.covers(l.Topic(), l.TopicID(), l.Partition()) }) {
				continue
			}
			d.log.Warn("removing a partition whose creation or deletion was cut short", "log", l.Name())
			if err := dir.Delete(l); err != nil {
				return err
			}
		}
	}
	return d.state.update(func(s *catalogState) { s.Unfinished = nil })
}

// maxPartitionNumber bounds what a directory's name can make the catalogue allocate: 8 bytes for each number below it.
const maxPartitionNumber = 1_000_000

// found makes topics of the logs that lie in the directories.
func (d *dirCatalog) found(logs []*logstore.Log) ([]*Topic, error) {
	byName := make(map[string]*Topic)
	for _, l := range logs {
		t := byName[l.Topic()]
		if t == nil {
			t = &Topic{Name: l.Topic(), ID: l.TopicID()}
			byName[t.Name] = t
		}
		if t.ID != l.TopicID() {
			return nil, fmt.Errorf("log.dirs holds partitions of two different topics named %s (ids %x and %x): "+
				"move the directories of one of them away", t.Name, t.ID, l.TopicID())
		}
		if l.Partition() > maxPartitionNumber {
			return nil, fmt.Errorf("log.dirs holds %s-%d, a partition number beyond %d: move the directory away",
				t.Name, l.Partition(), maxPartitionNumber)
		}
		for int(l.Partition()) >= len(t.Partitions) {
			t.Partitions = append(t.Partitions, nil)
		}
		if p := t.Partitions[l.Partition()]; p != nil {
			return nil, fmt.Errorf("log.dirs holds partition %s twice, in %s and %s: move one of them away",
				l.Name(), p.log.Dir().Path(), l.Dir().Path())
		}
		t.Partitions[l.Partition()] = d.replica(l)
	}
	topics := make([]*Topic, 0, len(byName))
	for _, t := range byName {
		if err := d.configure(t, d.state.Topics[t.Name]); err != nil {
			return nil, fmt.Errorf("%s: topic %s: %w", d.state.path, t.Name, err)
		}
		topics = append(topics, t)
	}
	return topics, nil
}

func (d *dirCatalog) replica(l *logstore.Log) *Partition {
	p := &Partition{Topic: l.Topic(), Index: l.Partition(), Leader: d.node, Replicas: []int32{d.node}, ISR: []int32{d.node}, log: l}
	l.OnStable(p.showUnseen)
	return p
}

// configure gives t its settings, and hands those of its logs down.
func (d *dirCatalog) configure(t *Topic, overrides map[string]string) (err error) {
	t.Overrides = overrides
	if t.Config, err = config.Topic(overrides, d.values); err != nil {
		return err
	}
	for _, p := range t.Partitions {
		if p != nil {
			p.log.Configure(logSettings(&t.Config))
		}
	}
	return nil
}

func logSettings(c *config.TopicConfig) logstore.Settings {
	return logstore.Settings{
		SegmentBytes: c.SegmentBytes, SegmentMillis: c.SegmentAge.Milliseconds(),
		IndexIntervalBytes: max(c.IndexIntervalBytes, 1), // 0 would be the directory's; each batch is longer than 1
		IndexMaxBytes:      c.IndexMaxBytes,
		Retention:          logstore.Retention{Delete: c.Delete, Millis: c.RetentionMillis, Bytes: c.RetentionBytes},
		DeleteDelay:        c.DeleteDelay,
		Flush:              logFlush(c),
	}
}

func (d *dirCatalog) Image() *Image { return d.image.Load() }

func (d *dirCatalog) Create(spec TopicSpec, validateOnly bool) (*Topic, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	im := d.image.Load()
	n, err := d.check(im, &spec)
	if err != nil {
		return nil, err
	}
	t := &Topic{Name: spec.Name, Partitions: make([]*Partition, n)}
	for t.ID == [16]byte{} { // zero means "no id" in the protocol
		_, _ = rand.Read(t.ID[:]) // never fails (crypto/rand)
	}
	if err := d.configure(t, spec.Overrides); err != nil {
		return nil, refuse(wire.InvalidConfig, "%v", err)
	}
	if validateOnly {
		return t, nil
	}
	if err := d.makeLogs(t); err != nil {
		return nil, err
	}
	d.image.Store(im.withTopics(append(slices.Clone(im.Topics()), t)))
	d.log.Info("topic created", "topic", t.Name, "partitions", n)
	return t, nil
}

// makeLogs creates the partitions of t, all or none; settings first, so that a topic never exists without them, nor
// with those that a deleted topic of its name has left because of a crash.
func (d *dirCatalog) makeLogs(t *Topic) error {
	u := unfinishedTopic(t.Name, t.ID)
	several := len(t.Partitions) > 1
	if several || len(t.Overrides) > 0 || d.state.Topics[t.Name] != nil {
		if err := d.state.update(func(s *catalogState) {
			s.set(t.Name, t.Overrides)
			if several {
				s.begin(u)
			}
		}); err != nil {
			return refuse(wire.KafkaStorageError, "%v", err)
		}
	}
	for i := range t.Partitions {
		if d.closing.Load() {
			return refuse(wire.BrokerNotAvailable, "The broker is stopping.") // the next start removes what is there
		}
		l, err := d.emptiest().Create(t.Name, int32(i), t.ID)
		if err != nil {
			d.log.Error("topic not created", "topic", t.Name, "partition", i, "error", err)
			return errors.Join(refuse(wire.KafkaStorageError, "%v", err), d.removeLogs(t))
		}
		l.Configure(logSettings(&t.Config))
		t.Partitions[i] = d.replica(l)
		if err := l.BeginEpoch(firstEpoch); err != nil { // here, where waiting for the disk holds up nobody
			return errors.Join(refuse(wire.KafkaStorageError, "%v", err), d.removeLogs(t))
		}
	}
	if several {
		if err := d.state.update(func(s *catalogState) { s.end(u) }); err != nil {
			return errors.Join(refuse(wire.KafkaStorageError, "%v", err), d.removeLogs(t))
		}
	}
	return nil
}

// firstEpoch is the leader epoch of a new partition.
const firstEpoch = 0

// emptiest is the directory with the fewest partitions, where Kafka too puts the next one. Those that are offline
// come last.
func (d *dirCatalog) emptiest() *logstore.Dir {
	return slices.MinFunc(d.dirs, func(a, b *logstore.Dir) int {
		if aOff, bOff := a.Err() != nil, b.Err() != nil; aOff != bOff {
			return boolInt(aOff) - boolInt(bOff)
		}
		return len(a.Logs()) - len(b.Logs())
	})
}

func (d *dirCatalog) Delete(t *Topic) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	im := d.image.Load()
	if t = im.TopicByID(t.ID); t == nil { // deleted meanwhile; or with other settings than the caller saw
		return refuse(wire.UnknownTopicOrPartition, "%s", wire.UnknownTopicOrPartition.Message())
	}
	if err := d.state.update(func(s *catalogState) {
		s.set(t.Name, nil)
		s.begin(unfinishedTopic(t.Name, t.ID))
	}); err != nil {
		return refuse(wire.KafkaStorageError, "%v", err)
	}
	rest := slices.DeleteFunc(slices.Clone(im.Topics()), func(x *Topic) bool { return x == t })
	d.image.Store(im.withTopics(rest))
	for _, p := range t.Partitions {
		if p != nil {
			p.waiters.wakeAll()
		}
	}
	if err := d.removeLogs(t); err != nil {
		d.log.Error("topic not wholly deleted", "topic", t.Name, "error", err)
		return refuse(wire.KafkaStorageError, "%v", err)
	}
	d.log.Info("topic deleted", "topic", t.Name)
	return nil
}

// removeLogs removes what there is of t and then its traces in the state. If that fails the next start goes on.
func (d *dirCatalog) removeLogs(t *Topic) error {
	var errs []error
	for _, p := range t.Partitions {
		if p != nil {
			errs = append(errs, p.log.Dir().Delete(p.log))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return d.state.update(func(s *catalogState) {
		s.set(t.Name, nil)
		s.end(unfinishedTopic(t.Name, t.ID))
	})
}

func (d *dirCatalog) Close() { d.closing.Store(true) }

// producerIDBlock is how many producer ids one write to disk reserves (as Kafka's ProducerIdsBlock).
const producerIDBlock = 1000

func (d *dirCatalog) ProducerIDs() (first, count int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first = d.state.NextProducerID
	if err := d.state.update(func(s *catalogState) { s.NextProducerID = first + producerIDBlock }); err != nil {
		return 0, 0, err
	}
	return first, producerIDBlock, nil
}

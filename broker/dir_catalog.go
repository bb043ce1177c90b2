package broker

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
)

// dirCatalog is the catalogue of a broker without a coordinator: a topic exists when log.dirs holds its
// partitions. What Kafka's files have no place for (settings of topics, the last producer id given out) is in
// the state file of one directory.
//
// Making or removing one partition is atomic (logstore.Dir). For more of them their topic is unfinished in the state
// file until all are done, so that a crash between them leaves no half topic.
type dirCatalog struct {
	*replicas
	topicRules
	values  *config.Values       // with what was set while running; guarded by mu
	static  *config.Values       // without
	changed func(*config.Broker) // see onChange; guarded by mu

	image atomic.Pointer[Image]

	mu sync.Mutex // one change at a time; held while writing to disk
}

func openDirCatalog(cfg *config.Broker, values *config.Values, dirs []*logstore.Dir, log *slog.Logger) (*dirCatalog, error) {
	local, stale, err := openReplicas(cfg, dirs, log)
	if err != nil {
		return nil, err
	}
	if local.state.Coordinator != "" {
		return nil, fmt.Errorf("the topics of %s are in a coordinator: set zookeeper.connect or coordinator.listeners", dirs[0].Path())
	}
	d := &dirCatalog{replicas: local, values: values, static: values, topicRules: topicRules{cfg}, changed: func(*config.Broker) {}}
	if d.missing {
		d.state.NextProducerID += producerIDGap
	}
	if err := d.clear(); err != nil {
		return nil, err
	}
	d.loadBrokerSettings()
	topics, err := d.found(d.logs())
	if err != nil {
		return nil, err
	}
	if d.several {
		d.remember(topics, stale)
	}
	im := &Image{ClusterID: dirs[0].ClusterID(), Controller: cfg.NodeID, Node: cfg.NodeID, Nodes: []Node{{ID: cfg.NodeID}}, Config: d.values}
	d.image.Store(im.withTopics(topics))
	return d, nil
}

// producerIDGap is left out where a directory is missing, which may have the only trace of the last ids given out: more
// than a broker gives out between two starts.
const producerIDGap = 1_000_000_000

// remember brings what the state knows of topics in line with what was found. Failing to is no reason not to start.
func (r *replicas) remember(topics []*Topic, stale bool) {
	next := map[string]knownTopic{}
	for _, t := range topics {
		next[t.Name] = knownTopic{hex.EncodeToString(t.ID[:]), len(t.Partitions)}
	}
	if !stale && maps.Equal(next, r.state.Known) {
		return
	}
	if err := r.state.update(func(s *catalogState) { s.Known = next }); err != nil {
		r.log.Error("what topics there are is not on disk", "error", err)
	}
}

// absent adds to byName what the state knows of and log.dirs do not have: partitions in directories that are missing,
// or that somebody has taken away. They are never made anew elsewhere: what was acknowledged may come back with the
// disk. A topic of which nothing at all is left in complete directories is gone.
func (d *dirCatalog) absent(byName map[string]*Topic) {
	for name, k := range d.state.Known {
		t := byName[name]
		var id [16]byte
		if n, err := hex.Decode(id[:], []byte(k.ID)); err != nil || n != len(id) || k.Partitions > maxPartitionNumber+1 {
			continue
		}
		switch {
		case t == nil && !d.missing:
			d.log.Warn("topic is gone: no log directory has any of its partitions", "topic", name)
			continue
		case t == nil:
			t = &Topic{Name: name, ID: id}
			byName[name] = t
		case t.ID != id:
			d.log.Warn("topic is not the one that was here before", "topic", name)
			continue
		}
		for len(t.Partitions) < k.Partitions {
			t.Partitions = append(t.Partitions, nil)
		}
		if n := countNil(t.Partitions); n > 0 {
			d.log.Error("partitions are offline: their log directory is, or they were taken away", "topic", name, "partitions", n)
		}
	}
}

func countNil(list []*Partition) (n int) {
	for _, p := range list {
		n += boolInt(p == nil)
	}
	return n
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
	d.absent(byName)
	topics := make([]*Topic, 0, len(byName))
	for _, t := range byName {
		if err := d.configure(t, d.state.Topics[t.Name], d.values); err != nil {
			return nil, fmt.Errorf("%s: topic %s: %w", catalogStateFile, t.Name, err)
		}
		topics = append(topics, t)
	}
	return topics, nil
}

func logSettings(c *config.TopicConfig) logstore.Settings {
	return logstore.Settings{
		SegmentBytes: c.SegmentBytes, SegmentMillis: c.SegmentAge.Milliseconds(),
		IndexIntervalBytes: max(c.IndexIntervalBytes, 1), // 0 would be the directory's; each batch is longer than 1
		IndexMaxBytes:      c.IndexMaxBytes,
		Retention:          logstore.Retention{Delete: c.Delete, Millis: c.RetentionMillis, Bytes: c.RetentionBytes},
		DeleteDelay:        c.DeleteDelay,
		Preallocate:        c.Preallocate,
		Flush:              logFlush(c),
		Compaction:         logCompaction(c),
	}
}

func (d *dirCatalog) Image() *Image { return d.image.Load() }

func (d *dirCatalog) Close() { d.cancel() }

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

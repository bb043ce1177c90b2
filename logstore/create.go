package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Create makes a new, empty log. It blocks for several fsyncs, after which the log survives a crash; a crash
// before that leaves it whole or not there.
func (d *Dir) Create(topic string, partition int32, topicID [16]byte) (*Log, error) {
	if !ValidTopic(topic) || partition < 0 {
		return nil, fmt.Errorf("%w: %q partition %d", ErrBadName, topic, partition)
	}
	name := partitionDirName(topic, partition)
	d.mu.Lock()
	_, there := d.logs[name]
	closed := d.closed
	if !there && !closed {
		d.logs[name] = nil
	}
	d.mu.Unlock()
	switch {
	case closed:
		return nil, fmt.Errorf("%w: %s", ErrClosed, d.path)
	case there:
		return nil, fmt.Errorf("%w: %s", ErrExists, name)
	}
	if err := d.Err(); err != nil {
		d.mu.Lock()
		delete(d.logs, name)
		d.mu.Unlock()
		return nil, err
	}
	l, err := d.create(name, topic, partition, topicID)
	d.suffer(err)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.closed {
		l.release()
		err = fmt.Errorf("%w: %s", ErrClosed, d.path)
	}
	if err == nil && d.Err() != nil { // went offline meanwhile
		l.release()
		err = d.Err()
	}
	if err != nil {
		delete(d.logs, name)
		return nil, err
	}
	d.logs[name] = l
	return l, nil
}

// create: a directory without partition.metadata and without a segment is one whose creation was cut short, which
// load removes. So the metadata comes first, and the log exists from then on. The segment's empty files need no
// sync: load makes them where they are missing.
func (d *Dir) create(name, topic string, partition int32, topicID [16]byte) (*Log, error) {
	l := d.newLog(name, topic, partition)
	l.id = topicID
	if err := d.forget(name); err != nil {
		return nil, err
	}
	if err := sys.Mkdir(l.dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%w: %s", ErrExists, l.dir)
		}
		return nil, err
	}
	err := writePartitionFile(l.dir, topicID)
	if err == nil {
		err = l.firstSegment()
	}
	if err == nil {
		err = syncDir(d.path)
	}
	if err != nil {
		l.release()
		d.removeAll(l.dir)
		return nil, err
	}
	return l, nil
}

func (l *Log) firstSegment() error {
	s, err := createSegment(l, 0)
	if err != nil {
		return err
	}
	s.Release()
	l.publish([]*segment{s}, 0, 0)
	if err := s.offsets.spill(); err != nil {
		return err
	}
	return s.times.spill()
}

func (d *Dir) newLog(name, topic string, partition int32) *Log {
	l := &Log{d: d, topic: topic, partition: partition, name: name, dir: filepath.Join(d.path, name), settings: d.opts.settings()}
	l.internal = strings.HasPrefix(topic, "__")
	l.tail.limit, l.tail.total = int64(d.opts.TailBytes), &d.tails
	l.tail.near.Store(never)
	l.producers.total = &d.producers
	return l
}

// publish makes segments the log's; before anybody else sees the log.
func (l *Log) publish(segments []*segment, start, end int64) {
	l.segs.Store(&segList{segments})
	l.active = segments[len(segments)-1]
	l.start.Store(start)
	l.end.Store(end)
	l.durable.init(l.RecoveryPoint(), end)
	l.durable.at.Store(int64(l.d.now()))
	l.unstable.first.Store(l.producers.firstOpen())
	l.tail.reset(l.active, end)
}

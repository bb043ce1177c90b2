package logstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Create is CreateAll for one log, in which no leader epoch has begun.
func (d *Dir) Create(topic string, partition int32, topicID [16]byte) (*Log, error) {
	logs, err := d.CreateAll(context.Background(), []NewLog{{Topic: topic, Partition: partition, TopicID: topicID, Epoch: -1}})
	if err != nil {
		return nil, err
	}
	return logs[0], nil
}

// NewLog is a log to be made by CreateAll.
type NewLog struct {
	Topic     string
	Partition int32
	TopicID   [16]byte
	Epoch     int32 // the leader epoch that begins at its start, as by BeginEpoch; -1: none
}

func (n *NewLog) name() string { return partitionDirName(n.Topic, n.Partition) }

func (n *NewLog) epochs() []epochStart {
	if n.Epoch < 0 {
		return nil
	}
	return []epochStart{{n.Epoch, 0}}
}

// syncAllAbove is from how many logs on CreateAll has the file system write out all that it has, in one call, instead
// of a sync for each file and directory. That also writes what others have written, which is a lot on a busy broker,
// so a few logs are not worth it.
const syncAllAbove = 64

// changeThreads is how many directories are made, synced or renamed at once.
const changeThreads = 8

// CreateAll makes new, empty logs, all or none. It blocks until they survive a crash. A crash before that may leave
// any of them, each whole: who needs all or none then too has to note somewhere what is under way.
//
// Every log is made under the name of a deleted one, which any start removes, this broker's and Kafka's. Then all of
// them are synced, and only then they get their names, for which one more sync is enough: however many logs there
// are, it is a handful of syncs.
//
// The end of ctx, before the logs get their names, ends it early.
func (d *Dir) CreateAll(ctx context.Context, list []NewLog) ([]*Log, error) {
	if err := d.reserve(list); err != nil {
		return nil, err
	}
	logs, err := d.createAll(ctx, list)
	d.suffer(err)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.closed {
		err = fmt.Errorf("%w: %s", ErrClosed, d.path)
	}
	if err == nil { // else it went offline meanwhile
		err = d.Err()
	}
	for i := range list {
		if err == nil {
			d.logs[list[i].name()], d.sorted = logs[i], nil
		} else {
			delete(d.logs, list[i].name())
		}
	}
	if err != nil {
		for _, l := range logs {
			l.release()
		}
		return nil, err
	}
	return logs, nil
}

// reserve takes the names, all or none.
func (d *Dir) reserve(list []NewLog) (err error) {
	if err := d.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("%w: %s", ErrClosed, d.path)
	}
	n := 0
	for ; n < len(list); n++ {
		x := &list[n]
		if !ValidTopic(x.Topic) || x.Partition < 0 {
			err = fmt.Errorf("%w: %q partition %d", ErrBadName, x.Topic, x.Partition)
			break
		}
		if _, there := d.logs[x.name()]; there {
			err = fmt.Errorf("%w: %s", ErrExists, x.name())
			break
		}
		d.logs[x.name()] = nil
	}
	if err != nil {
		for i := range n {
			delete(d.logs, list[i].name())
		}
	}
	return err
}

// staged is a log on its way: from a deleted one's name to its own.
type staged struct {
	n       *NewLog
	at, dir string // where it is made, and where it belongs
	made    bool   // the directory is there
	named   bool   // under its own name
}

func (d *Dir) createAll(ctx context.Context, list []NewLog) (logs []*Log, err error) {
	all := make([]staged, len(list))
	for i := range list {
		n := &list[i]
		if err := d.forget(n.name()); err != nil {
			return nil, err
		}
		all[i] = staged{n: n, at: filepath.Join(d.path, deleteDirName(n.Topic, n.Partition)), dir: filepath.Join(d.path, n.name())}
	}
	defer func() {
		if err != nil {
			d.unstage(all)
		}
	}()
	if err := d.stage(ctx, all); err != nil {
		return nil, err
	}
	d.step("logs staged")
	if err := each(len(all), func(i int) error { return all[i].name() }); err != nil {
		return nil, err
	}
	d.step("logs named")
	if err := syncDir(d.path); err != nil {
		return nil, err
	}
	logs = make([]*Log, len(list))
	for i := range list {
		logs[i] = d.created(&list[i])
	}
	return logs, nil
}

// stage makes the directories, with all that is in them, and brings them to the device.
func (d *Dir) stage(ctx context.Context, all []staged) error {
	if len(all) <= syncAllAbove {
		return each(len(all), func(i int) error {
			if err := all[i].make(ctx); err != nil {
				return err
			}
			return all[i].sync()
		})
	}
	fd, err := sys.OpenFile(d.path, os.O_RDONLY, 0) // first: it is told of what fails from now on
	if err != nil {
		return &os.PathError{Op: "open", Path: d.path, Err: err}
	}
	defer sys.CloseFile(fd)
	if err := each(len(all), func(i int) error { return all[i].make(ctx) }); err != nil {
		return err
	}
	if err := sys.SyncFS(fd); err != nil {
		return &os.PathError{Op: "syncfs", Path: d.path, Err: err}
	}
	return ctx.Err()
}

// unstage has what there is removed, in the background or by the next start.
func (d *Dir) unstage(all []staged) {
	for i := range all {
		x := &all[i]
		if x.named {
			_ = sys.Rename(x.dir, x.at)
		}
		if x.made {
			d.flusher.addRemoval(removal{path: x.at})
		}
	}
}

// make puts the files of an empty log into a new directory, the metadata last.
func (x *staged) make(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := sys.Mkdir(x.at, 0o755); err != nil {
		return err
	}
	x.made = true
	for _, suffix := range []string{logSuffix, indexSuffix, timeIndexSuffix} {
		if err := writeNew(filepath.Join(x.at, segmentName(0)+suffix), nil); err != nil {
			return err
		}
	}
	if list := x.n.epochs(); list != nil {
		if err := writeNew(filepath.Join(x.at, epochFile), renderEpochs(list)); err != nil {
			return err
		}
	}
	return writeNew(filepath.Join(x.at, partitionFile), renderPartition(x.n.TopicID))
}

// sync brings the files that are not empty, and the names, to the device.
func (x *staged) sync() error {
	if x.n.Epoch >= 0 {
		if err := syncFile(filepath.Join(x.at, epochFile)); err != nil {
			return err
		}
	}
	if err := syncFile(filepath.Join(x.at, partitionFile)); err != nil {
		return err
	}
	return syncDir(x.at)
}

func (x *staged) name() error {
	if err := sys.Rename(x.at, x.dir); err != nil {
		if errors.Is(err, os.ErrExist) { // somebody made a directory of that name meanwhile
			return fmt.Errorf("%w: %s", ErrExists, x.dir)
		}
		return err
	}
	x.named = true
	return nil
}

// created is the log that has just been made. Its file is opened by the first append.
func (d *Dir) created(n *NewLog) *Log {
	l := d.newLog(n.name(), n.Topic, n.Partition)
	l.id = n.TopicID
	l.epochs.set(n.epochs())
	s := newSegment(l, 0)
	s.offsets.created, s.times.created = true, true
	l.publish([]*segment{s}, 0, 0)
	return l
}

// writeNew makes a file that was not there; it is not synced.
func writeNew(path string, content []byte) error {
	fd, err := sys.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return &os.PathError{Op: "create", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	if err := sys.PwriteFull(fd, content, 0); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

func syncFile(path string) error {
	fd, err := sys.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	if err := sys.Fdatasync(fd); err != nil {
		return &os.PathError{Op: "fdatasync", Path: path, Err: err}
	}
	return nil
}

// each calls f for the numbers below n, several at once, until one fails.
func each(n int, f func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range min(changeThreads, n) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if p := failed.Load(); p != nil {
		return *p
	}
	return nil
}

func (d *Dir) newLog(name, topic string, partition int32) *Log {
	l := &Log{d: d, topic: topic, partition: partition, name: name, dir: filepath.Join(d.path, name), settings: d.opts.settings()}
	l.internal = strings.HasPrefix(topic, "__")
	l.tail.limit, l.tail.total = int64(d.opts.TailBytes), &d.tails
	l.tail.near.Store(never)
	l.producers.total = &d.producers
	l.cleaning.dirty.Store(-1)
	return l
}

// publish makes segments the log's; before anybody else sees the log.
func (l *Log) publish(segments []*segment, start, end int64) {
	l.segs.Store(&segList{segments})
	l.active = segments[len(segments)-1]
	l.active.asked.Store(l.active.size.Load())
	l.start.Store(start)
	l.end.Store(end)
	l.durable.init(l.RecoveryPoint(), end)
	l.durable.at.Store(int64(l.d.now()))
	l.unstable.first.Store(l.producers.firstOpen())
	l.tail.reset(l.active, end)
}

package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Dir is one log directory (an entry of Kafka's log.dirs), open and locked.
type Dir struct {
	path    string
	opts    Options
	meta    meta
	lockFD  int
	flusher *flusher
	tails   tailTotal
	indexes indexCache

	mu     sync.Mutex
	logs   map[string]*Log // by directory name; nil while being created
	closed bool

	// checkMu guards written, the last content of each checkpoint file: what did not change is not written.
	checkMu sync.Mutex
	written map[string][]byte
}

// OpenDir opens the log directory at path, creating it if need be, and loads its logs. It blocks for as long as
// that takes: after an unclean stop every log is read from its recovery point on, and what is torn at its end is
// cut off.
//
// Errors: ErrLocked, ErrNotWritable, ErrForeign, ErrUnsupported, or what the file system said.
func OpenDir(path string, id Identity, o Options) (*Dir, error) {
	d := &Dir{path: path, opts: o.withDefaults(), lockFD: -1, logs: map[string]*Log{}, written: map[string][]byte{}}
	d.tails.limit = d.opts.TailTotalBytes
	if err := d.open(id); err != nil {
		for _, l := range d.logs {
			l.release()
		}
		if d.lockFD >= 0 {
			sys.CloseFile(d.lockFD)
		}
		return nil, err
	}
	return d, nil
}

func (d *Dir) open(id Identity) error {
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotWritable, d.path, err)
	}
	if err := d.lock(); err != nil {
		return err
	}
	var err error
	if d.meta, err = loadMeta(d.path, id); err != nil {
		return err
	}
	clean, err := takeCleanShutdown(d.path)
	if err != nil {
		return err
	}
	stale, err := d.load(clean)
	if err != nil {
		return err
	}
	d.flusher = startFlusher(d)
	for _, path := range stale {
		d.flusher.addRemoval(path)
	}
	return nil
}

// lock takes the directory's lock and writes our process id into the lock file, for the message of whoever comes
// second.
func (d *Dir) lock() error {
	path := filepath.Join(d.path, lockFile)
	fd, err := sys.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotWritable, path, err)
	}
	if err := sys.LockFile(fd); err != nil {
		defer sys.CloseFile(fd)
		if !errors.Is(err, sys.ErrLockHeld) {
			return &os.PathError{Op: "lock", Path: path, Err: err}
		}
		if b, _ := os.ReadFile(path); len(bytes.TrimSpace(b)) > 0 {
			return fmt.Errorf("%w: %s (process %s)", ErrLocked, d.path, bytes.TrimSpace(b))
		}
		return fmt.Errorf("%w: %s", ErrLocked, d.path)
	}
	d.lockFD = fd
	pid := fmt.Appendf(nil, "%d\n", os.Getpid())
	err = sys.Truncate(fd, 0)
	if err == nil {
		err = sys.PwriteFull(fd, pid, 0)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotWritable, path, err)
	}
	return nil
}

// Path is the directory.
func (d *Dir) Path() string { return d.path }

// ClusterID is the cluster id of meta.properties.
func (d *Dir) ClusterID() string { return d.meta.clusterID }

// ID is the directory id of meta.properties (KIP-858), "" in files of version 0.
func (d *Dir) ID() string { return d.meta.dirID }

// Logs returns the logs in order of their names.
func (d *Dir) Logs() []*Log {
	d.mu.Lock()
	defer d.mu.Unlock()
	logs := make([]*Log, 0, len(d.logs))
	for _, name := range slices.Sorted(maps.Keys(d.logs)) {
		if l := d.logs[name]; l != nil {
			logs = append(logs, l)
		}
	}
	return logs
}

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
	l, err := d.create(name, topic, partition, topicID)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.closed {
		l.release()
		err = fmt.Errorf("%w: %s", ErrClosed, d.path)
	}
	if err != nil {
		delete(d.logs, name)
		return nil, err
	}
	d.logs[name] = l
	return l, nil
}

// create: a directory without partition.metadata and without a segment is one whose creation was cut short; load
// removes it. So the metadata comes first, and the log exists from then on.
func (d *Dir) create(name, topic string, partition int32, topicID [16]byte) (*Log, error) {
	dir := filepath.Join(d.path, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%w: %s", ErrExists, dir)
		}
		return nil, err
	}
	l, err := func() (*Log, error) {
		if err := writePartitionFile(dir, topicID); err != nil {
			return nil, err
		}
		s, err := createSegment(&d.indexes, dir, 0)
		if err != nil {
			return nil, err
		}
		l := d.newLog(name, topic, partition)
		l.id = topicID
		l.publish([]*segment{s}, 0, 0)
		if err := s.sync(d.opts.fdatasync); err != nil {
			l.release()
			return nil, err
		}
		return l, nil
	}()
	if err == nil {
		err = syncDir(dir)
	}
	if err == nil {
		err = syncDir(d.path)
	}
	if err != nil {
		if l != nil {
			l.release()
		}
		d.removeAll(dir)
		return nil, err
	}
	return l, nil
}

func (d *Dir) newLog(name, topic string, partition int32) *Log {
	l := &Log{d: d, topic: topic, partition: partition, name: name, dir: filepath.Join(d.path, name)}
	l.tail.limit, l.tail.total = int64(d.opts.TailBytes), &d.tails
	l.tail.near.Store(never)
	return l
}

// publish makes segments the log's; before anybody else sees the log.
func (l *Log) publish(segments []*segment, start, end int64) {
	l.segs.Store(&segList{segments})
	l.active = segments[len(segments)-1]
	l.start.Store(start)
	l.end.Store(end)
	l.tail.reset(l.active, end)
}

// Delete removes l from the directory. It blocks for the rename and its fsync; the files are removed in the
// background. Spans that are held stay readable, because their descriptors keep the bytes; everything else that
// is asked of the log gives ErrClosed.
func (d *Dir) Delete(l *Log) error {
	d.mu.Lock()
	if d.logs[l.name] != l {
		d.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrClosed, l.name)
	}
	// The name stays taken until the directory has its new one.
	d.logs[l.name] = nil
	d.mu.Unlock()
	l.mu.Lock()
	l.closed.Store(true)
	l.mu.Unlock()
	gone := filepath.Join(d.path, deleteDirName(l.topic, l.partition))
	err := os.Rename(l.dir, gone)
	if err == nil {
		err = syncDir(d.path)
	}
	l.release()
	d.mu.Lock()
	delete(d.logs, l.name)
	d.mu.Unlock()
	d.flusher.addRemoval(gone)
	return err
}

// release gives up the log's holds on its segments and on memory.
func (l *Log) release() {
	l.closed.Store(true)
	l.tail.mu.Lock()
	l.tail.forgetLocked(l.tail.n)
	l.tail.limit = -1
	l.tail.mu.Unlock()
	if list := l.segs.Load(); list != nil {
		for _, s := range list.s {
			s.Release()
		}
	}
}

// Close flushes all logs, writes the checkpoints, and as the last act the mark of a clean stop, unless a log has
// failed: then the next start recovers. Appends and reads from now on give ErrClosed; spans that are held stay
// readable. A second call does nothing.
func (d *Dir) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	logs := d.Logs()
	var errs []error
	for _, l := range logs {
		errs = append(errs, l.stop())
	}
	d.flusher.close()
	for _, name := range []string{recoveryPointFile, logStartFile, highWatermarkFile} {
		errs = append(errs, d.writeCheckpoint(name))
	}
	err := errors.Join(errs...)
	for _, l := range logs {
		l.release()
	}
	if err == nil {
		err = writeCleanShutdown(d.path)
	}
	sys.CloseFile(d.lockFD)
	return err
}

// stop ends appends and syncs the log, the last time entry included.
func (l *Log) stop() error {
	l.mu.Lock()
	// Appends that come later find the log failed; closed is for when the files are gone.
	failed := l.failed
	if failed == nil {
		l.failed = fmt.Errorf("%w: %s", ErrClosed, l.name)
		l.active.indexTime()
	}
	l.mu.Unlock()
	if failed != nil {
		return failed
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	_, err := l.flushFiles(true)
	return err
}

// sweepTails gives back the memory of logs that got no appends for a while.
func (d *Dir) sweepTails() {
	if d.tails.used.Load() == 0 {
		return
	}
	for _, l := range d.Logs() {
		l.tail.sweep()
	}
}

// writeCheckpoint blocks until the file is on the device, if its content changed.
func (d *Dir) writeCheckpoint(name string) error {
	offset := func(l *Log) (int64, bool) { return l.RecoveryPoint(), true }
	switch name {
	case logStartFile:
		offset = func(l *Log) (int64, bool) { return l.StartOffset(), l.StartOffset() > l.segs.Load().s[0].base }
	case highWatermarkFile:
		offset = func(l *Log) (int64, bool) {
			if f := d.opts.HighWatermark; f != nil {
				return f(l), true
			}
			return l.EndOffset(), true
		}
	}
	d.checkMu.Lock()
	defer d.checkMu.Unlock()
	content := appendOffsets(d.Logs(), offset)
	if bytes.Equal(content, d.written[name]) {
		return nil
	}
	if err := WriteFileAtomic(filepath.Join(d.path, name), content); err != nil {
		d.opts.Logger.Error("writing a checkpoint failed", "dir", d.path, "file", name, "err", err)
		return err
	}
	d.written[name] = content
	return nil
}

func (d *Dir) removeAll(path string) {
	if err := os.RemoveAll(path); err != nil {
		d.opts.Logger.Error("removing a deleted log failed", "path", path, "err", err)
	}
}

// takeCleanShutdown tells whether the directory was stopped cleanly, and removes the mark for good: a crash while
// loading is an unclean stop (KAFKA-10471).
func takeCleanShutdown(dir string) (bool, error) {
	err := os.Remove(filepath.Join(dir, cleanShutdownFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, syncDir(dir)
}

// writeCleanShutdown writes Kafka's CleanShutdownFileHandler content. The broker epoch is -1: unknown.
func writeCleanShutdown(dir string) error {
	return WriteFileAtomic(filepath.Join(dir, cleanShutdownFile), []byte(`{"version":0,"brokerEpoch":-1}`))
}

// special tells directories that are not logs in service: future and stray replicas of a Kafka broker.
func special(name string) bool {
	return strings.HasSuffix(name, futureDirSuffix) || strings.HasSuffix(name, strayDirSuffix)
}

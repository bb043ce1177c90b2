package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Dir is one log directory (an entry of Kafka's log.dirs), open and locked.
type Dir struct {
	path      string
	opts      Options
	meta      meta
	lockFD    int
	flusher   *flusher
	committer *committer
	pacer     pacer
	scrubber  *scrubber // nil: none
	cleaner   *cleaner
	tails     tailTotal
	indexes   indexCache
	space     space
	files     fileCache
	producers producerTotal

	mu     sync.Mutex
	logs   map[string]*Log // by directory name; nil while being created or deleted
	sorted []*Log          // those that are there, for Logs; nil: to be made anew
	closed bool

	trimMu sync.Mutex // one Trim at a time; taken before all other locks
	doomed doomed
	guard  clockGuard // the background goroutine's

	timed     atomic.Bool           // some log is flushed by time
	offline   atomic.Pointer[error] // see goOffline
	onOffline atomic.Pointer[func()]

	// checkMu guards written, what the checkpoint files have, and unwritten, the files whose last writing failed.
	checkMu   sync.Mutex
	written   map[string]*writtenFile
	unwritten map[string]bool
}

// OpenDir opens the log directory at path, creating it if need be, and loads its logs. It blocks for as long as
// that takes: after an unclean stop every log is read from its recovery point on, and what is torn at its end is
// cut off.
//
// Errors: ErrLocked, ErrNotWritable, ErrForeign, ErrUnsupported, ErrCorrupt (meta.properties), or what the file system
// said.
func OpenDir(path string, id Identity, o Options) (*Dir, error) {
	d := &Dir{path: path, opts: o.withDefaults(), lockFD: -1, logs: map[string]*Log{},
		written: map[string]*writtenFile{}, unwritten: map[string]bool{}}
	d.files.limit = d.opts.OpenFiles
	d.tails.limit = d.opts.TailTotalBytes
	d.producers.limit = d.opts.MaxProducers
	d.SetProducerExpiration(d.opts.ProducerExpiration)
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
	if n := len(d.logs); n > d.files.limit {
		d.opts.Logger.Warn("fewer descriptors than logs: files are closed and opened as they are written to, which is slow; "+
			"raise the limit (ulimit -n, LimitNOFILE=)", "dir", d.path, "logs", n, "open_files", d.files.limit)
	}
	d.flusher, d.committer, d.cleaner = startFlusher(d), startCommitter(d), startCleaner(d)
	d.pacer.start(d)
	d.startSpace()
	if d.opts.ScrubBytesPerSecond > 0 {
		d.scrubber = startScrubber(d)
	}
	for _, path := range stale {
		d.flusher.addRemoval(removal{path: path})
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
	if err != nil && !isNoSpace(err) { // the lock holds all the same, and a full disk is no reason not to start
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

// Logs returns the logs in order of their names. The caller must not change the slice, which others get too: passes
// over all logs come every few seconds, and there may be many.
func (d *Dir) Logs() []*Log {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sorted == nil {
		d.sorted = make([]*Log, 0, len(d.logs))
		for _, l := range d.logs {
			if l != nil {
				d.sorted = append(d.sorted, l)
			}
		}
		slices.SortFunc(d.sorted, func(a, b *Log) int { return strings.Compare(a.name, b.name) })
	}
	return d.sorted
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

// TailBytes is the memory that newest bytes of logs take.
func (d *Dir) TailBytes() int64 { return d.tails.used.Load() }

// Replace is WriteFileAtomic for a file of the caller's own in the directory. An error of the device takes that offline.
func (d *Dir) Replace(name string, content []byte) error {
	if err := d.Err(); err != nil {
		return err
	}
	return d.suffer(WriteFileAtomic(filepath.Join(d.path, name), content))
}

func (d *Dir) removeAll(path string) {
	if err := d.suffer(sys.RemoveAll(path)); err != nil {
		d.opts.Logger.Error("removing a deleted log failed", "path", path, "err", err)
	}
}

// special tells directories that are not logs in service: future and stray replicas of a Kafka broker.
func special(name string) bool {
	return strings.HasSuffix(name, futureDirSuffix) || strings.HasSuffix(name, strayDirSuffix)
}

// DiskSpace is what users other than root may still write to the directory's file system, and its size, in bytes. It
// may block.
func (d *Dir) DiskSpace() (free, total int64, err error) { return sys.FreeSpace(d.path) }

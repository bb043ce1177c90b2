package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/internal/sys"
)

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
	d.awaitTrim() // and none begins any more
	d.cleaner.close()
	logs := d.Logs()
	d.scrubber.close()
	d.pacer.close()
	errs := stopAll(logs)
	d.space.close()
	d.committer.close()
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

// closeThreads is how many logs are synced at once by Close: most of the time is waiting for the device, which
// takes several requests at a time.
const closeThreads = 8

func stopAll(logs []*Log) (errs []error) {
	errs = make([]error, len(logs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(closeThreads, len(logs)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(logs)); i = next.Add(1) - 1 {
				errs[i] = logs[i].stop()
			}
		})
	}
	wg.Wait()
	return errs
}

// stop ends appends and syncs the log, the last time entry included.
func (l *Log) stop() error {
	l.mu.Lock()
	// Appends that come later find the log failed; closed is for when the files are gone.
	failed := l.failed
	switch {
	case failed != nil && l.marked.Load() && l.d.Err() == nil:
		failed = nil // lossy, and the next start knows it without looking
	case failed == nil:
		l.failed = fmt.Errorf("%w: %s", ErrClosed, l.name)
		l.active.indexTime()
		l.producers.snapshot(l.end.Load())
	}
	l.mu.Unlock()
	if failed != nil {
		return failed
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.unreserveLast()
	_, err := l.flushFiles(true)
	return err
}

// writeCheckpoint blocks until the file is on the device, if its content changed.
func (d *Dir) writeCheckpoint(name string) error {
	offset := (*Log).RecoveryPoint
	switch name {
	case logStartFile:
		offset = (*Log).listedStart
	case cleanerFile:
		offset = (*Log).cleanedTo
	case highWatermarkFile:
		offset = d.highWatermark
	}
	if err := d.Err(); err != nil {
		return err // nothing that a device like that says counts, and what it has stays as it is
	}
	return d.suffer(d.writeCheckpointFile(name, offset))
}

func (d *Dir) writeCheckpointFile(name string, offset func(l *Log) int64) error {
	d.checkMu.Lock()
	defer d.checkMu.Unlock()
	logs, last := d.Logs(), d.written[name]
	if last.unchanged(logs, offset) {
		return nil
	}
	w := renderLogs(logs, offset)
	if last != nil && bytes.Equal(w.content, last.content) {
		d.written[name] = w
		return nil
	}
	err := WriteFileAtomic(filepath.Join(d.path, name), w.content)
	if isNoSpace(err) {
		d.space.full.Store(true)
	}
	if err != nil {
		if !d.unwritten[name] {
			d.opts.Logger.Error("writing a checkpoint failed, it is tried again", "dir", d.path, "file", name, "err", err)
		}
		d.unwritten[name] = true
		return err
	}
	delete(d.unwritten, name)
	d.written[name] = w
	return nil
}

// listedStart is what log-start-offset-checkpoint has of the log, -1 for nothing: its first segment tells.
func (l *Log) listedStart() int64 {
	if !l.startListed() {
		return -1
	}
	return l.StartOffset()
}

// cleanedTo is what cleaner-offset-checkpoint has of the log, -1 for nothing.
func (l *Log) cleanedTo() int64 { return l.cleaning.dirty.Load() }

// forget makes sure that no checkpoint says anything of a log that is about to be made under a name which a deleted
// one had: its start would empty the new log in a crash, its recovery point would make a torn tail look like damage, and
// what was compacted of it is not compacted.
func (d *Dir) forget(log string) error {
	for _, name := range []string{recoveryPointFile, logStartFile, cleanerFile} {
		d.checkMu.Lock()
		stale := d.written[name].has(log)
		d.checkMu.Unlock()
		if !stale {
			continue
		}
		if err := d.writeCheckpoint(name); err != nil {
			return err
		}
	}
	return nil
}

// takeCleanShutdown tells whether the directory was stopped cleanly, and removes the mark for good: a crash while
// loading is an unclean stop (KAFKA-10471).
func takeCleanShutdown(dir string) (bool, error) {
	err := sys.Remove(filepath.Join(dir, cleanShutdownFile))
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

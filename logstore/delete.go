package logstore

import (
	"fmt"
	"path/filepath"

	"github.com/sluice-mq/sluice/internal/sys"
)

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
	// A flush that is under way ends first: its files are made by name, and the name may soon be another log's.
	l.flushMu.Lock()
	l.mu.Lock()
	l.closed.Store(true)
	l.mu.Unlock()
	gone := filepath.Join(d.path, deleteDirName(l.topic, l.partition))
	err := sys.Rename(l.dir, gone)
	l.flushMu.Unlock()
	if err == nil {
		err = syncDir(d.path)
	}
	l.release()
	d.mu.Lock()
	delete(d.logs, l.name)
	d.mu.Unlock()
	d.flusher.addRemoval(gone)
	return d.suffer(err)
}

// release gives up the log's segments and memory.
func (l *Log) release() {
	l.closed.Store(true)
	l.durable.wake(0, fmt.Errorf("%w: %s", ErrClosed, l.name), nil)
	l.tail.mu.Lock()
	l.tail.forgetLocked(l.tail.n)
	l.tail.limit = -1
	l.tail.mu.Unlock()
	l.mu.Lock()
	l.producers.clear()
	l.unpin()
	l.mu.Unlock()
	if list := l.segs.Load(); list != nil {
		for _, s := range list.s {
			s.drop()
		}
	}
}

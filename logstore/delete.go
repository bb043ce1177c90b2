package logstore

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Delete removes l from the directory. It blocks for the rename and its fsync; the files are removed in the
// background. Spans that are held stay readable, because their descriptors keep the bytes; everything else that
// is asked of the log gives ErrClosed.
func (d *Dir) Delete(l *Log) error { return d.DeleteAll([]*Log{l}) }

// DeleteAll is Delete for many logs, with one fsync for all. A crash before that may leave any of them. The error tells
// of all that went wrong.
func (d *Dir) DeleteAll(logs []*Log) error {
	hidden := make([]hiddenLog, len(logs))
	_ = each(len(logs), func(i int) error {
		hidden[i].path, hidden[i].err = d.hide(logs[i], deleteDirName(logs[i].topic, logs[i].partition))
		return nil
	})
	synced := syncDir(d.path)
	errs := []error{synced}
	for i, l := range logs {
		h := &hidden[i]
		errs = append(errs, h.err)
		if h.path == "" {
			continue // was not there
		}
		l.release()
		d.mu.Lock()
		delete(d.logs, l.name)
		d.mu.Unlock()
		d.flusher.addRemoval(removal{h.path, l.segs.Load().s})
	}
	return d.suffer(errors.Join(errs...))
}

// PutAside takes l out of service and leaves all of it in the directory, under a name that Kafka and this package pass
// over. It blocks for a flush, the rename and its fsync, and returns where l is now. Everything else is as with Delete.
func (d *Dir) PutAside(l *Log) (path string, err error) {
	if l.Err() == nil {
		if err := l.Flush(); err != nil {
			return "", err
		}
	}
	path, err = d.hide(l, strayDirName(l.topic, l.partition))
	if path == "" {
		return "", err
	}
	err = errors.Join(err, syncDir(d.path))
	l.release()
	d.mu.Lock()
	delete(d.logs, l.name)
	d.mu.Unlock()
	return path, d.suffer(err)
}

// hiddenLog is where a deleted log went, empty if it was not there.
type hiddenLog struct {
	path string
	err  error
}

// hide gives l's directory another name, under which it is no log.
func (d *Dir) hide(l *Log, name string) (path string, err error) {
	d.mu.Lock()
	if d.logs[l.name] != l {
		d.mu.Unlock()
		return "", fmt.Errorf("%w: %s", ErrClosed, l.name)
	}
	// The name stays taken until the directory has its new one.
	d.logs[l.name], d.sorted = nil, nil
	d.mu.Unlock()
	l.cleaning.stop()
	// A flush that is under way ends first: its files are made by name, and the name may soon be another log's.
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	l.closed.Store(true)
	l.mu.Unlock()
	path = filepath.Join(d.path, name)
	return path, sys.Rename(l.dir, path)
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
			l.d.pacer.reserve.forget(s)
			s.drop()
		}
	}
}

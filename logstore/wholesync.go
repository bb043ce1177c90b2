package logstore

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// wholeSync serves rounds of the committer in which many files wait: one syncfs, and then one fdatasync, stand for the
// fdatasync of each file. 16 files that became 16 KiB longer take a third of the time so.
//
// The fdatasync, of any one file, is there for what it ends with: a flush of the device's cache, after all that syncfs
// has written. ext4 without a journal writes the last of the metadata after the flush of syncfs itself.
//
// What must not happen is that acknowledgements wait for what others have written. Of the Dir's own appends the pacer
// knows how much nobody has asked to be written; above wholeDirty it is asked to sweep, and the round's files are synced
// one by one, as before. What else is on the file system shows in the time: after a slow call there is none for a while.
//
// Errors: the descriptor is open for as long as the Dir is, so that a syncfs tells of whatever has failed since its
// predecessor, in any file of the file system. As that may be one of ours, it is final as that of any sync.
//
// Only the committer's own goroutine uses it.
type wholeSync struct {
	d       *Dir
	fd      int       // of the directory; -1: never
	notTill time.Time // no syncfs before this

	logs    []toSync
	files   []wholeFile
	waiters []SyncWaiter
	rounds  atomic.Int64
}

// wholeFile is a file of a round. We have a hold on it and its syncMu.
type wholeFile struct {
	s    *segment
	size int64 // when the sync began
}

const (
	// wholeFrom is from how many logs on one call is worth it.
	wholeFrom = 8
	// wholeDirty bounds what the round may have, and what the Dir's other appends may have besides: some milliseconds of
	// a device's time. With more in the round itself the time goes into bytes and not into calls.
	wholeDirty = 8 << 20
	// A call that takes longer than wholeSlow, which a round does not on a device that gains by this, is followed by a
	// pause of so many times what it took.
	wholeSlow  = 100 * time.Millisecond
	wholePause = 16
)

// open finds out whether it may be used. The file system is kept open from here on.
func (w *wholeSync) open(d *Dir) error {
	w.d, w.fd = d, -1
	if d.opts.syncFS == nil {
		return nil
	}
	fd, err := sys.OpenFile(d.path, os.O_RDONLY, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: d.path, Err: err}
	}
	if !d.opts.wholeAlways && !sys.SyncFSServes(fd) {
		sys.CloseFile(fd)
		return nil
	}
	w.fd = fd
	return nil
}

func (w *wholeSync) close() {
	if w.fd >= 0 {
		sys.CloseFile(w.fd)
		w.fd = -1
	}
}

// serve commits those of logs that it may, and returns the others, in the same memory. All are out of the queue
// then. syncs counts the calls of fdatasync.
func (w *wholeSync) serve(logs []*Log, syncs *atomic.Int64) (rest []*Log) {
	if w.fd < 0 || len(logs) < w.d.opts.wholeFrom || w.d.Err() != nil || !w.fits(logs) {
		return logs
	}
	rest = logs[:0]
	for _, l := range logs {
		if !w.take(l) {
			rest = append(rest, l)
		}
	}
	var err error
	if len(w.files) > 0 {
		w.rounds.Add(1)
		syncs.Add(1)
		err = w.sync()
	}
	w.giveBack(0)
	if err != nil {
		w.d.goOffline(err)
	}
	for i := range w.logs {
		if err == nil {
			w.waiters = w.logs[i].done(w.waiters)
		}
		w.logs[i] = toSync{}
	}
	w.logs = w.logs[:0]
	return rest
}

// fits tells whether little else would be written than what the logs wait for.
func (w *wholeSync) fits(logs []*Log) bool {
	own := int64(0)
	for _, l := range logs {
		s := l.segs.Load().last()
		own += max(s.size.Load()-s.asked.Load(), 0)
	}
	p := &w.d.pacer
	if p.appended.Load()-p.handled.Load()-own > wholeDirty {
		p.sweepSoon()
		return false
	}
	return own <= wholeDirty && !time.Now().Before(w.notTill)
}

// take makes l part of the round, unless somebody else is syncing one of its files, a file cannot be opened, or its
// last sync has failed: then the log is committed by itself, which waits, or fails.
func (w *wholeSync) take(l *Log) bool {
	l.durable.queued.Store(false) // before the look at its end, see committer.serve
	t, first := l.toSync(), len(w.files)
	for _, s := range t.files {
		err := s.hold()
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil || !s.syncMu.TryLock() {
			if err == nil {
				s.Release()
			}
			w.giveBack(first)
			return false
		}
		w.files = append(w.files, wholeFile{s: s})
		if s.syncErr != nil {
			w.giveBack(first)
			return false
		}
	}
	w.logs = append(w.logs, t)
	return true
}

// giveBack gives up the files from the one at index first on.
func (w *wholeSync) giveBack(first int) {
	for i := first; i < len(w.files); i++ {
		s := w.files[i].s
		s.syncMu.Unlock()
		s.Release()
		w.files[i] = wholeFile{}
	}
	w.files = w.files[:first]
}

// sync brings the files to the device, as they are when it begins. The books are kept as by segment.fdatasync.
func (w *wholeSync) sync() error {
	for i := range w.files {
		f := &w.files[i]
		f.s.unsynced.Store(false) // first: what is written from now on may not be covered
		f.size = f.s.size.Load()
	}
	p := &w.d.pacer
	appended, began := p.appended.Load(), time.Now()
	err := w.call()
	if now := time.Now(); now.Sub(began) > wholeSlow {
		w.notTill = now.Add(wholePause * now.Sub(began))
	}
	for i := range w.files {
		f := &w.files[i]
		if err == nil {
			p.claim(f.s, f.size)
		} else {
			f.s.unsynced.Store(true)
			f.s.syncErr = err
		}
	}
	if err == nil {
		raise(&p.handled, appended)
	}
	return err
}

func (w *wholeSync) call() error {
	if err := w.d.opts.syncFS(w.fd); err != nil {
		return &os.PathError{Op: "syncfs", Path: w.d.path, Err: err}
	}
	s := w.files[len(w.files)-1].s
	if err := w.d.opts.fdatasync(s.file()); err != nil {
		return &os.PathError{Op: "fdatasync", Path: s.stem + logSuffix, Err: err}
	}
	return nil
}

// toSync is what a commit is to bring to the device, as it was when it began: nothing that came later is claimed.
type toSync struct {
	l            *Log
	upTo         int64      // the log's end
	newest, cuts int64      // see settle
	files        []*segment // those with record bytes that are not synced
}

func (l *Log) toSync() toSync {
	x := &l.durable
	t := toSync{l: l, cuts: x.cuts.Load()}
	t.upTo = l.end.Load() // before the list, which then has every segment below it
	list := l.segs.Load()
	t.newest = list.last().base
	if from := x.synced.Load(); from < t.upTo {
		t.files = list.s[list.find(from):]
	}
	return t
}

// done tells those who wait that it is there. buf is scratch.
func (t *toSync) done(buf []SyncWaiter) []SyncWaiter {
	l := t.l
	if l.closed.Load() {
		return l.durable.wake(0, fmt.Errorf("%w: %s", ErrClosed, l.name), buf)
	}
	if !l.settle(t.upTo, t.newest, t.cuts) {
		l.d.committer.add(l)
		return buf
	}
	return l.durable.wake(t.upTo, nil, buf)
}

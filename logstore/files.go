package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/internal/invariants"
	"github.com/sluice-mq/sluice/internal/sys"
)

// fileCache bounds how many .log files of a Dir are open, so that ten thousand partitions with any number of segments
// fit below the usual limit of descriptors.
//
// A segment's file is open while somebody has a hold on it, and after that until the cache wants the descriptor for
// another one. The file that appends go to has a hold by its log (Log.pin), which the cache takes away when the log
// has been idle: so a log that is written to costs one descriptor, one that is not costs none at the bound.
//
// Who goes is chosen by the clock algorithm: the hand passes over what was used since it last came by. Against a list
// in exact order of use that costs a hit neither a lock nor a write to anything shared.
//
// A file with bytes that were not synced since they were written is not closed but flushed first, in the background:
// a failed write-back is told to those who have the file open, and may be forgotten with the inode when nobody has.
//
// Bound: limit, and what is held above it. An open looks at openTries files at most and closes up to two of them, so
// that the cache shrinks again after it had to grow.
//
// Lock order: segment.openMu, then mu. Locks of other segments and logs are only tried.
type fileCache struct {
	limit int

	mu   sync.Mutex
	ring []*segment // those whose files are open
	hand int
}

// openTries bounds the work of one open at the bound: some 100 ns for each.
const openTries = 64

// The state of a segment: how many holds there are, and two flags.
const (
	segOpen  = 1 << 31 // the file is open
	segGone  = 1 << 30 // out of its log: it is never opened again, and closed with the last hold
	segHolds = segGone - 1
)

// errGone is for a segment that was taken out of its log.
var errGone = errors.New("segment was removed")

// hold takes a hold on s, which keeps its file open until Release, and opens it if need be. errGone: the segment, or
// its log, was deleted since the caller found it in a list. Other errors are those of the file system; the segment is
// there, and a later attempt may succeed.
func (s *segment) hold() error {
	for {
		st := s.state.Load()
		switch {
		case st&segGone != 0:
			return errGone
		case st&segOpen == 0:
			return s.openHeld()
		}
		if s.state.CompareAndSwap(st, st+1) {
			s.use()
			return nil
		}
	}
}

// use tells the cache's hand to pass by. In steady state it only reads.
func (s *segment) use() {
	if !s.used.Load() {
		s.used.Store(true)
	}
}

// openHeld is hold for a file that is not open, or was not when the caller looked.
func (s *segment) openHeld() error {
	s.openMu.Lock()
	defer s.openMu.Unlock()
	for { // with openMu neither flag changes
		st := s.state.Load()
		if st&segGone != 0 {
			return errGone
		}
		if st&segOpen == 0 {
			break
		}
		if s.state.CompareAndSwap(st, st+1) {
			s.use()
			return nil
		}
	}
	if err := s.open(); err != nil {
		return err
	}
	s.opened()
	return nil
}

// opened publishes the descriptor, with one hold. The caller holds openMu, or nobody else knows s.
func (s *segment) opened() {
	s.used.Store(true)
	s.state.Add(segOpen + 1)
	s.l.d.files.add(s)
}

// open opens the file and makes sure that it is still the one it was: compaction puts others under the same name.
func (s *segment) open() error {
	path := s.stem + logSuffix
	flags := os.O_RDWR
	if s.l.d.opts.rehearse {
		flags = os.O_RDONLY
	}
	fd, err := sys.OpenFile(path, flags, 0)
	if sys.NoDescriptors(err) && s.l.d.files.yield(s) {
		fd, err = sys.OpenFile(path, flags, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if sys.NoDescriptors(err) {
		err = fmt.Errorf("%w: raise the limit (ulimit -n, LimitNOFILE=)", err)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	st, err := sys.StatFile(fd)
	if err != nil {
		sys.CloseFile(fd)
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if s.inode != 0 && s.inode != st.Inode {
		sys.CloseFile(fd)
		return errGone
	}
	s.fd, s.inode = fd, st.Inode
	return nil
}

// holdToSync is hold for a sync, whose failure is final: it waits a while for a descriptor rather than fail for want
// of one.
func (s *segment) holdToSync() (err error) {
	for range 100 {
		if err = s.hold(); !sys.NoDescriptors(err) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// file is the descriptor, for who has a hold.
func (s *segment) file() int {
	if invariants.Enabled {
		st := s.state.Load()
		invariants.Check(st&segOpen != 0 && st&segHolds != 0, "file of a segment without a hold, state %x", st)
	}
	return s.fd
}

// Retain takes another hold; the caller must have one. Part of span.Ref.
func (s *segment) Retain() {
	if st := s.state.Add(1); st&segHolds <= 1 || st&segOpen == 0 {
		panic("BUG: hold taken on a closed segment")
	}
}

// Release gives up a hold. The file stays open until the cache needs its descriptor; one that is out of its log is
// closed with the last hold, and what was unlinked before that is gone then. Part of span.Ref.
func (s *segment) Release() {
	st := s.state.Add(^uint32(0))
	switch {
	case st&segHolds == segHolds:
		panic("BUG: segment released too often")
	case st == segOpen|segGone:
		s.openMu.Lock()
		s.close()
		s.openMu.Unlock()
	}
}

// drop takes s out of its log: nobody gets a hold any more, and who has one keeps the file.
func (s *segment) drop() {
	s.openMu.Lock() // an open under way ends first: the name may be another file's after this
	defer s.openMu.Unlock()
	switch st := s.state.Or(segGone); {
	case st&segGone != 0:
		panic("BUG: segment dropped twice")
	case st == segOpen:
		s.close()
	}
}

// close is for the last hold of a segment that is gone. The caller holds openMu.
func (s *segment) close() {
	s.l.d.files.remove(s)
	s.closeFile()
	s.state.And(^uint32(segOpen))
}

func (s *segment) closeFile() {
	sys.CloseFile(s.fd)
	s.fd = -1
}

// fdatasync blocks until the file's bytes are on the device. The caller has a hold.
func (s *segment) fdatasync() error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if s.syncErr != nil {
		return s.syncErr
	}
	s.unsynced.Store(false) // first: what is written from now on may not be covered
	size := s.size.Load()
	if err := s.l.d.opts.fdatasync(s.file()); err != nil {
		s.unsynced.Store(true)
		s.syncErr = &os.PathError{Op: "fdatasync", Path: s.stem + logSuffix, Err: err}
	}
	if s.syncErr == nil {
		s.l.d.pacer.claim(s, size)
	}
	return s.syncErr
}

// written notes that the file has bytes which are not synced; after the write, see fdatasync.
func (s *segment) written() {
	if !s.unsynced.Load() {
		s.unsynced.Store(true)
	}
}

// pin gives appends a hold on the active segment's file, unless they have it. The caller holds mu.
func (l *Log) pin() error {
	if l.pinned {
		l.active.use()
		return nil
	}
	if err := l.active.hold(); err != nil {
		return err
	}
	l.pinned = true
	return nil
}

// unpin gives it up. The caller holds mu.
func (l *Log) unpin() {
	if l.pinned {
		l.pinned = false
		l.active.Release()
	}
}

// add takes note of a file just opened, and closes others if there are too many.
func (c *fileCache) add(s *segment) {
	c.mu.Lock()
	s.slot = len(c.ring)
	c.ring = append(c.ring, s)
	excess := len(c.ring) - c.limit
	c.mu.Unlock()
	if excess > 0 {
		c.evict(min(excess, 2), s)
	}
}

func (c *fileCache) remove(s *segment) {
	c.mu.Lock()
	c.removeLocked(s)
	c.mu.Unlock()
}

func (c *fileCache) removeLocked(s *segment) {
	last := len(c.ring) - 1
	moved := c.ring[last]
	c.ring[s.slot], moved.slot = moved, s.slot
	c.ring[last] = nil
	c.ring = c.ring[:last]
}

// yield is for when the process has no descriptor left, whatever the limit says.
func (c *fileCache) yield(s *segment) bool { return c.evict(2, s) > 0 }

// shrink closes what is open above the limit, as far as it may be closed. Opens do so too, two at a time.
func (c *fileCache) shrink() {
	c.mu.Lock()
	excess := len(c.ring) - c.limit
	c.mu.Unlock()
	for range excess {
		c.evict(1, nil)
	}
}

// evict closes up to want files other than that of s (nil: any), and tells how many.
func (c *fileCache) evict(want int, s *segment) (n int) {
	var victims [2]*segment
	var busy *Log // has to be flushed first
	c.mu.Lock()
	for tries := 0; tries < openTries && n < want && len(c.ring) > 0; tries++ {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		v := c.ring[c.hand]
		c.hand++
		switch {
		case v == s:
		case v.used.Load():
			v.used.Store(false)
		case v.unsynced.Load():
			busy = v.l
		case v.openMu.TryLock():
			if !v.claim() {
				v.openMu.Unlock()
				continue
			}
			c.hand--
			c.removeLocked(v)
			victims[n] = v
			n++
		}
	}
	c.mu.Unlock()
	for _, v := range victims[:n] {
		v.closeFile()
		v.openMu.Unlock()
	}
	if busy != nil && busy.d.flusher != nil {
		busy.beginSync(false)
	}
	return n
}

// claim makes the file not open for all who come, if nobody has a hold but appends that pause. The caller holds openMu
// and closes it.
func (s *segment) claim() bool {
	was := s.state.Load()
	switch was {
	case segOpen:
	case segOpen | 1:
		l := s.l
		if !l.mu.TryLock() {
			return false
		}
		defer l.mu.Unlock()
		if !l.pinned || l.active != s {
			return false
		}
	default:
		return false
	}
	if !s.state.CompareAndSwap(was, 0) {
		return false
	}
	if s.unsynced.Load() { // an append, and a roll, came in between
		s.state.Store(was)
		return false
	}
	if was != segOpen {
		s.l.pinned = false
	}
	return true
}

// OpenFiles is how many .log files the directory has open.
func (d *Dir) OpenFiles() int {
	d.files.mu.Lock()
	defer d.files.mu.Unlock()
	return len(d.files.ring)
}

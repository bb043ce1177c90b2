package logstore

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/internal/sys"
)

const (
	offsetEntrySize = 8  // int32 offset - base, int32 position
	timeEntrySize   = 12 // int64 timestamp, int32 offset - base
	// pendingEntries is how many entries are kept in memory before they are written together: one write per
	// 128 * 4 KiB of log. Memory per active segment: 128 * (8 + 12) bytes = 2.5 KiB at most, plus what is added
	// while a flush writes.
	pendingEntries = 128
)

// sparseIndex is an offset or time index: stored entries in the file, the newest in memory. The file is opened
// only to write or to search it, so that an index costs no descriptor, and it never holds more than entries:
// nothing has to be trimmed.
//
// One goroutine adds (the appender, or recovery); lookups may run at any time. mu guards stored and pending and
// is never held over a system call. spillMu, taken first, is held while pending entries are written: the
// appender and a flush may both want to.
type sparseIndex struct {
	path      string
	moved     atomic.Pointer[string] // where the file is since it was renamed; nil: at path
	cache     *indexCache
	seed      int // spreads the indexes over the cache's slots
	entrySize int
	lastKey   int64 // of the last entry: timestamp, or relative offset; -1 when empty. Appender only
	count     int   // stored and pending. Appender only

	spillMu sync.Mutex
	created bool // file is known to be there. Guarded by spillMu

	mu      sync.Mutex
	stored  int
	pending []byte
}

func (x *sparseIndex) init(c *indexCache, path string, seed int64, entrySize int) {
	x.cache, x.path, x.seed, x.entrySize, x.lastKey = c, path, int(seed), entrySize, -1
}

// file is where the index is. Compaction gives its files other names while readers search them.
func (x *sparseIndex) file() string {
	if p := x.moved.Load(); p != nil {
		return *p
	}
	return x.path
}

// rename gives the file another name, which may then be another index's file. A search that has met that one notices
// by the name (see indexSlot.load). Nobody adds any more.
func (x *sparseIndex) rename(path string) error {
	x.spillMu.Lock()
	defer x.spillMu.Unlock()
	if err := sys.Rename(x.file(), path); err != nil {
		return err
	}
	x.moved.Store(&path)
	return nil
}

func (x *sparseIndex) addOffset(rel, pos int32) {
	var e [offsetEntrySize]byte
	binary.BigEndian.PutUint32(e[0:], uint32(rel))
	binary.BigEndian.PutUint32(e[4:], uint32(pos))
	x.add(e[:], int64(rel))
}

func (x *sparseIndex) addTime(ts int64, rel int32) {
	var e [timeEntrySize]byte
	binary.BigEndian.PutUint64(e[0:], uint64(ts))
	binary.BigEndian.PutUint32(e[8:], uint32(rel))
	x.add(e[:], ts)
}

func (x *sparseIndex) add(e []byte, key int64) {
	x.mu.Lock()
	x.pending = append(x.pending, e...)
	x.mu.Unlock()
	x.lastKey = key
	x.count++
}

// full tells whether no entry may be added; keep is how many slots are kept back.
func (x *sparseIndex) full(maxBytes, keep int) bool { return x.count >= maxBytes/x.entrySize-keep }

// spillIfFull writes the pending entries when their buffer is full. Called before an append, so that nothing can
// fail after it.
func (x *sparseIndex) spillIfFull() error {
	x.mu.Lock()
	full := len(x.pending) >= pendingEntries*x.entrySize
	x.mu.Unlock()
	if !full {
		return nil
	}
	return x.spill()
}

// spill writes the pending entries to the file, creating it if need be.
func (x *sparseIndex) spill() error {
	x.spillMu.Lock()
	defer x.spillMu.Unlock()
	x.mu.Lock()
	// Later entries go behind these bytes, and only this function moves them, so they stay as they are.
	entries, at := x.pending, int64(x.stored)*int64(x.entrySize)
	x.mu.Unlock()
	if len(entries) == 0 && x.created {
		return nil
	}
	path := x.file()
	fd, err := sys.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	if !x.created && at == 0 {
		// Whatever an earlier process left under this name is not ours.
		err = sys.Truncate(fd, 0)
	}
	if err == nil {
		if err = sys.PwriteFull(fd, entries, at); err != nil {
			_ = sys.Truncate(fd, at) // no part of an entry stays; if this fails too, the next spill writes over it
		}
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	x.created = true
	x.mu.Lock()
	x.stored += len(entries) / x.entrySize
	n := copy(x.pending, x.pending[len(entries):])
	x.pending = x.pending[:n]
	x.mu.Unlock()
	return nil
}

// written tells whether the file is there and has all entries.
func (x *sparseIndex) written() bool {
	x.spillMu.Lock()
	defer x.spillMu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.created && len(x.pending) == 0
}

// sync blocks until the stored entries are on the device.
func (x *sparseIndex) sync() error {
	path := x.file()
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

// indexEntry is an entry of either kind: (relative offset, position) or (timestamp, relative offset).
type indexEntry struct{ key, val int64 }

func (x *sparseIndex) decode(e []byte) indexEntry {
	if x.entrySize == offsetEntrySize {
		return indexEntry{int64(int32(binary.BigEndian.Uint32(e))), int64(int32(binary.BigEndian.Uint32(e[4:])))}
	}
	return indexEntry{int64(binary.BigEndian.Uint64(e)), int64(int32(binary.BigEndian.Uint32(e[8:])))}
}

// floor finds the last entry with key <= limit, or with val <= limit when byVal is set; both rise along the
// index. ok is false when there is none.
func (x *sparseIndex) floor(limit int64, byVal bool) (e indexEntry, ok bool, err error) {
	match := func(e indexEntry) bool {
		if byVal {
			return e.val <= limit
		}
		return e.key <= limit
	}
	x.mu.Lock()
	stored, n := x.stored, len(x.pending)/x.entrySize
	if n > 0 && match(x.decode(x.pending)) {
		lo, hi := 0, n // entry lo matches, entry hi does not
		for hi-lo > 1 {
			mid := (lo + hi) / 2
			if match(x.decode(x.pending[mid*x.entrySize:])) {
				lo = mid
			} else {
				hi = mid
			}
		}
		e = x.decode(x.pending[lo*x.entrySize:])
		x.mu.Unlock()
		return e, true, nil
	}
	x.mu.Unlock()
	if stored == 0 {
		return e, false, nil
	}
	return x.floorStored(stored, match)
}

func (x *sparseIndex) floorStored(stored int, match func(indexEntry) bool) (e indexEntry, ok bool, err error) {
	f := openedIndex{fd: -1}
	defer f.close()
	lo, hi := -1, stored
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		switch m, err := x.cache.entry(x, mid, &f); {
		case errors.Is(err, fs.ErrNotExist):
			return indexEntry{}, false, nil // an index only saves work: the search begins at the segment's start
		case err != nil:
			return indexEntry{}, false, err
		case match(m):
			lo, e = mid, m
		default:
			hi = mid
		}
	}
	return e, lo >= 0, nil
}

// readLast reads the last of n entries from the file.
func (x *sparseIndex) readLast(n int) (indexEntry, error) {
	fd, err := sys.OpenFile(x.path, os.O_RDONLY, 0)
	if err != nil {
		return indexEntry{}, &os.PathError{Op: "open", Path: x.path, Err: err}
	}
	defer sys.CloseFile(fd)
	b := make([]byte, x.entrySize)
	if err := sys.PreadFull(fd, b, int64(n-1)*int64(x.entrySize)); err != nil {
		return indexEntry{}, &os.PathError{Op: "read", Path: x.path, Err: err}
	}
	return x.decode(b), nil
}

// load takes over the entries of an existing file. valid is called with the last entry; when it or the file's
// size is impossible, ok is false and the index has to be rebuilt.
func (x *sparseIndex) load(valid func(last indexEntry) bool) (last indexEntry, ok bool, err error) {
	st, err := sys.Stat(x.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return last, false, nil
	case err != nil:
		return last, false, &os.PathError{Op: "stat", Path: x.path, Err: err}
	case st.Size%int64(x.entrySize) != 0 || st.Size > math.MaxInt32:
		return last, false, nil
	}
	last = indexEntry{key: -1}
	n := int(st.Size / int64(x.entrySize))
	if n > 0 { // most of many partitions have little in them: their indexes are not opened
		if last, err = x.readLast(n); err != nil || !valid(last) {
			return last, false, err
		}
	}
	x.stored, x.count, x.lastKey, x.created = n, n, last.key, true
	return last, true, nil
}

// clear empties the index; the file follows with the next spill. For recovery, before anybody searches.
func (x *sparseIndex) clear() {
	x.spillMu.Lock()
	defer x.spillMu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stored, x.count, x.lastKey, x.created = 0, 0, -1, false
	x.pending = x.pending[:0]
}

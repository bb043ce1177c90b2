package logstore

import (
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// A segment is one .log file with its two sparse indexes.
//
// The file stays open while anybody holds the segment: the log's list has one hold, every file span on its way
// to a socket another. The last Release closes the descriptor; a file that was unlinked before that keeps its
// bytes until then. Only the appender changes size and the fields below it; size is atomic because readers look
// at it.
type segment struct {
	base int64
	stem string // path of the files without suffix
	fd   int
	refs atomic.Int32
	size atomic.Int64 // whole batches only

	offsets sparseIndex
	times   sparseIndex

	// lastIndexed is the position that the last offset index entry names: bytes since then decide on the next.
	lastIndexed int64
	// firstTime is the max timestamp of the first batch, from which the segment's age is counted.
	firstTime int64
	// flushed says that file and indexes are on the device and final; rebuilt, that recovery wrote the indexes anew
	// and nobody has synced them. Guarded by Log.flushMu.
	flushed, rebuilt bool

	// maxMu guards the largest timestamp and the last offset of the batch that has it. Held for two stores.
	maxMu      sync.Mutex
	maxTime    int64
	maxTimeOff int64
}

const noTime = math.MinInt64

func newSegment(c *indexCache, dir string, base int64, fd int) *segment {
	s := &segment{base: base, stem: filepath.Join(dir, segmentName(base)), fd: fd,
		firstTime: noTime, maxTime: batch.NoTimestamp, maxTimeOff: base}
	s.refs.Store(1)
	s.offsets.init(c, s.stem+indexSuffix, base, offsetEntrySize)
	s.times.init(c, s.stem+timeIndexSuffix, base+1, timeEntrySize)
	return s
}

// createSegment makes the .log file of a new segment and nothing else, because it runs between two appends:
// the indexes appear with their first entries or the first flush, and the directory is synced by the flusher.
func createSegment(c *indexCache, dir string, base int64) (*segment, error) {
	path := filepath.Join(dir, segmentName(base)+logSuffix)
	// A leftover of the same base holds nothing that is part of the log: whole batches would have moved its end.
	fd, err := sys.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: path, Err: err}
	}
	return newSegment(c, dir, base, fd), nil
}

// openSegment opens what is there. The caller fills in what only recovery or the indexes know.
func openSegment(c *indexCache, dir string, base int64, readOnly bool) (*segment, error) {
	path := filepath.Join(dir, segmentName(base)+logSuffix)
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	fd, err := sys.OpenFile(path, flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	size, err := sys.FileSize(fd)
	if err != nil {
		sys.CloseFile(fd)
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	s := newSegment(c, dir, base, fd)
	s.size.Store(size)
	return s, nil
}

// Retain takes another hold; the caller must have one. Part of span.Ref.
func (s *segment) Retain() {
	if s.refs.Add(1) <= 1 {
		panic("BUG: hold taken on a closed segment")
	}
}

// Release gives up a hold; the last one closes the file. Part of span.Ref.
func (s *segment) Release() {
	switch n := s.refs.Add(-1); {
	case n == 0:
		sys.CloseFile(s.fd)
		s.fd = -1
	case n < 0:
		panic("BUG: segment released too often")
	}
}

// tryRetain takes a hold unless the segment is closed already: for readers, who find it in a list that may have
// been replaced since.
func (s *segment) tryRetain() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// appended accounts for a batch that was written at pos; one caller at a time. The rules are those of Kafka's
// LogSegment.append and give the same entries as recovery does: at most one per batch, for the batch's last
// offset at its own position, when more than interval bytes lie between it and the last one.
func (s *segment) appended(pos, size, lastOffset, maxTime int64, interval int) {
	if pos == 0 {
		s.firstTime = maxTime
	}
	if maxTime > s.maxTime {
		s.maxMu.Lock()
		s.maxTime, s.maxTimeOff = maxTime, lastOffset
		s.maxMu.Unlock()
	}
	if pos-s.lastIndexed > int64(interval) {
		s.offsets.addOffset(int32(lastOffset-s.base), int32(pos))
		s.indexTime()
		s.lastIndexed = pos
	}
	s.size.Store(pos + size)
}

// indexTime adds a time index entry for the largest timestamp so far, unless it is there.
func (s *segment) indexTime() {
	if s.maxTime > s.times.lastKey {
		s.times.addTime(s.maxTime, int32(s.maxTimeOff-s.base))
	}
}

func (s *segment) maxTimestamp() (ts, lastOffset int64) {
	s.maxMu.Lock()
	defer s.maxMu.Unlock()
	return s.maxTime, s.maxTimeOff
}

// sync blocks until file and indexes are on the device, the file by fdatasync.
func (s *segment) sync(fdatasync func(fd int) error) error {
	if err := s.spill(); err != nil {
		return err
	}
	if err := fdatasync(s.fd); err != nil {
		return &os.PathError{Op: "fdatasync", Path: s.stem + logSuffix, Err: err}
	}
	if err := s.offsets.sync(); err != nil {
		return err
	}
	return s.times.sync()
}

// spill writes the index entries that wait in memory; both index files are there afterwards.
func (s *segment) spill() error {
	if err := s.offsets.spill(); err != nil {
		return err
	}
	return s.times.spill()
}

// indexed tells whether both index files have all their entries.
func (s *segment) indexed() bool { return s.offsets.written() && s.times.written() }

// segList is an immutable list of segments in offset order, never empty.
type segList struct{ s []*segment }

// find returns the index of the segment that holds off or would: the last one with base <= off.
func (l *segList) find(off int64) int {
	lo, hi := 0, len(l.s)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); l.s[mid].base <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return max(lo-1, 0)
}

func (l *segList) last() *segment { return l.s[len(l.s)-1] }

func (l *segList) with(s *segment) *segList {
	n := make([]*segment, len(l.s)+1)
	copy(n, l.s)
	n[len(l.s)] = s
	return &segList{n}
}

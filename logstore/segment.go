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
// The file is open while anybody has a hold on the segment: who reads or syncs it, every file span on its way to a
// socket, the appender; see fileCache. One that is taken out of the log and unlinked keeps its bytes until the last
// Release. Only the appender changes size and the fields below it; size is atomic because readers look at it.
type segment struct {
	l    *Log
	base int64
	stem string       // path of the files without suffix
	size atomic.Int64 // whole batches only

	state    atomic.Uint32 // holds, segOpen, segGone
	used     atomic.Bool   // since the cache's hand came by
	unsynced atomic.Bool   // see fdatasync
	openMu   sync.Mutex    // held while the file is opened or closed; guards what follows, which who has a hold may read
	fd       int           // -1: not open
	inode    uint64        // 0: not known yet
	slot     int           // in the cache's ring, guarded by its mutex

	offsets sparseIndex
	times   sparseIndex

	// lastIndexed is the position that the last offset index entry names: bytes since then decide on the next.
	lastIndexed int64
	// firstTime is the max timestamp of the first batch, from which the segment's age is counted.
	firstTime int64
	// flushed says that file and indexes are on the device and final; rebuilt, that recovery wrote the indexes anew
	// and nobody has synced them. Guarded by Log.flushMu.
	flushed, rebuilt bool

	// mark is the size at which the pacer wants to see the segment again; below asked it has started write-back. Both
	// may be anything else after a truncation: they are about when, not about what.
	mark, asked atomic.Int64
	reservation reservation
	// txns is the number of entries in .txnindex, lastAborted the last offset of the newest, txnsSynced how many are on
	// the device. The appender changes the first two, in the other order; Log.flushMu guards the third.
	txns, lastAborted atomic.Int64
	txnsSynced        int64
	txnsMoved         atomic.Pointer[string] // where .txnindex is since it was renamed; nil: at its own name

	// syncMu has one fdatasync at a time: the kernel tells a failed write to one of those that wait for it, and the
	// others would believe that all is well. It guards syncErr, what the first failed one said, which stays.
	syncMu  sync.Mutex
	syncErr error

	// maxMu guards the largest timestamp and the last offset of the batch that has it. Held for two stores.
	maxMu      sync.Mutex
	maxTime    int64
	maxTimeOff int64
}

const noTime = math.MinInt64

// newSegment is for files of l that are there; the .log is opened when somebody takes a hold.
func newSegment(l *Log, base int64) *segment {
	s := &segment{l: l, base: base, stem: filepath.Join(l.dir, segmentName(base)), fd: -1,
		firstTime: noTime, maxTime: batch.NoTimestamp, maxTimeOff: base}
	s.offsets.init(&l.d.indexes, s.stem+indexSuffix, base, offsetEntrySize)
	s.times.init(&l.d.indexes, s.stem+timeIndexSuffix, base+1, timeEntrySize)
	return s
}

// createSegment makes the .log file of a new segment and nothing else, because it runs between two appends:
// the indexes appear with their first entries or the first flush, and the directory is synced by the flusher. The
// caller has a hold.
func createSegment(l *Log, base int64) (*segment, error) {
	s := newSegment(l, base)
	path := s.stem + logSuffix
	// A leftover of the same base holds nothing that is part of the log: whole batches would have moved its end.
	const flags = os.O_RDWR | os.O_CREATE | os.O_TRUNC
	fd, err := sys.OpenFile(path, flags, 0o644)
	if sys.NoDescriptors(err) && l.d.files.yield(s) {
		fd, err = sys.OpenFile(path, flags, 0o644)
	}
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: path, Err: err}
	}
	s.fd = fd
	s.opened()
	return s, nil
}

// openSegment takes in what is there. The caller fills in what only recovery or the indexes know.
func openSegment(l *Log, base int64) (*segment, error) {
	s := newSegment(l, base)
	st, err := sys.Stat(s.stem + logSuffix)
	if err != nil {
		return nil, &os.PathError{Op: "stat", Path: s.stem + logSuffix, Err: err}
	}
	s.inode = st.Inode
	s.size.Store(st.Size)
	return s, nil
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

// sync blocks until file and indexes are on the device. The caller has a hold, and Log.flushMu unless it is recovery.
func (s *segment) sync() error {
	if err := s.spill(); err != nil {
		return err
	}
	if err := s.fdatasync(); err != nil {
		return err
	}
	if err := s.offsets.sync(); err != nil {
		return err
	}
	if err := s.times.sync(); err != nil {
		return err
	}
	return s.syncTxns()
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

func (l *segList) has(s *segment) bool {
	i := l.find(s.base)
	return l.s[i] == s
}

func (l *segList) last() *segment { return l.s[len(l.s)-1] }

func (l *segList) with(s *segment) *segList {
	n := make([]*segment, len(l.s)+1)
	copy(n, l.s)
	n[len(l.s)] = s
	return &segList{n}
}

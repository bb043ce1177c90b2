package logstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// indexFile is an offset or time index that somebody else writes.
type indexFile struct {
	w     *window
	kind  sparseIndex // for decode
	base  int64
	count int
}

func openIndex(path string, base int64, o ReadOptions) (*indexFile, error) {
	w, err := openWindow(path, o)
	if err != nil {
		return nil, err
	}
	x := &indexFile{w: w, base: base}
	if x.kind.entrySize = offsetEntrySize; strings.HasSuffix(path, timeIndexSuffix) {
		x.kind.entrySize = timeEntrySize
	}
	x.count = int(w.size / int64(x.kind.entrySize))
	return x, nil
}

func (x *indexFile) at(i int) (indexEntry, error) {
	b, err := x.w.view(int64(i*x.kind.entrySize), x.kind.entrySize)
	if err != nil {
		return indexEntry{}, err
	}
	return x.kind.decode(b), nil
}

// used is the number of entries before an unused tail of zeros, which Kafka preallocates: keys rise, so the first
// zero behind a greater one begins it. A wrong entry can mislead it; it only saves reading the tail.
func (x *indexFile) used() (int, error) {
	lo, hi := 0, x.count
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		e, err := x.at(mid)
		if err != nil {
			return 0, err
		}
		if e != (indexEntry{}) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// IndexEntry is an entry of an offset index (Timestamp is -1) or of a time index (Position is -1).
type IndexEntry struct {
	Timestamp, Offset, Position int64
}

// ReadIndex gives the entries of an .index or .timeindex file to yield, up to an unused tail of zeros, until it
// returns false. tail is how many bytes are behind them.
func ReadIndex(path string, yield func(IndexEntry) bool) (tail int64, err error) {
	base, suffix, ok := parseSegmentFile(filepath.Base(path))
	if !ok || suffix != indexSuffix && suffix != timeIndexSuffix {
		return 0, fmt.Errorf("%w: %s is no index", ErrUnsupported, path)
	}
	x, err := openIndex(path, base, ReadOptions{})
	if err != nil {
		return 0, err
	}
	defer x.w.close()
	n, err := x.used()
	if err != nil {
		return 0, err
	}
	for i := range n {
		e, err := x.at(i)
		if err != nil {
			return 0, err
		}
		r := IndexEntry{Timestamp: -1, Offset: base + e.key, Position: e.val}
		if suffix == timeIndexSuffix {
			r = IndexEntry{Timestamp: e.key, Offset: base + e.val, Position: -1}
		}
		if !yield(r) {
			return 0, nil
		}
	}
	return x.w.size - int64(n*x.kind.entrySize), nil
}

// maxSmallFile bounds the memory for a file that is read as a whole: 1.4 million producers.
const maxSmallFile = 64 << 20

// AbortedTxn is an entry of a .txnindex file.
type AbortedTxn struct {
	ProducerID, FirstOffset, LastOffset, LastStableOffset int64
}

// ReadTxnIndex reads a .txnindex file. With an error it returns the entries before what is wrong.
func ReadTxnIndex(path string) (list []AbortedTxn, err error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	for at := 0; at < len(b); at += txnEntrySize {
		if len(b)-at < txnEntrySize {
			return list, fmt.Errorf("%w: %d bytes at %d are no entry", ErrCorrupt, len(b)-at, at)
		}
		t, err := parseTxnEntry(b[at:][:txnEntrySize])
		if err != nil {
			return list, fmt.Errorf("at %d: %w", at, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// ReadSnapshot reads a .snapshot file of producers' state and checks it.
func ReadSnapshot(path string) ([]ProducerEntry, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	return parseSnapshot(b)
}

func readSmall(path string) ([]byte, error) {
	if st, err := os.Stat(path); err == nil && st.Size() > maxSmallFile {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrUnsupported, path, st.Size())
	}
	return os.ReadFile(path)
}

// CheckpointLine is one line of a checkpoint: of a directory's, or of leader-epoch-checkpoint, where Topic is "" and
// Epoch is set.
type CheckpointLine struct {
	Topic     string
	Partition int32
	Epoch     int32
	Offset    int64
}

// ReadCheckpoint reads a checkpoint file of either kind, in the order of the file.
func ReadCheckpoint(path string) (list []CheckpointLine, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	if filepath.Base(path) == epochFile {
		epochs, err := readEpochs(filepath.Dir(path))
		for _, e := range epochs {
			list = append(list, CheckpointLine{Epoch: e.epoch, Offset: e.start})
		}
		return list, err
	}
	m, err := readOffsets(path)
	for name, offset := range m {
		topic, partition, _ := cutPartition(name)
		list = append(list, CheckpointLine{Topic: topic, Partition: partition, Epoch: -1, Offset: offset})
	}
	sortLines(list)
	return list, err
}

// lockState tells whether somebody has the log directory open, without taking its lock.
func lockState(dir string) (held bool, pid int, err error) {
	fd, err := sys.OpenFile(filepath.Join(dir, lockFile), os.O_RDONLY, 0)
	if err != nil {
		if os.IsNotExist(err) {
			err = nil
		}
		return false, 0, err
	}
	defer sys.CloseFile(fd)
	held, pid, err = sys.LockHolder(fd)
	if held && pid == 0 {
		b := make([]byte, 16)
		n, _ := sys.Pread(fd, b, 0)
		_, _ = fmt.Sscan(string(b[:n]), &pid) // 0: Kafka writes nothing there
	}
	return held, pid, err
}

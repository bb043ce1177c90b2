package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// txnEntrySize: int16 version, int64 producer id, first offset, last offset, last stable offset (Kafka's AbortedTxn).
const (
	txnEntrySize    = 34
	txnEntryVersion = 0
)

func (a AbortedTxn) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, txnEntryVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(a.ProducerID))
	b = binary.BigEndian.AppendUint64(b, uint64(a.FirstOffset))
	b = binary.BigEndian.AppendUint64(b, uint64(a.LastOffset))
	return binary.BigEndian.AppendUint64(b, uint64(a.LastStableOffset))
}

// parseTxnEntry reads an entry of txnEntrySize bytes, which ErrCorrupt says is none.
func parseTxnEntry(b []byte) (a AbortedTxn, err error) {
	if v := binary.BigEndian.Uint16(b); v != txnEntryVersion {
		return a, fmt.Errorf("%w: entry of version %d", ErrCorrupt, v)
	}
	u := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[2+8*i:])) }
	a = AbortedTxn{u(0), u(1), u(2), u(3)}
	if a.FirstOffset > a.LastOffset || a.FirstOffset < 0 {
		return a, fmt.Errorf("%w: entry has offsets %d to %d", ErrCorrupt, a.FirstOffset, a.LastOffset)
	}
	return a, nil
}

// addAborted writes an entry behind the others, creating the file for the first one. Called before the marker is
// written, so that nothing can fail after it (KAFKA-7866); the entry of a marker that was not written then is of a
// transaction that no reader gets to, and recovery makes the file anew.
func (s *segment) addAborted(a AbortedTxn) error {
	path, flags := s.stem+txnIndexSuffix, os.O_WRONLY|os.O_CREATE
	n := s.txns.Load()
	if n == 0 { // whatever an earlier process left under this name is not ours
		flags |= os.O_TRUNC
	}
	fd, err := sys.OpenFile(path, flags, 0o644)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	if err := sys.PwriteFull(fd, a.appendTo(make([]byte, 0, txnEntrySize)), n*txnEntrySize); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	s.lastAborted.Store(a.LastOffset)
	s.txns.Store(n + 1)
	return nil
}

// cutTxns drops the entries of markers at offset end and above.
func (s *segment) cutTxns(end int64) error {
	n := s.txns.Load()
	if n == 0 {
		return nil
	}
	path := s.stem + txnIndexSuffix
	fd, err := sys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	r := txnReader{fd: fd, path: path, n: n}
	last := noOffset
	for ; n > 0; n-- {
		a, err := r.entry(n - 1)
		if err != nil {
			return err
		}
		if a.LastOffset < end {
			last = a.LastOffset
			break
		}
	}
	s.lastAborted.Store(last)
	s.txns.Store(n)
	s.txnsSynced = noOffset
	if err := sys.Truncate(fd, n*txnEntrySize); err != nil {
		return &os.PathError{Op: "truncate", Path: path, Err: err}
	}
	return nil
}

// syncTxns brings the entries to the device. The caller holds Log.flushMu.
func (s *segment) syncTxns() error {
	n := s.txns.Load()
	if n == s.txnsSynced {
		return nil
	}
	path := s.stem + txnIndexSuffix
	fd, err := sys.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		err = sys.Fdatasync(fd)
		sys.CloseFile(fd)
	}
	if err != nil {
		return &os.PathError{Op: "fdatasync", Path: path, Err: err}
	}
	s.txnsSynced = n
	return nil
}

// loadTxns takes over the file of a segment that ends below offset next (-1: not known). ok is false when its size or
// its last entry is impossible, and it has to be made anew.
func (s *segment) loadTxns(next int64) (ok bool, err error) {
	path := s.stem + txnIndexSuffix
	fd, err := sys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	size, err := sys.FileSize(fd)
	if err != nil {
		return false, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if size == 0 || size%txnEntrySize != 0 {
		return size == 0, nil
	}
	var b [txnEntrySize]byte
	if err := sys.PreadFull(fd, b[:], size-txnEntrySize); err != nil {
		return false, &os.PathError{Op: "read", Path: path, Err: err}
	}
	a, err := parseTxnEntry(b[:])
	if err != nil || a.LastOffset < s.base || next >= 0 && a.LastOffset >= next {
		return false, nil
	}
	s.lastAborted.Store(a.LastOffset)
	s.txnsSynced = size / txnEntrySize
	s.txns.Store(s.txnsSynced)
	return true, nil
}

// txnFile is where the entries are.
func (s *segment) txnFile() string {
	if p := s.txnsMoved.Load(); p != nil {
		return *p
	}
	return s.stem + txnIndexSuffix
}

// renameTxns gives the file another name, as sparseIndex.rename does.
func (s *segment) renameTxns(was, is string) error {
	if err := sys.Rename(was, is); err != nil {
		return err
	}
	s.txnsMoved.Store(&is)
	return nil
}

// aborted adds to list the entries that AbortedTxns asks for; done says that later segments have none. Last offsets
// and last stable offsets rise along the file.
func (s *segment) aborted(list []AbortedTxn, from, upper int64) (_ []AbortedTxn, done bool, err error) {
	n := s.txns.Load()
	if n == 0 || s.lastAborted.Load() < from {
		return list, false, nil
	}
	held := len(list)
	for tries := 0; ; tries++ {
		name := s.txnsMoved.Load()
		list, done, err = s.abortedIn(s.txnFile(), n, list[:held], from, upper)
		// By a name that is not its any more, another segment's file may have been read, or none.
		moving := errors.Is(err, fs.ErrNotExist) && s.state.Load()&segGone == 0 && tries < maxMoving
		if s.txnsMoved.Load() == name && !moving {
			return list, done, err
		}
		runtime.Gosched()
	}
}

// maxMoving bounds how often a file is looked for that is just being renamed.
const maxMoving = 1000

// abortedIn looks for them in the file at path, which has n.
func (s *segment) abortedIn(path string, n int64, list []AbortedTxn, from, upper int64) (_ []AbortedTxn, done bool, err error) {
	fd, err := sys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return list, false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	r := txnReader{fd: fd, path: path, n: n}
	lo, hi := int64(0), n // entries below lo end below from, entry hi does not
	for lo < hi {
		mid := (lo + hi) / 2
		a, err := r.entry(mid)
		if err != nil {
			return list, false, err
		}
		if a.LastOffset < from {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < n; lo++ {
		a, err := r.entry(lo)
		if err != nil {
			return list, false, err
		}
		if a.FirstOffset < upper {
			list = append(list, a)
		}
		if a.LastStableOffset >= upper {
			return list, true, nil
		}
	}
	return list, false, nil
}

// txnReader reads entries through a window of the file.
type txnReader struct {
	fd   int
	path string
	n    int64 // entries in the file
	at   int64 // first entry in buf
	held int64
	buf  [60 * txnEntrySize]byte
}

func (r *txnReader) entry(i int64) (AbortedTxn, error) {
	if i < r.at || i >= r.at+r.held {
		r.at, r.held = i, min(r.n-i, int64(len(r.buf)/txnEntrySize))
		if err := sys.PreadFull(r.fd, r.buf[:r.held*txnEntrySize], i*txnEntrySize); err != nil {
			r.held = 0
			return AbortedTxn{}, &os.PathError{Op: "read", Path: r.path, Err: err}
		}
	}
	a, err := parseTxnEntry(r.buf[(i-r.at)*txnEntrySize:][:txnEntrySize])
	if err != nil {
		err = fmt.Errorf("%s: entry %d: %w", r.path, i, err)
	}
	return a, err
}

// txnRebuild makes the .txnindex files of segments that were walked anew, from the transactions that a replay sees
// end. A file is replaced as a whole, because a segment below the recovery point is not walked again after a crash.
type txnRebuild struct {
	x      *loading
	made   []int64  // bases of the segments that have got a file
	seg    *segment // the one that is being made; nil: none is
	fd     int
	buf    []byte
	placed int64 // bytes of buf that are in the file
}

// txnRebuildBuffer is what is written at once.
const txnRebuildBuffer = 16 << 10

func (r *txnRebuild) add(s *segment, a AbortedTxn) error {
	if !s.rebuilt || r.x.live {
		return nil // its file was taken over
	}
	if r.seg != s {
		if err := r.finish(); err != nil {
			return err
		}
		path := s.stem + txnIndexSuffix + tmpSuffix
		fd, err := sys.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return &os.PathError{Op: "create", Path: path, Err: err}
		}
		r.seg, r.fd, r.buf, r.placed = s, fd, r.buf[:0], 0
		s.txns.Store(0)
	}
	r.buf = a.appendTo(r.buf)
	s.lastAborted.Store(a.LastOffset)
	s.txns.Add(1)
	if len(r.buf) < txnRebuildBuffer {
		return nil
	}
	return r.write()
}

func (r *txnRebuild) write() error {
	err := sys.PwriteFull(r.fd, r.buf, r.placed)
	r.placed += int64(len(r.buf))
	r.buf = r.buf[:0]
	return err
}

// finish gives the file that is being made its name.
func (r *txnRebuild) finish() error {
	if r.seg == nil {
		return nil
	}
	s := r.seg
	r.seg = nil
	path := s.stem + txnIndexSuffix
	err := r.write()
	if err == nil {
		err = sys.Fdatasync(r.fd)
	}
	err = errors.Join(err, sys.CloseFile(r.fd))
	if err == nil {
		err = sys.Rename(path+tmpSuffix, path)
	}
	if err != nil {
		return &os.PathError{Op: "replace", Path: path, Err: err}
	}
	s.txnsSynced = s.txns.Load()
	r.made = append(r.made, s.base)
	return nil
}

// abandon leaves the file that is being made unfinished, to be removed by the next start.
func (r *txnRebuild) abandon() {
	if r.seg != nil {
		sys.CloseFile(r.fd)
	}
}

// close ends the rebuild: files of walked segments that have no aborted transaction go.
func (r *txnRebuild) close() error {
	if err := r.finish(); err != nil {
		return err
	}
	changed := len(r.made) > 0
	for _, s := range r.x.segs {
		if !s.rebuilt || !r.x.txnFiles[s.base] || slices.Contains(r.made, s.base) {
			continue
		}
		if err := sys.Remove(s.stem + txnIndexSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return syncDir(r.x.l.dir)
}

// abortion is the entry for the marker m at the given offset: ok is false when it aborts nothing.
func (t *producers) abortion(p *producer, m marker, offset int64) (a AbortedTxn, ok bool) {
	if !m.ok || m.commit || p == nil || p.txnFirst == noOffset {
		return a, false
	}
	return AbortedTxn{ProducerID: p.id, FirstOffset: p.txnFirst, LastOffset: offset, LastStableOffset: t.stableWithout(p, offset)}, true
}

// markerOf reads the marker of a batch of which all is at hand; the zero one if it is none.
func markerOf(b batch.Batch) (m marker) {
	if b.IsControl() {
		m = parseMarker(b)
	}
	return m
}

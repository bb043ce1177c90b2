package logstore

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// cleanedSegment is a segment that takes the place of others, while it is written: under its final name and .cleaned.
type cleanedSegment struct {
	*segment
	r      *cleanRound
	buf    []byte // batches that are not in the file yet
	placed int64  // bytes that are
	synced int64
	newest time.Time // when the last of the replaced files was changed

	interval int
	aborted  []AbortedTxn
}

const (
	// cleanWrite is what is written at once.
	cleanWrite = 1 << 20
	// cleanSync is how much may wait for the device: it would hold up appends that wait for it as well.
	cleanSync = 16 << 20
)

// Files of a cleaned segment; .txnindex only if there is an aborted transaction.
var cleanedSuffixes = []string{logSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix}

func (r *cleanRound) newCleaned(base int64) (*cleanedSegment, error) {
	l := r.l
	path := filepath.Join(l.dir, segmentName(base)+logSuffix+cleanedFileSuffix)
	fd, err := sys.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: path, Err: err}
	}
	s := newSegment(l, base)
	s.fd = fd
	s.opened()
	st, err := sys.StatFile(fd)
	if err != nil {
		s.drop()
		s.Release()
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	s.inode = st.Inode
	s.offsets.path += cleanedFileSuffix
	s.times.path += cleanedFileSuffix
	l.mu.Lock()
	interval := l.settings.IndexIntervalBytes
	l.mu.Unlock()
	return &cleanedSegment{segment: s, r: r, interval: interval}, nil
}

// replace writes what stays of some segments into one and puts it in their place. next is the base of the segment
// behind them.
func (r *cleanRound) replace(old []*segment, next int64) (err error) {
	out, err := r.newCleaned(old[0].base)
	if err != nil {
		return err
	}
	installed := false
	defer func() {
		if !installed {
			err = errors.Join(err, out.discard())
		}
	}()
	for i, s := range old {
		upper := next
		if i+1 < len(old) {
			upper = old[i+1].base
		}
		// Of all its offsets, not only of those in the map: the new .txnindex has to have them (KAFKA-13727).
		aborted, err := r.l.AbortedTxns(s.base, upper)
		if err != nil {
			return err
		}
		r.txns.add(aborted)
		if err := r.each(s, 0, out.take); err != nil {
			return err
		}
	}
	if st, err := os.Stat(old[len(old)-1].stem + logSuffix); err == nil {
		out.newest = st.ModTime()
	}
	if err := out.finish(); err != nil {
		return err
	}
	installed, err = r.l.install(r, out, old)
	return err
}

// take adds what stays of b.
func (s *cleanedSegment) take(b batch.Batch) error {
	if b, err := s.r.filter(b); b == nil || err != nil {
		return err
	} else if err := s.add(b); err != nil {
		return err
	}
	return nil
}

func (s *cleanedSegment) add(b batch.Batch) error {
	pos := s.size.Load()
	h, _ := parseHead(b, pos)
	if o := (order{segment: s.base}); o.outside(h) || pos+h.size > math.MaxInt32 {
		return fmt.Errorf("%w: offsets %d to %d at %d", ErrTooLarge, h.base, h.last, pos)
	}
	if err := s.offsets.spillIfFull(); err != nil {
		return err
	}
	if err := s.times.spillIfFull(); err != nil {
		return err
	}
	s.appended(pos, h.size, h.last, h.maxTime, s.interval)
	s.r.written += h.size
	if s.buf = append(s.buf, b...); len(s.buf) < cleanWrite {
		return nil
	}
	return s.flush()
}

// flush writes what is in memory, and syncs now and then.
func (s *cleanedSegment) flush() error {
	if err := s.r.spend(len(s.buf)); err != nil {
		return err
	}
	o := &s.r.l.d.opts
	for done := 0; done < len(s.buf); {
		n, err := o.pwrite(s.file(), s.buf[done:], s.placed)
		if err == nil && n == 0 {
			err = errShortWrite
		}
		if err != nil {
			return &os.PathError{Op: "write", Path: s.stem + logSuffix + cleanedFileSuffix, Err: err}
		}
		done, s.placed = done+n, s.placed+int64(n)
	}
	s.buf = s.buf[:0]
	if s.placed-s.synced < cleanSync {
		return nil
	}
	s.synced = s.placed
	return s.fdatasync()
}

// finish brings all files to the device. They have the age of those that they replace: retention looks at it where
// records have no timestamps.
func (s *cleanedSegment) finish() error {
	if err := s.flush(); err != nil {
		return err
	}
	s.indexTime()
	s.aborted, s.r.txns.kept = s.r.txns.kept, nil
	if n := len(s.aborted); n > 0 {
		if err := writeSynced(s.stem+txnIndexSuffix+cleanedFileSuffix, encodeTxnIndex(s.aborted)); err != nil {
			return err
		}
		s.txns.Store(int64(n))
		s.lastAborted.Store(s.aborted[n-1].LastOffset)
		s.txnsSynced = int64(n)
	}
	if !s.newest.IsZero() {
		if err := sys.SetModTime(s.stem+logSuffix+cleanedFileSuffix, s.newest); err != nil {
			return err
		}
	}
	if err := s.sync(); err != nil {
		return err
	}
	s.flushed = true
	s.r.l.d.step("cleaned")
	return nil
}

// discard removes the files, as the next start would.
func (s *cleanedSegment) discard() error {
	s.drop()
	s.Release()
	var errs []error
	for _, suffix := range cleanedSuffixes {
		errs = append(errs, removeIfThere(sys.Remove, s.stem+suffix+cleanedFileSuffix))
	}
	return errors.Join(errs...)
}

// encodeTxnIndex makes the content of a .txnindex file.
func encodeTxnIndex(list []AbortedTxn) []byte {
	b := make([]byte, 0, len(list)*txnEntrySize)
	for _, t := range list {
		b = t.appendTo(b)
	}
	return b
}

package logstore

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// recoveryBuffer is what a walk reads at once. There are as many buffers as logs are loaded at a time.
const recoveryBuffer = 256 << 10

var recoveryBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, recoveryBuffer) }}

// recover brings the segments of x into a state that appends can go on from, and returns the log end.
//
// After a clean stop, indexes and file sizes are taken at their word. Otherwise every segment from the one that
// holds the recovery point on is walked: header, checksum, contiguity, epochs; its indexes are written anew. At
// the first thing wrong the log is cut, as Kafka does: what was appended after the last flush may be torn in any
// order. Something wrong below the recovery point is another matter: that was on the device, so the device or
// somebody damaged it. It is left as it is, the log ends before it and has failed. (To cut there after all, remove
// the recovery point's line.)
//
// Recovery is idempotent: nothing it leaves depends on whether it ran before.
func (x *loading) recover() (end int64, failed, err error) {
	first := len(x.segs)
	if x.full {
		first = 0
	} else if !x.clean {
		first = (&segList{x.segs}).find(x.recoveryPoint)
	}
	began := time.Now()
	x.markersFrom = math.MaxInt64
	w := walk{x: x, epoch: -1, r: Recovery{CutAt: -1, From: x.segs[min(first, len(x.segs)-1)].base}}
	w.next = x.segs[0].base
	for i := 0; i < len(x.segs); i++ {
		s := x.segs[i]
		if i < first {
			ok, err := x.trust(i, &w)
			if ok && err == nil && x.atEdge(i, first) {
				ok, err = s.indexesFinal(x.segs[first].base)
			}
			if err != nil {
				return 0, nil, err
			}
			if ok {
				continue
			}
		}
		if i > first && w.next >= 0 && (s.base < w.next || s.base > w.next && !w.gaps()) {
			w.r.Why = fmt.Sprintf("segment %d follows offset %d", s.base, w.next-1)
			failed, err = x.cut(nil, i, &w)
			break
		}
		w.next = s.base
		if err := w.segment(s); err != nil {
			return 0, nil, err
		}
		if w.r.Why != "" {
			failed, err = x.cut(s, i+1, &w)
			break
		}
	}
	if err != nil {
		return 0, nil, err
	}
	if w.walked {
		if failed == nil {
			if err := w.saveEpochs(); err != nil {
				return 0, nil, err
			}
		}
		w.r.Took = time.Since(began)
		x.report(w.r)
	}
	return w.next, failed, nil
}

// trust takes over a segment as a clean stop left it. ok is false when an index is missing or impossible, or the
// file does not end with a whole batch: then the segment is walked.
func (x *loading) trust(i int, w *walk) (ok bool, err error) {
	s := x.segs[i]
	last := i == len(x.segs)-1
	size := s.size.Load()
	var offset indexEntry
	offset, ok, err = s.offsets.load(func(e indexEntry) bool { return e.key >= 0 && e.val > 0 && e.val < size })
	if err != nil || !ok {
		return false, err
	}
	// A time index that was never trimmed ends in zeros.
	time, ok, err := s.times.load(func(e indexEntry) bool { return e.val >= 0 && (e.key > 0 || e.val > 0) })
	if err != nil || !ok {
		return false, err
	}
	s.lastIndexed = offset.val
	if time.key >= 0 {
		s.maxTime, s.maxTimeOff = time.key, s.base+time.val
	}
	if x.txnFiles[s.base] {
		next := int64(-1)
		if !last {
			next = x.segs[i+1].base
		}
		if ok, err := s.loadTxns(next); err != nil || !ok {
			return false, err
		}
	}
	if !last {
		// Where it ends is where the next begins, and nobody has to know its first timestamp.
		w.next = -1
		return s.maxTimeOff < x.segs[i+1].base, nil
	}
	w.next = s.base
	if size == 0 {
		return true, nil
	}
	if err := s.hold(); err != nil {
		return false, err
	}
	defer s.Release()
	sc := getScratch()
	defer putScratch(sc)
	if _, ok := sc.located(s, offset, size); !ok && offset.val > 0 {
		return false, nil
	}
	if offset.val > 0 {
		w.next = s.base + offset.key // that batch is read again below
	}
	ok, err = sc.eachHead(s, offset.val, size, func(h head) bool {
		if h.maxTime > s.maxTime {
			s.maxTime, s.maxTimeOff = h.maxTime, h.last
		}
		w.next = h.last + 1
		return true
	})
	if err != nil || !ok {
		return false, err
	}
	h, err := sc.headAt(s, 0, size)
	if err != nil {
		return false, err
	}
	s.firstTime = h.maxTime
	return s.maxTimeOff < max(w.next, s.base+1), nil
}

// walk reads segments batch by batch.
type walk struct {
	x      *loading
	r      Recovery
	next   int64 // offset the next batch has to have; -1: not known
	epoch  int32 // of the last batch
	walked bool
	buf    *bufio.Reader
}

func (w *walk) gaps() bool { return w.x.gaps }

// segment walks s, builds its indexes and sets its size to what is whole. r.Why says what ended the walk early.
func (w *walk) segment(s *segment) error {
	if !w.walked {
		w.walked = true
		w.r.From = s.base
	}
	w.r.Segments++
	if s.size.Load() == 0 {
		if unused, err := s.unused(); unused || err != nil {
			return err
		}
	}
	if err := s.hold(); err != nil {
		return err
	}
	defer s.Release()
	size := s.size.Load()
	s.reset()
	w.buf = recoveryBuffers.Get().(*bufio.Reader)
	defer recoveryBuffers.Put(w.buf)
	w.buf.Reset(&fileReader{fd: s.file()})
	defer w.buf.Reset(nil)
	for pos := int64(0); pos < size; {
		b, err := w.buf.Peek(int(min(batch.HeaderSize, size-pos)))
		if err != nil {
			return fmt.Errorf("read %s%s at %d: %w", s.stem, logSuffix, pos, err)
		}
		h, why, err := w.header(s, b, pos, size)
		if err != nil {
			return err
		}
		epoch := int32(0)
		if why == "" {
			epoch = int32(binary.BigEndian.Uint32(b[batch.OffsetLeaderEpoch:]))
			why, err = w.checksum(h.size)
			if err != nil {
				return fmt.Errorf("read %s%s at %d: %w", s.stem, logSuffix, pos, err)
			}
		}
		if why != "" {
			w.r.Why = fmt.Sprintf("%s%s at %d: %s", segmentName(s.base), logSuffix, pos, why)
			break
		}
		if err := w.accept(s, h, epoch); err != nil {
			return err
		}
		pos += h.size
	}
	s.indexTime()
	return unlessFull(s.spill())
}

// unlessFull has a start on a full disk go on: the entries stay in memory, where they can be searched, until a flush
// finds space; no more of them than the indexes of the unflushed segments have. The directory is not marked clean before.
func unlessFull(err error) error {
	if isNoSpace(err) {
		return nil
	}
	return err
}

// unused tells whether nothing was ever written to s, a segment without bytes: both indexes are there and have no
// entries. They are left alone, and so are not to be synced again at the next stop.
func (s *segment) unused() (bool, error) {
	none := func(indexEntry) bool { return false }
	if _, ok, err := s.offsets.load(none); !ok || err != nil {
		return false, err
	}
	_, ok, err := s.times.load(none)
	return ok, err
}

// header checks what the header says; why is "" when nothing is wrong with it. b is cut at the end of the file.
func (w *walk) header(s *segment, b []byte, pos, size int64) (h head, why string, err error) {
	if len(b) < batch.HeaderSize {
		return h, fmt.Sprintf("%d bytes are no batch header", len(b)), nil
	}
	if m := b[batch.OffsetMagic]; m != batch.Magic {
		if pos == 0 && m < batch.Magic {
			old, err := oldFormat(s.file(), b, size)
			if err != nil {
				return h, "", fmt.Errorf("read %s%s: %w", s.stem, logSuffix, err)
			}
			if old {
				return h, "", fmt.Errorf("%w: %s%s: messages of format %d", ErrUnsupported, s.stem, logSuffix, m)
			}
		}
		return h, fmt.Sprintf("record format %d", m), nil
	}
	h, ok := parseHead(b, pos)
	epoch := int32(binary.BigEndian.Uint32(b[batch.OffsetLeaderEpoch:]))
	if why = misfit(h, ok, size); why == "" {
		o := order{segment: s.base, next: w.next, epoch: w.epoch, gaps: w.gaps()}
		if w.x.epochsKnown {
			o.epochs = w.x.epochs
		}
		_, why = o.misplaced(h, epoch)
	}
	return h, why, nil
}

// oldFormat tells whether the file really begins with a message of format 0 or 1, by that format's checksum:
// CRC-32 at byte 12 over all that follows it. A flipped bit in the format of a batch must not look so.
func oldFormat(fd int, b []byte, size int64) (bool, error) {
	n := int64(int32(binary.BigEndian.Uint32(b[batch.OffsetLength:]))) + batch.LogOverhead
	if n < batch.MinSize || n > min(size, maxOldMessage) {
		return false, nil
	}
	m := make([]byte, n)
	if err := sys.PreadFull(fd, m, 0); err != nil {
		return false, err
	}
	return crc32.ChecksumIEEE(m[batch.OffsetMagic:]) == binary.BigEndian.Uint32(m[batch.OffsetLeaderEpoch:]), nil
}

// maxOldMessage bounds the memory for that: above any max.message.bytes in use.
const maxOldMessage = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum consumes a batch of size bytes. It is read through the buffer: a length field, which may be wrong,
// makes nobody allocate.
func (w *walk) checksum(size int64) (why string, err error) {
	b, err := w.buf.Peek(batch.HeaderSize)
	if err != nil {
		return "", err
	}
	want := binary.BigEndian.Uint32(b[batch.OffsetCRC:])
	w.buf.Discard(batch.OffsetAttributes)
	crc := uint32(0)
	for left := size - batch.OffsetAttributes; left > 0; {
		b, err := w.buf.Peek(int(min(left, int64(max(w.buf.Buffered(), 1)))))
		if err != nil {
			return "", err
		}
		crc = crc32.Update(crc, castagnoli, b)
		n, _ := w.buf.Discard(len(b))
		left -= int64(n)
	}
	if crc != want {
		return "wrong checksum", nil
	}
	return "", nil
}

func (w *walk) accept(s *segment, h head, epoch int32) error {
	if err := unlessFull(s.offsets.spillIfFull()); err != nil {
		return err
	}
	if err := unlessFull(s.times.spillIfFull()); err != nil {
		return err
	}
	s.appended(h.pos, h.size, h.last, h.maxTime, w.x.l.d.opts.IndexIntervalBytes)
	if epoch > w.epoch && !w.x.epochsKnown {
		w.x.epochs = append(w.x.epochs, epochStart{epoch, h.base})
	}
	if h.control {
		w.x.markersFrom = min(w.x.markersFrom, s.base)
	}
	w.epoch = epoch
	w.next = h.last + 1
	w.r.Batches++
	w.r.Bytes += h.size
	w.x.l.d.opts.Progress.read(w.x, h.size)
	return nil
}

// reset empties the indexes, as a walk does before it builds them.
func (s *segment) reset() {
	s.offsets.clear()
	s.times.clear()
	s.size.Store(0)
	s.lastIndexed, s.firstTime, s.rebuilt = 0, noTime, true
	s.reservation.left = true
	s.maxTime, s.maxTimeOff = batch.NoTimestamp, s.base
	s.txns.Store(0)
	s.txnsSynced = 0
}

// cut ends the log where the walk stopped: in segment torn (nil: after a whole one), keeping keep segments. The
// order is: later segments, newest first, then the torn file, each synced before the next, so that a crash in between
// leaves a tail without holes.
func (x *loading) cut(torn *segment, keep int, w *walk) (failed, err error) {
	at := w.next
	if at < x.recoveryPoint {
		return x.quarantine(keep, at, w)
	}
	drop := x.segs[keep:]
	w.r.CutAt = at
	for j := len(drop) - 1; j >= 0; j-- {
		st, err := sys.Stat(drop[j].stem + logSuffix)
		if err != nil {
			return nil, err
		}
		w.r.CutBytes += st.Size
		w.r.CutSegments++
		if err := drop[j].unlink(); err != nil {
			return nil, err
		}
		// Where offsets may have gaps, nothing but the damage in front tells that this one is to go.
		if err := syncDir(x.l.dir); err != nil {
			return nil, err
		}
		drop[j].drop()
		x.segs = x.segs[:keep+j]
	}
	if torn != nil {
		if err := x.shorten(torn, w); err != nil || x.l.d.opts.rehearse {
			return nil, err
		}
	}
	return nil, syncDir(x.l.dir)
}

// shorten cuts what is behind the last whole batch off s.
func (x *loading) shorten(s *segment, w *walk) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.Release()
	size, err := sys.FileSize(s.file())
	if err != nil {
		return err
	}
	w.r.CutBytes += size - s.size.Load()
	if x.l.d.opts.rehearse {
		return nil
	}
	if err := sys.Truncate(s.file(), s.size.Load()); err != nil {
		return &os.PathError{Op: "truncate", Path: s.stem + logSuffix, Err: err}
	}
	return s.sync()
}

// quarantine keeps the first n segments and leaves the files of the others alone.
func (x *loading) quarantine(n int, at int64, w *walk) (failed, err error) {
	for _, s := range x.segs[n:] {
		s.drop()
	}
	x.segs = x.segs[:n]
	failed = fmt.Errorf("%w: %s: %w (%w) below the recovery point %d, log ends at %d for now: %s",
		ErrFailed, x.l.name, ErrLossy, ErrCorrupt, x.recoveryPoint, at, w.r.Why)
	x.damage = &Damage{At: at, UpTo: toTheEnd, Why: w.r.Why}
	w.next = at
	return failed, nil
}

// saveEpochs writes leader-epoch-checkpoint if the walk built or shortened it.
func (w *walk) saveEpochs() error {
	list := w.x.epochs
	w.x.epochs = upTo(list, w.next)
	if len(w.x.epochs) == len(list) && (w.x.epochsKnown || len(list) == 0) {
		return nil
	}
	return writeEpochs(w.x.l.dir, w.x.epochs)
}

func (x *loading) report(r Recovery) {
	o := &x.l.d.opts
	attrs := []any{"log", x.l.name, "from", r.From, "segments", r.Segments, "batches", r.Batches, "bytes", r.Bytes, "took", r.Took}
	switch {
	case r.CutAt >= 0:
		o.Logger.Warn("log was cut after an unclean stop", append(attrs, "at", r.CutAt, "cut_bytes", r.CutBytes,
			"cut_segments", r.CutSegments, "why", r.Why)...)
	case r.Why != "":
		o.Logger.Error("log is damaged below its recovery point; nothing was cut, it takes no appends",
			append(attrs, "why", r.Why)...)
	case r.Bytes == 0:
		o.Logger.Debug("log was empty after an unclean stop", "log", x.l.name)
	default:
		o.Logger.Info("log was checked after an unclean stop", attrs...)
	}
	if f := o.Listener.Recovered; f != nil {
		f(x.l, r)
	}
}

// fileReader reads a file from its beginning, with pread.
type fileReader struct {
	fd  int
	off int64
}

func (r *fileReader) Read(b []byte) (int, error) {
	n, err := sys.Pread(r.fd, b, r.off)
	r.off += int64(n)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

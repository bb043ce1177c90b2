package logstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// ReadOptions of what reads files without owning the directory. The zero value is fine.
type ReadOptions struct {
	// PageCache reads through the page cache as any program does. Otherwise what a read brought into it is dropped
	// again, so that reading a broker's whole log does not push out what the broker serves from.
	PageCache bool
	// Progress is called after n bytes were read. It may block, to limit the rate.
	Progress func(n int)
	// chunk is what is read at once, 0: windowSize.
	chunk int
}

// peek is for what reads little here and there.
var peek = ReadOptions{PageCache: true, chunk: 8 << 10}

const (
	// windowSize is what is read at once.
	windowSize = 1 << 20
	// maxHeldBatch bounds the memory for one batch, above any max.message.bytes in use. A larger one has its checksum
	// checked, but its records are not looked at.
	maxHeldBatch = 128 << 20
)

// window is a file of any size seen through one buffer.
type window struct {
	path string
	fd   int
	size int64 // when it was opened
	o    ReadOptions
	cold *sys.ColdReader
	at   int64
	have []byte // what is in memory, from at on
	buf  []byte
}

func openWindow(path string, o ReadOptions) (*window, error) {
	fd, err := sys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	size, err := sys.FileSize(fd)
	if err != nil {
		sys.CloseFile(fd)
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	w := &window{path: path, fd: fd, size: size, o: o}
	if !o.PageCache {
		w.cold = sys.NewColdReader(fd, size)
	}
	return w, nil
}

func (w *window) close() {
	if w.cold != nil {
		w.cold.Close()
	}
	sys.CloseFile(w.fd)
}

// view returns n bytes from pos on, all below size; good until the next call.
func (w *window) view(pos int64, n int) ([]byte, error) {
	if pos >= w.at && pos+int64(n) <= w.at+int64(len(w.have)) {
		return w.have[pos-w.at:][:n], nil
	}
	want := int(min(max(int64(n), int64(cmp.Or(w.o.chunk, windowSize))), w.size-pos))
	if want < n {
		return nil, fmt.Errorf("read %s at %d: %w", w.path, pos, io.ErrUnexpectedEOF)
	}
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	kept := 0
	if pos >= w.at && pos < w.at+int64(len(w.have)) {
		kept = copy(w.buf[:want], w.have[pos-w.at:])
	}
	w.at, w.have = pos, w.buf[:kept]
	for kept < want {
		m, err := w.pread(w.buf[kept:want], pos+int64(kept))
		if err == nil && m == 0 {
			err = io.ErrUnexpectedEOF // somebody shortened the file
		}
		if err != nil {
			return nil, fmt.Errorf("read %s at %d: %w", w.path, pos+int64(kept), err)
		}
		kept += m
		w.have = w.buf[:kept]
	}
	return w.have[:n], nil
}

func (w *window) pread(b []byte, pos int64) (n int, err error) {
	if w.cold != nil {
		n, err = w.cold.Pread(b, pos)
	} else {
		n, err = sys.Pread(w.fd, b, pos)
	}
	if w.o.Progress != nil && n > 0 {
		w.o.Progress(n)
	}
	return n, err
}

// Piece is what stands at one place of a segment: a batch, or bytes that are none.
type Piece struct {
	Pos, Size int64
	// Batch is the whole batch, or only its header (see Whole); nil: not even a header is there. Good until the next
	// call of Next.
	Batch batch.Batch
	// Whole says that Batch has its records and its checksum is right.
	Whole bool
	// CRCOK says that the checksum is right, also of a batch too large to be held.
	CRCOK bool
	// Kind and What say why this is not a batch, "" if it is.
	Kind Kind
	What string
}

// Segment reads a .log file from front to back, also one that is damaged: behind bytes that are no batch it looks for
// the next batch with a right checksum. Memory: 1 MiB, or the size of the largest batch up to 128 MiB.
type Segment struct {
	w      *window
	base   int64
	pos    int64
	head   [batch.HeaderSize]byte
	budget int64 // bytes of checksums that looking for batches may still cost
}

// OpenSegment opens a .log file for reading.
func OpenSegment(path string, o ReadOptions) (*Segment, error) {
	base, suffix, ok := parseSegmentFile(filepath.Base(path))
	if !ok || suffix != logSuffix {
		return nil, fmt.Errorf("%w: %s is no segment", ErrUnsupported, path)
	}
	w, err := openWindow(path, o)
	if err != nil {
		return nil, err
	}
	return &Segment{w: w, base: base, budget: 2*w.size + 64<<20}, nil
}

// Close closes the file.
func (s *Segment) Close() { s.w.close() }

// Base is the segment's base offset.
func (s *Segment) Base() int64 { return s.base }

// Size is the size of the file when it was opened; Next stops there.
func (s *Segment) Size() int64 { return s.w.size }

// Next reads what comes next into p. io.EOF: nothing more; other errors are those of reading.
func (s *Segment) Next(p *Piece) error {
	*p = Piece{Pos: s.pos}
	left := s.w.size - s.pos
	if left == 0 {
		return io.EOF
	}
	if left < batch.HeaderSize {
		p.Kind, p.What = KindCut, fmt.Sprintf("%d bytes are no batch header", left)
		return s.skip(p)
	}
	b, err := s.w.view(s.pos, batch.HeaderSize)
	if err != nil {
		return err
	}
	h, ok := parseHead(b, s.pos)
	p.Batch = append(s.head[:0], b...) // the window may move on
	if m := b[batch.OffsetMagic]; m != batch.Magic {
		p.Kind, p.What = KindMagic, fmt.Sprintf("record format %d", m)
		if m < batch.Magic && s.pos == 0 {
			if old, err := oldFormat(s.w.fd, b, s.w.size); err != nil {
				return err
			} else if old {
				p.What, p.Size = fmt.Sprintf("messages of format %d, which are not supported", m), left
				s.pos += left
				return nil
			}
		}
		return s.skip(p)
	}
	if p.What = misfit(h, ok, s.w.size); p.What != "" {
		if p.Kind = KindSize; ok {
			p.Kind = KindCut
		}
		return s.skip(p)
	}
	if p.CRCOK, err = s.checksum(h); err != nil {
		return err
	}
	if !p.CRCOK {
		p.Kind, p.What = KindCRC, "wrong checksum"
		return s.skip(p)
	}
	p.Size = h.size
	if h.size <= maxHeldBatch {
		if b, err = s.w.view(s.pos, int(h.size)); err != nil {
			return err
		}
		p.Batch, p.Whole = batch.Batch(b), true
	}
	s.pos += h.size
	return nil
}

// checksum computes that of the batch h, piece by piece if it is a large one.
func (s *Segment) checksum(h head) (ok bool, err error) {
	b, err := s.w.view(h.pos, batch.HeaderSize)
	if err != nil {
		return false, err
	}
	want, crc := binary.BigEndian.Uint32(b[batch.OffsetCRC:]), uint32(0)
	for pos, end := h.pos+batch.OffsetAttributes, h.pos+h.size; pos < end; {
		n := end - pos
		if h.size > maxHeldBatch {
			n = min(n, windowSize)
		} else if _, err := s.w.view(h.pos, int(h.size)); err != nil { // all of it, which the caller wants next
			return false, err
		}
		if b, err = s.w.view(pos, int(n)); err != nil {
			return false, err
		}
		crc = crc32.Update(crc, castagnoli, b)
		pos += n
	}
	return crc == want, nil
}

// skip sets p.Size to the bytes from p.Pos on that are no batch, and goes on behind them. If the length field leads
// to something like a batch, or to the end, it is believed; else the next batch is looked for.
func (s *Segment) skip(p *Piece) error {
	if p.Batch != nil {
		h, ok := parseHead(p.Batch, p.Pos)
		if end := p.Pos + h.size; ok && end <= s.w.size {
			like := end == s.w.size
			if !like {
				next, ok, err := s.headAt(end)
				if err != nil {
					return err
				}
				like = ok && next.base > s.base
			}
			if like {
				p.Size, s.pos = h.size, end
				return nil
			}
		}
	}
	next, err := s.find(p.Pos + 1)
	if err != nil {
		return err
	}
	p.Size, s.pos = next-p.Pos, next
	return s.zeros(p)
}

// zeros says so when what is no batch is nothing but zeros up to the end of the file.
func (s *Segment) zeros(p *Piece) error {
	if s.pos != s.w.size {
		return nil
	}
	for pos := p.Pos; pos < s.w.size; {
		n := min(s.w.size-pos, windowSize)
		b, err := s.w.view(pos, int(n))
		if err != nil {
			return err
		}
		if len(bytes.Trim(b, "\x00")) > 0 {
			return nil
		}
		pos += n
	}
	p.Kind, p.What = KindCut, fmt.Sprintf("%d zeros at the end of the file", p.Size)
	return nil
}

// headAt is a header at pos that may be a batch's; ok is false when it cannot.
func (s *Segment) headAt(pos int64) (h head, ok bool, err error) {
	if s.w.size-pos < batch.HeaderSize {
		return h, false, nil
	}
	b, err := s.w.view(pos, batch.HeaderSize)
	if err != nil {
		return h, false, err
	}
	h, ok = parseHead(b, pos)
	o := order{segment: s.base}
	return h, ok && b[batch.OffsetMagic] == batch.Magic && h.pos+h.size <= s.w.size && !o.outside(h), nil
}

// find is the first position from pos on at which there is a batch with a right checksum; the file's size if there is
// none, or when looking for it would cost more than some passes over the file.
func (s *Segment) find(pos int64) (int64, error) {
	for s.w.size-pos >= batch.HeaderSize && s.budget > 0 {
		n := int(min(windowSize/2, s.w.size-pos))
		b, err := s.w.view(pos, n)
		if err != nil {
			return 0, err
		}
		i := bytes.IndexByte(b[batch.OffsetMagic:], batch.Magic)
		if i < 0 {
			pos += int64(n - batch.OffsetMagic)
			continue
		}
		pos += int64(i)
		h, ok, err := s.headAt(pos)
		if err != nil {
			return 0, err
		}
		if ok {
			s.budget -= h.size
			if ok, err = s.checksum(h); err != nil {
				return 0, err
			} else if ok {
				return pos, nil
			}
		}
		pos++
	}
	return s.w.size, nil
}

// SeekOffset goes to a batch at or before the one that has offset, by the segment's index, if there is one.
func (s *Segment) SeekOffset(offset int64) error {
	s.pos = 0
	path := s.w.path[:len(s.w.path)-len(logSuffix)] + indexSuffix
	x, err := openIndex(path, s.base, peek)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer x.w.close()
	lo, hi := -1, x.count
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		e, err := x.at(mid)
		if err != nil {
			return err
		}
		// An unused tail of zeros belongs behind every offset.
		if e.key > 0 && s.base+e.key <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	if lo < 0 {
		return nil
	}
	e, err := x.at(lo)
	if err != nil {
		return err
	}
	if h, ok, err := s.headAt(e.val); err != nil || !ok || h.last > offset {
		return err // a wrong index leads nowhere: begin at the beginning
	}
	s.pos = e.val
	return nil
}

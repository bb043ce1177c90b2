package logstore

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// scratchSize is what one small read of headers brings in: 4 KiB costs hardly more than 61 bytes, and holds all
// the headers between two index entries when batches are small.
const scratchSize = 4096

// scratch is a window of a log file for walking batch headers. It is pooled: about one per goroutine that reads.
type scratch struct {
	seg *segment // whose bytes they are; nil: none
	at  int64
	n   int
	buf [scratchSize]byte
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch {
	s := scratchPool.Get().(*scratch)
	s.n = 0
	return s
}

func putScratch(s *scratch) {
	s.seg = nil
	scratchPool.Put(s)
}

// head is what the header of a stored batch says.
type head struct {
	pos, size  int64
	base, last int64
	maxTime    int64
	control    bool
}

// headAt reads the header of the batch at pos of seg, on which the caller has a hold. A batch must lie wholly below limit.
func (s *scratch) headAt(seg *segment, pos, limit int64) (h head, err error) {
	if limit-pos < batch.HeaderSize {
		return h, corrupt(seg, pos, "batch header is cut")
	}
	if s.seg != seg || pos < s.at || pos+batch.HeaderSize > s.at+int64(s.n) {
		n := int(min(scratchSize, limit-pos))
		if err := sys.PreadFull(seg.file(), s.buf[:n], pos); err != nil {
			s.n = 0
			return h, fmt.Errorf("read %s%s at %d: %w", seg.stem, logSuffix, pos, err)
		}
		s.seg, s.at, s.n = seg, pos, n
	}
	h, ok := parseHead(s.buf[pos-s.at:], pos)
	if !ok || h.pos+h.size > limit {
		return h, corrupt(seg, pos, "batch length is impossible")
	}
	return h, nil
}

// parseHead reads the header that b begins with; b has batch.HeaderSize bytes at least.
func parseHead(b []byte, pos int64) (h head, ok bool) {
	_ = b[batch.HeaderSize-1]
	h.pos = pos
	h.size = int64(int32(binary.BigEndian.Uint32(b[batch.OffsetLength:]))) + batch.LogOverhead
	h.base = int64(binary.BigEndian.Uint64(b[batch.OffsetBaseOffset:]))
	h.last = h.base + int64(int32(binary.BigEndian.Uint32(b[batch.OffsetLastOffsetDelta:])))
	h.maxTime = int64(binary.BigEndian.Uint64(b[batch.OffsetMaxTimestamp:]))
	h.control = batch.Batch(b).IsControl()
	return h, h.size >= batch.HeaderSize
}

// located returns the position that an index entry names, of a batch which ends at the entry's offset or, where Kafka
// indexed several batches at once, before it. If there is none the index is damaged, and 0 is returned: an index only
// saves work. ok tells whether the entry was good.
func (s *scratch) located(seg *segment, e indexEntry, limit int64) (pos int64, ok bool) {
	if e.val <= 0 || e.val >= limit {
		return 0, false
	}
	h, err := s.headAt(seg, e.val, limit)
	if err != nil || s.buf[e.val-s.at+batch.OffsetMagic] != batch.Magic ||
		h.base < seg.base || h.last < h.base || h.last-seg.base > e.key {
		return 0, false
	}
	return e.val, true
}

// seek returns the position of the first batch at or after pos whose last offset is off or above; limit when
// there is none below it. pos must be where a batch begins.
func (s *scratch) seek(seg *segment, pos, limit, off int64) (int64, error) {
	for pos < limit {
		h, err := s.headAt(seg, pos, limit)
		if err != nil {
			return 0, err
		}
		if h.last >= off {
			return pos, nil
		}
		pos += h.size
	}
	return limit, nil
}

// wholeBelow returns the last position up to which whole batches reach from pos without passing bound, and the
// offset at which the next one begins; first is the header of the batch at pos, which may be the one that does
// not fit. pos is below limit.
func (s *scratch) wholeBelow(seg *segment, pos, bound, limit int64) (end, next int64, first head, err error) {
	for end = pos; end < limit; {
		h, err := s.headAt(seg, end, limit)
		if err != nil {
			return 0, 0, head{}, err
		}
		if end == pos {
			first, next = h, h.base
		}
		if h.pos+h.size > bound {
			break
		}
		end, next = h.pos+h.size, h.last+1
	}
	return end, next, first, nil
}

func corrupt(seg *segment, pos int64, what string) error {
	return fmt.Errorf("%w: %s%s at %d: %s", ErrCorrupt, seg.stem, logSuffix, pos, what)
}

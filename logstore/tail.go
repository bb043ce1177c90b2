package logstore

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/internal/invariants"
	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/wire/batch"
)

const (
	// maxPieces bounds the memory spans of one read: 64 are 1 KiB of iovec, far below IOV_MAX (1024) for a reply
	// over several partitions.
	maxPieces = 64
	// idlePieces is how many positions of batch boundaries are kept while nobody reads near the end: they answer
	// "where does the log end" without a search. 4 * 112 bytes per log.
	idlePieces = 4
	// nearBytes is how far behind the newest bytes a reader may be and still count as caught up.
	nearBytes = 4 << 20
	// copyBelow is the batch size below which the bytes are copied: they coalesce into one span, and a copy costs
	// less than a hold.
	copyBelow = 2 << 10
	// never is the near mark of a log that no reader was ever near the end of.
	never = math.MinInt64 / 2
)

// Sized may be implemented by the span.Ref given to Append: how many bytes of memory a hold on it keeps alive.
// Without it they are taken to be the batch's own. The tail holds a reference only to what is at most twice the
// batch; a batch in a larger frame, which has other partitions' batches too, is copied.
type Sized interface{ Size() int }

// A tail remembers where the newest batches lie in the file and, while some reader is caught up, their bytes.
//
// It is a ring of pieces in offset order, contiguous in offsets (but for gaps inside, after compaction), the last
// ending at the log end. A piece is one batch in the memory it was received in, of which the tail holds a
// reference, or a run of small batches copied into a chunk. Memory is kept for a suffix of the ring: pieces before
// it are positions only.
//
// Bounds: maxPieces pieces; limit bytes of memory per log (the oldest pieces lose theirs first); the Dir's total,
// which makes this log lose all its memory. Charged is what is kept alive: whole frames and chunks.
//
// mu is held for copies of at most largeChunk bytes and for taking holds, never over a system call. Lock order:
// Log.mu, tail.mu.
type tail struct {
	limit int64
	total *tailTotal

	near atomic.Int64 // value of written when a reader was last near the end

	mu      sync.Mutex
	written int64   // bytes ever appended
	swept   int64   // written at the last sweep
	pieces  []piece // ring: piece i is pieces[(head+i)&(len-1)]
	head, n int
	mem     int   // index of the first piece with memory; n: none
	charged int64 // bytes of memory charged, here and in total
}

type tailTotal struct {
	limit int64
	used  atomic.Int64
}

type piece struct {
	base, next int64 // offsets [base, next)
	seg        *segment
	pos, size  int64 // in seg
	bytes      []byte
	ref        span.Ref
	chunk      *chunk // ref, when the bytes were copied and more may follow
	charge     int64
}

func (t *tail) at(i int) *piece { return &t.pieces[(t.head+i)&(len(t.pieces)-1)] }

// reset forgets everything and marks where the log ends.
func (t *tail) reset(seg *segment, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetLocked(t.n)
	if t.pieces == nil {
		t.pieces = make([]piece, idlePieces)
	}
	t.n, t.head, t.mem = 1, 0, 1
	*t.at(0) = piece{base: end, next: end, seg: seg, pos: seg.size.Load()}
}

// add takes note of a batch just written at pos of seg. The bytes may be kept, by a copy or a hold on ref.
func (t *tail) add(b batch.Batch, next int64, seg *segment, pos int64, ref span.Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	size := int64(len(b))
	t.written += size
	keep := t.limit > 0 && t.written-t.near.Load() <= nearBytes
	if keep && t.extend(b, next, seg, pos) {
		return
	}
	p := piece{base: b.BaseOffset(), next: next, seg: seg, pos: pos, size: size}
	if keep {
		t.hold(&p, b, ref)
		if !t.reserve(p.charge) {
			p.drop()
		}
	}
	if p.charge > 0 {
		t.push(p, maxPieces)
		return
	}
	// Memory is kept for the newest pieces without a gap, or not at all.
	t.forgetLocked(t.n)
	t.push(p, idlePieces)
	t.mem = t.n
}

// reserve charges n bytes, for which the oldest memory goes. It charges nothing and says false when that is not
// enough, or the Dir has no room.
func (t *tail) reserve(n int64) bool {
	for t.charged+n > t.limit && t.mem < t.n {
		t.forgetLocked(t.mem + 1)
	}
	if t.charged+n > t.limit {
		return false
	}
	if t.total.used.Add(n) > t.total.limit {
		t.total.used.Add(-n)
		return false
	}
	t.charged += n
	return true
}

// extend copies a small batch behind the last piece, if that is a chunk with room which ends right before it.
func (t *tail) extend(b batch.Batch, next int64, seg *segment, pos int64) bool {
	if t.mem == t.n {
		return false
	}
	p := t.at(t.n - 1)
	if p.chunk == nil || len(b) > cap(p.bytes)-len(p.bytes) || p.seg != seg || p.pos+p.size != pos {
		return false
	}
	// Readers see the chunk's bytes up to the length they took: these are behind it.
	p.bytes = append(p.bytes, b...)
	p.next = next
	p.size += int64(len(b))
	return true
}

// hold gives p the batch's memory, or none if that would keep too much alive.
func (t *tail) hold(p *piece, b batch.Batch, ref span.Ref) {
	backing := len(b)
	if s, ok := ref.(Sized); ok {
		backing = s.Size()
	}
	switch {
	case len(b) >= copyBelow && ref != nil && backing <= 2*len(b):
		ref.Retain()
		p.bytes, p.ref, p.charge = b, ref, int64(backing)
	case len(b) <= largeChunk:
		c := newChunk(len(b))
		p.chunk, p.ref = c, c
		p.bytes = append(c.buf[:0], b...)
		p.charge = int64(len(c.buf))
	}
}

func (p *piece) drop() {
	if p.ref != nil {
		p.ref.Release()
	}
	p.bytes, p.ref, p.chunk, p.charge = nil, nil, nil, 0
}

// forgetLocked drops the memory of all pieces before piece n.
func (t *tail) forgetLocked(n int) {
	for ; t.mem < n; t.mem++ {
		p := t.at(t.mem)
		t.charged -= p.charge
		t.total.used.Add(-p.charge)
		p.drop()
	}
}

// push adds p behind the last piece; beyond bound pieces the oldest go.
func (t *tail) push(p piece, bound int) {
	for t.n >= bound {
		t.dropFirst()
	}
	if t.n == len(t.pieces) {
		grown := make([]piece, max(2*len(t.pieces), idlePieces))
		for i := range t.n {
			grown[i] = *t.at(i)
		}
		t.pieces, t.head = grown, 0
	}
	t.n++
	*t.at(t.n - 1) = p
	if invariants.Enabled && t.n > 1 {
		q := t.at(t.n - 2)
		invariants.Check(q.next == p.base, "tail has a hole: %d after %d", p.base, q.next)
	}
}

// dropBelow forgets the pieces that lie in segments below the one of the given base, which are about to be replaced.
func (t *tail) dropBelow(base int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.n > 0 && t.at(0).seg.base < base {
		t.dropFirst()
	}
}

func (t *tail) dropFirst() {
	t.forgetLocked(1)
	*t.at(0) = piece{}
	t.head, t.n, t.mem = (t.head+1)&(len(t.pieces)-1), t.n-1, t.mem-1
}

// sweep drops the memory if nothing was appended since the last sweep.
func (t *tail) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.written == t.swept {
		t.forgetLocked(t.n)
	}
	t.swept = t.written
}

// caughtUp notes that a reader is near the end.
func (t *tail) caughtUp() {
	t.mu.Lock()
	t.near.Store(t.written)
	t.mu.Unlock()
}

// find returns the index of the piece that holds off, -1 when it lies before the ring. off is below the end.
func (t *tail) find(off int64) int {
	for i := t.n - 1; i >= 0; i-- {
		if p := t.at(i); p.base <= off {
			if off >= p.next {
				return -1
			}
			return i
		}
	}
	return -1
}

// start returns a position at or before that of the batch which holds off, from which to search.
func (t *tail) start(off int64) (seg *segment, pos int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.find(off); i >= 0 {
		return t.at(i).seg, t.at(i).pos
	}
	return nil, 0
}

// boundary returns where the batch that begins with offset off begins, or where the one before it ends. seg is
// nil when that is not known.
func (t *tail) boundary(off int64) (seg *segment, pos int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := t.n - 1; i >= 0; i-- {
		switch p := t.at(i); {
		case p.next == off:
			return p.seg, p.pos + p.size
		case p.base == off:
			return p.seg, p.pos
		case p.base < off:
			if off < p.next && p.bytes != nil {
				return p.seg, p.pos + int64(cutBelow(p.bytes, off, math.MaxInt64))
			}
			return nil, 0
		}
	}
	return nil, 0
}

// read appends spans over the batches from the one that holds from, as Log.ReadNext. ok is false when the memory does
// not reach back that far; nothing was appended then.
func (t *tail) read(dst []span.Span, from, upper, limit int64, minOne bool) (_ []span.Span, n, next int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mem == t.n {
		return dst, 0, from, false
	}
	i := t.find(from)
	if i < t.mem {
		return dst, 0, from, false
	}
	t.near.Store(t.written)
	b := t.at(i).bytes
	b = b[skipTo(b, from):]
	for {
		p := t.at(i)
		whole := p.next <= upper && n+int64(len(b)) <= limit
		if !whole {
			b = b[:takeBelow(b, upper, limit-n, minOne && n == 0)]
		}
		if len(b) > 0 {
			p.ref.Retain()
			dst = append(dst, span.Memory(b, p.ref))
			n += int64(len(b))
		}
		if i++; !whole || i == t.n || t.at(i).base >= upper {
			return dst, n, min(p.next, upper), true
		}
		b = t.at(i).bytes
	}
}

// skipTo returns where in b, a run of whole batches, the one that holds off begins.
func skipTo(b []byte, off int64) int {
	at := 0
	for {
		h, ok := parseHead(b[at:], 0)
		if invariants.Enabled {
			invariants.Check(ok, "broken batch in the tail")
		}
		if h.last >= off {
			return at
		}
		at += int(h.size)
	}
}

// cutBelow returns how many bytes at the front of b, a run of whole batches, are batches that end below upper and
// together take limit bytes at most.
func cutBelow(b []byte, upper, limit int64) int {
	at := 0
	for at < len(b) {
		h, _ := parseHead(b[at:], 0)
		if h.last >= upper || int64(at)+h.size > limit {
			break
		}
		at += int(h.size)
	}
	return at
}

// takeBelow is cutBelow, but for the first batch, which is taken whatever its size when one is set.
func takeBelow(b []byte, upper, limit int64, one bool) int {
	if n := cutBelow(b, upper, limit); n > 0 || !one {
		return n
	}
	h, _ := parseHead(b, 0)
	if h.last >= upper {
		return 0
	}
	return int(h.size)
}

package netpoll

import (
	"encoding/binary"
	"math"

	"github.com/sluice-mq/sluice/internal/span"
)

const (
	lengthSize   = 4
	keptOut      = 64 << 10 // bytes: a larger reply buffer is not kept for reuse
	keptPieces   = 64
	keptOutTotal = 4 << 20 // bytes of reply buffers kept by one loop
	keptRequests = 4096    // requests kept by one loop, 200 bytes each
)

// reqState is the life of a Request's place in the order of replies.
type reqState uint8

const (
	reqFree      reqState = iota
	reqOpen               // handed to the handler
	reqDone               // finished by Send or Drop, not yet on the wire
	reqAbandoned          // its handler panicked; a late Send or Drop does nothing
)

// Request is one received frame and the place of its answer in the order of the connection's replies. Requests are
// reused: after Send or Drop it must not be touched. Its methods and its Out belong to the connection's loop.
type Request struct {
	// Out is the reply under construction.
	Out Out

	conn  *Conn
	frame *Frame
	next  *Request // younger request of the connection, or next free one
	state reqState

	// How far the reply was sent: seg counts Out's pieces of memory and its spans in wire order, off is the bytes
	// of segment seg that are gone.
	seg int
	off int64
}

// Out is a reply: Buf with spans spliced in. Its first 4 bytes are reserved for the length, which Send fills in.
type Out struct {
	Buf     []byte // append only
	splices []splice
	spanned int64 // bytes of all spans
}

// splice says that a span's bytes come before Buf[at:].
type splice struct {
	at   int
	span span.Span
}

// Splice puts the span's bytes behind what is in Buf so far and takes over its hold.
func (o *Out) Splice(s span.Span) {
	if s.Len < 0 || s.Mem != nil && s.Len != int64(len(s.Mem)) {
		panic("BUG: netpoll: span whose length is not that of its memory")
	}
	o.splices = append(o.splices, splice{at: len(o.Buf), span: s})
	o.spanned += s.Len
}

// Len is the bytes of the reply so far, the 4 of the length included.
func (o *Out) Len() int64 { return int64(len(o.Buf)) + o.spanned }

// Reset releases the spans and empties the reply.
func (o *Out) Reset() {
	for i := range o.splices {
		o.splices[i].span.Release()
	}
	clear(o.splices)
	o.splices = o.splices[:0]
	o.spanned = 0
	o.Buf = append(o.Buf[:0], 0, 0, 0, 0)
}

// segments is how many pieces there are: memory and spans alternate, memory (maybe empty) first and last.
func (o *Out) segments() int { return 2*len(o.splices) + 1 }

// memory is segment seg when that is even.
func (o *Out) memory(seg int) []byte {
	i := seg / 2
	from, to := 0, len(o.Buf)
	if i > 0 {
		from = o.splices[i-1].at
	}
	if i < len(o.splices) {
		to = o.splices[i].at
	}
	return o.Buf[from:to]
}

// segment is the memory of segment seg, or the file range that it is.
func (o *Out) segment(seg int) ([]byte, *span.Span) {
	if seg%2 == 0 {
		return o.memory(seg), nil
	}
	s := &o.splices[seg/2].span
	if s.Mem != nil {
		return s.Mem, nil
	}
	return nil, s
}

func (o *Out) segmentLen(seg int) int64 {
	if seg%2 == 0 {
		return int64(len(o.memory(seg)))
	}
	return o.splices[seg/2].span.Len
}

// sentBytes is how much of the reply is gone.
func (r *Request) sentBytes() int64 {
	n := r.off
	for seg := range r.seg {
		n += r.Out.segmentLen(seg)
	}
	return n
}

// Bytes is the frame without its length, valid until Send or Drop, or longer while a hold on Frame is kept. The
// handler may write to it.
func (r *Request) Bytes() []byte { return r.frame.Bytes() }

// Frame is the memory behind Bytes. The request has one hold on it.
func (r *Request) Frame() *Frame { return r.frame }

// Conn is the connection that the frame came from, maybe closed by now.
func (r *Request) Conn() *Conn { return r.conn }

// Send finishes the request with the reply in Out. It leaves when all earlier ones of the connection have, at the end
// of the turn at the earliest. If the connection is gone, everything is released.
func (r *Request) Send() {
	n := r.Out.Len() - lengthSize
	if r.state == reqOpen && n > math.MaxInt32 {
		r.conn.Close(ErrReplySize)
	}
	if r.finish() {
		binary.BigEndian.PutUint32(r.Out.Buf, uint32(n))
		c := r.conn
		c.loop.counts.add(cReplies, 1)
		c.promise(r.Out.Len())
	}
}

// Drop finishes the request without a reply.
func (r *Request) Drop() {
	if r.finish() {
		r.empty()
		r.conn.loop.counts.add(cDropped, 1)
		r.conn.promise(0)
	}
}

// finish takes r back from the handler and reports whether its connection still wants the reply; if not, r is
// released already. Of a closed connection nothing is touched, nor of its loop: see Post.
func (r *Request) finish() bool {
	switch r.state {
	case reqOpen:
	case reqAbandoned:
		r.Out.Reset()
		return false
	default:
		panic("BUG: netpoll: request finished twice")
	}
	r.state = reqDone
	r.releaseFrame()
	c := r.conn
	if c.state == connClosed {
		r.Out.Reset()
		return false
	}
	c.unanswered--
	if c.state == connOpen {
		return true
	}
	r.empty() // still in the order of a connection that sends what was finished before it failed
	return false
}

// empty leaves nothing to send, not even a length.
func (r *Request) empty() {
	r.Out.Reset()
	r.Out.Buf = r.Out.Buf[:0]
}

func (r *Request) releaseFrame() {
	f := r.frame
	r.frame = nil
	f.pool.giveUp(f)
}

// newRequest takes one from the free list, or makes one.
func (l *Loop) newRequest(c *Conn, f *Frame) *Request {
	r := l.freeRequests
	if r == nil {
		r = new(Request)
	} else {
		l.freeRequests, r.next = r.next, nil
		l.freeCount--
		l.freeOut -= cap(r.Out.Buf)
	}
	r.conn, r.frame, r.state = c, f, reqOpen
	r.seg, r.off = 0, 0
	r.Out.Buf = append(r.Out.Buf[:0], 0, 0, 0, 0)
	return r
}

// recycle releases what r holds and keeps it for reuse.
func (l *Loop) recycle(r *Request) {
	r.Out.Reset()
	if cap(r.Out.splices) > keptPieces {
		r.Out.splices = nil
	}
	if c := cap(r.Out.Buf); c > keptOut || l.freeOut+c > keptOutTotal {
		r.Out.Buf = nil
	}
	r.state, r.conn = reqFree, nil
	if l.freeCount < keptRequests {
		l.freeCount++
		l.freeOut += cap(r.Out.Buf)
		r.next, l.freeRequests = l.freeRequests, r
	}
}

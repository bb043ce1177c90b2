package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Bounds of what is unsent or unanswered. A call has some 500 bytes besides its packet.
const (
	maxPending      = 16 << 10
	maxPendingBytes = 16 << 20
)

// call is a request and what becomes of it. It is waiting, then sent, then over; only the goroutine that makes it over
// writes res and err, before closing done.
type call struct {
	op     zk.Op
	path   string                     // as the caller gave it
	decode func(*result, *zk.Decoder) // nil if the answer has no body

	packet []byte // length, room for the xid, op, body; nil once sent
	size   int

	// Guarded by the session's mutex.
	watch watcher // to be set by the answer, nil for none
	state callState
	xid   int32
	sent  time.Duration

	res  result
	err  error
	done chan struct{}
}

type callState uint8

const (
	callWaiting callState = iota
	callSent
	callOver
)

// result is what answers have, all kinds in one.
type result struct {
	path  string
	stat  zk.Stat
	data  []byte
	names []string
	acl   []zk.ACL
	ids   []zk.ID
	parts []zk.PartResult
	count int32
}

var packets = sync.Pool{New: func() any { return new([]byte) }}

// keepPacket is up to which size the memory of a packet is used again.
const keepPacket = 16 << 10

func newCall(op zk.Op, path string, body zk.Record, decode func(*result, *zk.Decoder)) *call {
	b := *packets.Get().(*[]byte)
	b = zk.BeginPacket(b[:0])
	b = (&zk.RequestHeader{Op: op}).Append(b)
	if body != nil {
		b = body.Append(b)
	}
	b = zk.EndPacket(b, 0)
	return &call{op: op, path: path, decode: decode, packet: b, size: len(b), done: make(chan struct{})}
}

// calls are the requests that are not sent yet, in order, and the count of those and of all that are unanswered.
type calls struct {
	queue []*call
	dead  int // in the queue, given up by their callers; at most half of it and keepDead
	count int
	bytes int
	room  chan struct{} // closed when there is some; nil while nobody waits
	xid   int32
	shut  bool // a closeSession is among them: nothing comes behind it
}

// do sends a request and waits for its answer.
func (s *Session) do(ctx context.Context, c *call) error {
	err := s.submit(ctx, c)
	if err == nil {
		select {
		case <-c.done:
			err = c.err
		case <-ctx.Done():
			err = s.abandon(ctx, c)
		}
	}
	if err != nil {
		return &OpError{Op: c.op, Path: c.path, Err: err}
	}
	return nil
}

// submit puts a call into the queue; it waits while that is full.
func (s *Session) submit(ctx context.Context, c *call) error {
	if c.size-4 > s.cfg.MaxRequest {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, c.size-4, s.cfg.MaxRequest)
	}
	for {
		s.mu.Lock()
		switch {
		case s.err != nil:
			s.mu.Unlock()
			return s.err // never changes again
		case s.calls.shut && c.op != zk.OpCloseSession:
			s.mu.Unlock()
			return ErrClosed
		case ctx.Err() != nil:
			s.mu.Unlock()
			return ctx.Err()
		}
		room := s.calls.addLocked(c)
		s.mu.Unlock()
		if room == nil {
			s.wakeWriter()
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
		case <-s.done:
		}
	}
}

func (s *Session) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// addLocked appends to the queue, or returns what to wait for.
func (q *calls) addLocked(c *call) (room <-chan struct{}) {
	if c.op == zk.OpCloseSession {
		q.shut = true
	} else if q.count >= maxPending || q.bytes >= maxPendingBytes {
		if q.room == nil {
			q.room = make(chan struct{})
		}
		return q.room
	}
	q.count++
	q.bytes += c.size
	q.queue = append(q.queue, c)
	return nil
}

// overLocked ends a call.
func (q *calls) overLocked(c *call, err error) {
	if c.state == callOver {
		return
	}
	c.state, c.err = callOver, err
	q.count--
	q.bytes -= c.size
	if q.room != nil && q.count < maxPending && q.bytes < maxPendingBytes {
		close(q.room)
		q.room = nil
	}
	close(c.done)
}

func (q *calls) failLocked(err error) {
	for _, c := range q.queue {
		q.overLocked(c, err)
	}
	q.queue, q.dead = nil, 0
}

// abandon is called when the caller of a call has no more patience. One that is not sent never will be. If it was, the
// error says that its outcome is unknown.
func (s *Session) abandon(ctx context.Context, c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.state {
	case callOver:
		return c.err
	case callWaiting:
		err := ctx.Err()
		if s.trouble != nil {
			err = fmt.Errorf("%w; %w", err, s.trouble)
		}
		s.calls.overLocked(c, err)
		s.calls.buryLocked()
		return err
	default:
		c.watch = nil // nobody has its channel
		return fmt.Errorf("%w before the answer: %w", ctx.Err(), ErrConnectionLoss)
	}
}

const keepDead = 64

// buryLocked counts one more dead in the queue, and takes them out when they are many.
func (q *calls) buryLocked() {
	if q.dead++; q.dead > keepDead && q.dead > len(q.queue)/2 {
		q.queue = slices.DeleteFunc(q.queue, func(c *call) bool { return c.state == callOver })
		q.dead = 0
	}
}

// writeSize is how much is gathered for one write.
const writeSize = 64 << 10

// take moves requests from the queue to those that wait for an answer of c, and appends their packets to buf.
func (s *Session) take(c *conn, buf []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.calls
	if s.conn != c || len(q.queue) == 0 {
		return buf
	}
	now, n := s.cfg.Now(), 0
	for n < len(q.queue) && len(buf) < writeSize {
		x := q.queue[n]
		n++
		if x.state == callOver {
			q.dead--
			continue
		}
		if q.xid++; q.xid == math.MaxInt32 {
			q.xid = 1 // those below 0 have a meaning of their own
		}
		x.xid, x.sent, x.state = q.xid, now, callSent
		binary.BigEndian.PutUint32(x.packet[4:], uint32(x.xid))
		buf = append(buf, x.packet...)
		if packet := x.packet; cap(packet) <= keepPacket {
			packets.Put(&packet)
		}
		x.packet = nil
		c.sent.push(x)
	}
	q.queue = slices.Delete(q.queue, 0, n)
	return buf
}

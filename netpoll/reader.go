package netpoll

import (
	"encoding/binary"
	"syscall"

	"github.com/sluice-mq/sluice/internal/sys"
)

const (
	gnetBuffer = 1 << 10  // bytes of gnet's read buffer, its smallest: a shorter first read means there is no more
	spillSize  = 64 << 10 // bytes that one readv may bring beyond the current frame
	turnBytes  = 2 << 20  // bytes read from one connection before others have their turn
	firstStep  = 4 << 10  // bytes of the first buffer for a large frame of a connection that has sent none before
	trusted    = 2 << 20  // bytes of the first buffer, at most, for one that has sent as large a frame before
	growth     = 4        // a full buffer is replaced by one so many times larger: copies 1/3 of the frame in all
)

// receiver is a connection's half-received state.
//
// The length's bytes are gathered in head. Then frame is the buffer, of the capacity that the bytes received so far
// justify, have of need bytes are in it. held are bytes behind that which were read before reading had to stop:
// at most spillSize and one buffer of gnet's.
type receiver struct {
	pool   *framePool
	head   [lengthSize]byte
	headN  int
	frame  *Frame
	have   int
	need   int
	seen   int    // largest frame that was whole, up to trusted
	held   *Frame // its bytes from heldOff on
	heldAt int
	began  uint32 // tick at which the frame began, or reading went on
}

// receiving says that a frame has begun and is not whole.
func (in *receiver) receiving() bool { return in.frame != nil || in.headN > 0 }

// left says that what was received holds more frames: bytes behind where reading had to stop, or an empty frame, whole
// with its length, that waits for a buffer.
func (in *receiver) left() bool {
	return in.held != nil || in.frame == nil && in.headN == lengthSize && binary.BigEndian.Uint32(in.head[:]) == 0
}

func (in *receiver) release() {
	if in.frame != nil {
		in.dropFrame()
	}
	if in.held != nil {
		in.held.Release()
		in.held = nil
	}
	in.headN = 0
}

func (in *receiver) dropFrame() {
	f := in.frame
	in.frame = nil
	in.pool.giveUp(f)
}

// readable takes b, which gnet has read, and reads what else is there.
func (c *Conn) readable(b []byte) {
	l := c.loop
	if c.state != connOpen {
		return
	}
	l.counts.add(cReads, 1)
	l.counts.add(cBytesIn, int64(len(b)))
	c.active = l.tick
	switch {
	case c.lingering:
		if len(b) == gnetBuffer {
			c.discard()
		}
		return
	case c.blocked != 0 || c.in.held != nil:
		c.hold(b)
		c.pause()
		return
	}
	if rest := c.feed(b); len(rest) > 0 {
		c.hold(rest)
		return
	}
	if len(b) == gnetBuffer {
		c.readMore(len(b))
	}
}

// readMore reads straight from the descriptor, into the rest of the current frame and the loop's spill buffer, until
// the socket has no more or the turn's share is used up. Level-triggered epoll brings us back then.
func (c *Conn) readMore(got int) {
	l := c.loop
	for got < turnBytes && c.state == connOpen && c.blocked == 0 {
		if f := c.in.frame; f != nil && c.in.have == len(f.buf) && !c.grow() {
			return
		}
		direct := c.in.room()
		iov := l.readIovecs[:0]
		if len(direct) > 0 {
			iov = append(iov, sys.IovecOf(direct))
		}
		iov = append(iov, sys.IovecOf(l.spill))
		n, errno := sys.Readv(c.fd, iov)
		clear(iov)
		l.counts.add(cReadvs, 1)
		switch {
		case errno == syscall.EAGAIN || errno == 0 && n == 0: // gnet will meet the end again: see outlive
			return
		case errno != 0:
			c.Close(errno)
			return
		}
		got += n
		l.counts.add(cBytesIn, int64(n))
		into := min(n, len(direct))
		c.in.have += into
		if into > 0 && c.in.have == c.in.need {
			c.deliver()
		}
		if rest := c.feed(l.spill[:n-into]); len(rest) > 0 {
			c.hold(rest)
			return
		}
		if n < len(direct)+spillSize {
			return
		}
	}
}

// room is what the current frame's buffer can take directly.
func (in *receiver) room() []byte {
	if in.frame == nil {
		return nil
	}
	return in.frame.buf[in.have:min(len(in.frame.buf), in.need)]
}

// feed cuts b into frames and hands over those that are whole. It returns what it did not take, only when the
// connection got blocked.
func (c *Conn) feed(b []byte) []byte {
	in := &c.in
	for c.state == connOpen {
		if c.blocked != 0 {
			return b
		}
		if in.frame == nil {
			if in.headN == 0 {
				in.began = c.loop.tick
			}
			n := copy(in.head[in.headN:], b)
			in.headN += n
			b = b[n:]
			if in.headN < lengthSize || !c.begin(len(b)) {
				return b
			}
		}
		for in.have < in.need && len(b) > 0 {
			if in.have == len(in.frame.buf) && !c.grow() {
				return b
			}
			n := copy(in.room(), b)
			in.have += n
			b = b[n:]
		}
		if in.have < in.need {
			return nil
		}
		c.deliver()
		if len(b) == 0 {
			return nil
		}
	}
	return nil
}

// begin makes a buffer for the frame whose length was received; ready are the bytes of it at hand. It returns false
// when the connection was closed or has to wait.
func (c *Conn) begin(ready int) bool {
	in := &c.in
	need := int(int32(binary.BigEndian.Uint32(in.head[:])))
	if need < 0 || need > c.loop.server.cfg.MaxFrame {
		c.loop.counts.add(cBadFrames, 1)
		c.Close(ErrFrameSize)
		return false
	}
	size := min(need, max(firstStep, in.seen, growth*ready))
	f := c.buffer(size, false)
	if f == nil {
		return false
	}
	in.frame, in.have, in.need, in.headN = f, 0, need, 0
	return true
}

// grow replaces the current frame's full buffer by a larger one. False: wait.
func (c *Conn) grow() bool {
	in := &c.in
	size := min(in.need, max(in.seen, growth*len(in.frame.buf)))
	f := c.buffer(size, in.frame.over)
	if f == nil {
		return false
	}
	copy(f.buf, in.frame.buf[:in.have])
	f.over = f.over || in.frame.over
	in.frame.over = false
	in.frame.Release()
	in.frame = f
	return true
}

// buffer gets one of at least n bytes within the budget, or blocks the connection. Waiting is announced before the
// second try, so that a release between the two is not missed.
func (c *Conn) buffer(n int, over bool) *Frame {
	p, l := c.in.pool, c.loop
	small := c.unanswered == 0
	ok, took := p.reserve(n, small, over)
	if !ok {
		p.waiting.Store(true)
		if ok, took = p.reserve(n, small, over); !ok {
			c.block(byBudget, cOverBudget)
			if !c.starved {
				c.starved = true
				l.starving = append(l.starving, c)
			}
			return nil
		}
	}
	f := p.take(n)
	f.over = took
	return f
}

// deliver hands the whole frame to the handler.
func (c *Conn) deliver() {
	in, l := &c.in, c.loop
	f := in.frame
	in.frame = nil
	f.n = in.need
	in.seen = min(max(in.seen, in.need), trusted)
	r := l.newRequest(c, f)
	c.push(r)
	l.counts.add(cFrames, 1)
	l.busy = true
	l.request(r)
	if c.unanswered >= l.server.cfg.MaxRequests {
		c.block(byRequests, cOverRequest)
	}
	if c.pending > l.server.cfg.MaxPending || c.answered > maxAnswered {
		c.block(byPending, cOverPending)
	}
}

// hold keeps bytes that were read but cannot be taken now.
func (c *Conn) hold(b []byte) {
	in := &c.in
	if c.state != connOpen || c.lingering || c.blocked&byDrain != 0 {
		return
	}
	var old []byte
	if in.held != nil {
		old = in.held.buf[in.heldAt:in.held.n]
	}
	f := in.pool.force(len(old) + len(b))
	f.n = copy(f.buf, old)
	f.n += copy(f.buf[f.n:], b)
	if in.held != nil {
		in.held.Release()
	}
	in.held, in.heldAt = f, 0
}

// resume goes on with what is held and then with the socket, if nothing blocks any more.
func (c *Conn) resume() {
	in := &c.in
	if c.state != connOpen || c.blocked != 0 {
		return
	}
	in.began, c.active = c.loop.tick, c.loop.tick
	switch h := in.held; {
	case h != nil:
		rest := c.feed(h.buf[in.heldAt:h.n])
		if c.state != connOpen {
			return
		}
		if in.heldAt = h.n - len(rest); len(rest) > 0 {
			return
		}
		in.held = nil
		h.Release()
	case in.headN == lengthSize: // waited for the buffer, and none of its bytes had come
		c.feed(nil)
	}
	switch {
	case c.ended && in.left():
	case c.ended: // that was all there was
		in.release()
		c.loop.touch(c)
	case c.blocked == 0:
		c.unpause()
	}
}

// discard reads and throws away, on a connection that only waits for its peer to close.
func (c *Conn) discard() {
	l := c.loop
	for range turnBytes / spillSize {
		iov := append(l.readIovecs[:0], sys.IovecOf(l.spill))
		n, errno := sys.Readv(c.fd, iov)
		clear(iov)
		l.counts.add(cReadvs, 1)
		if errno != 0 && errno != syscall.EAGAIN || errno == 0 && n == 0 {
			c.Close(ErrDrained)
		}
		if n < spillSize {
			return
		}
	}
}

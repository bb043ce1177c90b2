package netpoll

import (
	"syscall"
	"time"

	"github.com/sluice-mq/sluice/internal/invariants"
	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/internal/sys"
)

const (
	maxAnswered = 4 << 10  // replies of one connection that may be unsent before it is not read, see MaxPending
	gatherBytes = 4 << 20  // most bytes given to one sendmsg
	filePiece   = 1 << 20  // most bytes given to one sendfile; smaller pieces are slower, larger ones unfair
	sendBytes   = 24 << 20 // bytes after which a connection gives way to others
	sendTime    = 2 * time.Millisecond
)

// flush sends what is ready: the replies from head on up to the first that is not finished.
//
// One sendmsg takes the memory of as many replies as fit. Where a file range comes next, it says MSG_MORE and
// sendfile follows. A short write is taken as a full socket, without asking again for EAGAIN; the writable goroutine
// brings us back. Every segment's length was fixed when the reply was finished, and exactly those bytes are sent: a
// file that ends before closes the connection.
func (c *Conn) flush() {
	if c.armed || c.broken || c.state == connClosed {
		return
	}
	c.sent(0) // dropped requests, empty ones
	share := sendShare{}
	for c.head != nil && c.head.state == reqDone {
		n, full := c.sendSome()
		if c.broken {
			return
		}
		c.sent(n)
		switch {
		case c.head == nil || c.head.state != reqDone: // all of it is out
		case full:
			c.loop.counts.add(cSendFull, 1)
			c.arm()
			return
		case share.usedUp(n):
			c.loop.counts.add(cYields, 1)
			c.arm()
			return
		}
	}
	if invariants.Enabled {
		c.check()
	}
	c.allSent()
}

// check counts again what is kept count of. Long queues are left out, since this comes with every turn.
func (c *Conn) check() {
	if c.state != connOpen {
		return
	}
	var open, answered, length int
	var unsent int64
	for r := c.head; r != nil; r = r.next {
		switch r.state {
		case reqOpen:
			open++
		case reqDone:
			answered++
			unsent += r.Out.Len() - r.sentBytes()
		}
		if length++; length > 100 {
			return
		}
	}
	invariants.Check(open == c.unanswered, "netpoll: %d unanswered requests, counted as %d", open, c.unanswered)
	invariants.Check(answered == c.answered, "netpoll: %d answered requests, counted as %d", answered, c.answered)
	invariants.Check(unsent == c.pending, "netpoll: %d unsent bytes, counted as %d", unsent, c.pending)
}

// sendSome makes one system call for what is next. full says that the socket took less than it was given.
func (c *Conn) sendSome() (n int, full bool) {
	l := c.loop
	pieces, want, more := c.gather(l.sendIovecs[:])
	var errno syscall.Errno
	switch {
	case pieces > 0:
		n, errno = sys.SendIovecs(c.fd, l.sendIovecs[:pieces], more)
		clear(l.sendIovecs[:pieces])
		l.counts.add(cWritevs, 1)
		l.counts.add(cBytesOutMemory, int64(n))
	case l.server.cfg.CopyFiles:
		c.breakOff(l.fileError)
		return 0, false
	default:
		r := c.head
		s := &r.Out.splices[r.seg/2].span
		want = int(min(s.Len-r.off, filePiece))
		n, errno = sys.Sendfile(c.fd, s.FD, s.Off+r.off, want)
		l.counts.add(cSendfiles, 1)
		l.counts.add(cBytesOutFile, int64(n))
		if errno == 0 && n == 0 {
			c.breakOff(ErrTruncated)
			return 0, false
		}
	}
	if errno != 0 && errno != syscall.EAGAIN {
		c.breakOff(errno)
		return 0, false
	}
	return n, n < want
}

// breakOff closes the connection without another try to send.
func (c *Conn) breakOff(err error) {
	if err == ErrTruncated {
		c.loop.counts.add(cTruncatedFiles, 1)
	}
	c.broken = true
	c.Close(err)
}

// gather collects the memory from the first unsent byte on, across replies, up to the first file range that is to go
// by sendfile. more says that something is ready to follow. Nothing collected: such a range is next, or reading a file
// failed.
func (c *Conn) gather(iov []sys.Iovec) (pieces, size int, more bool) {
	room := filePiece
	for r := c.head; r != nil && r.state == reqDone; r = r.next {
		off := r.off
		for seg := r.seg; seg < r.Out.segments(); seg++ {
			rest := r.Out.segmentLen(seg) - off
			if rest == 0 {
				off = 0
				continue
			}
			if pieces == len(iov) || size >= gatherBytes {
				return pieces, size, true
			}
			mem, s := r.Out.segment(seg)
			if s == nil {
				mem = mem[off:]
			} else if mem = c.copyFile(s, off, rest, &room); mem == nil {
				return pieces, size, true
			}
			mem = mem[:min(len(mem), gatherBytes-size)]
			iov[pieces] = sys.IovecOf(mem)
			pieces++
			size += len(mem)
			if int64(len(mem)) < rest {
				return pieces, size, true
			}
			off = 0
		}
	}
	return pieces, size, false
}

// copyFile reads the span's bytes from off on into what room the loop's buffer has. nil: files are not copied, there
// is no room left, or loop.fileError. What the socket then does not take is read again the next time.
func (c *Conn) copyFile(s *span.Span, off, rest int64, room *int) []byte {
	l := c.loop
	if !l.server.cfg.CopyFiles || *room == 0 {
		return nil
	}
	if l.fileBuffer == nil {
		l.fileBuffer = make([]byte, filePiece)
	}
	b := l.fileBuffer[filePiece-*room:]
	n, err := sys.Pread(s.FD, b[:min(rest, int64(len(b)))], s.Off+off)
	l.counts.add(cPreads, 1)
	switch {
	case err != nil:
		l.fileError = err
		return nil
	case n == 0:
		l.fileError = ErrTruncated
		return nil
	}
	*room -= n
	return b[:n]
}

// sent moves the position by n bytes and lets go of spans and replies that are out.
func (c *Conn) sent(n int) {
	l := c.loop
	if n > 0 {
		c.active, c.progress = l.tick, l.tick
	}
	c.pending -= int64(n)
	left := int64(n)
	for r := c.head; r != nil && r.state == reqDone; r = c.head {
		for ; r.seg < r.Out.segments(); r.seg++ {
			rest := r.Out.segmentLen(r.seg) - r.off
			if rest > left {
				r.off += left
				left = 0
				break
			}
			left -= rest
			r.off = 0
			if r.seg%2 == 1 {
				r.Out.splices[r.seg/2].span.Release()
			}
		}
		if r.seg < r.Out.segments() {
			break
		}
		l.recycle(c.pop())
		c.answered--
	}
	if c.pending <= l.server.cfg.MaxPending/2 && c.answered <= maxAnswered/2 {
		c.unblock(byPending)
	}
}

// arm has the loop called back when the socket takes bytes again. It is also the way to give way: on a socket with
// room, the call comes after the loop has looked at its other connections.
func (c *Conn) arm() {
	if c.state != connOpen {
		return // this was the last try
	}
	l := c.loop
	l.counts.add(cEpollCtls, 1)
	if errno := l.server.poller.Arm(c.fd, tokenOf(l.index, c.slot, c.generation), c.known); errno != 0 {
		c.Close(errno)
		return
	}
	c.armed, c.known = true, true
	c.progress = l.tick
}

// sendShare limits what one connection sends in one go. The clock starts with the first MiB and is read once for
// each further: small replies never pay for it.
type sendShare struct {
	bytes, checked int
	start          time.Time
}

func (s *sendShare) usedUp(n int) bool {
	s.bytes += n
	if s.bytes-s.checked < filePiece {
		return false
	}
	s.checked = s.bytes
	if s.start.IsZero() {
		s.start = time.Now()
		return false
	}
	return s.bytes >= sendBytes || time.Since(s.start) >= sendTime
}

package netpoll

import (
	"syscall"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

const (
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
	c.drained()
}

// sendSome makes one system call for what is next. full says that the socket took less than it was given.
func (c *Conn) sendSome() (n int, full bool) {
	l := c.loop
	pieces, size, more := c.gather(l.sendIovecs[:])
	var want int
	var errno syscall.Errno
	if pieces > 0 {
		want = size
		n, errno = sys.SendIovecs(c.fd, l.sendIovecs[:pieces], more)
		clear(l.sendIovecs[:pieces])
		l.counts.add(cWritevs, 1)
		l.counts.add(cBytesOutMemory, int64(n))
	} else {
		r := c.head
		s := &r.Out.splices[r.seg/2].span
		want = int(min(s.Len-r.off, filePiece))
		if l.server.cfg.CopyFiles {
			n, errno = c.copyFile(s.FD, s.Off+r.off, want)
		} else {
			n, errno = sys.Sendfile(c.fd, s.FD, s.Off+r.off, want)
			l.counts.add(cSendfiles, 1)
			l.counts.add(cBytesOutFile, int64(n))
		}
		if errno == 0 && n == 0 {
			l.counts.add(cTruncatedFiles, 1)
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

// copyFile is sendfile by way of the loop's buffer: the same results. What the socket does not take is read again the
// next time.
func (c *Conn) copyFile(fd int, off int64, want int) (n int, errno syscall.Errno) {
	l := c.loop
	if l.fileBuffer == nil {
		l.fileBuffer = make([]byte, filePiece)
	}
	n, err := sys.Pread(fd, l.fileBuffer[:want], off)
	l.counts.add(cPreads, 1)
	if err != nil {
		if errno, ok := err.(syscall.Errno); ok {
			return 0, errno
		}
		return 0, syscall.EIO
	}
	if n == 0 {
		return 0, 0
	}
	iov := append(l.sendIovecs[:0], sys.IovecOf(l.fileBuffer[:n]))
	n, errno = sys.SendIovecs(c.fd, iov, false)
	l.counts.add(cWritevs, 1)
	l.counts.add(cBytesOutMemory, int64(n))
	return n, errno
}

// breakOff closes the connection without another try to send.
func (c *Conn) breakOff(err error) {
	c.broken = true
	c.Close(err)
}

// gather collects the memory from the first unsent byte on, across replies, up to the first file range. more says
// that something is ready to follow. Nothing collected: a file range is next.
func (c *Conn) gather(iov []sys.Iovec) (pieces, size int, more bool) {
	for r := c.head; r != nil && r.state == reqDone; r = r.next {
		off := r.off
		for seg := r.seg; seg < r.Out.segments(); seg++ {
			var mem []byte
			if seg%2 == 0 {
				mem = r.Out.memory(seg)
			} else if s := &r.Out.splices[seg/2].span; s.Mem != nil || s.Len == 0 {
				mem = s.Mem
			} else {
				return pieces, size, true
			}
			mem, off = mem[off:], 0
			if len(mem) == 0 {
				continue
			}
			if pieces == len(iov) || size >= gatherBytes {
				return pieces, size, true
			}
			mem = mem[:min(len(mem), gatherBytes-size)]
			iov[pieces] = sys.IovecOf(mem)
			pieces++
			size += len(mem)
		}
	}
	return pieces, size, false
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
	}
	if c.pending <= l.server.cfg.MaxPending/2 {
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

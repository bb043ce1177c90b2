package netpoll

import (
	"errors"
	"io"

	"github.com/sluice-mq/sluice/internal/sys"
)

// outlive keeps the connection when its peer has ended its side (FIN) and answers are still owed, as a server does
// that reads one request at a time and meets the end only afterwards. It reports whether it did.
//
// gnet closes a descriptor as soon as it reads the end of the stream, but calls us before: a duplicate keeps the
// socket. There is nothing more to read, so gnet is not missed, and writing was ours before. From now on c.g is nil and
// the descriptor ours to close (see bury). The connection ends when the last answer is sent, or when FrameTimeout has
// passed without a byte of one, whatever it waits for.
func (c *Conn) outlive(err error) bool {
	owed := c.head != nil || c.in.left()
	if !owed || !errors.Is(err, io.EOF) || c.state != connOpen || c.lingering {
		return false
	}
	if c.paused { // gnet has not read an end, but calls a reset so, too
		return false
	}
	fd, err := sys.Duplicate(c.fd)
	if err != nil {
		return false
	}
	l := c.loop
	if c.known { // its epoll knows the descriptor, not the socket
		l.counts.add(cEpollCtls, 1)
		l.server.poller.Disarm(c.fd)
		c.known = false
	}
	c.fd, c.g, c.ended = fd, nil, true
	c.progress = l.tick
	if !c.in.left() {
		c.in.release() // never to be whole
	}
	if c.armed {
		c.arm()
	}
	return true
}

// bury closes a connection that gnet does not know any more.
func (l *Loop) bury(c *Conn) {
	fd := c.fd
	l.closed(c, nil)
	sys.CloseFile(fd)
}

package netpoll

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"

	"github.com/sluice-mq/sluice/internal/sys"
)

type connState uint8

const (
	connNew    connState = iota // not yet on its loop
	connOpen                    // read and written
	connFailed                  // to be closed at the end of the turn
	connClosed                  // its descriptor may belong to somebody else
)

// blocked is the set of reasons for which a connection is not read.
type blocked uint8

const (
	byRequests blocked = 1 << iota // MaxRequests frames are unanswered
	byPending                      // more than MaxPending reply bytes, or maxAnswered replies, are unsent
	byBudget                       // no memory for the next piece of a frame
	byDrain                        // the server is stopping
)

// Conn is one client connection. Except for ID, Loop, Listener and the addresses it belongs to its loop.
//
// Its state is in three parts: receiving (reader.go), the requests in order, from head, the oldest whose reply is
// not wholly sent, to tail (request.go), and sending (transmit.go).
type Conn struct {
	// User is the handler's.
	User any

	id       uint64
	loop     *Loop
	listener int
	ip       netip.Addr
	remote   string
	local    string

	g          gnet.Conn
	fd         int
	slot       uint32 // index in the loop's table
	generation uint32 // of the slot
	state      connState
	err        error // why it failed
	broken     bool  // nothing more can be sent
	reached    atomic.Bool

	head, tail *Request
	unanswered int   // frames handed over and not finished
	answered   int   // finished requests still in the order
	pending    int64 // reply bytes not yet sent, of finished requests

	in receiver

	blocked   blocked
	paused    bool // gnet's epoll does not report it
	armed     bool // waits for the writable goroutine's report
	known     bool // to the writable goroutine's epoll
	touched   bool // in the loop's list of connections to flush
	queued    bool // in the loop's list of connections to resume
	starved   bool // in the loop's list of connections that wait for memory
	lingering bool // all is sent and FIN too; what comes is thrown away
	ended     bool // the peer has sent FIN; only answers keep the connection

	active   uint32 // tick of the last byte in or out
	progress uint32 // tick of the last byte out, or when a reply began to wait for the socket
}

// ID is unique in the server.
func (c *Conn) ID() uint64 { return c.id }

// Loop owns the connection for all its life.
func (c *Conn) Loop() *Loop { return c.loop }

// Listener is the index in Config.Listeners that the connection came by.
func (c *Conn) Listener() int { return c.listener }

// RemoteAddr is the peer's "host:port".
func (c *Conn) RemoteAddr() string { return c.remote }

// LocalAddr is the own "host:port" that the peer connected to.
func (c *Conn) LocalAddr() string { return c.local }

// Close closes the connection at the end of the turn; no more frames of it are handed over. Replies finished before are
// sent as far as the socket takes them, others are lost: to answer and close, Send first. Handler.Closed gets err,
// io.EOF for nil. The first call counts. Only on the connection's loop.
func (c *Conn) Close(err error) {
	if c.state != connOpen {
		return
	}
	if err == nil {
		err = io.EOF
	}
	c.state, c.err = connFailed, err
	c.loop.failed = append(c.loop.failed, c)
}

// push puts a new request at the end of the order.
func (c *Conn) push(r *Request) {
	if c.tail == nil {
		c.head = r
	} else {
		c.tail.next = r
	}
	c.tail = r
	c.unanswered++
}

// pop takes the oldest request off, sent or given up.
func (c *Conn) pop() *Request {
	r := c.head
	c.head, r.next = r.next, nil
	if c.head == nil {
		c.tail = nil
	}
	return r
}

// promise notes that n more reply bytes are to be sent, and that a place in the order was filled.
func (c *Conn) promise(n int64) {
	c.pending += n
	c.answered++
	if c.unanswered < c.loop.server.cfg.MaxRequests {
		c.unblock(byRequests)
	}
	c.loop.touch(c)
}

// block stops reading for a reason. Nothing is done at once: the connection is only taken out of gnet's epoll when
// bytes come that nobody wants. A client that waits for its replies never gets there, and costs no system call.
func (c *Conn) block(why blocked, k counter) {
	if c.blocked&why == 0 {
		c.blocked |= why
		c.loop.counts.add(k, 1)
	}
}

// unblock takes a reason away; without any left, the loop goes on reading at the end of its turn.
func (c *Conn) unblock(why blocked) {
	if c.blocked&why == 0 {
		return
	}
	c.blocked &^= why
	if c.blocked == 0 {
		c.loop.resumeLater(c)
	}
}

// pause takes the descriptor out of gnet's epoll, except for errors. See sys.Watch.
func (c *Conn) pause() {
	if c.paused || c.state != connOpen {
		return
	}
	c.loop.counts.add(cEpollCtls, 1)
	c.loop.counts.add(cPauses, 1)
	if errno := c.loop.watch.Pause(c.fd); errno != 0 {
		c.Close(errno)
		return
	}
	c.paused = true
}

func (c *Conn) unpause() {
	if !c.paused || c.state != connOpen {
		return
	}
	c.loop.counts.add(cEpollCtls, 1)
	if errno := c.loop.watch.Resume(c.fd); errno != 0 {
		c.Close(errno)
		return
	}
	c.paused = false
}

// allSent ends a connection that nothing is unanswered or unsent of, if it was half closed or the server is stopping.
// In the second case, closing at once would make the kernel send a reset if the peer has sent more meanwhile, and a
// reset destroys replies that the peer has not read yet. So FIN goes first, and the peer has a moment to close.
func (c *Conn) allSent() {
	if c.head != nil || c.lingering || c.state != connOpen {
		return
	}
	if c.ended {
		if !c.in.left() {
			c.Close(io.EOF)
		}
		return
	}
	if c.blocked&byDrain == 0 {
		return
	}
	if sys.ShutdownWrite(c.fd) != nil {
		c.Close(ErrDrained)
		return
	}
	c.lingering = true
	c.progress = c.loop.tick
	c.in.release()
	c.unpause()
}

// teardown releases everything after the connection's end.
func (c *Conn) teardown() {
	l := c.loop
	c.state = connClosed
	if c.known {
		l.counts.add(cEpollCtls, 1)
		l.server.poller.Disarm(c.fd)
	}
	l.freeSlot(c)
	if c.starved {
		c.starved = false
		l.starving = slices.DeleteFunc(l.starving, func(o *Conn) bool { return o == c })
	}
	c.in.release()
	for c.head != nil {
		if r := c.pop(); r.state == reqDone {
			l.recycle(r)
		}
		// Those with the handler come back by Send or Drop.
	}
	c.pending = 0
	c.g, c.blocked = nil, 0
}

// abandon gives up a request whose handler panicked. The handler may have kept r, so it is never used again.
func (c *Conn) abandon(r *Request) {
	if r.state != reqOpen || r.conn != c {
		return // finished before the panic, and maybe reused since
	}
	r.state = reqAbandoned
	c.unanswered--
	r.releaseFrame()
	r.Out.Reset()
}

// isProgrammersFault tells panics that must end the process: state outside of the connection is half changed.
func isProgrammersFault(v any) bool {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case error:
		s = v.Error()
	default:
		return false
	}
	return strings.HasPrefix(s, "BUG:") || strings.HasPrefix(s, "FATAL:")
}

// closeCause is what the handler is told: the first of our own reason, and gnet's.
func closeCause(own, gnets error) error {
	switch {
	case own != nil:
		return own
	case gnets == nil:
		return ErrServerClosed // gnet closes what is left when its loop ends
	case errors.Is(gnets, io.EOF):
		return io.EOF
	}
	return gnets
}

package netpoll

import (
	"errors"
	"log/slog"
	"time"
)

// Errors that a connection is closed with, as seen by Handler.Closed. io.EOF and system call errors come besides.
var (
	ErrFrameSize    = errors.New("netpoll: frame length negative or above the limit")
	ErrFrameTimeout = errors.New("netpoll: frame was not whole in time")
	ErrSendTimeout  = errors.New("netpoll: peer did not take a reply in time")
	ErrIdle         = errors.New("netpoll: connection was idle for too long")
	ErrTruncated    = errors.New("netpoll: file ended within the range to send")
	ErrReplySize    = errors.New("netpoll: reply longer than its length field can say")
	ErrPanic        = errors.New("netpoll: handler panicked")
	ErrDrained      = errors.New("netpoll: server is stopping, all replies were sent")
	ErrServerClosed = errors.New("netpoll: server closed")
)

// Config is what a Server is told. A zero number or duration means the default given here.
type Config struct {
	Listeners []string // "host:port" each; port 0 lets the kernel choose
	Loops     int      // event loops, each a goroutine with an epoll of its own; 1

	// MaxFrame is the largest announced frame length, in bytes, that does not close the connection; 100 MiB.
	// A buffer of that size is not allocated before most of the bytes have come.
	MaxFrame int
	// MaxRequests is how many frames of one connection may be unanswered before it is not read; 100.
	MaxRequests int
	// MaxPending is how many reply bytes of one connection, in memory and in files, may be unsent before it is not
	// read; 1 MiB. It is read again below half of that. At most MaxRequests replies can come on top, since frames
	// already handed over are answered. Likewise it is not read with 4096 unsent replies of whatever size, dropped
	// ones included: they have to wait for an unanswered one before them, and each takes some 200 bytes.
	MaxPending int64
	// FrameBudget bounds the bytes of frame buffers, in use and idle, of all connections together; 128 MiB. When it
	// is spent, sockets are not read, with two exceptions so that nothing can starve: one frame at a time may go
	// beyond it, and a connection without unanswered frames may have one buffer of 4 KiB. So the most there can be
	// is FrameBudget + 2*1.25*MaxFrame (a buffer a quarter larger than its frame, twice while it is replaced by a
	// larger one) + 4 KiB per connection + 65 KiB for each connection stopped with bytes read.
	FrameBudget int64

	MaxConns      int // open connections; more are closed at once; unlimited
	MaxConnsPerIP int // the same for one client address; unlimited

	// IdleTimeout closes a connection on which nothing was read or sent for so long and nothing is unanswered;
	// never. FrameTimeout closes one whose frame, begun, is not whole by then, or that takes no byte of a reply
	// for so long, or that its peer has half closed and no byte of a reply was sent on for so long; never. Time in
	// which we did not read does not count. Both are kept to within an eighth of the shorter, or a second, whichever
	// is less.
	IdleTimeout, FrameTimeout time.Duration

	// CopyFiles has file ranges read into memory and sent from there, a MiB at a time, instead of by sendfile. On
	// loopback that is the faster way, and takes the receiver less; on a network card sendfile saves the copy.
	CopyFiles bool

	SendBuffer, RecvBuffer int // kernel buffer sizes in bytes; 0 or -1 leaves them to the kernel

	Logger *slog.Logger // nil: silent
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def64 := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Loops, 1)
	def(&c.MaxFrame, 100<<20)
	def(&c.MaxRequests, 100)
	def64(&c.MaxPending, 1<<20)
	def64(&c.FrameBudget, 128<<20)
	c.Loops = min(c.Loops, maxLoops)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// tickInterval is the resolution of the time-outs.
func (c *Config) tickInterval() time.Duration {
	d := 8 * time.Second
	for _, t := range []time.Duration{c.IdleTimeout, c.FrameTimeout} {
		if t > 0 {
			d = min(d, t)
		}
	}
	return max(d/8, 5*time.Millisecond)
}

// ticks converts a time-out into ticks: what is more than so many ticks ago is at least d ago. 0 stays 0 and means
// never. 2^30 is the most, 62 days of the shortest ticks there are: differences of ticks must stay small.
func (c *Config) ticks(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	iv := c.tickInterval()
	n := int64(d / iv)
	if d%iv > 0 {
		n++
	}
	return uint32(min(n, 1<<30))
}

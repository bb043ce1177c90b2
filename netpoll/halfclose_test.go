package netpoll

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/internal/span"
)

func (c *client) closeWrite() {
	c.t.Helper()
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// TestHalfClose has peers end their side after their requests. Every answer arrives, whether it is still being made,
// waits for the socket, or belongs to a frame that was not yet handed over, and then the connection ends.
func TestHalfClose(t *testing.T) {
	t.Run("parked", func(t *testing.T) {
		r := newRig(t, Config{})
		c := r.dial()
		c.Write(append(append(framed([]byte("k")), framed([]byte("e behind"))...), 0, 0)) // and half a length
		q := <-r.kept
		c.closeWrite()
		r.ended(1)
		if n := r.srv.Stats().Closed; n != 0 {
			t.Errorf("%d connections closed", n)
		}
		r.onLoop(func(*Loop) { echo(q) })
		c.expect([]byte("k"))
		c.expect([]byte("e behind"))
		c.expectClosed()
		r.expectClosedWith(io.EOF)
	})
	t.Run("socket full", func(t *testing.T) {
		for _, copied := range []bool{false, true} {
			r := newRig(t, Config{SendBuffer: 4 << 10, MaxPending: 16 << 20, CopyFiles: copied})
			c := r.dialWith(2 << 10)
			f := spliceFrame(0, 1<<20, 0)
			c.send(f)
			c.send(f)
			eventually(t, "armed", func() bool { return r.srv.Stats().SendFull > 0 })
			c.closeWrite()
			r.ended(1)
			c.expect(r.splicedReply(f))
			c.expect(r.splicedReply(f))
			c.expectClosed()
			r.expectClosedWith(io.EOF)
		}
	})
	t.Run("one at a time", func(t *testing.T) { // most frames are held, or unread, when the end comes
		r := newRig(t, Config{MaxRequests: 1})
		c := r.dial()
		var b []byte
		for i := range 300 {
			b = append(b, framed(append([]byte("p"), echoFrame(i, 1)...))...)
		}
		c.Write(b)
		c.closeWrite()
		for i := range 300 {
			c.expect(append([]byte("p"), echoFrame(i, 1)...))
		}
		c.expectClosed()
		r.expectClosedWith(io.EOF)
	})
	t.Run("dropped", func(t *testing.T) {
		r := newRig(t, Config{})
		c := r.dial()
		c.send([]byte("k"))
		q := <-r.kept
		c.closeWrite()
		r.ended(1)
		r.onLoop(func(*Loop) { q.Drop() })
		c.expectClosed()
		r.expectClosedWith(io.EOF)
	})
}

// ended waits until n connections live on only for their answers.
func (r *rig) ended(n int) {
	r.t.Helper()
	eventually(r.t, "end seen", func() (ok bool) {
		r.onLoop(func(l *Loop) {
			m := 0
			for _, s := range l.slots {
				if s.conn != nil && s.conn.ended {
					m++
				}
			}
			ok = m == n
		})
		return ok
	})
}

// TestHalfCloseStarving has the end come while a frame that has arrived waits for memory.
func TestHalfCloseStarving(t *testing.T) {
	r := newRig(t, Config{FrameBudget: 10_000})
	hog := r.dial()
	hog.send(append([]byte("k"), echoFrame(8000, 1)...)) // takes the overdraft
	q := <-r.kept
	c := r.dial()
	b := echoFrame(9000, 2)
	c.send(b)
	c.closeWrite()
	eventually(t, "waiting", func() bool { return r.srv.Stats().OverBudget > 0 })
	r.onLoop(func(*Loop) { q.Drop() })
	c.expect(b)
	c.expectClosed()
}

// TestHalfCloseEnds: what a half-closed connection waits for may not come, and then it ends too.
func TestHalfCloseEnds(t *testing.T) {
	t.Run("answer not in time", func(t *testing.T) {
		r := newRig(t, Config{FrameTimeout: 100 * time.Millisecond})
		c := r.dial()
		c.send([]byte("k"))
		q := <-r.kept
		c.closeWrite()
		c.expectClosed()
		r.expectClosedWith(io.EOF)
		r.onLoop(func(*Loop) { echo(q) })
	})
	t.Run("reply not taken", func(t *testing.T) {
		r := newRig(t, Config{FrameTimeout: 100 * time.Millisecond, MaxPending: 16 << 20})
		c := r.dialWith(2 << 10)
		c.send([]byte("k"))
		q := <-r.kept
		for range 4 {
			c.send(spliceFrame(0, 2<<20, 0))
		}
		c.closeWrite()
		r.ended(1)
		r.onLoop(func(*Loop) { echo(q) })
		r.expectClosedWith(ErrSendTimeout)
	})
	t.Run("peer gone", func(t *testing.T) {
		r := newRig(t, Config{})
		c := r.dial()
		c.send([]byte("k"))
		c.send([]byte("k"))
		first, second := <-r.kept, <-r.kept
		c.Close()
		r.ended(1)
		r.onLoop(func(*Loop) { echo(first) })
		r.onLoop(func(*Loop) { echo(second) }) // meets the reset that the first was answered with, or goes too
		<-r.closed
	})
	t.Run("server closed", func(t *testing.T) {
		net.Dial("tcp", "127.0.0.1:1") // Go's own poller
		fds := descriptors(t)
		r := newRig(t, Config{})
		c := r.dial()
		c.send([]byte("k"))
		q := <-r.kept
		c.closeWrite()
		r.ended(1)
		r.srv.Close()
		r.expectClosedWith(ErrServerClosed)
		c.expectClosed()
		c.Close()
		q.Drop()
		r.file.Close()
		eventually(t, "descriptors gone", func() bool { return descriptors(t) <= fds })
	})
	t.Run("drained", func(t *testing.T) {
		r := newRig(t, Config{})
		c := r.dial()
		c.send([]byte("k"))
		q := <-r.kept
		c.closeWrite()
		r.ended(1)
		drained := make(chan error)
		go func() { drained <- r.srv.Drain(t.Context()) }()
		r.onLoop(func(*Loop) { echo(q) })
		c.expect([]byte("k"))
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// TestHalfCloseDescriptors: the duplicate that keeps the socket is closed, and its number's next owner is left alone.
func TestHalfCloseDescriptors(t *testing.T) {
	r := newRig(t, Config{SendBuffer: 4 << 10, MaxPending: 4 << 20})
	fds := descriptors(t)
	f := spliceFrame(0, 100_000, 0)
	for range 30 {
		c, next := r.dialWith(2<<10), r.dialWith(2<<10)
		c.send(f)
		next.send(f)
		c.closeWrite()
		c.expect(r.splicedReply(f))
		c.expectClosed()
		next.expect(r.splicedReply(f))
		next.closeWrite()
		next.expectClosed()
		c.Close()
		next.Close()
	}
	eventually(t, "descriptors gone", func() bool { return descriptors(t) <= fds })
	for range 60 {
		if err := <-r.closed; !errors.Is(err, io.EOF) {
			t.Errorf("closed with %v", err)
		}
	}
}

// TestManyAnsweredBehindOne: an unanswered request must not let what is answered behind it pile up.
func TestManyAnsweredBehindOne(t *testing.T) {
	for _, kind := range []string{"d", "e"} { // dropped; answered by five bytes
		r := newRig(t, Config{})
		c := r.dial()
		c.send([]byte("k"))
		q := <-r.kept
		const n = 8 * maxAnswered
		go func() {
			var b []byte
			for range n {
				b = append(b, framed([]byte(kind))...)
			}
			c.Write(append(b, framed([]byte("e end"))...))
		}()
		eventually(t, "paused", func() bool { return r.srv.Stats().Pauses > 0 })
		if got := r.srv.Stats().Frames; got > 2*maxAnswered {
			t.Errorf("%d frames were taken behind one that is unanswered", got)
		}
		r.onLoop(func(*Loop) { echo(q) })
		c.expect([]byte("k"))
		for i := 0; kind == "e" && i < n; i++ {
			c.expect([]byte("e"))
		}
		c.expect([]byte("e end"))
	}
}

// TestFarRange sends a range that lies beyond what 32 bits can say.
func TestFarRange(t *testing.T) {
	for _, copied := range []bool{false, true} {
		r := newRig(t, Config{CopyFiles: copied})
		const far = 5 << 30
		want := r.data[:300_000]
		if _, err := r.file.WriteAt(want, far); err != nil {
			t.Fatal(err)
		}
		c := r.dial()
		c.send([]byte("k"))
		q := <-r.kept
		r.onLoop(func(*Loop) {
			r.ref.Retain()
			q.Out.Splice(span.File(int(r.file.Fd()), far, int64(len(want)), &r.ref))
			q.Send()
		})
		c.expect(want)
	}
}

package netpoll

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func descriptors(t *testing.T) int {
	t.Helper()
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}

// TestNothingLeaks opens and closes servers with connections in every state.
func TestNothingLeaks(t *testing.T) {
	net.Dial("tcp", "127.0.0.1:1") // Go's own poller
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	for i := range 5 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			r := newRig(t, Config{Loops: 2, Listeners: []string{"127.0.0.1:0", "127.0.0.1:0"}, SendBuffer: 4 << 10, MaxPending: 4 << 20})
			idle, half, armed, parked := r.dial(), r.dial(), r.dialWith(2<<10), r.dial()
			idle.send([]byte("e"))
			idle.expect([]byte("e"))
			half.Write(framed(echoFrame(100_000, 1))[:50_000])
			armed.send(spliceFrame(0, 1<<20, 0))
			parked.send([]byte{'k'})
			q := <-r.kept
			eventually(t, "armed", func() bool { return r.srv.Stats().SendFull > 0 })
			if i%2 == 0 {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				if err := r.srv.Drain(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("drain: %v", err)
				}
			}
			r.srv.Close()
			r.srv.Close()
			for range 4 {
				if err := <-r.closed; err != ErrServerClosed && (i%2 != 0 || err != ErrDrained) {
					t.Errorf("closed with %v", err)
				}
			}
			if q.Conn().Loop().Post(taskFunc(func() {})) {
				t.Error("a closed server takes tasks")
			}
			q.Drop()
		})
	}
	eventually(t, "goroutines gone", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "descriptors gone", func() bool { return descriptors(t) <= fds })
}

func TestManyConnects(t *testing.T) {
	r := newRig(t, Config{Loops: 2})
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	const workers, each = 8, 1250
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				nc, err := net.Dial("tcp", r.srv.Addrs()[0])
				if err != nil {
					t.Error(err)
					return
				}
				switch (i + w) % 4 {
				case 0: // nothing at all
				case 1: // half a length
					nc.Write([]byte{0, 0})
				case 2:
					c := &client{t, nc}
					nc.Write(framed([]byte("e")))
					nc.SetDeadline(time.Now().Add(deadline))
					c.expect([]byte("e"))
				case 3:
					nc.Write(framed([]byte("e")))
					nc.(*net.TCPConn).SetLinger(0)
				}
				nc.Close()
			}
		}()
	}
	wg.Wait()
	eventually(t, "all closed", func() bool {
		st := r.srv.Stats()
		return st.Open == 0 && st.Accepted+st.AcceptErrors == workers*each && st.Closed == st.Accepted
	})
	eventually(t, "goroutines gone", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "descriptors gone", func() bool { return descriptors(t) <= fds })
	r.onLoop(func(l *Loop) {
		if n := len(l.slots); n > 1000 {
			t.Errorf("%d slots for connections that came one after the other", n)
		}
	})
}

func TestAddresses(t *testing.T) {
	r := newRig(t, Config{Listeners: []string{"127.0.0.1:0", "localhost:0", "[::1]:0"}})
	seen := make(chan *Conn, 3)
	onOpen := func(c *Conn) { seen <- c }
	r.onOpen.Store(&onOpen)
	for i, addr := range r.srv.Addrs() {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := <-seen
		if c.Listener() != i || c.LocalAddr() != addr || c.RemoteAddr() != nc.LocalAddr().String() {
			t.Errorf("listener %d, from %s to %s; want %d, %s, %s", c.Listener(), c.RemoteAddr(), c.LocalAddr(), i,
				nc.LocalAddr(), addr)
		}
	}
}

// TestAddressInUse: two brokers on one port must not both start.
func TestAddressInUse(t *testing.T) {
	for _, loops := range []int{1, 2} {
		r := newRig(t, Config{Loops: loops})
		taken := r.srv.Addrs()[0]
		fds := descriptors(t)
		for range 3 {
			s, err := Listen(Config{Loops: loops, Listeners: []string{"127.0.0.1:0", taken}}, r)
			if err == nil {
				s.Close()
				t.Fatal("two servers on one address")
			}
			want := "netpoll: listening on " + taken + ": address already in use"
			if !errors.Is(err, syscall.EADDRINUSE) || err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
		}
		eventually(t, "descriptors gone", func() bool { return descriptors(t) <= fds })
		r.srv.Close()
		again, err := Listen(Config{Listeners: []string{taken}}, r)
		if err != nil {
			t.Fatalf("after the first was closed: %v", err)
		}
		again.Close()
	}
	if _, err := Listen(Config{Listeners: []string{"no port"}}, nil); err == nil || !strings.Contains(err.Error(), "no port") {
		t.Errorf("bad address: %v", err)
	}
}

func TestLimits(t *testing.T) {
	r := newRig(t, Config{MaxConns: 5, MaxConnsPerIP: 3})
	open := func(from string) (*client, bool) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		nc, err := d.Dial("tcp", r.srv.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		nc.SetDeadline(time.Now().Add(deadline))
		nc.Write(framed([]byte("e")))
		_, err = io.ReadFull(nc, make([]byte, 5))
		return &client{t, nc}, err == nil
	}
	var conns []*client
	for i, want := range []bool{true, true, true, false, false} {
		c, ok := open("127.0.0.1")
		if ok != want {
			t.Fatalf("connection %d of one address: %v", i, ok)
		}
		conns = append(conns, c)
	}
	for i, want := range []bool{true, true, false} {
		if _, ok := open("127.0.0.2"); ok != want {
			t.Fatalf("connection %d of the other address: %v", i, ok)
		}
	}
	st := r.srv.Stats()
	if st.Open != 5 || st.RefusedPerIP != 2 || st.RefusedTotal != 1 {
		t.Errorf("%d open, refused %d and %d", st.Open, st.RefusedPerIP, st.RefusedTotal)
	}
	conns[0].Close()
	<-r.closed
	eventually(t, "place free", func() bool { return r.srv.Stats().Open == 4 })
	if _, ok := open("127.0.0.1"); !ok {
		t.Error("a freed place is not given")
	}
}

// TestDrain stops a server under load: every request that was handed over is answered, and the answer arrives.
func TestDrain(t *testing.T) {
	r := newRig(t, Config{Loops: 2, FrameTimeout: time.Minute})
	const conns = 20
	type result struct {
		got int
		err error
	}
	results := make(chan result, conns)
	var clients []*client
	for range conns {
		clients = append(clients, r.dial())
	}
	for i, c := range clients {
		f := echoFrame(100, uint64(i))
		f[0] = 'p'
		go func() {
			for {
				if _, err := c.Write(framed(f)); err != nil {
					return
				}
			}
		}()
		go func() {
			b := make([]byte, len(f)+4)
			n := 0
			for {
				m, err := io.ReadFull(c, b)
				switch {
				case m == 0 && err != nil:
					c.Close()
					results <- result{n, nil}
					return
				case err != nil || string(b[4:]) != string(f):
					results <- result{n, fmt.Errorf("reply of %d bytes: %v", m, err)}
					return
				}
				n++
			}
		}()
	}
	eventually(t, "load", func() bool { return r.srv.Stats().Frames > 1000 })
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := r.srv.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	total := 0
	for range conns {
		res := <-results
		if res.err != nil {
			t.Error(res.err)
		}
		total += res.got
	}
	if st := r.srv.Stats(); int64(total) != st.Frames || st.Replies != st.Frames {
		t.Errorf("%d frames, %d replies, %d arrived", st.Frames, st.Replies, total)
	}
	for range conns {
		r.expectClosedWith(ErrDrained)
	}
	if nc, err := net.Dial("tcp", r.srv.Addrs()[0]); err == nil {
		nc.Close()
		t.Error("still accepts")
	}
}

// TestDrainWaits for a request that is answered late.
func TestDrainWaits(t *testing.T) {
	r := newRig(t, Config{})
	idle := r.dial()
	c := r.dial()
	c.send([]byte{'k'})
	q := <-r.kept
	drained := make(chan error, 1)
	go func() { drained <- r.srv.Drain(context.Background()) }()
	idle.expectClosed()
	idle.Close()
	c.send([]byte("e not taken any more"))
	r.onLoop(func(*Loop) { echo(q) })
	c.expect([]byte{'k'})
	c.expectClosed()
	c.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestPanics(t *testing.T) {
	r := newRig(t, Config{})
	bystander, c := r.dial(), r.dial()
	c.Write(append(framed([]byte("e before")), append(framed([]byte("x")), framed([]byte("e after"))...)...))
	c.expect([]byte("e before"))
	c.expectClosed()
	r.expectClosedWith(ErrPanic)
	bystander.send([]byte("e"))
	bystander.expect([]byte("e"))
	if n := r.srv.Stats().HandlerPanics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
	for v, fault := range map[any]bool{
		"BUG: x": true, "FATAL: x": true, "a BUG: x": false, errors.New("BUG: y") != nil: false, 5: false,
	} {
		if isProgrammersFault(v) != fault {
			t.Errorf("%v: %v", v, !fault)
		}
	}
	if !isProgrammersFault(fmt.Errorf("FATAL: %w", io.EOF)) {
		t.Error("errors are not looked at")
	}
}

// TestPanicAfterKeeping has a handler keep a request that panics, and finish it later.
func TestLateFinishOfAbandoned(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	c.send([]byte{'k'})
	q := <-r.kept
	r.onLoop(func(*Loop) { q.conn.abandon(q); q.conn.Close(ErrPanic) })
	r.expectClosedWith(ErrPanic)
	r.onLoop(func(*Loop) { echoLate(q) })
}

func echoLate(q *Request) {
	q.Out.Buf = append(q.Out.Buf, "late"...)
	q.Send()
	q.Drop()
}

func TestCloseByHandler(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	c.Write(append(framed([]byte("e before")), append(framed([]byte("c")), framed([]byte("e after"))...)...))
	c.expect([]byte("e before"))
	c.expectClosed()
	r.expectClosedWith(errAsked)
}

func TestCloseByPeer(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	c.Write(framed(echoFrame(5000, 1)))
	c.Conn.(*net.TCPConn).CloseWrite()
	c.expect(echoFrame(5000, 1))
	c.expectClosed()
	r.expectClosedWith(io.EOF)
}

func TestFrameTimeout(t *testing.T) {
	r := newRig(t, Config{FrameTimeout: 100 * time.Millisecond})
	for _, part := range [][]byte{{0}, {0, 0, 0, 9}, {0, 0, 0, 9, 'e'}} {
		c := r.dial()
		c.Write(part)
		r.expectClosedWith(ErrFrameTimeout)
		c.expectClosed()
	}
	eventually(t, "three counted", func() bool { return r.srv.Stats().FrameTimeouts == 3 })
}

func TestIdleTimeout(t *testing.T) {
	r := newRig(t, Config{IdleTimeout: 100 * time.Millisecond})
	waiting := r.dial() // for its reply: not idle
	waiting.send([]byte{'k'})
	q := <-r.kept
	c := r.dial()
	c.expectClosed()
	r.expectClosedWith(ErrIdle)
	r.onLoop(func(*Loop) { echo(q) })
	waiting.expect([]byte{'k'})
	r.expectClosedWith(ErrIdle)
}

// TestIdleInTheMiddle: without a FrameTimeout, a frame that has begun does not keep a silent connection.
func TestIdleInTheMiddle(t *testing.T) {
	r := newRig(t, Config{IdleTimeout: 100 * time.Millisecond})
	c := r.dial()
	c.Write([]byte{0, 0, 0, 9, 'e'})
	c.expectClosed()
	r.expectClosedWith(ErrIdle)
}

func TestTicks(t *testing.T) {
	for _, d := range []time.Duration{1, time.Millisecond, 100 * time.Millisecond, time.Second, 10*time.Minute + 1,
		1 << 60, math.MaxInt64} {
		for _, c := range []Config{{IdleTimeout: d}, {IdleTimeout: d, FrameTimeout: 30 * time.Second}} {
			iv := c.tickInterval()
			n := c.ticks(d)
			if n == 0 || n > 1<<30 {
				t.Errorf("%v: %d ticks", d, n)
			}
			if n < 1<<30 && (time.Duration(n)*iv < d || time.Duration(n-1)*iv >= d) {
				t.Errorf("%v: %d ticks of %v", d, n, iv)
			}
		}
	}
	if n := new(Config).ticks(-1); n != 0 {
		t.Errorf("%d ticks for never", n)
	}
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// client is one session on one connection. It sends encoded requests and looks at no more than the errors of answers.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	xid  int32
	out  []byte
	in   []byte
}

const answerLimit = 60 * time.Second

// dial opens a session with the longest time-out that there is by default.
func dial(addr string) (*client, error) { return dialWithin(addr, answerLimit) }

func dialWithin(addr string, limit time.Duration) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}
	hello := zk.ConnectRequest{TimeoutMillis: 40_000, Password: make([]byte, zk.PasswordSize), HasReadOnly: true}
	c.out = zk.EndPacket(hello.Append(zk.BeginPacket(nil)), 0)
	_ = conn.SetDeadline(time.Now().Add(limit))
	if err = c.flush(); err == nil {
		c.in, err = zk.ReadPacket(c.r, c.in, zk.DefaultMaxPacket)
	}
	var resp zk.ConnectResponse
	if resp.Decode(zk.NewDecoder(c.in)); err == nil && resp.SessionID == 0 {
		err = errors.New("no session")
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return c, nil
}

func (c *client) flush() error {
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// add puts a request behind what is to be sent.
func (c *client) add(op zk.Op, r zk.Record) {
	c.xid++
	start := len(c.out)
	h := zk.RequestHeader{Xid: c.xid, Op: op}
	c.out = zk.EndPacket(r.Append(h.Append(zk.BeginPacket(c.out))), start)
}

// answer reads the next one; answers come in order.
func (c *client) answer() (err error) {
	if c.in, err = zk.ReadPacket(c.r, c.in, 16<<20); err != nil {
		return err
	}
	var h zk.ReplyHeader
	if h.Decode(zk.NewDecoder(c.in)); h.Err != zk.OK {
		return h.Err
	}
	return nil
}

// do is one request.
func (c *client) do(op zk.Op, r zk.Record) error {
	_ = c.conn.SetDeadline(time.Now().Add(answerLimit))
	c.add(op, r)
	if err := c.flush(); err != nil {
		return err
	}
	return c.answer()
}

// load is what one connection sends: window requests are under way all the time, next adds one more, and false ends it.
// h takes the time of each in nanoseconds.
func (c *client) load(window int, next func() bool, h *hdrhistogram.Histogram) (n int, err error) {
	sent := make([]time.Time, 0, window)
	first := 0 // of sent: a ring when it is full
	_ = c.conn.SetDeadline(time.Now().Add(10 * answerLimit))
	now := time.Now()
	for len(sent) < window && next() {
		sent = append(sent, now)
	}
	for left := len(sent); left > 0; {
		if len(c.out) > 0 {
			if err := c.flush(); err != nil {
				return n, err
			}
		}
		// what has come at once is answered by as many new ones at once
		for more := true; more && left > 0; more = c.r.Buffered() > 0 {
			if err := c.answer(); err != nil {
				return n, err
			}
			now = time.Now()
			if err := h.RecordValue(now.Sub(sent[first]).Nanoseconds()); err != nil {
				return n, err
			}
			n++
			if next() {
				sent[first] = now
			} else {
				left--
			}
			if first++; first == len(sent) {
				first = 0
			}
		}
	}
	return n, nil
}

// fleet is connections that work at the same time.
type fleet []*client

func dialFleet(addr string, n int) (f fleet, err error) {
	for range n {
		c, err := dial(addr)
		if err != nil {
			f.close()
			return nil, err
		}
		f = append(f, c)
	}
	return f, nil
}

func (f fleet) close() {
	for _, c := range f {
		c.conn.Close()
	}
}

// run has all connections under load; each gets a next of its own. It returns requests per second, and how long they took.
func (f fleet) run(ctx context.Context, window int, next func(i int, c *client) func() bool) (rate float64, took *hdrhistogram.Histogram, err error) {
	took = newHistogram()
	var mu sync.Mutex
	var all sync.WaitGroup
	total := 0
	began := time.Now()
	for i, c := range f {
		all.Go(func() {
			h := newHistogram()
			step := next(i, c)
			n, e := c.load(window, func() bool { return ctx.Err() == nil && step() }, h)
			mu.Lock()
			defer mu.Unlock()
			total += n
			took.Merge(h)
			err = errors.Join(err, e)
		})
	}
	all.Wait()
	return float64(total) / time.Since(began).Seconds(), took, errors.Join(err, ctx.Err())
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1000, time.Hour.Nanoseconds(), 3)
}

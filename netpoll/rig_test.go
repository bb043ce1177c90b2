package netpoll

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/internal/span"
)

// rig is a server with a handler for tests. A frame's first byte says what to do with it:
//
//	e  echo it
//	d  drop it
//	p  keep it; another goroutine posts its echo back
//	k  keep it until the test takes it from kept
//	s  file, memory and file again: answer with the frame, then file[off:off+n], memory[off:off+n], and one byte 'z';
//	   off and n are the next two uint32
//	x  panic
//	c  close the connection
type rig struct {
	t      testing.TB
	srv    *Server
	file   *os.File
	data   []byte // what the file holds
	ref    countRef
	parked chan *Request
	done   sync.WaitGroup

	open       atomic.Int64
	closed     chan error
	maxPending atomic.Int64
	turnEnds   atomic.Int64
	onOpen     atomic.Pointer[func(*Conn)]
	mostFrames atomic.Int64 // bytes, in use and idle, as seen at the ends of turns
	kept       chan *Request
}

// countRef counts the holds of spans.
type countRef struct{ n atomic.Int64 }

func (r *countRef) Retain()  { r.n.Add(1) }
func (r *countRef) Release() { r.n.Add(-1) }

var testData = sync.OnceValue(func() []byte {
	b := make([]byte, 4<<20)
	fill(b, 7)
	return b
})

const deadline = 30 * time.Second

func newRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, closed: make(chan error, 1<<15), parked: make(chan *Request, 1024), kept: make(chan *Request, 1024)}
	r.data = testData()
	var err error
	if r.file, err = os.Create(filepath.Join(t.TempDir(), "data")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.file.Write(r.data); err != nil {
		t.Fatal(err)
	}
	r.start(cfg)
	r.done.Add(1)
	go r.answerParked()
	t.Cleanup(r.stop)
	return r
}

func (r *rig) start(cfg Config) {
	r.t.Helper()
	if cfg.Listeners == nil {
		cfg.Listeners = []string{"127.0.0.1:0"}
	}
	cfg.Logger = slog.New(slog.NewTextHandler(testLog{r.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := Listen(cfg, r)
	if err != nil {
		r.t.Fatal(err)
	}
	r.srv = s
}

// testLog is quiet unless the test fails. The server is closed before the test ends.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

func (r *rig) stop() {
	r.srv.Close()
	close(r.parked)
	r.done.Wait()
	close(r.kept)
	for q := range r.kept { // the loops have ended: finishing here is safe
		q.Drop()
	}
	r.file.Close()
	if n := r.ref.n.Load(); n != 0 {
		r.t.Errorf("%d holds on spans left", n)
	}
	if n := r.srv.frames.inUse.Load(); n != 0 {
		r.t.Errorf("%d bytes of frames in use at the end", n)
	}
	if r.srv.frames.overdraft.Load() {
		r.t.Error("overdraft held at the end")
	}
	if n := r.open.Load(); n != 0 {
		r.t.Errorf("%d connections were not told to be closed", n)
	}
}

func (r *rig) answerParked() {
	defer r.done.Done()
	var some []*Request
	flush := func() {
		rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		for _, q := range some {
			if !q.Conn().Loop().Post((*echoTask)(q)) {
				q.Drop() // the loops have ended: finishing here is safe
			}
		}
		some = some[:0]
	}
	for q := range r.parked {
		some = append(some, q)
		if len(r.parked) == 0 || len(some) > 50 {
			flush()
		}
	}
	flush()
}

type echoTask Request

func (t *echoTask) Run() { echo((*Request)(t)) }

func echo(q *Request) {
	q.Out.Buf = append(q.Out.Buf, q.Bytes()...)
	q.Send()
}

func (r *rig) Opened(c *Conn) {
	r.open.Add(1)
	if f := r.onOpen.Load(); f != nil {
		(*f)(c)
	}
}

func (r *rig) TurnEnd(l *Loop) {
	r.turnEnds.Add(1)
	p := &l.server.frames
	r.mostFrames.Store(max(r.mostFrames.Load(), p.inUse.Load()+p.idle.Load())) // about right with several loops
}

func (r *rig) Closed(_ *Conn, err error) {
	r.open.Add(-1)
	r.closed <- err
}

func (r *rig) Request(q *Request) {
	b := q.Bytes()
	if p := q.Conn().pending; p > r.maxPending.Load() {
		r.maxPending.Store(p)
	}
	if len(b) == 0 {
		q.Send()
		return
	}
	switch b[0] {
	case 'd':
		q.Drop()
	case 'p':
		r.parked <- q
	case 'k':
		r.kept <- q
	case 's':
		r.spliced(q, b)
	case 'x':
		panic("as asked")
	case 'c':
		q.Conn().Close(errAsked)
		r.ref.Retain()
		q.Out.Splice(span.Memory(r.data, &r.ref))
		echo(q) // too late
	default:
		echo(q)
	}
}

var errAsked = errors.New("as asked")

func (r *rig) spliced(q *Request, b []byte) {
	off, n := binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:])
	q.Out.Buf = append(q.Out.Buf, b...)
	r.ref.n.Add(2)
	q.Frame().Retain()
	q.Out.Splice(span.File(int(r.file.Fd()), int64(off), int64(n), &r.ref))
	q.Out.Splice(span.Memory(r.data[off:off+n], &r.ref))
	q.Out.Buf = append(q.Out.Buf, 'z')
	q.Out.Splice(span.Memory(b, q.Frame()))
	q.Send()
}

// splicedReply is what 's' is answered with.
func (r *rig) splicedReply(frame []byte) []byte {
	off, n := binary.BigEndian.Uint32(frame[1:]), binary.BigEndian.Uint32(frame[5:])
	want := append([]byte(nil), frame...)
	want = append(want, r.data[off:off+n]...)
	want = append(want, r.data[off:off+n]...)
	want = append(want, 'z')
	return append(want, frame...)
}

func spliceFrame(off, n, extra int) []byte {
	b := make([]byte, 9+extra)
	b[0] = 's'
	binary.BigEndian.PutUint32(b[1:], uint32(off))
	binary.BigEndian.PutUint32(b[5:], uint32(n))
	fill(b[9:], uint64(off+n))
	return b
}

// onLoop runs f on the first loop and waits for it.
func (r *rig) onLoop(f func(l *Loop)) {
	done := make(chan struct{})
	l := r.srv.loops[0]
	l.Post(taskFunc(func() { f(l); close(done) }))
	<-done
}

type taskFunc func()

func (f taskFunc) Run() { f() }

// client is the other side.
type client struct {
	t testing.TB
	net.Conn
}

func (r *rig) dial() *client { return r.dialWith(0) }

func (r *rig) dialWith(receiveBuffer int) *client {
	r.t.Helper()
	d := net.Dialer{Control: control(receiveBuffer)}
	nc, err := d.DialContext(context.Background(), "tcp", r.srv.Addrs()[0])
	if err != nil {
		r.t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(deadline))
	r.t.Cleanup(func() { nc.Close() })
	return &client{t: r.t, Conn: nc}
}

func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(framed(b)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive() []byte {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *client) expect(want []byte) {
	c.t.Helper()
	if got := c.receive(); !bytes.Equal(got, want) {
		c.t.Fatalf("reply of %d bytes differs from the one wanted, of %d bytes", len(got), len(want))
	}
}

// expectClosed waits for the end of the stream, by FIN or reset.
func (c *client) expectClosed() {
	c.t.Helper()
	n, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatal("connection is still open")
	}
	if n > 0 {
		c.t.Fatalf("%d bytes before the end", n)
	}
}

func (r *rig) expectClosedWith(want error) {
	r.t.Helper()
	select {
	case err := <-r.closed:
		if !errors.Is(err, want) {
			r.t.Fatalf("closed with %v, want %v", err, want)
		}
	case <-time.After(deadline):
		r.t.Fatalf("not closed; want %v", want)
	}
}

// eventually waits for what has no event to wait for. The condition is looked at in pauses, so as to leave the
// processor to what is waited for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	pause := time.NewTicker(500 * time.Microsecond)
	defer pause.Stop()
	for end := time.Now().Add(deadline); !ok(); <-pause.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// fill makes bytes that show a shift or a swap.
func fill(b []byte, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, r.Uint64())
	}
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func echoFrame(n int, seed uint64) []byte {
	b := make([]byte, n)
	fill(b, seed)
	if n > 0 {
		b[0] = 'e'
	}
	return b
}

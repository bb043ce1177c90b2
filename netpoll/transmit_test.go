package netpoll

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/internal/span"
)

// TestOrder mixes requests that are answered at once, later by another goroutine, and not at all.
func TestOrder(t *testing.T) {
	r := newRig(t, Config{Loops: 2})
	for seed := range uint64(4) {
		c := r.dial()
		rng := rand.New(rand.NewPCG(seed, 0))
		var frames [][]byte
		for i := range 1000 {
			b := echoFrame(5+rng.IntN(200), uint64(i))
			b[0] = "eepd"[rng.IntN(4)]
			frames = append(frames, b)
		}
		go func() {
			var out []byte
			for _, f := range frames {
				out = append(out, framed(f)...)
				if rng.IntN(10) == 0 {
					c.Write(out)
					out = out[:0]
				}
			}
			c.Write(out)
		}()
		for _, f := range frames {
			if f[0] != 'd' {
				c.expect(f)
			}
		}
	}
	eventually(t, "all counted", func() bool { st := r.srv.Stats(); return st.Frames == st.Replies+st.Dropped })
}

// slowReader reads a few bytes at a time, of a socket that buffers few.
type slowReader struct {
	c   net.Conn
	rng *rand.Rand
}

func (s slowReader) Read(b []byte) (int, error) {
	return s.c.Read(b[:min(len(b), 1+s.rng.IntN(3000))])
}

// TestSplicedToSlowReader has replies of memory and file ranges cross tiny socket buffers.
func TestSplicedToSlowReader(t *testing.T) {
	t.Run("sendfile", func(t *testing.T) { testSpliced(t, false) })
	t.Run("copied", func(t *testing.T) { testSpliced(t, true) })
}

func testSpliced(t *testing.T, copied bool) {
	r := newRig(t, Config{SendBuffer: 4 << 10, MaxPending: 4 << 20, CopyFiles: copied})
	c := r.dialWith(2 << 10)
	rng := rand.New(rand.NewPCG(3, 3))
	var frames [][]byte
	want, got := sha256.New(), sha256.New()
	total := 0
	for range 60 {
		n := rng.IntN(120_000)
		if rng.IntN(5) == 0 {
			n = 0
		}
		f := spliceFrame(rng.IntN(len(r.data)-n), n, rng.IntN(50))
		frames = append(frames, f)
		b := framed(r.splicedReply(f))
		total += len(b)
		want.Write(b)
	}
	go func() {
		for _, f := range frames {
			c.Write(framed(f))
		}
	}()
	if _, err := io.CopyN(got, slowReader{c, rng}, int64(total)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sum(got), sum(want)) {
		t.Fatal("contents differ")
	}
	st := r.srv.Stats()
	t.Logf("%d bytes, socket full %d times, %d sendmsg, %d sendfile", total, st.SendFull, st.Writevs, st.Sendfiles)
	if st.SendFull < 500 || copied != (st.Sendfiles == 0) || copied != (st.Preads > 0) {
		t.Errorf("socket full %d times, %d sendfile, %d pread", st.SendFull, st.Sendfiles, st.Preads)
	}
	eventually(t, "all bytes counted", func() bool {
		st := r.srv.Stats()
		return st.BytesOutFile+st.BytesOutMemory == int64(total)
	})
}

func sum(h hash.Hash) []byte { return h.Sum(nil) }

// TestManyPieces has one reply of more pieces than a system call takes.
func TestManyPieces(t *testing.T) {
	r := newRig(t, Config{MaxPending: 16 << 20})
	c := r.dial()
	c.send([]byte{'k'})
	q := <-r.kept
	want := []byte(nil)
	r.onLoop(func(*Loop) {
		for i := range 5000 {
			b := r.data[i*10 : i*10+i%300]
			r.ref.Retain()
			q.Out.Splice(span.Memory(b, &r.ref))
			q.Out.Buf = append(q.Out.Buf, byte(i))
			want = append(append(want, b...), byte(i))
		}
		if q.Out.Len() != int64(len(want)+lengthSize) {
			t.Errorf("Len is %d, %d bytes were added", q.Out.Len(), len(want))
		}
		q.Send()
	})
	c.expect(want)
}

func TestReset(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	c.send([]byte{'k'})
	q := <-r.kept
	r.onLoop(func(*Loop) {
		r.ref.Retain()
		q.Out.Buf = append(q.Out.Buf, "never sent"...)
		q.Out.Splice(span.Memory(r.data, &r.ref))
		q.Out.Reset()
		if q.Out.Len() != lengthSize {
			t.Errorf("%d bytes after Reset", q.Out.Len())
		}
		q.Out.Buf = append(q.Out.Buf, "error"...)
		q.Send()
	})
	c.expect([]byte("error"))
}

// TestTruncatedFile cuts the file while a range of it is being sent. The stream must end, with nothing that does not
// belong to it.
func TestTruncatedFile(t *testing.T) {
	t.Run("sendfile", func(t *testing.T) { testTruncated(t, false) })
	t.Run("copied", func(t *testing.T) { testTruncated(t, true) })
}

func testTruncated(t *testing.T, copied bool) {
	r := newRig(t, Config{SendBuffer: 4 << 10, MaxPending: 16 << 20, CopyFiles: copied})
	f, err := os.Create(filepath.Join(t.TempDir(), "short"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Write(r.data)
	c := r.dialWith(2 << 10)
	c.send([]byte{'k'})
	c.send([]byte("e behind"))
	q := <-r.kept
	r.onLoop(func(*Loop) {
		r.ref.Retain()
		q.Out.Splice(span.File(int(f.Fd()), 0, int64(len(r.data)), &r.ref))
		q.Send()
	})
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil || int(binary.BigEndian.Uint32(head[:])) != len(r.data) {
		t.Fatalf("length %d, %v", binary.BigEndian.Uint32(head[:]), err)
	}
	if err := f.Truncate(200_000); err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(c)
	if len(got) >= len(r.data) || !bytes.Equal(got, r.data[:len(got)]) {
		t.Errorf("%d bytes that are not the file's beginning", len(got))
	}
	r.expectClosedWith(ErrTruncated)
	eventually(t, "one counted", func() bool { return r.srv.Stats().TruncatedFiles == 1 })
}

// TestTruncatedBefore: a file that ends before the range begins, with memory going first, is counted once.
func TestTruncatedBefore(t *testing.T) {
	for _, copied := range []bool{false, true} {
		r := newRig(t, Config{CopyFiles: copied})
		c := r.dial()
		c.send([]byte{'k'})
		q := <-r.kept
		r.onLoop(func(*Loop) {
			r.ref.Retain()
			q.Out.Splice(span.File(int(r.file.Fd()), int64(len(r.data)), 10, &r.ref))
			q.Send()
		})
		r.expectClosedWith(ErrTruncated)
		r.onLoop(func(*Loop) {})
		if n := r.srv.Stats().TruncatedFiles; n != 1 {
			t.Errorf("%d counted", n)
		}
	}
}

// TestResetWhileSending has the peer reset with replies pending; every hold must come back.
func TestResetWhileSending(t *testing.T) {
	r := newRig(t, Config{SendBuffer: 4 << 10, MaxPending: 4 << 20})
	for range 20 {
		c := r.dialWith(2 << 10)
		for range 5 {
			c.send(spliceFrame(0, 100_000, 0))
		}
		c.send([]byte{'k'})
		kept := <-r.kept
		if n := r.ref.n.Load(); n == 0 {
			t.Fatal("nothing pending")
		}
		c.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
		<-r.closed
		eventually(t, "spans released", func() bool { return r.ref.n.Load() == 0 })
		r.onLoop(func(*Loop) { // finished only after the connection is gone
			r.ref.Retain()
			kept.Out.Splice(span.Memory(r.data, &r.ref))
			kept.Send()
		})
	}
}

// TestTokensAreNotConfused closes connections that wait for their socket, while others take over descriptors and
// slots; reports for the old must not reach the new.
func TestTokensAreNotConfused(t *testing.T) {
	r := newRig(t, Config{SendBuffer: 4 << 10, MaxPending: 4 << 20})
	stale := 0
	for i := range 50 {
		c := r.dialWith(2 << 10)
		c.send(spliceFrame(0, 50_000, 0))
		var token uint64
		eventually(t, "armed", func() (armed bool) {
			r.onLoop(func(l *Loop) {
				for _, s := range l.slots {
					if s.conn != nil && s.conn.armed {
						armed, token = true, tokenOf(l.index, s.conn.slot, s.conn.generation)
					}
				}
			})
			return armed
		})
		if i%2 == 0 { // from our side
			r.onLoop(func(l *Loop) { l.slots[uint32(token>>32)&(1<<24-1)].conn.Close(errAsked) })
		} else {
			c.Close()
		}
		<-r.closed
		next := r.dialWith(2 << 10)
		next.send(spliceFrame(0, 50_000, 0))
		r.onLoop(func(l *Loop) {
			l.writable.report(token) // as if it had been on its way
			stale++
		})
		next.expect(r.splicedReply(spliceFrame(0, 50_000, 0)))
		next.Close()
		<-r.closed
	}
}

// TestSendTimeout cuts a peer that takes nothing, and only that one.
func TestSendTimeout(t *testing.T) {
	r := newRig(t, Config{FrameTimeout: 200 * time.Millisecond, MaxPending: 4 << 20})
	c := r.dialWith(2 << 10)
	for range 4 {
		c.send(spliceFrame(0, 2<<20, 0))
	}
	r.expectClosedWith(ErrSendTimeout)
	eventually(t, "spans released", func() bool { return r.ref.n.Load() == 0 })
	eventually(t, "one counted", func() bool { return r.srv.Stats().SendTimeouts == 1 })
}

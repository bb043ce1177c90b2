package netpoll

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
)

func TestSizes(t *testing.T) {
	r := newRig(t, Config{MaxPending: 64 << 20})
	c := r.dial()
	for _, n := range []int{0, 1, 2, 3, 4, 5, 100, 511, 512, 513, 1019, 1020, 1021, 1024, 4095, 4096, 4097, 65535, 65536,
		65537, 66560, 1 << 20, 1<<20 + 1, 2 << 20, 2<<20 + 77, 5 << 20} {
		b := echoFrame(n, uint64(n))
		go c.send(b)
		c.expect(b)
	}
}

// TestChunks cuts a stream of frames at all sorts of places.
func TestChunks(t *testing.T) {
	var stream []byte
	var frames [][]byte
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 64 {
		n := rng.IntN(300)
		if i%8 == 7 {
			n = rng.IntN(100_000)
		}
		frames = append(frames, echoFrame(n, uint64(i)))
		stream = append(stream, framed(frames[i])...)
	}
	for _, test := range []struct {
		name string
		size func() int
		upTo int // frames
	}{
		{"bytes", func() int { return 1 }, 20},
		{"at once", func() int { return len(stream) }, 64},
		{"random small", func() int { return 1 + rng.IntN(1500) }, 64},
		{"random large", func() int { return 1 + rng.IntN(80_000) }, 64},
		{"gnet buffers", func() int { return gnetBuffer }, 64},
		{"without four", func() int { return gnetBuffer - 4 }, 64},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, Config{})
			c := r.dial()
			part := 0
			for _, f := range frames[:test.upTo] {
				part += len(f) + 4
			}
			go func() {
				for b := stream[:part]; len(b) > 0; {
					n := min(test.size(), len(b))
					c.Write(b[:n])
					b = b[n:]
				}
			}()
			for _, f := range frames[:test.upTo] {
				c.expect(f)
			}
		})
	}
}

func TestBadLengths(t *testing.T) {
	r := newRig(t, Config{MaxFrame: 1000})
	for _, n := range []int32{1001, 1 << 30, -1, -1 << 31} {
		c := r.dial()
		b := framed([]byte("e good"))
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		c.Write(b)
		c.expect([]byte("e good"))
		c.expectClosed()
		r.expectClosedWith(ErrFrameSize)
	}
	c := r.dial()
	c.send(nil)
	c.expect([]byte{})
	b := echoFrame(1000, 1)
	c.send(b)
	c.expect(b)
	if n := r.srv.Stats().BadFrames; n != 4 {
		t.Errorf("%d bad frames counted", n)
	}
}

// TestNothingByAnnouncedSize has many connections announce large frames and send little of them.
func TestNothingByAnnouncedSize(t *testing.T) {
	r := newRig(t, Config{MaxFrame: 64 << 20})
	for range 50 {
		c := r.dial()
		c.Write(append(binary.BigEndian.AppendUint32(nil, 64<<20), 'e', 'e'))
	}
	eventually(t, "all begun", func() bool { return r.srv.Stats().BytesIn == 50*6 })
	if n := r.srv.Stats().FrameBytes; n > 50*firstStep {
		t.Errorf("%d bytes for 50 frames that have just begun", n)
	}
}

// TestBudget has more unfinished frames than the budget allows, all advancing in turn. They must get through, by and
// by, and the buffers stay within the bound.
func TestBudget(t *testing.T) {
	const conns, size = 8, 512 << 10
	const budget = 1 << 20
	for _, loops := range []int{1, 2} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			r := newRig(t, Config{Loops: loops, FrameBudget: budget, MaxFrame: size, MaxPending: 64 << 20})
			errs := make(chan error, conns)
			var clients []*client
			for i := range conns { // all want a buffer for the whole frame now, and none can have all its bytes
				c := r.dial()
				c.Write(framed(echoFrame(size, uint64(i)))[:300_000])
				clients = append(clients, c)
			}
			for i, c := range clients {
				go func() {
					b := echoFrame(size, uint64(i))
					_, err := c.Write(framed(b)[300_000:])
					if err == nil && !bytes.Equal(c.receive(), b) {
						err = fmt.Errorf("reply %d differs", i)
					}
					errs <- err
				}()
			}
			for range conns {
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
			}
			most := r.mostFrames.Load()
			st := r.srv.Stats()
			// Growing needs the old buffer and the new one; held bytes come on top.
			if limit := int64(budget + 2*size + conns*(smallFrame+spillSize+gnetBuffer)); most > limit {
				t.Errorf("%d bytes of buffers, more than %d", most, limit)
			}
			t.Logf("at most %d bytes, %d times over the budget", most, st.OverBudget)
			if st.OverBudget == 0 {
				t.Error("the budget was never spent")
			}
		})
	}
}

// TestSmallFramesPassBudget has kept requests use up the budget; others still get small frames through.
func TestSmallFramesPassBudget(t *testing.T) {
	r := newRig(t, Config{FrameBudget: 100_000})
	hog := r.dial()
	big := append([]byte{'k'}, echoFrame(50_000, 1)...)
	for range 3 {
		hog.send(big)
	}
	first := <-r.kept
	second := <-r.kept
	other := r.dial()
	for range 10 {
		other.send([]byte("e small"))
		other.expect([]byte("e small"))
	}
	select {
	case <-r.kept:
		t.Error("third frame came over the budget")
	default:
	}
	r.onLoop(func(*Loop) { first.Drop(); second.Drop() })
	third := <-r.kept
	r.onLoop(func(*Loop) { third.Drop() })
}

func TestUrgentByteDoesNotSpin(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	raw, _ := c.Conn.(*net.TCPConn).SyscallConn()
	raw.Write(func(fd uintptr) bool {
		syscall.Sendto(int(fd), []byte{0}, syscall.MSG_OOB, nil)
		return true
	})
	eventually(t, "read", func() bool { return r.srv.Stats().BytesIn == 1 })
	turns := r.srv.Stats().Turns
	other := r.dial()
	for range 100 {
		other.send([]byte("e"))
		other.expect([]byte("e"))
	}
	if n := r.srv.Stats().Turns - turns; n > 110 {
		t.Errorf("%d turns for 100 requests", n)
	}
}

func TestClasses(t *testing.T) {
	for n := range 1 << 17 {
		size := classSize(classOf(n))
		if size < n {
			t.Fatalf("%d bytes in a buffer of %d", n, size)
		}
		if n > minClass && size-n > n/4 {
			t.Fatalf("%d bytes in a buffer of %d: too much unused", n, size)
		}
		if classOf(size) != classOf(n) {
			t.Fatalf("a buffer of %d bytes is not of its own class", size)
		}
	}
	if k := classOf(1<<31 - 1); k >= classes {
		t.Fatalf("class %d of the largest frame", k)
	}
}

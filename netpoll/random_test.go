package netpoll

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

var randomSeed = flag.Uint64("seed", 0, "seed of TestRandom; 0: some fixed ones")

// TestRandom drives servers with small limits by clients that send, cut, half close, read and disappear at random.
// Whatever is read must be a beginning of what the frames are answered with, all of it if the client stays; rig.stop
// checks that nothing is held in the end.
func TestRandom(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if *randomSeed != 0 {
		seeds = []uint64{*randomSeed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 99))
			r := newRig(t, Config{
				Loops:       1 + rng.IntN(2),
				MaxRequests: 1 + rng.IntN(6),
				MaxPending:  int64(1 + rng.IntN(100_000)),
				FrameBudget: int64(10_000 + rng.IntN(300_000)),
				MaxFrame:    200_000,
				SendBuffer:  4<<10 + rng.IntN(30_000),
				CopyFiles:   rng.IntN(2) == 0,
			})
			var wg sync.WaitGroup
			for i := range 12 {
				one := rand.New(rand.NewPCG(seed, uint64(i)))
				c := r.dialWith(2<<10 + rng.IntN(20_000))
				wg.Add(1)
				go func() {
					defer wg.Done()
					if err := r.randomClient(c, one); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
				}()
			}
			wg.Wait()
		})
	}
}

func (r *rig) randomClient(c *client, rng *rand.Rand) error {
	var send, want []byte
	for range 5 + rng.IntN(60) {
		f := randomFrame(rng)
		send = append(send, framed(f)...)
		switch {
		case len(f) == 0:
			want = append(want, 0, 0, 0, 0)
		case f[0] == 's':
			want = append(want, framed(r.splicedReply(f))...)
		case f[0] != 'd':
			want = append(want, framed(f)...)
		}
	}
	stay := len(want)
	if rng.IntN(3) == 0 {
		stay = rng.IntN(len(want) + 1)
	}
	chunks := rng.Uint64()
	written := make(chan struct{})
	go func() {
		defer close(written)
		rng := rand.New(rand.NewPCG(chunks, 0))
		for b := send; len(b) > 0; {
			n := min(len(b), 1+rng.IntN(1+rng.IntN(100_000)))
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
		if rng.IntN(2) == 0 {
			c.Conn.(*net.TCPConn).CloseWrite()
		}
	}()
	got := make([]byte, stay)
	if n, err := io.ReadFull(slowReader{c, rng}, got); err != nil {
		return fmt.Errorf("%d of %d bytes: %w", n, stay, err)
	}
	if !bytes.Equal(got, want[:stay]) {
		return fmt.Errorf("%d bytes that are not the replies'", stay)
	}
	if stay == len(want) {
		<-written
	} else if rng.IntN(2) == 0 {
		c.Conn.(*net.TCPConn).SetLinger(0)
	}
	c.Close()
	<-written
	return nil
}

func randomFrame(rng *rand.Rand) []byte {
	switch rng.IntN(12) {
	case 0:
		return nil
	case 1, 2:
		return spliceFrame(rng.IntN(1<<20), rng.IntN(30_000), rng.IntN(20))
	case 3:
		b := echoFrame(1+rng.IntN(200_000), rng.Uint64())
		return b
	}
	b := echoFrame(1+rng.IntN(3000), rng.Uint64())
	b[0] = "eppd"[rng.IntN(4)]
	return b
}

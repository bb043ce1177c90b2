package netpoll

import (
	"bufio"
	"fmt"
	"io"
	"testing"
)

// BenchmarkFrames is for comparing this package with itself, before and after a change: client and server share the
// process and its processors. "in" sends frames of which only the last of a round is answered, "out" fetches file
// ranges by small requests.
func BenchmarkFrames(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("in/%d", size), func(b *testing.B) {
			const ahead = 5
			r := newRig(b, Config{})
			c := r.dial()
			f := make([]byte, size)
			f[0] = 'd'
			round := make([]byte, 0, ahead*(size+4)+5)
			for range ahead {
				round = append(round, framed(f)...)
			}
			round = append(round, framed([]byte("e"))...)
			back := make([]byte, 5)
			b.SetBytes(int64(ahead * size))
			for b.Loop() {
				c.Write(round)
				io.ReadFull(c, back)
			}
		})
	}
	for _, copied := range []bool{false, true} {
		for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("out/copied=%v/%d", copied, size), func(b *testing.B) {
				r := newRig(b, Config{CopyFiles: copied})
				c := r.dial()
				request := make([]byte, 0, 100)
				request = append(request, framed(spliceFrame(0, size/2, 0))...)
				reply := len(r.splicedReply(request[4:])) + 4
				in := bufio.NewReaderSize(c, 1<<20)
				b.SetBytes(int64(reply))
				for b.Loop() {
					c.Write(request)
					in.Discard(reply)
				}
			})
		}
	}
}

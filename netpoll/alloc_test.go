//go:build !race

package netpoll

import (
	"io"
	"testing"
)

// TestAllocations: nothing is allocated for a request in steady state, by any goroutine of the process.
func TestAllocations(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	parked := echoFrame(200, 1)
	parked[0] = 'p'
	for _, test := range []struct {
		name         string
		frame, reply []byte
	}{
		{"small", echoFrame(100, 1), echoFrame(100, 1)},
		{"60 KiB", echoFrame(60<<10, 1), echoFrame(60<<10, 1)},
		{"400 KiB without a reply", append([]byte{'d'}, make([]byte, 400<<10)...), nil},
		{"file and memory spans", spliceFrame(5000, 30_000, 20), r.splicedReply(spliceFrame(5000, 30_000, 20))},
		{"answered from another goroutine", parked, parked},
	} {
		request := framed(test.frame)
		tail := framed([]byte("e"))
		request = append(request, tail...)
		back := make([]byte, len(tail))
		if test.reply != nil {
			back = make([]byte, lengthSize+len(test.reply)+len(tail))
		}
		once := func() {
			c.Write(request)
			if _, err := io.ReadFull(c, back); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 {
			once()
		}
		if n := testing.AllocsPerRun(500, once); n > 0 {
			t.Errorf("%s: %v allocations per request", test.name, n)
		}
	}
}

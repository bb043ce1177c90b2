package netpoll

import (
	"testing"
)

// TestSlowReader sends 10,000 requests ahead and reads nothing for a while. What the server holds for it stays
// bounded, others are served, and in the end every reply arrives.
func TestSlowReader(t *testing.T) {
	const requests, size, most = 10_000, 1000, 256 << 10
	r := newRig(t, Config{MaxPending: most, SendBuffer: 16 << 10})
	slow := r.dialWith(8 << 10)
	frame := func(i int) []byte { return echoFrame(size, uint64(i%97)) }
	go func() {
		for i := range requests {
			if _, err := slow.Write(framed(frame(i))); err != nil {
				return
			}
		}
	}()
	eventually(t, "paused", func() bool { return r.srv.Stats().Pauses > 0 })
	other := r.dial()
	for i := range 500 {
		b := echoFrame(100, uint64(i))
		other.send(b)
		other.expect(b)
	}
	st := r.srv.Stats()
	if st.BytesIn > 4<<20 {
		t.Errorf("%d bytes were read of a client that reads nothing", st.BytesIn)
	}
	for i := range requests {
		slow.expect(frame(i))
	}
	if n := r.maxPending.Load(); n > most+size+lengthSize {
		t.Errorf("%d bytes were pending, more than %d and a reply", n, most)
	}
	st = r.srv.Stats()
	t.Logf("pauses %d, over pending %d, epoll_ctl %d, socket full %d", st.Pauses, st.OverPending, st.EpollCtls, st.SendFull)
}

// TestMaxRequests keeps requests unanswered up to the bound, one by one lets them go, and counts what comes through.
func TestMaxRequests(t *testing.T) {
	const bound = 5
	r := newRig(t, Config{MaxRequests: bound})
	c := r.dial()
	for range 3 * bound {
		c.send([]byte{'k'})
	}
	c.send([]byte("e end"))
	var kept []*Request
	for range bound {
		kept = append(kept, <-r.kept)
	}
	for range 2 * bound {
		r.onLoop(func(*Loop) {}) // a turn in which more would have come
		if len(r.kept) > 0 {
			t.Fatal("more requests than the bound")
		}
		last := kept[len(kept)-1] // the order of answers does not matter
		kept = kept[:len(kept)-1]
		r.onLoop(func(*Loop) { echo(last) })
		kept = append(kept, <-r.kept)
	}
	r.onLoop(func(*Loop) {
		for _, q := range kept {
			echo(q)
		}
	})
	for range 3 * bound {
		c.expect([]byte{'k'})
	}
	c.expect([]byte("e end"))
}

// TestOneAtATime is Kafka's own discipline, one unanswered request per connection, against a client that sends ahead.
func TestOneAtATime(t *testing.T) {
	r := newRig(t, Config{MaxRequests: 1})
	c := r.dial()
	other := r.dial()
	const n = 3000
	go func() {
		var b []byte
		for i := range n {
			f := echoFrame(10+i%50, uint64(i))
			f[0] = 'p'
			b = append(b, framed(f)...)
		}
		c.Write(b)
	}()
	for i := range n {
		f := echoFrame(10+i%50, uint64(i))
		f[0] = 'p'
		c.expect(f)
		if i%100 == 0 {
			other.send([]byte("e"))
			other.expect([]byte("e"))
		}
	}
}

// TestHeldRounds has so many small requests in the spill buffer that going on with them is put off.
func TestHeldRounds(t *testing.T) {
	r := newRig(t, Config{MaxPending: 500})
	c := r.dial()
	const n = 3000
	first := echoFrame(200_000, 1) // what comes behind it is in the spill buffer
	b := framed(first)
	for i := range n {
		b = append(b, framed(echoFrame(50, uint64(i)))...)
	}
	go c.Write(b)
	c.expect(first)
	for i := range n {
		c.expect(echoFrame(50, uint64(i)))
	}
	if r.srv.Stats().OverRounds == 0 {
		t.Error("never put off")
	}
}

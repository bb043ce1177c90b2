package netpoll

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// TestFrameOutlivesRequest keeps frames as a log's tail does, while others come and go, and lets go of them elsewhere.
func TestFrameOutlivesRequest(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	var frames []*Frame
	content := func(i int) []byte {
		b := echoFrame(100*(i+1), uint64(i))
		b[0] = 'k'
		return b
	}
	for i := range 20 {
		c.send(content(i))
		q := <-r.kept
		f := q.Frame()
		f.Retain()
		frames = append(frames, f)
		r.onLoop(func(*Loop) { q.Drop() })
		for range 5 {
			other := echoFrame(100*(i+1), 99)
			c.send(other)
			c.expect(other)
		}
	}
	if n := r.srv.Stats().FrameBytes; n < 100*20*21/2 {
		t.Errorf("%d bytes in use with frames kept", n)
	}
	var wg sync.WaitGroup
	for i, f := range frames {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if !bytes.Equal(f.Bytes(), content(i)) {
				t.Errorf("frame %d was changed", i)
			}
			f.Release()
		}()
	}
	wg.Wait()
}

func TestFrameCountFaults(t *testing.T) {
	p := &framePool{budget: 1 << 20, wake: func() {}}
	for name, f := range map[string]func(f *Frame){
		"Release": (*Frame).Release,
		"Retain":  (*Frame).Retain,
	} {
		func() {
			defer func() {
				if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "BUG:") {
					t.Errorf("%s of a released frame: %q", name, s)
				}
			}()
			fr := p.force(100)
			fr.Release()
			f(fr)
		}()
	}
}

// TestPoolBounds: in use and idle together stay within the budget, and idle buffers go when nobody needs them.
func TestPoolBounds(t *testing.T) {
	const budget = 1 << 20
	p := &framePool{budget: budget, wake: func() {}}
	take := func(n, size int) {
		var all []*Frame
		for range n {
			all = append(all, p.force(size))
		}
		for _, f := range all {
			f.Release()
		}
	}
	take(100, 5000)
	take(1, 900_000)
	take(10_000, 600)
	for _, size := range []int{512, 1000, 30_000, 100_000} {
		take(3, size)
		if sum := p.inUse.Load() + p.idle.Load(); p.inUse.Load() != 0 || sum > budget {
			t.Errorf("%d bytes in use, %d idle", p.inUse.Load(), p.idle.Load())
		}
	}
	before := p.allocs.Load()
	take(3, 100_000-100)
	if p.allocs.Load() != before {
		t.Error("idle buffers are not reused")
	}
	for range 20 {
		p.trim()
	}
	if n := p.idle.Load(); n != 0 {
		t.Errorf("%d bytes idle after nobody has needed them for long", n)
	}
}

// TestPoolWakes: whoever was refused is woken when there is room, and when the overdraft is free.
func TestPoolWakes(t *testing.T) {
	woken := 0
	p := &framePool{budget: 10_000, wake: func() { woken++ }}
	reserve := func(n int, ok, took bool) *Frame {
		t.Helper()
		gotOK, gotTook := p.reserve(n, false, false)
		if gotOK != ok || gotTook != took {
			t.Fatalf("reserve: %v, %v", gotOK, gotTook)
		}
		if !ok {
			p.waiting.Store(true)
			return nil
		}
		f := p.take(n)
		f.over = took
		return f
	}
	first := reserve(8192, true, false)
	over := reserve(8192, true, true)
	reserve(4096, false, false)
	if woken != 0 {
		t.Fatal("refusal wakes")
	}
	p.giveUp(over)
	if woken != 1 {
		t.Fatalf("woken %d times by the overdraft's end", woken)
	}
	over = reserve(8192, true, true)
	reserve(4096, false, false)
	p.giveUp(first)
	if woken != 2 {
		t.Fatalf("woken %d times by room", woken)
	}
	p.giveUp(over)
	if woken != 2 {
		t.Fatal("woken without waiting")
	}
}

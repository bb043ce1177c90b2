package sys

import (
	"syscall"
	"testing"
	"time"
)

func TestEvents(t *testing.T) {
	e, err := NewEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	a, b, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer CloseFile(a)
	if errno := e.Add(a); errno != 0 {
		t.Fatal(errno)
	}
	wait := func(timeout time.Duration) []Event {
		t.Helper()
		ready, full, err := e.Wait(nil, timeout)
		if err != nil || full {
			t.Fatal(full, err)
		}
		return ready
	}
	if r := wait(0); len(r) > 0 {
		t.Fatal(r)
	}
	buf := make([]byte, 10)
	if _, errno := Receive(a, buf); errno != syscall.EAGAIN {
		t.Fatal(errno)
	}
	if n, errno := Send(b, []byte("abc")); n != 3 || errno != 0 {
		t.Fatal(n, errno)
	}
	for range 2 { // it is level-triggered
		if r := wait(time.Minute); len(r) != 1 || r[0] != (Event{FD: a, Readable: true}) {
			t.Fatal(r)
		}
	}
	if n, errno := Receive(a, buf); n != 3 || errno != 0 {
		t.Fatal(n, errno)
	}
	go e.Ring()
	if r := wait(time.Minute); len(r) > 0 {
		t.Fatal(r)
	}
	if r := wait(0); len(r) > 0 {
		t.Fatal(r)
	}
	e.Set(a, false, true)
	if r := wait(time.Minute); len(r) != 1 || r[0] != (Event{FD: a, Writable: true}) {
		t.Fatal(r)
	}
	e.Set(a, false, false)
	CloseFile(b)
	if r := wait(time.Minute); len(r) != 1 || !r[0].Gone || r[0].Readable {
		t.Fatal(r)
	}
	if n, errno := Receive(a, buf); n != 0 || errno != 0 {
		t.Fatal(n, errno)
	}
	if _, errno := Send(a, buf); errno != syscall.EPIPE {
		t.Fatal(errno)
	}
}

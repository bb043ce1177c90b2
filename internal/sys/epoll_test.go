package sys

import (
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (a, b int) {
	t.Helper()
	a, b, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(a); unix.Close(b) })
	return a, b
}

// ready asks epfd without waiting.
func ready(t *testing.T, epfd int) []unix.EpollEvent {
	t.Helper()
	var events [8]unix.EpollEvent
	n, err := unix.EpollWait(epfd, events[:], 0)
	if err != nil {
		t.Fatal(err)
	}
	return events[:n]
}

func TestWatch(t *testing.T) {
	a, b := pair(t)
	if _, err := FindWatch(a); !errors.Is(err, ErrNoEpoll) {
		t.Errorf("nobody watches: %v", err)
	}
	other, _ := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	defer unix.Close(epfd)
	unix.EpollCtl(other, unix.EPOLL_CTL_ADD, b, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(b)})
	unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, a, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLPRI, Fd: int32(a)})
	w, err := FindWatch(a)
	if err != nil {
		t.Fatal(err)
	}
	if w.epfd != epfd {
		t.Fatalf("found epoll %d, want %d", w.epfd, epfd)
	}
	if err := WriteByte(b); err != nil {
		t.Fatal(err)
	}
	if n := len(ready(t, epfd)); n != 1 {
		t.Fatalf("%d events before the pause", n)
	}
	if e := w.Pause(a); e != 0 {
		t.Fatal(e)
	}
	if n := len(ready(t, epfd)); n != 0 {
		t.Errorf("%d events in the pause", n)
	}
	if e := w.Resume(a); e != 0 {
		t.Fatal(e)
	}
	ev := ready(t, epfd)
	if len(ev) != 1 || ev[0].Fd != int32(a) || ev[0].Pad != 0 || ev[0].Events != unix.EPOLLIN {
		t.Errorf("after the pause: %+v", ev)
	}
	// A hang-up is reported in a pause too.
	w.Pause(a)
	unix.Shutdown(a, unix.SHUT_RDWR)
	if ev := ready(t, epfd); len(ev) != 1 || ev[0].Events&unix.EPOLLHUP == 0 {
		t.Errorf("hang-up in the pause: %+v", ev)
	}
	if e := w.Pause(epfd); e != syscall.EINVAL && e != syscall.ENOENT {
		t.Errorf("pausing what is not watched: %v", e)
	}
}

// TestWatchWithOtherData: a loop that keeps something else than the number in the data word must not be touched.
func TestWatchWithOtherData(t *testing.T) {
	a, _ := pair(t)
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epfd)
	unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, a, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(a), Pad: 1})
	if _, err := FindWatch(a); !errors.Is(err, ErrNoEpoll) {
		t.Errorf("found: %v", err)
	}
}

func TestPoller(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	a, b := pair(t)
	big := make([]byte, 1<<20)
	n, errno := SendIovecs(a, []Iovec{IovecOf(big)}, false)
	if errno != 0 || n == len(big) {
		t.Fatalf("filling the socket: %d, %v", n, errno)
	}
	const token = 5<<56 | 77<<32 | 0xfffffff0
	if e := p.Arm(a, token, false); e != 0 {
		t.Fatal(e)
	}
	for got := 0; got < n; {
		m, errno := Readv(b, []Iovec{IovecOf(big)})
		if errno != 0 {
			t.Fatal(errno)
		}
		got += m
	}
	if tokens, ok := p.Wait(nil); !ok || len(tokens) != 1 || tokens[0] != token {
		t.Fatalf("%x, %v", tokens, ok)
	}
	if e := p.Arm(a, token+1, true); e != 0 { // has room: reported at once
		t.Fatal(e)
	}
	if tokens, ok := p.Wait(nil); !ok || len(tokens) != 1 || tokens[0] != token+1 {
		t.Fatalf("%x, %v", tokens, ok)
	}
	if e := p.Disarm(a); e != 0 {
		t.Fatal(e)
	}
	if e := p.Arm(a, token, true); e != syscall.ENOENT {
		t.Errorf("still known after Disarm: %v", e)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, ok := p.Wait(nil); ok {
			t.Error("Wait goes on after Stop")
		}
	}
}

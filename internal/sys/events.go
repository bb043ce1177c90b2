package sys

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Events is an epoll instance for a loop of our own: level-triggered, one goroutine waits, and any other can ring.
type Events struct {
	epfd, bell int
	buf        [256]unix.EpollEvent
}

// Event says what a descriptor is ready for. Gone: the connection has failed or both its sides have ended.
type Event struct {
	FD                       int
	Readable, Writable, Gone bool
}

// NewEvents opens one. The caller closes it.
func NewEvents() (*Events, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	e := &Events{epfd: epfd, bell: bell}
	if errno := e.Add(bell); errno != 0 {
		e.Close()
		return nil, fmt.Errorf("epoll_ctl: %w", errno)
	}
	return e, nil
}

// Add watches fd for bytes to read. Closing the descriptor's last copy ends it.
func (e *Events) Add(fd int) syscall.Errno {
	return epollCtl(e.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// Set says what fd, which was added, is watched for from now on. That it is gone is reported always.
func (e *Events) Set(fd int, read, write bool) syscall.Errno {
	var events uint32
	if read {
		events |= unix.EPOLLIN
	}
	if write {
		events |= unix.EPOLLOUT
	}
	return epollCtl(e.epfd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// Wait blocks its thread until something is ready, the bell has rung or the time is over (0: does not block), and
// appends what is ready to dst. full says that there may be more.
func (e *Events) Wait(dst []Event, timeout time.Duration) (ready []Event, full bool, err error) {
	n, err := unix.EpollWait(e.epfd, e.buf[:], int((timeout+time.Millisecond-1)/time.Millisecond))
	if err == unix.EINTR {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, fmt.Errorf("epoll_wait: %w", err)
	}
	for i := range e.buf[:n] {
		ev := &e.buf[i]
		if int(ev.Fd) == e.bell {
			var b [8]byte
			_, _ = unix.Read(e.bell, b[:]) // EAGAIN: nothing to silence
			continue
		}
		dst = append(dst, Event{FD: int(ev.Fd), Readable: ev.Events&unix.EPOLLIN != 0, Writable: ev.Events&unix.EPOLLOUT != 0,
			Gone: ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0})
	}
	return dst, n == len(e.buf), nil
}

// Ring makes Wait return, now or the next time. It may be called from any goroutine until Close.
func (e *Events) Ring() {
	_, _ = unix.Write(e.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // EAGAIN: it rings already
}

// Close closes the descriptors. Nobody may wait or ring any more.
func (e *Events) Close() {
	unix.Close(e.bell)
	unix.Close(e.epfd)
}

// Receive reads from a non-blocking socket. n is 0 with no error at the end of the stream; EAGAIN says that nothing is
// there yet.
func Receive(fd int, b []byte) (n int, errno syscall.Errno) {
	for {
		n, err := unix.Read(fd, b)
		if err == unix.EINTR {
			continue
		}
		return max(n, 0), errnoOf(err)
	}
}

// Send writes to a non-blocking socket what it takes. EAGAIN says that it is full.
func Send(fd int, b []byte) (n int, errno syscall.Errno) {
	iov := [...]Iovec{IovecOf(b)}
	return SendIovecs(fd, iov[:], false)
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if errno, ok := err.(syscall.Errno); ok {
		return errno
	}
	return syscall.EINVAL
}

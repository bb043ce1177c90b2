package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendIovecs writes iov to the socket fd in one system call and returns how many bytes it took, which may be fewer
// than there are. more says that other bytes follow at once, so that the kernel does not send a short packet first.
//
// It is sendmsg(2) rather than writev(2): the same cost, and only it has MSG_MORE and MSG_NOSIGNAL. It never
// blocks; EAGAIN says that the socket is full. EINTR is dealt with here.
func SendIovecs(fd int, iov []Iovec, more bool) (n int, errno syscall.Errno) {
	var msg unix.Msghdr
	msg.Iov = unsafe.SliceData(iov)
	msg.SetIovlen(len(iov))
	flags := uintptr(unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT)
	if more {
		flags |= unix.MSG_MORE
	}
	for {
		r, _, e := syscall.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), flags)
		if e == 0 {
			return int(r), 0
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

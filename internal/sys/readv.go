package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Iovec is one piece of memory of a vectored call. It holds a pointer: clear slices of them after use, or they keep
// the memory alive.
type Iovec = unix.Iovec

// MaxIovecs is the kernel's limit of pieces in one vectored call (UIO_MAXIOV).
const MaxIovecs = 1024

// IovecOf describes b.
func IovecOf(b []byte) (v Iovec) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
	return v
}

// Readv reads from fd into iov in one system call. n is 0 with no error at the end of the stream; EAGAIN says that
// nothing is there yet. EINTR is dealt with here.
func Readv(fd int, iov []Iovec) (n int, errno syscall.Errno) {
	for {
		r, _, e := syscall.Syscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))),
			uintptr(len(iov)))
		if e == 0 {
			return int(r), 0
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sendfile copies up to n bytes of file, from off on, to the socket without passing them through the process. It
// returns how many the socket took. 0 with no error says that the file ends at or before off. EAGAIN says that the
// socket is full. The file's own position is neither used nor changed. EINTR is dealt with here.
//
// On a non-blocking socket it still waits for the disk when the range is not in the page cache.
func Sendfile(socket, file int, off int64, n int) (sent int, errno syscall.Errno) {
	for {
		r, _, e := syscall.Syscall6(unix.SYS_SENDFILE, uintptr(socket), uintptr(file),
			uintptr(unsafe.Pointer(&off)), uintptr(n), 0, 0)
		if e == 0 {
			return int(r), 0
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SetBuffers sets the kernel's send and receive buffer sizes of a socket, in bytes as given to the kernel (which
// doubles them). A size of 0 or less leaves that buffer to the kernel. On a listening socket, accepted ones inherit.
func SetBuffers(fd, send, receive int) error {
	if send > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, send); err != nil {
			return fmt.Errorf("setting SO_SNDBUF to %d: %w", send, err)
		}
	}
	if receive > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receive); err != nil {
			return fmt.Errorf("setting SO_RCVBUF to %d: %w", receive, err)
		}
	}
	return nil
}

// SetOOBInline makes TCP's urgent byte part of the stream. Otherwise one that a peer has sent keeps EPOLLPRI set
// with nothing to read, and a level-triggered loop spins. Accepted sockets inherit it.
func SetOOBInline(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1); err != nil {
		return fmt.Errorf("setting SO_OOBINLINE: %w", err)
	}
	return nil
}

// ShutdownWrite tells the peer that no more bytes will come (FIN); reading goes on.
func ShutdownWrite(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

// Duplicate returns another descriptor of the same socket, which lives until both are closed.
func Duplicate(fd int) (int, error) {
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("duplicating a descriptor: %w", err)
	}
	return d, nil
}

// SocketPair returns two connected, non-blocking stream sockets within this process.
func SocketPair() (a, b int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("socketpair: %w", err)
	}
	return fds[0], fds[1], nil
}

var oneByte = []byte{1}

// WriteByte writes one byte to a non-blocking socket. A full socket counts as success: the reader has enough to
// wake up for.
func WriteByte(fd int) error {
	for {
		_, err := unix.Write(fd, oneByte)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return nil
		}
		return err
	}
}

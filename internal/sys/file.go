package sys

import (
	"io"

	"golang.org/x/sys/unix"
)

// OpenFile opens path and returns its descriptor, which the caller closes with CloseFile. flags are unix.O_…;
// O_CLOEXEC is added. The descriptor never enters Go's poller: regular files are always ready.
func OpenFile(path string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, perm)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// CloseFile closes fd. It is not repeated after EINTR: Linux has freed the descriptor by then.
func CloseFile(fd int) error {
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}

// Pwrite writes b at off in one system call. n < len(b) with a nil error is a short write.
func Pwrite(fd int, b []byte, off int64) (n int, err error) {
	for {
		n, err = unix.Pwrite(fd, b, off)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// PwriteFull writes all of b at off, in as many system calls as it takes.
func PwriteFull(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := Pwrite(fd, b, off)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// Pread reads up to len(b) bytes at off in one system call. 0 bytes with a nil error is the end of the file.
func Pread(fd int, b []byte, off int64) (n int, err error) {
	for {
		n, err = unix.Pread(fd, b, off)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// PreadFull fills b from off on. io.ErrUnexpectedEOF: the file ends before that.
func PreadFull(fd int, b []byte, off int64) error {
	for len(b) > 0 {
		n, err := Pread(fd, b, off)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// FileSize is the size of the open file in bytes.
func FileSize(fd int) (int64, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(fd, &st)
		if err == unix.EINTR {
			continue
		}
		return st.Size, err
	}
}

// Truncate sets the size of the open file.
func Truncate(fd int, size int64) error {
	for {
		if err := unix.Ftruncate(fd, size); err != unix.EINTR {
			return err
		}
	}
}

// Reserve has the file system set n bytes aside for the file from its begin on, without changing its size (fallocate(2)).
func Reserve(fd int, n int64) error {
	for {
		if err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, n); err != unix.EINTR {
			return err
		}
	}
}

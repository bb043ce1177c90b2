package sys

import (
	"io"

	"golang.org/x/sys/unix"
)

// OpenFile opens path and returns its descriptor, which the caller closes with CloseFile. flags are unix.O_…;
// O_CLOEXEC is added. The descriptor never enters Go's poller: regular files are always ready.
func OpenFile(path string, flags int, perm uint32) (int, error) {
	if tracing {
		return traced(Change{Kind: ChangeOpen, Path: path, Flags: flags}, func(*Change) (int, error) {
			return open(path, flags, perm)
		})
	}
	return open(path, flags, perm)
}

func open(path string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, perm)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// CloseFile closes fd. It is not repeated after EINTR: Linux has freed the descriptor by then.
func CloseFile(fd int) error {
	if tracing {
		_, err := traced(Change{Kind: ChangeClose, FD: fd}, func(*Change) (int, error) { return 0, closeFile(fd) })
		return err
	}
	return closeFile(fd)
}

func closeFile(fd int) error {
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}

// Pwrite writes b at off in one system call. n < len(b) with a nil error is a short write.
func Pwrite(fd int, b []byte, off int64) (n int, err error) {
	if tracing {
		return traced(Change{Kind: ChangeWrite, FD: fd, Data: b, Off: off}, func(c *Change) (int, error) {
			return pwrite(fd, c.Data, off)
		})
	}
	return pwrite(fd, b, off)
}

func pwrite(fd int, b []byte, off int64) (n int, err error) {
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
	if tracing {
		_, err := traced(Change{Kind: ChangeTruncate, FD: fd, Size: size}, func(*Change) (int, error) {
			return 0, truncate(fd, size)
		})
		return err
	}
	return truncate(fd, size)
}

func truncate(fd int, size int64) error {
	for {
		if err := unix.Ftruncate(fd, size); err != unix.EINTR {
			return err
		}
	}
}

// FileStat is what Stat tells of a file.
type FileStat struct {
	Size  int64 // bytes
	Inode uint64
}

// Stat is for a path, whose symbolic links are followed.
func Stat(path string) (FileStat, error) {
	var st unix.Stat_t
	for {
		if err := unix.Stat(path, &st); err != unix.EINTR {
			return FileStat{st.Size, st.Ino}, err
		}
	}
}

// StatFile is Stat for an open file.
func StatFile(fd int) (FileStat, error) {
	var st unix.Stat_t
	for {
		if err := unix.Fstat(fd, &st); err != unix.EINTR {
			return FileStat{st.Size, st.Ino}, err
		}
	}
}

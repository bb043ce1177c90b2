package sys

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// What a start does for each of thousands of logs goes through here: no File of package os, which would be made known
// to Go's poller and have a finalizer, and no order of names. Errors are those of package os, with operation and path.

// ReadFile is the content of a small file.
func ReadFile(path string) ([]byte, error) {
	fd, err := OpenFile(path, unix.O_RDONLY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer CloseFile(fd)
	size, err := FileSize(fd)
	if err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	b := make([]byte, size)
	if err := PreadFull(fd, b, 0); err != nil {
		if err == io.ErrUnexpectedEOF { // shortened meanwhile
			return os.ReadFile(path)
		}
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return b, nil
}

// direntBytes is enough for some hundred names at once.
const direntBytes = 8 << 10

// ReadNames appends the names in a directory to names, in any order.
func ReadNames(path string, names []string) ([]string, error) {
	fd, err := OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return names, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer CloseFile(fd)
	var buf [direntBytes]byte
	for {
		n, err := unix.ReadDirent(fd, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return names, &os.PathError{Op: "readdir", Path: path, Err: err}
		}
		if n <= 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

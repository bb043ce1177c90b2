package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrNoReserve: the file system cannot reserve space.
var ErrNoReserve = errors.New("the file system cannot reserve space")

// Reserve gives n bytes from off on blocks of the file system. Neither the file's size nor its content changes; blocks
// behind the end are invisible but for the space they take. ErrNoReserve, or what the file system said (ENOSPC): part
// of the range may have its blocks.
func Reserve(fd int, off, n int64) error {
	switch err := allocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n); err {
	case unix.EOPNOTSUPP, unix.ENOSYS:
		return ErrNoReserve
	default:
		return err
	}
}

func allocate(fd int, mode uint32, off, n int64) error {
	if tracing {
		_, err := traced(Change{Kind: ChangeReserve, FD: fd, Off: off, Size: n}, func(*Change) (int, error) {
			return 0, fallocate(fd, mode, off, n)
		})
		return err
	}
	return fallocate(fd, mode, off, n)
}

func fallocate(fd int, mode uint32, off, n int64) error {
	for {
		if err := unix.Fallocate(fd, mode, off, n); err != unix.EINTR {
			return err
		}
	}
}

// Unreserve gives back the blocks behind the end of a file of size bytes, which nobody may be appending to: what is
// written at the same time may be lost.
//
// ext4 and XFS do it when they are asked for the size that the file has (ext4 refuses to punch behind the end); tmpfs
// is the other way round, so both are done.
func Unreserve(fd int, size int64) error {
	if err := Truncate(fd, size); err != nil {
		return err
	}
	kept, err := Allocated(fd)
	if err != nil || kept <= roundUp(size) {
		return err
	}
	switch err := allocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, roundUp(size), 1<<40); err {
	case unix.EOPNOTSUPP, unix.ENOSYS:
		return nil
	default:
		return err
	}
}

func roundUp(n int64) int64 { return (n + pageSize - 1) / pageSize * pageSize }

// Allocated is how many bytes of blocks the open file has, metadata of some file systems included.
func Allocated(fd int) (int64, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(fd, &st)
		if err == unix.EINTR {
			continue
		}
		return st.Blocks * 512, err
	}
}

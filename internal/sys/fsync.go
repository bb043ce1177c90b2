package sys

import "golang.org/x/sys/unix"

// Fdatasync blocks until the data of fd, and what metadata is needed to read it back, is on the device.
//
// An error is final: Linux may have marked the failed pages clean, so that a second call succeeds having
// written nothing.
func Fdatasync(fd int) error {
	if tracing {
		_, err := traced(Change{Kind: ChangeSync, FD: fd}, func(*Change) (int, error) { return 0, fdatasync(fd) })
		return err
	}
	return fdatasync(fd)
}

func fdatasync(fd int) error {
	for {
		if err := unix.Fdatasync(fd); err != unix.EINTR {
			return err
		}
	}
}

// SyncDir blocks until the names in the directory are on the device: files created, renamed and removed.
func SyncDir(path string) error {
	if tracing {
		_, err := traced(Change{Kind: ChangeSyncDir, Path: path}, func(*Change) (int, error) { return 0, syncDir(path) })
		return err
	}
	return syncDir(path)
}

func syncDir(path string) error {
	fd, err := open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer closeFile(fd)
	for {
		if err := unix.Fsync(fd); err != unix.EINTR {
			return err
		}
	}
}

// SyncFS blocks until everything that was written to the file system of the open file fd is on the device, data and
// names, whoever wrote it. The error tells also what failed since fd was opened; before Linux 5.8 it does not.
func SyncFS(fd int) error {
	if tracing {
		_, err := traced(Change{Kind: ChangeSyncFS, FD: fd}, func(*Change) (int, error) { return 0, syncFS(fd) })
		return err
	}
	return syncFS(fd)
}

func syncFS(fd int) error {
	for {
		if err := unix.Syncfs(fd); err != unix.EINTR {
			return err
		}
	}
}

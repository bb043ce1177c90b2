package sys

import "golang.org/x/sys/unix"

// Shrink frees the blocks and cached pages of the file at path, all but the first step bytes of it, in calls of step
// bytes each from the end on. A file of 1 GiB is removed in one call of tens of milliseconds to a second (more with the
// discard mount option), in which what else is done to the file system may have to wait.
//
// Whoever has the file open sees it shrink.
func Shrink(path string, step int64) error {
	fd, err := OpenFile(path, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer CloseFile(fd)
	size, err := FileSize(fd)
	for size -= step; err == nil && size > 0; size -= step {
		err = Truncate(fd, size)
	}
	return err
}

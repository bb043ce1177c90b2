package sys

import "golang.org/x/sys/unix"

// StartWriteback asks the kernel to begin writing the dirty pages of n bytes from off on to the device. It does not
// wait for them, but for a place in the device's queue: it may block for as long as the device has enough to do.
//
// It is no sync. Nothing is said of what the device keeps, no metadata is written, and an error of the writing is left
// for Fdatasync to report: sync_file_range's two flags that wait would take it away from there, so they are not used.
func StartWriteback(fd int, off, n int64) error {
	for {
		if err := unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE); err != unix.EINTR {
			return err
		}
	}
}

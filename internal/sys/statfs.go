package sys

import (
	"math"

	"golang.org/x/sys/unix"
)

// FreeSpace is the size of the file system that path lies on, and what users other than root may still write to it, in
// bytes.
func FreeSpace(path string) (free, total int64, err error) {
	var st unix.Statfs_t
	for {
		if err = unix.Statfs(path, &st); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, err
	}
	bytes := func(blocks uint64) int64 {
		if size := uint64(max(st.Frsize, 1)); blocks <= math.MaxInt64/size {
			return int64(blocks * size)
		}
		return math.MaxInt64 // file systems that say they have no end
	}
	return bytes(st.Bavail), bytes(st.Blocks), nil
}

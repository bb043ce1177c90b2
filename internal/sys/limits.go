package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

// MaxFiles is how many descriptors the process may have open at once (RLIMIT_NOFILE). Go's runtime has raised the soft
// limit to the hard one by the time that anybody asks.
func MaxFiles() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	const unlimited = 1 << 30
	return int(min(r.Cur, unlimited)), nil
}

// NoDescriptors tells errors of opening a file for which the process, or the system, had no descriptor left.
func NoDescriptors(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

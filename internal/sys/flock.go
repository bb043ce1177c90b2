package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrLockHeld says that another open file holds the lock.
var ErrLockHeld = errors.New("sys: lock is held")

// LockFile takes an exclusive lock on the open file without waiting; it lasts until fd is closed.
//
// Two locks are taken. flock(2) is what scripts and other programs of our kind use. The open file description
// lock (fcntl F_OFD_SETLK) is seen by Java's FileChannel.tryLock, which takes POSIX record locks: without it a
// Kafka broker could open the same directory.
func LockFile(fd int) error {
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return lockError(err)
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET}
	return lockError(unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &whole))
}

func lockError(err error) error {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLockHeld
	}
	return err
}

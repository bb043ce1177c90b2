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

// LockHolder tells whether another open file holds the lock of LockFile, or Java's of a FileChannel, without taking
// it. pid is the holder's process where the system knows it, else 0.
func LockHolder(fd int) (held bool, pid int, err error) {
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &whole); err != nil {
		return false, 0, err
	}
	return whole.Type != unix.F_UNLCK, max(0, int(whole.Pid)), nil
}

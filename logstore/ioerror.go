package logstore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// What an error of the file system means.
//
//	no space, quota,      nothing is lost: what was begun is undone, the same is tried again later, nobody is fenced
//	descriptors, memory
//	EIO and its kin,      the device is not to be believed any more: the whole directory goes offline, as Kafka's do
//	any error of a sync   after any IOException (LogDirFailureChannel)
//	anything else         the log at hand takes no more appends; the others go on
//
// Kafka's directories go offline for want of space too, and stay so until a restart. A full disk has damaged nothing
// and is emptied again, so that is not ours.

// isPassing tells errors that say nothing but that something has run out for now. No space from a sync is none of
// these: bytes that were accepted were lost then (delayed allocation, network file systems).
func isPassing(err error) bool {
	return isNoSpace(err) || (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)) &&
		!isSyncError(err)
}

// IsNoSpace tells errors of a disk or quota that is full.
func IsNoSpace(err error) bool { return isNoSpace(err) }

func isNoSpace(err error) bool {
	return (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) && !isSyncError(err)
}

// isDeviceError tells errors after which nothing that the device says is to be relied on.
func isDeviceError(err error) bool {
	return isSyncError(err) || isBroken(err)
}

// isBroken tells the errors of a device or file system that is gone, damaged, or read-only since it found damage.
func isBroken(err error) bool {
	for _, e := range []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.ENXIO, syscall.ENODEV, syscall.EUCLEAN,
		syscall.ESTALE, syscall.EREMOTEIO, syscall.ENOTCONN, syscall.ESHUTDOWN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// isSyncError tells errors of fsync and fdatasync, which are final for the whole directory: what else the device has
// lost is not known.
func isSyncError(err error) bool {
	var p *os.PathError
	if !errors.As(err, &p) || p.Op != "fdatasync" && p.Op != "fsync" {
		return false
	}
	return !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) // a directory that could not be opened for it
}

// failOrRefuse is for errors of an append that has left nothing behind: what passes makes the next one try again, all
// else fences the log. The caller holds mu.
func (l *Log) failOrRefuse(err error) error {
	if isPassing(err) {
		l.d.space.full.Store(isNoSpace(err) || l.d.space.full.Load())
		l.d.space.lookSoon()
		return fmt.Errorf("%w: %s: %w", ErrNoSpace, l.name, err)
	}
	return l.fail(err)
}

// suffer takes the directory offline if err is of a kind that demands it; nil is none. It returns err. The caller
// holds no lock.
func (d *Dir) suffer(err error) error {
	if err != nil && isDeviceError(err) {
		d.goOffline(err)
	}
	return err
}

// goOffline ends appends to all logs of the directory, and flushes and checkpoints. Whoever waits for a sync is told,
// and will be.
func (d *Dir) goOffline(cause error) {
	err := fmt.Errorf("%w: %s: %w", ErrFailed, d.path, cause)
	if !d.offline.CompareAndSwap(nil, &err) {
		return
	}
	d.opts.Logger.Error("log directory is offline until the next start; the others go on. Check the device, then restart",
		"dir", d.path, "err", cause)
	for _, l := range d.Logs() {
		l.mu.Lock()
		first := l.failed == nil
		if first {
			l.failed = err
		}
		l.mu.Unlock()
		if f := d.opts.Listener.Failed; first && f != nil {
			f(l, err)
		}
		l.durable.wake(0, err, nil)
	}
	if f := d.onOffline.Load(); f != nil {
		(*f)()
	}
}

// OnOffline has f called once the directory is offline, from any goroutine and without a lock; f must not block. It is
// not called for a directory that was offline before.
func (d *Dir) OnOffline(f func()) { d.onOffline.Store(&f) }

// Err is why the directory is offline, nil while it is in service.
func (d *Dir) Err() error {
	if p := d.offline.Load(); p != nil {
		return *p
	}
	return nil
}

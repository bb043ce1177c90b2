package testkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// await returns the content of file as soon as it exists, by the kernel's notice and not by looking again and
// again. The file must appear whole (written elsewhere, then renamed) in an existing directory.
// gone ends the wait with errGone: the writer has ended, or the caller lost patience.
func await(file string, gone <-chan struct{}) ([]byte, error) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := syscall.InotifyAddWatch(fd, filepath.Dir(file), syscall.IN_MOVED_TO|syscall.IN_CLOSE_WRITE); err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-gone:
			events.SetReadDeadline(time.Unix(1, 0)) // unblocks Read
		case <-finished:
		}
	}()
	buf := make([]byte, 4096)
	for {
		// looked at first: it may be older than the watch
		if data, err := os.ReadFile(file); err == nil && len(data) > 0 {
			return data, nil
		}
		if _, err := events.Read(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errGone
		} else if err != nil {
			return nil, fmt.Errorf("inotify: %w", err)
		}
	}
}

var errGone = errors.New("ended without writing its ready file")

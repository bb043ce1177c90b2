package sys

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	fd, err := OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Fatalf("descriptor flags %#x, %v", flags, err)
	}
	if err := PwriteFull(fd, []byte("hello"), 10); err != nil {
		t.Fatal(err)
	}
	if n, err := FileSize(fd); n != 15 || err != nil {
		t.Fatal(n, err)
	}
	b := make([]byte, 5)
	if err := PreadFull(fd, b, 10); err != nil || !bytes.Equal(b, []byte("hello")) {
		t.Fatal(b, err)
	}
	if err := PreadFull(fd, b, 11); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if n, err := Pread(fd, b, 15); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := errors.Join(Truncate(fd, 3), Fdatasync(fd), SyncDir(filepath.Dir(path))); err != nil {
		t.Fatal(err)
	}
	if n, _ := FileSize(fd); n != 3 {
		t.Fatal(n)
	}
	if err := CloseFile(fd); err != nil {
		t.Fatal(err)
	}
	if n, err := Pwrite(fd, b, 0); n != 0 || err != unix.EBADF {
		t.Fatal(n, err)
	}
	if _, err := OpenFile(path+"x", os.O_RDONLY, 0); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	open := func() int {
		fd, err := OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	a, b := open(), open()
	defer CloseFile(b)
	if err := LockFile(a); err != nil {
		t.Fatal(err)
	}
	if err := LockFile(b); err != ErrLockHeld {
		t.Fatalf("second lock: %v", err)
	}
	// What FileChannel.tryLock asks for is refused too.
	if err := unix.FcntlFlock(uintptr(b), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != unix.EAGAIN {
		t.Fatalf("record lock: %v", err)
	}
	CloseFile(a)
	if err := LockFile(b); err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
}

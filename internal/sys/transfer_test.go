package sys

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestVectored(t *testing.T) {
	a, b := pair(t)
	var x, y [4]byte
	if _, errno := Readv(b, []Iovec{IovecOf(x[:])}); errno != syscall.EAGAIN {
		t.Errorf("reading nothing: %v", errno)
	}
	n, errno := SendIovecs(a, []Iovec{IovecOf([]byte("ab")), IovecOf(nil), IovecOf([]byte("cdefg"))}, true)
	if n != 7 || errno != 0 {
		t.Fatalf("sent %d, %v", n, errno)
	}
	n, errno = Readv(b, []Iovec{IovecOf(x[:]), IovecOf(y[:])})
	if n != 7 || errno != 0 || string(x[:])+string(y[:3]) != "abcdefg" {
		t.Fatalf("read %d, %v, %q %q", n, errno, x, y)
	}
	if err := ShutdownWrite(a); err != nil {
		t.Fatal(err)
	}
	if n, errno := Readv(b, []Iovec{IovecOf(x[:])}); n != 0 || errno != 0 {
		t.Errorf("at the end: %d, %v", n, errno)
	}
	if _, errno := SendIovecs(a, []Iovec{IovecOf(x[:])}, false); errno != syscall.EPIPE {
		t.Errorf("sending after FIN: %v", errno)
	}
}

func TestDuplicate(t *testing.T) {
	a, b := pair(t)
	d, err := Duplicate(a)
	if err != nil || d == a {
		t.Fatalf("descriptor %d, %v", d, err)
	}
	if flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(d), syscall.F_GETFD, 0); errno != 0 ||
		flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("flags %x, %v: left open for other programs", flags, errno)
	}
	if n, errno := SendIovecs(d, []Iovec{IovecOf([]byte("ab"))}, false); n != 2 || errno != 0 {
		t.Errorf("sent %d, %v", n, errno)
	}
	CloseFile(d)
	var x [4]byte
	if n, errno := Readv(b, []Iovec{IovecOf(x[:])}); n != 2 || errno != 0 {
		t.Errorf("read %d, %v", n, errno)
	}
	if _, errno := Readv(b, []Iovec{IovecOf(x[:])}); errno != syscall.EAGAIN {
		t.Errorf("the socket is gone with the duplicate: %v", errno)
	}
	if _, err := Duplicate(-1); err == nil {
		t.Error("duplicated nothing")
	}
}

func TestSendfile(t *testing.T) {
	a, b := pair(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("0123456789")
	for _, test := range []struct {
		off  int64
		n    int
		want string
	}{{2, 3, "234"}, {8, 5, "89"}, {10, 5, ""}, {99, 1, ""}} {
		n, errno := Sendfile(a, int(f.Fd()), test.off, test.n)
		if n != len(test.want) || errno != 0 {
			t.Fatalf("%d from %d on: %d, %v", test.n, test.off, n, errno)
		}
		got := make([]byte, 10)
		if n > 0 {
			Readv(b, []Iovec{IovecOf(got)})
		}
		if !bytes.Equal(got[:n], []byte(test.want)) {
			t.Errorf("%d from %d on: %q", test.n, test.off, got)
		}
	}
	if _, errno := Sendfile(a, -1, 0, 1); errno != syscall.EBADF {
		t.Errorf("bad descriptor: %v", errno)
	}
}

func TestWriteByteToFullSocket(t *testing.T) {
	a, b := pair(t)
	big := make([]byte, 1<<20)
	for {
		if _, errno := SendIovecs(a, []Iovec{IovecOf(big)}, false); errno == syscall.EAGAIN {
			break
		} else if errno != 0 {
			t.Fatal(errno)
		}
	}
	if err := WriteByte(a); err != nil {
		t.Errorf("full: %v", err)
	}
	syscall.Shutdown(b, syscall.SHUT_RDWR)
	if err := WriteByte(a); err != syscall.EPIPE {
		t.Errorf("peer gone: %v", err)
	}
}

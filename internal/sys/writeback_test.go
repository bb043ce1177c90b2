package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func testFile(t testing.TB, dir string) int {
	t.Helper()
	fd, err := OpenFile(filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { CloseFile(fd) })
	return fd
}

// TestReserve: blocks come and go, the size and the bytes stay.
func TestReserve(t *testing.T) {
	dirs := []string{t.TempDir()}
	if d, err := os.MkdirTemp("/dev/shm", "sys-test"); err == nil {
		t.Cleanup(func() { os.RemoveAll(d) })
		dirs = append(dirs, d)
	}
	for _, dir := range dirs {
		fd := testFile(t, dir)
		if err := PwriteFull(fd, make([]byte, 5000), 0); err != nil {
			t.Fatal(err)
		}
		if err := Fdatasync(fd); err != nil { // so that the blocks are counted
			t.Fatal(err)
		}
		before, _ := Allocated(fd)
		if err := Reserve(fd, 8192, 4<<20); errors.Is(err, ErrNoReserve) {
			t.Logf("%s: %v", dir, err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if n, _ := Allocated(fd); n < 4<<20 {
			t.Errorf("%s: %d bytes of blocks after reserving 4 MiB", dir, n)
		}
		if n, _ := FileSize(fd); n != 5000 {
			t.Errorf("%s: reserving made the file %d bytes", dir, n)
		}
		if err := Unreserve(fd, 5000); err != nil {
			t.Fatal(err)
		}
		if n, _ := Allocated(fd); n != before {
			t.Errorf("%s: %d bytes of blocks are left, there were %d", dir, n, before)
		}
		if n, _ := FileSize(fd); n != 5000 {
			t.Errorf("%s: giving back made the file %d bytes", dir, n)
		}
	}
}

// TestStartWriteback: it takes any range, also one of pages that are clean or not there.
func TestStartWriteback(t *testing.T) {
	fd := testFile(t, t.TempDir())
	if err := PwriteFull(fd, make([]byte, 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := StartWriteback(fd, 0, 2<<20); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShrink: all but the first step goes, and a file that is smaller stays as it is.
func TestShrink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, size := range []int64{0, 100, 4096, 4097, 100_000} {
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Shrink(path, 4096); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() > 4096 || size <= 4096 && info.Size() != size {
			t.Errorf("%d bytes: %d are left, %v", size, info.Size(), err)
		}
	}
	if err := Shrink(path+"no", 1); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

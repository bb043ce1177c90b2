//go:build invariants

package sys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTrace: every change below the root is reported with its result, nothing beside it, and can be made to fail.
func TestTrace(t *testing.T) {
	root, beside := t.TempDir(), t.TempDir()
	var got []string
	var refuse error
	short := 0
	tr := Trace{
		Before: func(c *Change) error {
			if short > 0 {
				c.Data = c.Data[:short]
			}
			return refuse
		},
		After: func(c *Change, n int, err error) {
			if c.Kind == ChangeOpen && n >= 0 {
				n = 0
			}
			got = append(got, fmt.Sprintf("%d %s %d %v", c.Kind, filepath.Base(c.Path), n, err))
		},
	}
	tr.Start(root)
	all := func(dir string) (errs []error) {
		path := filepath.Join(dir, "d", "f")
		errs = append(errs, Mkdir(filepath.Join(dir, "d"), 0o700))
		fd, err := OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		errs = append(errs, err)
		_, err = Pwrite(fd, []byte("hello"), 0)
		errs = append(errs, err, Truncate(fd, 1), Fdatasync(fd), Reserve(fd, 1, 4096), SyncFS(fd), CloseFile(fd), Rename(path, path+"2"),
			SyncDir(filepath.Join(dir, "d")), Remove(path+"2"), RemoveAll(filepath.Join(dir, "d")))
		return errs
	}
	if err := errors.Join(append(all(beside), all(root)...)...); err != nil {
		t.Fatal(err)
	}
	want := []string{"11 d 0 <nil>", "1 f 0 <nil>", "3 f 5 <nil>", "4 f 0 <nil>", "6 f 0 <nil>", "5 f 0 <nil>",
		"8 f 0 <nil>", "2 f 0 <nil>", "9 f 0 <nil>", "7 d 0 <nil>", "10 f2 0 <nil>", "10 d 0 <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	testTraceShrink(t, root, &got)

	fd, err := OpenFile(filepath.Join(root, "g"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	short = 2
	if n, err := Pwrite(fd, []byte("hello"), 0); n != 2 || err != nil {
		t.Errorf("short write: %d, %v", n, err)
	}
	short, refuse = 0, unix.ENOSPC
	if n, err := Pwrite(fd, []byte("world"), 0); n != 0 || err != unix.ENOSPC {
		t.Errorf("refused write: %d, %v", n, err)
	}
	if fd, err := OpenFile(filepath.Join(root, "h"), os.O_RDWR|os.O_CREATE, 0o600); fd != -1 || err != unix.ENOSPC {
		t.Errorf("refused open: %d, %v", fd, err)
	}
	CloseFile(fd)
	if _, err := Pwrite(fd, []byte("x"), 0); err != unix.EBADF {
		t.Errorf("a refused close left the descriptor open: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(root, "g")); string(b) != "he" {
		t.Errorf("file has %q, %v", b, err)
	}
	tr.End()
	n := len(got)
	if err := errors.Join(all(root)...); err != nil || len(got) != n {
		t.Errorf("reported after the end: %q, %v", got[n:], err)
	}
}

// testTraceShrink: what takes several calls reports each.
func testTraceShrink(t *testing.T, root string, got *[]string) {
	path := filepath.Join(root, "big")
	if err := os.WriteFile(path, make([]byte, 2500), 0o600); err != nil {
		t.Fatal(err)
	}
	*got = nil
	if err := Shrink(path, 1000); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1 big 0 <nil>", "4 big 0 <nil>", "4 big 0 <nil>", "2 big 0 <nil>"}; !slices.Equal(*got, want) {
		t.Errorf("got %q, want %q", *got, want)
	}
}

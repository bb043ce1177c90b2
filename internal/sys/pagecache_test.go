package sys

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestColdReaderLeavesThePageCacheAlone reads a file of which one page is in the page cache: that one stays, no other
// comes. The file is in the package's directory, because a temporary directory may be one in memory.
func TestColdReaderLeavesThePageCacheAlone(t *testing.T) {
	dir, err := os.MkdirTemp(".", "coldreader-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const pages = 64
	data := bytes.Repeat([]byte("0123456789abcdef"), int(pages*pageSize)/16)
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	fd, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer CloseFile(fd)
	if err := unix.Fsync(fd); err != nil {
		t.Fatal(err)
	}
	c := NewColdReader(fd, int64(len(data)))
	defer c.Close()
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := Pread(fd, one, 10*pageSize); err != nil {
		t.Fatal(err)
	}
	before := residentPages(t, c)
	if len(before) == pages {
		t.Logf("the file system keeps all pages: nothing to see here")
	}
	got := make([]byte, len(data))
	for at := 0; at < len(data); at += 70_000 { // pieces that are no whole pages
		n, err := c.Pread(got[at:min(at+70_000, len(data))], int64(at))
		if err != nil || n != min(70_000, len(data)-at) {
			t.Fatal(n, err)
		}
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes")
	}
	if after := residentPages(t, c); len(after) != len(before) {
		t.Errorf("pages in the cache: %v before, %v after", before, after)
	}
}

func residentPages(t *testing.T, c *ColdReader) (list []int) {
	t.Helper()
	if !c.resident(0, int64(len(c.mapping))) {
		t.Fatal("mincore failed")
	}
	for i, p := range c.pages {
		if p&1 != 0 {
			list = append(list, i)
		}
	}
	return list
}

package sys

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestColdReaderLeavesThePageCacheAlone reads a file whose first part is in the page cache, with a mark for read-ahead
// at its end, and one page further behind: those stay, no other comes. The file is in the package's directory, because
// a temporary directory may be one in memory.
func TestColdReaderLeavesThePageCacheAlone(t *testing.T) {
	dir, err := os.MkdirTemp(".", "coldreader-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	data = append(data, "the last page is not a whole one"...)
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
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	warm := make([]byte, 64<<10)
	for at := range int64(32) { // by read-ahead
		if _, err := Pread(fd, warm, at*int64(len(warm))); err != nil {
			t.Fatal(err)
		}
	}
	c := NewColdReader(fd, int64(len(data)))
	defer c.Close()
	if _, err := Pread(fd, warm[:1], 12<<20); err != nil {
		t.Fatal(err)
	}
	before := residentPages(t, c)
	got := make([]byte, len(data))
	const piece = 700_000 // no whole pages
	for at := 0; at < len(data); at += piece {
		n, err := c.Pread(got[at:min(at+piece, len(data))], int64(at))
		if err != nil || n != min(piece, len(data)-at) {
			t.Fatal(n, err)
		}
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes")
	}
	if after := residentPages(t, c); !slices.Equal(after, before) {
		t.Errorf("%d pages were in the cache, now %d are", len(before), len(after))
	}
}

func residentPages(t *testing.T, c *ColdReader) (list []int) {
	t.Helper()
	pages := make([]byte, (int64(len(c.mapping))+pageSize-1)/pageSize)
	if !c.resident(0, int64(len(c.mapping)), pages) {
		t.Fatal("mincore failed")
	}
	for i, p := range pages {
		if p&1 != 0 {
			list = append(list, i)
		}
	}
	return list
}

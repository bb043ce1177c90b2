package sys

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ColdReader reads a file front to back and leaves the page cache as it found it: pages that a read brought in are
// dropped after it, pages that were there before stay. The kernel's read-ahead is off, since what it brings in
// early would look as if it had been there.
//
// It maps the file to ask which pages are there (mincore(2)) and never touches the mapping. Where the system does not
// tell, which is so for files of somebody else, everything counts as there and stays.
type ColdReader struct {
	fd      int
	mapping []byte
	pages   []byte
}

var pageSize = int64(os.Getpagesize())

// NewColdReader is for the open file of size bytes, which the caller closes after Close.
func NewColdReader(fd int, size int64) *ColdReader {
	c := &ColdReader{fd: fd}
	if size > 0 && size == int64(int(size)) {
		if m, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED); err == nil {
			c.mapping = m
			_ = unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM)
		}
	}
	return c
}

// Close gives up the mapping.
func (c *ColdReader) Close() {
	if c.mapping != nil {
		_ = unix.Munmap(c.mapping)
		c.mapping = nil
	}
}

// Pread is Pread, with the pages dropped that it brought in.
func (c *ColdReader) Pread(b []byte, off int64) (int, error) {
	from := off / pageSize * pageSize
	to := min((off+int64(len(b))+pageSize-1)/pageSize*pageSize, int64(len(c.mapping)))
	known := from < to && c.resident(from, to)
	n, err := Pread(c.fd, b, off)
	if known {
		c.dropNew(from)
	}
	return n, err
}

// resident fills pages with what the system knows of from to to, which lies within the mapping and begins at a page.
func (c *ColdReader) resident(from, to int64) bool {
	n := int((to - from + pageSize - 1) / pageSize)
	if cap(c.pages) < n {
		c.pages = make([]byte, n)
	}
	c.pages = c.pages[:n]
	addr := unsafe.Pointer(&c.mapping[from])
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(addr), uintptr(to-from), uintptr(unsafe.Pointer(&c.pages[0])))
	runtime.KeepAlive(c.mapping)
	return errno == 0
}

// dropNew drops the runs of pages that were not there.
func (c *ColdReader) dropNew(from int64) {
	for i := 0; i < len(c.pages); {
		if c.pages[i]&1 != 0 {
			i++
			continue
		}
		j := i
		for j < len(c.pages) && c.pages[j]&1 == 0 {
			j++
		}
		_ = unix.Fadvise(c.fd, from+int64(i)*pageSize, int64(j-i)*pageSize, unix.FADV_DONTNEED)
		i = j
	}
}

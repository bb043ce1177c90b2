package sys

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ColdReader reads a file front to back and leaves the page cache as it found it: pages that a read brought in are
// dropped after it, pages that were there before stay.
//
// Which pages are there is asked some way ahead of the reads: although the kernel's read-ahead is turned off, a mark
// that somebody else's has left in the cache sets it going again, and what it brings in early must not look as if it
// had been there. The file is mapped for asking (mincore(2)) and the mapping is never touched. Where the system does
// not tell, which is so for files of somebody else, everything counts as there and stays.
type ColdReader struct {
	fd      int
	mapping []byte
	from    int64  // a page's begin
	pages   []byte // from there on: bit 0 says that the page was there
}

const (
	// coldAhead is more than read-ahead is ahead: twice what it brings in at once, which is 8 MiB on some devices.
	coldAhead = 32 << 20
	// coldBehind is more than the largest folio.
	coldBehind = 16 << 20
	// coldStep is how much is asked about at once: 16 KiB of answers.
	coldStep = 64 << 20
)

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
	to := min(off+int64(len(b)), int64(len(c.mapping)))
	known := from < to && c.know(from, to)
	n, err := Pread(c.fd, b, off)
	if known {
		// What lies only partly in the range that is to be dropped, as large folios may, is not dropped: try again.
		c.dropNew(max(c.from, from-coldBehind), to)
	}
	return n, err
}

// know makes pages begin some way before from and reach behind to.
func (c *ColdReader) know(from, to int64) bool {
	size := int64(len(c.mapping))
	end := c.from + int64(len(c.pages))*pageSize
	if from < c.from || from > end {
		c.from, c.pages, end = from, c.pages[:0], from // not front to back
	}
	if end >= min(to+coldAhead, size) {
		return true
	}
	back := max(c.from, from-coldBehind)
	kept := copy(c.pages, c.pages[(back-c.from)/pageSize:])
	c.from = back
	until := min(max(end, to)+coldStep, size)
	n := int((until - end + pageSize - 1) / pageSize)
	c.pages = append(c.pages[:kept], make([]byte, n)...)
	if !c.resident(end, until, c.pages[kept:]) {
		c.pages = c.pages[:0]
		return false
	}
	return true
}

// resident asks the system about the pages of from to to, which lies within the mapping and begins at a page.
func (c *ColdReader) resident(from, to int64, pages []byte) bool {
	addr := unsafe.Pointer(&c.mapping[from])
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(addr), uintptr(to-from), uintptr(unsafe.Pointer(&pages[0])))
	runtime.KeepAlive(c.mapping)
	return errno == 0
}

// dropNew drops the runs of pages from from to to that were not there.
func (c *ColdReader) dropNew(from, to int64) {
	first := (from - c.from) / pageSize
	pages := c.pages[first : first+(to-from+pageSize-1)/pageSize]
	for i := 0; i < len(pages); {
		if pages[i]&1 != 0 {
			i++
			continue
		}
		j := i
		for j < len(pages) && pages[j]&1 == 0 {
			j++
		}
		_ = unix.Fadvise(c.fd, from+int64(i)*pageSize, int64(j-i)*pageSize, unix.FADV_DONTNEED)
		i = j
	}
}

// Cached is how many pages of the open file are in the page cache, and how many of them are dirty or being written.
// ENOSYS before Linux 6.5.
func Cached(fd int) (pages, dirty int64, err error) {
	var s unix.Cachestat_t
	if err := unix.Cachestat(uint(fd), &unix.CachestatRange{}, &s, 0); err != nil {
		return 0, 0, err
	}
	return int64(s.Cache), int64(s.Dirty + s.Writeback), nil
}

// DropCached drops the clean pages of the open file from the page cache, unless somebody has them mapped.
func DropCached(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) }

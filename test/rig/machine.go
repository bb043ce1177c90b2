package rig

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
)

// TouchMemory makes the host back n bytes of memory before the first figure: on a virtual machine the first touch of a
// page can cost more than what is measured.
func TouchMemory(n int) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return
	}
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	_ = syscall.Munmap(b)
}

// Settle writes out what is dirty, so that what was measured before does not burden what comes.
func Settle() { _ = exec.Command("sync").Run() }

// DropCaches writes out what is dirty and empties the page cache. It takes root; the error says so.
func DropCaches() error {
	Settle()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// Reserve has the file system set n bytes aside for an open file, from its begin on, without changing its size.
func Reserve(fd int, n int64) error {
	const keepSize = 1 // FALLOC_FL_KEEP_SIZE
	return syscall.Fallocate(fd, keepSize, 0, n)
}

// Allocated is how many bytes of blocks an open file has, 0 if that cannot be told.
func Allocated(fd int) int64 {
	var st syscall.Stat_t
	if syscall.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

// Median of v, which must not be empty and stays as it is.
func Median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

//go:build !race

package sys

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchRound is how much is written to a file before the next one is begun.
const benchRound = 128 << 20

// BenchmarkPwrite is what preallocation and the reuse of a deleted file's pages could save at an append: the same
// pwrite at the end of a new file, of one whose blocks are reserved, and over pages that are in the cache. Only the
// ratios within one run mean anything.
func BenchmarkPwrite(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, way := range []string{"fresh", "reserved", "recycled"} {
			b.Run(fmt.Sprintf("%dK/%s", size>>10, way), func(b *testing.B) {
				data := make([]byte, size)
				path := filepath.Join(b.TempDir(), "f")
				b.SetBytes(int64(size))
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				var spent time.Duration
				began := threadCPU(b)
				fd, pos := -1, int64(benchRound)
				for b.Loop() {
					if pos == benchRound {
						b.StopTimer()
						spent += threadCPU(b) - began
						fd, pos = nextBenchFile(b, fd, path, way), 0
						began = threadCPU(b)
						b.StartTimer()
					}
					if err := PwriteFull(fd, data, pos); err != nil {
						b.Fatal(err)
					}
					pos += int64(size)
				}
				spent += threadCPU(b) - began
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/float64(size)*1.073741824, "cpu-s/GiB")
				CloseFile(fd)
			})
		}
	}
}

// threadCPU is the time that the calling thread has had a processor: what other work on the machine does not change.
func threadCPU(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func nextBenchFile(b *testing.B, fd int, path, way string) int {
	if fd >= 0 && way == "recycled" {
		return fd
	}
	if fd >= 0 {
		CloseFile(fd)
		os.Remove(path)
	}
	fd, err := OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	switch way {
	case "reserved":
		err = Reserve(fd, 0, benchRound)
	case "recycled":
		err = PwriteFull(fd, make([]byte, benchRound), 0)
	}
	if err != nil {
		b.Fatal(err)
	}
	return fd
}

// BenchmarkFdatasync is the same for a 64 KiB append that waits for the device.
func BenchmarkFdatasync(b *testing.B) {
	for _, way := range []string{"fresh", "reserved", "recycled"} {
		b.Run(way, func(b *testing.B) {
			const size = 64 << 10
			data := make([]byte, size)
			fd, pos := nextBenchFile(b, -1, filepath.Join(b.TempDir(), "f"), way), int64(0)
			if err := Fdatasync(fd); err != nil {
				b.Fatal(err)
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if err := PwriteFull(fd, data, pos); err != nil {
					b.Fatal(err)
				}
				if err := Fdatasync(fd); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
				pos = (pos + size) % benchRound
			}
			CloseFile(fd)
			reportTook(b, took)
		})
	}
}

func reportTook(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-us")
	b.ReportMetric(float64(took[len(took)-1].Nanoseconds())/1e3, "max-us")
}

// BenchmarkNextFile compares ways to the file of a new segment, on an idle device and while another file of the
// directory is written and synced: made then, or made before under another name and renamed.
func BenchmarkNextFile(b *testing.B) {
	for _, busy := range []bool{false, true} {
		for _, way := range []string{"create", "rename"} {
			b.Run(fmt.Sprintf("busy=%v/%s", busy, way), func(b *testing.B) {
				dir := b.TempDir()
				if busy {
					stop := make(chan struct{})
					done := keepBusy(b, dir, stop)
					defer func() { close(stop); <-done }()
				}
				var took []time.Duration
				for b.Loop() {
					path := filepath.Join(dir, fmt.Sprintf("%020d.log", rand.Int64()))
					spare := path + ".tmp"
					fd := -1
					var err error
					if way == "rename" {
						b.StopTimer()
						if fd, err = OpenFile(spare, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
					}
					began := time.Now()
					if way == "rename" {
						err = Rename(spare, path)
					} else {
						fd, err = OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
					}
					took = append(took, time.Since(began))
					if err != nil {
						b.Fatal(err)
					}
					CloseFile(fd)
				}
				reportTook(b, took)
			})
		}
	}
}

// keepBusy appends to a file and syncs it until stop is closed.
func keepBusy(b *testing.B, dir string, stop chan struct{}) (done chan struct{}) {
	done = make(chan struct{})
	fd := testFile(b, dir)
	go func() {
		defer close(done)
		data := make([]byte, 64<<10)
		for pos := int64(0); ; pos = (pos + int64(len(data))) % (256 << 20) {
			select {
			case <-stop:
				return
			default:
			}
			PwriteFull(fd, data, pos)
			Fdatasync(fd)
		}
	}()
	return done
}

// BenchmarkRemove is how long the longest call takes that frees a file's blocks and pages, at once or in
// steps.
func BenchmarkRemove(b *testing.B) {
	for _, step := range []int64{0, 16 << 20, 64 << 20, 256 << 20} {
		b.Run(fmt.Sprintf("step=%dM", step>>20), func(b *testing.B) {
			const size = 1 << 30
			path := filepath.Join(b.TempDir(), "f")
			var took []time.Duration
			for b.Loop() {
				b.StopTimer()
				fd, err := OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
				if err != nil {
					b.Fatal(err)
				}
				for pos := int64(0); pos < size; pos += 1 << 20 {
					if err := PwriteFull(fd, make([]byte, 1<<20), pos); err != nil {
						b.Fatal(err)
					}
				}
				if err := Fdatasync(fd); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				// As Shrink does it.
				for left := int64(size) - step; step > 0 && left > 0; left -= step {
					began := time.Now()
					if err := Truncate(fd, left); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
				}
				CloseFile(fd)
				began := time.Now()
				Remove(path)
				took = append(took, time.Since(began))
			}
			reportTook(b, took)
		})
	}
}

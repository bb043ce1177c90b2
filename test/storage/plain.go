package main

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/test/rig"
)

// plainFile is the raw limit: a file that is written to the end of, with nothing around it.
type plainFile struct {
	fd   int
	path string
	pos  int64
}

// newPlain makes an empty file, with room reserved behind its end if reserve is not 0.
func newPlain(dir, name string, reserve int64) (*plainFile, error) {
	path := filepath.Join(dir, name)
	fd, err := sys.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	p := &plainFile{fd: fd, path: path}
	if reserve > 0 {
		if err := rig.Reserve(fd, reserve); err != nil {
			p.remove()
			return nil, err
		}
	}
	return p, nil
}

func (p *plainFile) append(b []byte) error {
	err := sys.PwriteFull(p.fd, b, p.pos)
	p.pos += int64(len(b))
	return err
}

func (p *plainFile) remove() {
	sys.CloseFile(p.fd)
	_ = os.Remove(p.path)
}

// syncedAppends writes b and syncs, n times, and returns the median time of both together, in microseconds.
func (p *plainFile) syncedAppends(b []byte, n int) (p50 float64, err error) {
	var took []time.Duration
	for range n {
		begin := time.Now()
		if err := p.append(b); err != nil {
			return 0, err
		}
		if err := sys.Fdatasync(p.fd); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return float64(took[n/2].Nanoseconds()) / 1e3, nil
}

// rate of writing total bytes in pieces of b, with a sync after each burst of them if burst is not 0, in MB/s.
func (p *plainFile) rate(b []byte, total int64, burst int) (float64, error) {
	begin := time.Now()
	written := int64(0)
	for i := 1; written < total; i++ {
		if err := p.append(b); err != nil {
			return 0, err
		}
		written += int64(len(b))
		if burst > 0 && i%burst == 0 {
			if err := sys.Fdatasync(p.fd); err != nil {
				return 0, err
			}
		}
	}
	return float64(written) / 1e6 / time.Since(begin).Seconds(), nil
}

func now() time.Time                { return time.Now() }
func since(begin time.Time) float64 { return time.Since(begin).Seconds() }

// readAll reads the files that a pattern names from front to back, one after the other.
func readAll(pattern string) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if _, err := os.ReadFile(path); err != nil {
			return err
		}
	}
	return nil
}

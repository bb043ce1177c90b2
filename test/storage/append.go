package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/loadgen"
	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/test/rig"
)

// measureAppend: each round a fresh log and a fresh file, both below one segment's size. If the log has reserved space
// behind its end, so does the file; what a file without it gives is a figure of its own then.
func measureAppend(ctx context.Context, b *bench) error {
	total := either[int64](b, 768<<20, 96<<20)
	for _, size := range []int{64 << 10, 1 << 20} {
		batch := loadgen.RawBatch(size, 1024, 0)
		f := b.figure(fmt.Sprintf("append of %d KiB batches", size>>10), "MB/s", "plain pwrite").AtLeast(0.8)
		var reserved bool
		log := func() (float64, error) {
			v, r, err := appendToLog(b, batch, total)
			reserved = r
			return v, err
		}
		for round := range b.rounds + 1 {
			rig.Settle()
			plain := func() (float64, error) { return writePlain(b, batch, total, reserved) }
			v, err := inTurn(round, log, plain)
			if err != nil || ctx.Err() != nil {
				return err
			}
			if round > 0 { // the first one touches memory, and tells whether space is reserved
				f.Pair(v[0], v[1])
			}
		}
		f.LimitIs += ", fresh file" + mark(reserved, " with space reserved, as the log has")
	}
	return nil
}

// appendToLog returns MB/s, and whether the log's file had more blocks than bytes.
func appendToLog(b *bench, batch []byte, total int64) (rate float64, reserved bool, err error) {
	dir, err := b.fresh("append")
	if err != nil {
		return 0, false, err
	}
	defer os.RemoveAll(dir)
	d, err := logstore.OpenDir(dir, logstore.Identity{NodeID: 1}, logstore.Options{})
	if err != nil {
		return 0, false, err
	}
	defer d.Close()
	l, err := d.Create("t", 0, [16]byte{1})
	if err != nil {
		return 0, false, err
	}
	begin, n := now(), int64(0)
	for ; n < total; n += int64(len(batch)) {
		if n > total/2 && !reserved {
			reserved = hasSpareBlocks(filepath.Join(dir, l.Name(), "00000000000000000000.log"))
		}
		if _, err := l.Append(batch, 0, nil); err != nil {
			return 0, false, err
		}
	}
	return float64(n) / 1e6 / since(begin), reserved, nil
}

func writePlain(b *bench, batch []byte, total int64, reserved bool) (float64, error) {
	reserve := int64(0)
	if reserved {
		reserve = total
	}
	p, err := newPlain(b.dir, "plain", reserve)
	if err != nil {
		return 0, err
	}
	defer p.remove()
	return p.rate(batch, total, 0)
}

// hasSpareBlocks tells whether a file has 1 MiB of blocks behind its end.
func hasSpareBlocks(path string) bool {
	fd, err := sys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer sys.CloseFile(fd)
	size, err := sys.FileSize(fd)
	return err == nil && rig.Allocated(fd) > size+1<<20
}

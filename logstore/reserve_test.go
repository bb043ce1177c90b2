package logstore

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// watchReserve makes o tell of each reservation after it was made.
func watchReserve(o *Options, do func(fd int, off, n int64) error) chan asked {
	calls := make(chan asked, 1000)
	o.reserve = func(fd int, off, n int64) error {
		err := do(fd, off, n)
		calls <- asked{fd, off, n}
		return err
	}
	return calls
}

func preallocated(t *testing.T, d *Dir, name string) *Log {
	t.Helper()
	l := createTest(t, d, name)
	l.Configure(Settings{Preallocate: true})
	return l
}

// blocks is what the .log files of the log take.
func blocks(t *testing.T, l *Log) (n int64) {
	t.Helper()
	for _, path := range logFiles(t, l.dir) {
		fd, err := sys.OpenFile(path, os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		has, err := sys.Allocated(fd)
		sys.CloseFile(fd)
		if err != nil {
			t.Fatal(err)
		}
		n += has
	}
	return n
}

func logFiles(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*"+logSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func sizes(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, path := range logFiles(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// reservedNow is the Dir's total, after what the pacer was at.
func reservedNow(d *Dir, l *Log) int64 {
	l.segs.Load().last().reservation.mu.Lock()
	defer l.segs.Load().last().reservation.mu.Unlock()
	return d.WriteBack().Reserved
}

// slack is what a file may have above its size: the rest of a block, and metadata.
const slack = 64 << 10

// TestReserve: space is there ahead of the appends, is no part of any file's size, and comes back at the roll and at
// the stop.
func TestReserve(t *testing.T) {
	path := tempDir(t)
	o := Options{SegmentBytes: 8 << 20}
	calls := watchReserve(&o, sys.Reserve)
	d := openTest(t, path, o)
	l := preallocated(t, d, "t")
	m := makeBatch(1, 100_000, 1, batch.None)
	for l.Size() < reserveFrom+int64(len(m)) {
		appendTest(t, l, m, nil)
	}
	c := <-calls
	if c.off < reserveFrom || c.n < reserveFrom || c.off+c.n > 3*reserveFrom {
		t.Errorf("%d bytes at %d were reserved for a segment of %d", c.n, c.off, l.Size())
	}
	if got := reservedNow(d, l); got < c.n || got > c.n+2*int64(len(m)) {
		t.Errorf("%d bytes are counted, %d were reserved", got, c.n)
	}
	if has, size := blocks(t, l), sizes(t, l.dir); has < c.off+c.n || size != l.Size() {
		t.Errorf("%d bytes of blocks, a file of %d, for %d appended", has, size, l.Size())
	}
	for l.Segments() == 1 {
		appendTest(t, l, m, nil)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if has := blocks(t, l); has > l.Size()+2*slack {
		t.Errorf("%d bytes of blocks after the roll, for %d appended", has, l.Size())
	}
	for len(calls) > 0 {
		if c := <-calls; c.off+c.n > o.SegmentBytes {
			t.Errorf("%d bytes at %d were reserved, above the size of a segment", c.n, c.off)
		}
	}
	for l.active.size.Load() < reserveFrom+int64(len(m)) {
		appendTest(t, l, m, nil)
	}
	<-calls
	size := l.Size()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if has := blocks(t, l); has > size+2*slack || sizes(t, l.dir) != size {
		t.Errorf("%d bytes of blocks in files of %d after the stop, for %d appended", has, sizes(t, l.dir), size)
	}
	if got := d.WriteBack().Reserved; got != 0 {
		t.Errorf("%d bytes are counted after the stop", got)
	}
}

// TestReserveAfterAKill: the size was never more than what was appended, so recovery has nothing to do with what the
// process has left reserved; a segment that is flushed gives it back.
func TestReserveAfterAKill(t *testing.T) {
	path := tempDir(t)
	o := Options{SegmentBytes: 100_000}
	d := openTest(t, path, o)
	l := createTest(t, d, "t")
	for l.Segments() < 3 {
		appendTest(t, l, makeBatch(3, 10_000, 1, batch.None), nil)
	}
	end, size := l.EndOffset(), l.Size()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{cleanShutdownFile, recoveryPointFile} {
		if err := os.Remove(filepath.Join(path, f)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range logFiles(t, l.dir) {
		fd, err := sys.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := sys.Reserve(fd, 100_000, 4<<20); err != nil {
			t.Fatal(err)
		}
		sys.CloseFile(fd)
	}
	d = openTest(t, path, o)
	l = d.Logs()[0]
	if l.EndOffset() != end || l.Size() != size {
		t.Fatalf("log of %d bytes ends at %d; %d bytes, %d before the kill", l.Size(), l.EndOffset(), size, end)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if has := blocks(t, l); has > size+(4<<20)+3*slack {
		t.Errorf("%d bytes of blocks for %d appended, only the last segment may have 4 MiB more", has, size)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if has := blocks(t, l); has > size+3*slack {
		t.Errorf("%d bytes of blocks for %d appended", has, size)
	}
}

// TestReserveRefused: appends go on without, and a file system that cannot is not asked again.
func TestReserveRefused(t *testing.T) {
	for _, tc := range []struct {
		err   error
		again bool
	}{{sys.ErrNoReserve, false}, {syscall.ENOSPC, true}} {
		o := Options{}
		calls := watchReserve(&o, func(int, int64, int64) error { return tc.err })
		d := openTest(t, tempDir(t), o)
		l := preallocated(t, d, "t")
		m := makeBatch(1, 100_000, 1, batch.None)
		for l.Size() < 2*reserveFrom {
			appendTest(t, l, m, nil)
		}
		<-calls
		if got := reservedNow(d, l); got != 0 {
			t.Errorf("%v: %d bytes are counted", tc.err, got)
		}
		for l.Size() < 6*reserveFrom {
			appendTest(t, l, m, nil)
		}
		if tc.again {
			<-calls
		}
		d.pacer.close()
		if !tc.again && len(calls) > 0 {
			t.Errorf("%v: asked again", tc.err)
		}
		d.pacer.start(d)
	}
}

// TestReserveBounds: a Dir has no more than its total, and a deleted log's share comes back.
func TestReserveBounds(t *testing.T) {
	o := Options{}
	calls := watchReserve(&o, sys.Reserve)
	d := openTest(t, tempDir(t), o)
	m := makeBatch(1, 100_000, 1, batch.None)
	first := preallocated(t, d, "first")
	for first.Size() < 2*reserveFrom {
		appendTest(t, first, m, nil)
	}
	select {
	case <-calls:
	case <-time.After(time.Minute):
		t.Fatal("nothing was reserved")
	}
	d.pacer.close()
	for len(calls) > 0 {
		<-calls
	}
	d.pacer.start(d)
	share := reservedNow(d, first)
	d.pacer.reserve.total.Add(reserveTotal - share)
	second := preallocated(t, d, "second")
	for second.Size() < 2*reserveFrom {
		appendTest(t, second, m, nil)
	}
	d.pacer.close()
	if len(calls) > 0 {
		t.Error("reserved above the total:", <-calls)
	}
	d.pacer.start(d)
	if err := d.Delete(first); err != nil {
		t.Fatal(err)
	}
	if got := d.WriteBack().Reserved; got != reserveTotal-share {
		t.Errorf("%d bytes are counted, %d without the deleted log", got, reserveTotal-share)
	}
}

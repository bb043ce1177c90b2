package logstore

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// fullDisk has writes of record bytes end after some of them while err is set.
type fullDisk struct {
	err   error
	after int
	then  func(fd int) // called when a write has failed
}

func (f *fullDisk) pwrite(fd int, b []byte, off int64) (int, error) {
	if f.err == nil {
		return sys.Pwrite(fd, b, off)
	}
	n, err := sys.Pwrite(fd, b[:min(f.after, len(b))], off)
	if f.after -= n; err == nil && f.after == 0 {
		err = f.err
	}
	if f.then != nil {
		f.then(fd)
	}
	return n, err
}

// TestNoSpaceForAppend: whatever of a batch a full disk has taken is gone again, and the log goes on when there is
// space, with the same offsets and producers, without a restart.
func TestNoSpaceForAppend(t *testing.T) {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		for _, after := range []int{0, 1, batch.HeaderSize, batch.HeaderSize + 9} {
			path := filepath.Join(tempDir(t), "d")
			disk := &fullDisk{}
			o := small()
			o.pwrite = disk.pwrite
			o.Listener.Failed = func(_ *Log, err error) { t.Error(err) }
			d := openTest(t, path, o)
			l := createTest(t, d, "t")
			first := numbered(7, 0, 0, 2, 1)
			appendTest(t, l, first, nil)
			size := l.Size()
			disk.err, disk.after = full, after
			for range 3 {
				if _, err := l.Append(numbered(7, 0, 2, 2, 1), 0, nil); !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrFailed) {
					t.Fatalf("append: %v", err)
				}
			}
			if got := len(mustRead(t, segmentFile(d, l, 0, logSuffix))); l.EndOffset() != 2 || int64(got) != size || l.Err() != nil {
				t.Fatalf("log ends at %d, file has %d bytes, want %d; %v", l.EndOffset(), got, size, l.Err())
			}
			disk.err = nil
			if info := appendTest(t, l, numbered(7, 0, 2, 2, 1), nil); info.Base != 2 || info.Duplicate {
				t.Fatalf("%+v", info)
			}
			if info := appendTest(t, l, numbered(7, 0, 0, 2, 1), nil); info.Base != 0 || !info.Duplicate {
				t.Fatalf("%+v", info)
			}
			readAll(t, l, 1000)
			checkAfterClose(t, d)
		}
	}
}

// TestCutFails: if a part of a batch may have stayed, the log takes no more appends, and the next start cuts it.
func TestCutFails(t *testing.T) {
	path := filepath.Join(tempDir(t), "d")
	disk := &fullDisk{after: 70}
	o := small()
	o.pwrite = disk.pwrite
	d := openTest(t, path, o)
	l, other := createTest(t, d, "t"), createTest(t, d, "u")
	appendTest(t, l, makeBatch(2, 20, 1, batch.None), nil)
	size := l.Size()
	disk.err = syscall.ENOSPC
	disk.then = func(fd int) { // truncation is refused to a descriptor that may only read
		ro, err := os.Open(segmentFile(d, l, 0, logSuffix))
		if err == nil {
			err = unix.Dup3(int(ro.Fd()), fd, unix.O_CLOEXEC)
		}
		if err != nil {
			t.Error(err)
		}
		ro.Close()
	}
	if _, err := l.Append(makeBatch(2, 20, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if got := len(mustRead(t, segmentFile(d, l, 0, logSuffix))); int64(got) != size+70 {
		t.Fatalf("%d bytes, the test is to leave %d", got, size+70)
	}
	disk.err = nil
	if _, err := l.Append(makeBatch(2, 20, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	readAll(t, l, 1000)
	appendTest(t, other, makeBatch(1, 1, 1, batch.None), nil)
	if err := d.Close(); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	l = openTest(t, path, small()).Logs()[0]
	if l.EndOffset() != 2 || l.Size() != size || l.Err() != nil {
		t.Errorf("log ends at %d with %d bytes, %v", l.EndOffset(), l.Size(), l.Err())
	}
}

// TestBrokenDevice: a write that the device fails takes its directory offline with all its logs, and no other.
func TestBrokenDevice(t *testing.T) {
	disk := &fullDisk{}
	o := small()
	o.pwrite = disk.pwrite
	a := openTest(t, filepath.Join(tempDir(t), "a"), o)
	b := openTest(t, filepath.Join(tempDir(t), "b"), small())
	l, m, n := createTest(t, a, "t"), createTest(t, a, "u"), createTest(t, b, "v")
	appendTest(t, m, makeBatch(1, 1, 1, batch.None), nil)
	before := mustRead(t, filepath.Join(a.path, metaFile))
	disk.err, disk.after = syscall.EIO, 10
	if _, err := l.Append(makeBatch(1, 50, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	disk.err = nil
	for _, x := range []*Log{l, m} {
		if _, err := x.Append(makeBatch(1, 50, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: %v", x.Name(), err)
		}
		if err := x.Flush(); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: flush: %v", x.Name(), err)
		}
	}
	if err := a.writeCheckpoint(recoveryPointFile); !errors.Is(err, ErrFailed) {
		t.Errorf("checkpoint: %v", err)
	}
	if a.Err() == nil || b.Err() != nil {
		t.Errorf("offline: %v and %v", a.Err(), b.Err())
	}
	appendTest(t, n, makeBatch(1, 1, 1, batch.None), nil)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); !errors.Is(err, ErrFailed) || string(before) != string(mustRead(t, filepath.Join(a.path, metaFile))) {
		t.Error(err)
	}
	for _, x := range openTest(t, a.path, small()).Logs() {
		appendTest(t, x, makeBatch(1, 1, 1, batch.None), nil)
	}
}

// TestUnreadableDevice: a read that the device fails takes its directory offline too, and whoever asked to know is told.
func TestUnreadableDevice(t *testing.T) {
	for name, read := range map[string]func(l *Log) error{
		"records": func(l *Log) error { _, _, err := l.Read(nil, 1, 2, 1<<20, true); return err },
		"time":    func(l *Log) error { _, _, _, err := l.OffsetForTime(0); return err },
		"newest":  func(l *Log) error { _, _, _, err := l.MaxTimestamp(); return err },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(tempDir(t), "d")
			d := openTest(t, path, small())
			l := createTest(t, d, "t")
			for range 3 {
				appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil)
			}
			if err := d.Close(); err != nil { // nothing of it in memory any more
				t.Fatal(err)
			}
			d = openTest(t, path, small())
			l = d.Logs()[0]
			told := 0
			d.OnOffline(func() { told++ })
			s := l.segs.Load().s[0]
			if err := s.hold(); err != nil {
				t.Fatal(err)
			}
			failReads(t, s.file())
			s.Release()
			if err := read(l); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			if d.Err() == nil || told != 1 {
				t.Errorf("%v, told %d times", d.Err(), told)
			}
			if _, err := l.Append(makeBatch(1, 50, 1, batch.None), 0, nil); !errors.Is(err, ErrFailed) {
				t.Error(err)
			}
		})
	}
}

// failReads puts a file in fd's place whose reads give EIO: the memory of this process, where nothing is mapped.
func failReads(t *testing.T, fd int) {
	t.Helper()
	f, err := os.Open("/proc/self/mem")
	if err == nil {
		err = unix.Dup3(int(f.Fd()), fd, unix.O_CLOEXEC)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestDescriptorsRunOut: no descriptor for an index says nothing about the device.
func TestDescriptorsRunOut(t *testing.T) {
	for err, want := range map[error][3]bool{ // passing, device, sync
		&os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}:      {true, false, false},
		&os.PathError{Op: "fsync", Path: "x", Err: syscall.ENFILE}:     {true, false, false}, // its open failed
		&os.PathError{Op: "fsync", Path: "x", Err: syscall.ENOSPC}:     {false, true, true},
		&os.PathError{Op: "fdatasync", Path: "x", Err: syscall.EDQUOT}: {false, true, true},
		&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}:     {true, false, false},
		&os.PathError{Op: "write", Path: "x", Err: syscall.EROFS}:      {false, true, false},
		&os.PathError{Op: "write", Path: "x", Err: syscall.EFBIG}:      {false, false, false},
	} {
		if got := [3]bool{isPassing(err), isDeviceError(err), isSyncError(err)}; got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

// TestFloor: below the floor nothing is appended but to Kafka's own topics, what frees space goes on, and appends are
// taken again a quarter above it. What was appended before is confirmed all the same.
func TestFloor(t *testing.T) {
	var log strings.Builder
	free := int64(10 << 20)
	o := small()
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	o.FreeBytes = 1 << 20
	o.freeSpace = func(string) (int64, int64, error) { return free, 100 << 20, nil }
	d := openTest(t, filepath.Join(tempDir(t), "d"), o)
	d.space.close() // the test looks
	defer func() { d.space.stop, d.space.done = make(chan struct{}), closedChannel() }()
	l, own := createTest(t, d, "t"), createTest(t, d, "__t")
	b := numbered(7, 0, 0, 2, 1)
	appendTest(t, l, b, nil)
	at := func(bytes int64, taken bool) {
		t.Helper()
		free = bytes
		d.lookAtSpace()
		_, err := l.Append(makeBatch(1, 500, 1, batch.None), 0, nil)
		if taken != (err == nil) || err != nil && (!errors.Is(err, ErrNoSpace) || errors.Is(err, ErrFailed)) {
			t.Fatalf("with %d bytes free: %v", bytes, err)
		}
		appendTest(t, own, makeBatch(1, 1, 1, batch.None), nil)
	}
	at(1<<20, true)
	for range 10 { // so that there is something to delete
		at(1<<20, true)
	}
	at(1<<20-1, false)
	if s := d.Space(); !s.Low || s.Free != free || s.Floor != 1<<20 || s.Refused != 1 {
		t.Errorf("%+v", s)
	}
	if info := appendTest(t, l, numbered(7, 0, 0, 2, 1), nil); !info.Duplicate {
		t.Errorf("%+v", info)
	}
	l.Configure(Settings{DeleteDelay: 1 << 50})
	if _, err := l.DeleteBefore(l.EndOffset(), l.EndOffset()); err != nil {
		t.Error(err)
	}
	if err := d.Trim(); err != nil || l.Segments() != 1 {
		t.Errorf("%v, %d segments are left", err, l.Segments())
	}
	if left, _ := filepath.Glob(filepath.Join(l.dir, "*"+deletedFileSuffix)); len(left) > 0 {
		t.Errorf("%v wait to be removed", left)
	}
	at(1<<20+1<<18-1, false)
	at(1<<20+1<<18, true)
	for _, line := range []string{"disk is nearly full", "there is space again"} {
		if strings.Count(log.String(), line) != 1 {
			t.Errorf("%q is not there once:\n%s", line, log.String())
		}
	}

	// Without a floor of its own a directory has a twentieth of a small file system, or 256 MiB.
	d.opts.FreeBytes = -1
	at(5<<20-1, false)
	d.opts.freeSpace = func(string) (int64, int64, error) { return free, 1 << 40, nil }
	at(256<<20-1, false)
	at(320<<20, true)
}

// TestFloorIsNear: appends that may have reached the floor have it looked at.
func TestFloorIsNear(t *testing.T) {
	looks := make(chan int64, 100)
	free := int64(1 << 20)
	o := small()
	o.FreeBytes = 1<<20 - 1000
	o.freeSpace = func(string) (int64, int64, error) { looks <- free; return free, 1 << 40, nil }
	l := createTest(t, openTest(t, filepath.Join(tempDir(t), "d"), o), "t")
	<-looks // of the start
	for len(looks) == 0 {
		appendTest(t, l, makeBatch(1, 200, 1, batch.None), nil)
	}
	if n := l.Size(); n < 1000 {
		t.Logf("looked after %d bytes", n) // the clock's look came first
	}
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// TestProgress: what is read adds up to what was announced, whatever the logs' state.
func TestProgress(t *testing.T) {
	dir, batches := crashed(t, 40, 20)
	for _, damage := range []bool{false, true} {
		if damage {
			flip(t, dir, batches, 30, batch.HeaderSize+5, 1)
		}
		var p Progress
		o := small()
		o.Progress = &p
		to := filepath.Join(tempDir(t), "copy")
		copyDir(t, dir, to)
		var end ProgressReading
		o.Listener.Recovered = func(*Log, Recovery) { end = p.Read() }
		d := openTest(t, to, o)
		r := p.Read()
		if r.Logs != 1 || r.OfLogs != 1 || r.Bytes != r.OfBytes || r.OfBytes == 0 || end.Logs != 0 || end.Bytes == 0 ||
			end.OfBytes != r.OfBytes || damage != (end.Bytes < end.OfBytes) {
			t.Errorf("%+v, at the end of the walk %+v", r, end)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		openTest(t, to, o)
		if again := p.Read(); again.OfLogs != 2 || again.OfBytes != r.OfBytes {
			t.Errorf("after a clean stop: %+v", again)
		}
	}
}

package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// openIn counts this process's descriptors of .log files below dir.
func openIn(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if at, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(at, dir) && strings.HasSuffix(at, logSuffix) {
			n++
		}
	}
	return n
}

// manyLogs makes n logs of several segments each, all synced.
func manyLogs(t *testing.T, d *Dir, n int) []*Log {
	t.Helper()
	var logs []*Log
	for i := range n {
		l, err := d.Create("t", int32(i), testTopicID)
		if err != nil {
			t.Fatal(err)
		}
		for j := range 12 {
			appendTest(t, l, makeBatch(2, 200+i, int64(1000+j), batch.None), nil)
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	return logs
}

// TestOpenFilesBounded: with many times as many segments as files may be open all of them are readable, appends go on,
// and so it is after a clean and an unclean start.
func TestOpenFilesBounded(t *testing.T) {
	o := small()
	o.OpenFiles, o.TailBytes = 8, -1
	path := tempDir(t)
	d := openTest(t, path, o)
	logs := manyLogs(t, d, 40)
	check := func(d *Dir, batches int) {
		t.Helper()
		for range 2 {
			for i, l := range d.Logs() {
				if got := readAll(t, l, 1000); len(got) != batches {
					t.Fatalf("log %d has %d batches", i, len(got))
				}
				appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
				if err := l.Flush(); err != nil {
					t.Fatal(err)
				}
				var n int
				for end := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) { // one may be about to be closed
					if n = openIn(t, d.path); n <= o.OpenFiles && n == d.OpenFiles() {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("%d files are open, the cache has %d", n, d.OpenFiles())
					}
				}
			}
			batches++
		}
	}
	if n := logs[0].Segments(); n < 3 {
		t.Fatalf("%d segments", n)
	}
	check(d, 12)
	after := filepath.Join(tempDir(t), "crashed")
	copyDir(t, path, after)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if n := openIn(t, path); n != 0 || d.OpenFiles() != 0 {
		t.Fatalf("%d files are open after the end", n)
	}
	check(openTest(t, path, o), 14)
	check(openTest(t, after, o), 14)
}

// TestUnsyncedStaysOpen: a file whose write-back may still fail unseen is not closed, but flushed and closed then.
func TestUnsyncedStaysOpen(t *testing.T) {
	o := small()
	o.OpenFiles = 2
	hold, syncs := make(chan bool), 0
	var mu sync.Mutex
	o.Sync = func(int) error {
		<-hold
		mu.Lock()
		syncs++
		mu.Unlock()
		return nil
	}
	d := openTest(t, tempDir(t), o)
	var logs []*Log
	for i := range 6 {
		l, err := d.Create("t", int32(i), testTopicID)
		if err != nil {
			t.Fatal(err)
		}
		appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
		logs = append(logs, l)
	}
	if n := openIn(t, d.path); n != len(logs) {
		t.Fatalf("%d of %d files with bytes that were not synced are open", n, len(logs))
	}
	close(hold)
	for _, l := range logs {
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	d.files.shrink()
	if n := openIn(t, d.path); n > o.OpenFiles {
		t.Fatalf("%d files are open", n)
	}
	if syncs == 0 {
		t.Fatal("nothing was synced")
	}
}

// TestReplacedFile: what has another file under its name since it was closed is gone, and never read as it.
func TestReplacedFile(t *testing.T) {
	o := small()
	o.OpenFiles = 1
	d := openTest(t, tempDir(t), o)
	logs := manyLogs(t, d, 2)
	first := logs[0].segs.Load().s[0]
	spans, _, err := logs[1].Read(nil, 0, 24, 1000, true) // takes the one place
	if err != nil {
		t.Fatal(err)
	}
	defer spans[0].Release()
	if first.state.Load() != 0 {
		t.Fatalf("the first segment is still open, state %x", first.state.Load())
	}
	path := first.stem + logSuffix
	content := mustRead(t, path)
	mustWrite(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := logs[0].Read(nil, 0, 24, 1000, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("read of a file that was replaced: %v", err)
	}
}

// TestNoDescriptors: at the process's own limit files of others are given up for the one that is needed.
func TestNoDescriptors(t *testing.T) {
	d := openTest(t, tempDir(t), small()) // as many as it likes
	logs := manyLogs(t, d, 3)
	for _, l := range logs {
		readAll(t, l, 1000)
	}
	before := d.OpenFiles()
	for range 2 {
		if !d.files.yield(logs[0].active) {
			t.Fatal("nothing was given up")
		}
	}
	if n := d.OpenFiles(); n >= before || n != openIn(t, d.path) {
		t.Fatalf("%d files are open, before it were %d", n, before)
	}
	for _, l := range logs {
		readAll(t, l, 1000)
		appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
	}
}

// TestFilesRace: appends, rolls, reads, flushes, retention and deletion with almost no descriptors. Every batch says
// which log it is of.
func TestFilesRace(t *testing.T) {
	o := small()
	o.OpenFiles, o.TailBytes = 3, -1
	d := openTest(t, tempDir(t), o)
	const slots, rounds = 6, 150
	var mu [slots]sync.RWMutex // a log is replaced with it
	var logs [slots]*Log
	life := [slots]int{}
	renew := func(i int) {
		if logs[i] != nil {
			if err := d.Delete(logs[i]); err != nil {
				t.Error(err)
			}
		}
		life[i]++
		l, err := d.Create("t", int32(i), testTopicID)
		if err != nil {
			t.Error(err)
			return
		}
		logs[i] = l
	}
	for i := range slots {
		renew(i)
	}
	text := func(i int) []byte { return fmt.Appendf(nil, "log %d life %d", i, life[i]) }
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range rounds {
				i := r.IntN(slots)
				if r.IntN(40) == 0 {
					mu[i].Lock()
					renew(i)
					mu[i].Unlock()
					continue
				}
				mu[i].RLock()
				l := logs[i]
				switch r.IntN(5) {
				case 0, 1:
					var bd batch.Builder
					bd.Reset(batch.None)
					bd.Append(1, nil, append(text(i), make([]byte, 300)...))
					if _, err := l.Append(batch.Batch(bytes.Clone(bd.Finish())), 0, nil); err != nil {
						t.Error(err)
					}
				case 2:
					if err := l.Flush(); err != nil {
						t.Error(err)
					}
				case 3:
					if _, err := l.DeleteBefore(l.EndOffset()/2, l.EndOffset()); err != nil {
						t.Error(err)
					}
					if err := d.Trim(); err != nil {
						t.Error(err)
					}
				default:
					spans, _, err := l.Read(nil, l.StartOffset(), l.EndOffset(), 5000, true)
					if err != nil && !errors.Is(err, ErrOffsetOutOfRange) {
						t.Error(err)
					}
					got := spanBytes(t, spans)
					for len(got) > 0 {
						b, next, err := batch.First(got)
						if err != nil || !b.CRCOK() || !bytes.Contains(b, text(i)) {
							t.Errorf("log %d, life %d: a batch that is not its own, %v", i, life[i], err)
							break
						}
						got = next
					}
				}
				mu[i].RUnlock()
			}
		})
	}
	wg.Wait()
	for _, l := range logs {
		if err := l.Flush(); err != nil {
			t.Error(err)
		}
		readAll(t, l, 1000)
	}
	if n := openIn(t, d.path); n != d.OpenFiles() || n > o.OpenFiles+slots {
		t.Errorf("%d files are open, the cache has %d", n, d.OpenFiles())
	}
}

package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// crashed writes n batches with small segments and returns a copy of the directory as a killed process leaves it,
// with the bytes of every batch. flushed batches are on the device, by Flush.
func crashed(t *testing.T, n, flushed int) (dir string, batches []batch.Batch) {
	t.Helper()
	d := openTest(t, filepath.Join(tempDir(t), "live"), small())
	l := createTest(t, d, "t")
	for i := range n {
		b := makeBatch(1+i%3, 60, int64(1000+10*i), batch.None)
		if i == n/2 {
			if err := l.BeginEpoch(l.LeaderEpoch() + 1); err != nil {
				t.Fatal(err)
			}
		}
		appendTest(t, l, b, nil)
		batches = append(batches, b)
		if i+1 == flushed {
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := d.writeCheckpoint(recoveryPointFile); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir = filepath.Join(tempDir(t), "crashed")
	copyDir(t, d.path, dir)
	d.Close()
	return dir, batches
}

// lastSegment is the name of the newest segment's log file.
func lastSegment(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "t-0", "*"+logSuffix))
	if err != nil || len(names) == 0 {
		t.Fatal("no segments", err)
	}
	return names[len(names)-1]
}

// snapshot is all files below dir, by name.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != lockFile {
			m[path] = string(mustRead(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// reopened opens dir, lets check look at its one log, and does what a crash would: nothing. It then opens a copy,
// which must change no file.
func reopened(t *testing.T, dir string, check func(l *Log, r Recovery)) {
	t.Helper()
	open := func(dir string) (*Dir, Recovery) {
		var got Recovery
		o := small()
		o.Listener.Recovered = func(_ *Log, r Recovery) { got = r }
		return openTest(t, dir, o), got
	}
	d, r := open(dir)
	logs := d.Logs()
	if len(logs) != 1 {
		t.Fatalf("%d logs", len(logs))
	}
	check(logs[0], r)
	again := dir + "-again"
	copyDir(t, dir, again)
	before := snapshot(t, again)
	d2, r2 := open(again)
	if logs[0].Err() == nil {
		if r2.CutAt != -1 || d2.Logs()[0].EndOffset() != logs[0].EndOffset() {
			t.Fatalf("the second recovery cut: %+v", r2)
		}
		checkIndexes(t, filepath.Join(again, "t-0"))
	}
	for path, content := range before {
		if now := string(mustRead(t, path)); now != content {
			t.Fatalf("the second recovery changed %s", path)
		}
	}
	d2.Close()
	d.Close()
}

// TestTornTail cuts the last file at every byte of the last two batches.
func TestTornTail(t *testing.T) {
	dir, batches := crashed(t, 12, 0)
	name := lastSegment(t, dir)
	data := mustRead(t, name)
	n := len(batches)
	two := len(batches[n-2]) + len(batches[n-1])
	if two > len(data) {
		t.Fatalf("the last segment has %d bytes only", len(data))
	}
	work := tempDir(t)
	for cut := range two {
		to := filepath.Join(work, fmt.Sprint(cut))
		copyDir(t, dir, to)
		file := filepath.Join(to, "t-0", filepath.Base(name))
		if err := os.Truncate(file, int64(len(data)-two+cut)); err != nil {
			t.Fatal(err)
		}
		want := batches[:n-2]
		if cut >= len(batches[n-2]) {
			want = batches[:n-1]
		}
		d := openTest(t, to, small())
		l := d.Logs()[0]
		if end := want[len(want)-1].LastOffset() + 1; l.EndOffset() != end {
			t.Fatalf("cut at %d: log ends at %d, want %d", cut, l.EndOffset(), end)
		}
		if cut%16 == 0 {
			for i, b := range readAll(t, l, 1000) {
				if !bytes.Equal(b, want[i]) {
					t.Fatalf("cut at %d: batch %d is another", cut, i)
				}
			}
			appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
			checkAfterClose(t, d)
		}
		d.Close()
		os.RemoveAll(to)
	}
}

func checkAfterClose(t *testing.T, d *Dir) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, l := range d.Logs() {
		checkIndexes(t, l.dir)
	}
}

// TestGarbageTail puts bytes behind the last batch that a power cut may leave there.
func TestGarbageTail(t *testing.T) {
	for name, tail := range map[string][]byte{
		"one zero": {0}, "zeros": make([]byte, 300), "ones": bytes.Repeat([]byte{0xff}, 300),
		"huge length": append([]byte{0, 0, 0, 0, 0, 0, 0, 99, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 100)...),
	} {
		t.Run(name, func(t *testing.T) {
			dir, batches := crashed(t, 20, 0)
			file := lastSegment(t, dir)
			mustWrite(t, file, append(mustRead(t, file), tail...))
			reopened(t, dir, func(l *Log, r Recovery) {
				if r.CutBytes != int64(len(tail)) || l.EndOffset() != batches[19].LastOffset()+1 || r.CutSegments != 0 {
					t.Fatalf("end %d, %+v", l.EndOffset(), r)
				}
			})
		})
	}
}

// TestFlippedBytes flips every byte of the header of a batch in the middle, and some of its records. The batch and
// all after it must go, and nothing before it.
func TestFlippedBytes(t *testing.T) {
	dir, batches := crashed(t, 20, 0)
	const victim = 13
	base := batches[victim].BaseOffset()
	flips := []int{batch.HeaderSize, batch.HeaderSize + 9, len(batches[victim]) - 1}
	for at := range batch.HeaderSize {
		flips = append(flips, at)
	}
	for _, at := range flips {
		for _, mask := range []byte{0x01, 0x80} {
			to := filepath.Join(tempDir(t), "x")
			copyDir(t, dir, to)
			flip(t, to, batches, victim, at, mask)
			reopened(t, to, func(l *Log, r Recovery) {
				if l.EndOffset() != base || r.CutAt != base || r.Why == "" {
					t.Errorf("byte %d ^ %#x: log ends at %d, want %d; %+v", at, mask, l.EndOffset(), base, r)
				}
				readAll(t, l, 1000)
			})
		}
	}
}

// flip changes one byte of batch i, wherever its segment is.
func flip(t *testing.T, dir string, batches []batch.Batch, i, at int, mask byte) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "t-0", "*"+logSuffix))
	for _, name := range names {
		data := mustRead(t, name)
		if pos := bytes.Index(data, batches[i]); pos >= 0 {
			data[pos+at] ^= mask
			mustWrite(t, name, data)
			return
		}
	}
	t.Fatal("batch not found")
}

// TestDamageBelowRecoveryPoint: what was on the device is never cut.
func TestDamageBelowRecoveryPoint(t *testing.T) {
	dir, batches := crashed(t, 40, 40)
	// The recovery point is the end, so only the last segment is looked at.
	flip(t, dir, batches, 39, batch.HeaderSize+5, 1)
	before := mustRead(t, lastSegment(t, dir))
	reopened(t, dir, func(l *Log, r Recovery) {
		if l.EndOffset() != batches[39].BaseOffset() || r.CutAt != -1 {
			t.Fatalf("end %d, %+v", l.EndOffset(), r)
		}
		_, err := l.Append(makeBatch(1, 1, 1, batch.None), 1, nil)
		if !errors.Is(err, ErrFailed) || !errors.Is(err, ErrLossy) {
			t.Fatalf("append to a damaged log: %v", err)
		}
		if got := readAll(t, l, 1000); len(got) != 39 {
			t.Fatalf("%d batches are readable", len(got))
		}
	})
	if !bytes.Equal(before, mustRead(t, lastSegment(t, dir))) {
		t.Fatal("the file was changed")
	}
	if mark, err := readMark(filepath.Join(dir, "t-0")); err != nil || mark == nil || mark.At != batches[39].BaseOffset() {
		t.Fatalf("marked %v, %v", mark, err)
	}
}

// TestRecoveryFromPoint: segments below the recovery point are not read.
func TestRecoveryFromPoint(t *testing.T) {
	dir, _ := crashed(t, 60, 30)
	reopened(t, dir, func(l *Log, r Recovery) {
		all := len(l.segs.Load().s)
		if r.Segments == 0 || r.Segments >= all || r.From == 0 {
			t.Fatalf("read %d of %d segments, from %d", r.Segments, all, r.From)
		}
	})
}

// TestDamagedIndexes replaces indexes by what a crash, another program or a bad disk may leave.
func TestDamagedIndexes(t *testing.T) {
	damages := map[string]func(b []byte) []byte{
		"missing":    func([]byte) []byte { return nil },
		"empty":      func([]byte) []byte { return []byte{} },
		"garbage":    func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)+5) },
		"odd size":   func(b []byte) []byte { return append(b, 1, 2, 3) },
		"zero tail":  func(b []byte) []byte { return append(b, make([]byte, 10*offsetEntrySize*timeEntrySize)...) },
		"high entry": func(b []byte) []byte { return append(b, bytes.Repeat([]byte{0x7f}, offsetEntrySize*timeEntrySize)...) },
	}
	for name, damage := range damages {
		for _, suffix := range []string{indexSuffix, timeIndexSuffix} {
			for _, clean := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s%s clean %v", name, suffix, clean), func(t *testing.T) {
					dir, batches := crashed(t, 40, 0)
					if clean {
						d := openTest(t, dir, small())
						if err := d.Close(); err != nil {
							t.Fatal(err)
						}
					}
					names, _ := filepath.Glob(filepath.Join(dir, "t-0", "*"+suffix))
					for _, path := range names {
						if b := damage(mustRead(t, path)); b != nil {
							mustWrite(t, path, b)
						} else if err := os.Remove(path); err != nil {
							t.Fatal(err)
						}
					}
					if clean && name == "empty" {
						return // a valid index, which has to be believed; reads only take longer
					}
					reopened(t, dir, func(l *Log, r Recovery) {
						if got := readAll(t, l, 700); len(got) != len(batches) || r.CutAt != -1 {
							t.Fatalf("%d of %d batches, %+v", len(got), len(batches), r)
						}
					})
				})
			}
		}
	}
}

// TestLostEpochFile: epochs are taken from the batches.
func TestLostEpochFile(t *testing.T) {
	for name, content := range map[string]string{"missing": "", "malformed": "0\n7\nx"} {
		t.Run(name, func(t *testing.T) {
			dir, batches := crashed(t, 40, 0)
			path := filepath.Join(dir, "t-0", epochFile)
			want := mustRead(t, path)
			if content == "" {
				os.Remove(path)
			} else {
				mustWrite(t, path, []byte(content))
			}
			reopened(t, dir, func(l *Log, r Recovery) {
				if l.EndOffset() != batches[39].LastOffset()+1 || l.LeaderEpoch() != 1 {
					t.Fatalf("end %d, epoch %d", l.EndOffset(), l.LeaderEpoch())
				}
			})
			if got := mustRead(t, path); !bytes.Equal(got, want) {
				t.Fatalf("epoch file is %q, was %q", got, want)
			}
		})
	}
}

// TestSegmentGap: a segment that lost its end to a power cut, while the next one is there.
func TestSegmentGap(t *testing.T) {
	for _, torn := range []int64{0, 5} {
		dir, batches := crashed(t, 60, 0)
		names, _ := filepath.Glob(filepath.Join(dir, "t-0", "*"+logSuffix))
		next, _, _ := parseSegmentFile(filepath.Base(names[2]))
		i := 0
		for batches[i].LastOffset()+1 != next {
			i++
		}
		size := int64(len(mustRead(t, names[1]))) - int64(len(batches[i])) + torn
		if err := os.Truncate(names[1], size); err != nil {
			t.Fatal(err)
		}
		reopened(t, dir, func(l *Log, r Recovery) {
			if l.EndOffset() != batches[i].BaseOffset() || r.CutSegments != len(names)-2 {
				t.Fatalf("end %d, want %d; %+v", l.EndOffset(), batches[i].BaseOffset(), r)
			}
			readAll(t, l, 1000)
		})
	}
}

// TestGapsAllowed: in a compacted topic offsets may jump, but never fall.
func TestGapsAllowed(t *testing.T) {
	dir, batches := crashed(t, 10, 0)
	file := lastSegment(t, dir)
	data := mustRead(t, file)
	pos := bytes.Index(data, batches[9])
	batches[9].SetBaseOffset(batches[9].BaseOffset() + 1000)
	copy(data[pos:], batches[9])
	mustWrite(t, file, data)
	for _, allowed := range []bool{true, false} {
		to := filepath.Join(tempDir(t), "x")
		copyDir(t, dir, to)
		o := small()
		o.GapsAllowed = func(string) bool { return allowed }
		l := openTest(t, to, o).Logs()[0]
		want := batches[8].LastOffset() + 1
		if allowed {
			want = batches[9].LastOffset() + 1
		}
		if l.EndOffset() != want {
			t.Fatalf("gaps allowed %v: end %d, want %d", allowed, l.EndOffset(), want)
		}
		if allowed {
			got := readTest(t, l, batches[8].LastOffset()+5, l.EndOffset(), 1000, true)
			if !bytes.Equal(got, batches[9]) {
				t.Fatal("a read in the gap does not give the batch after it")
			}
		}
	}
}

// TestOldFormat: segments that only an older Kafka can convert are refused, not cut.
func TestOldFormat(t *testing.T) {
	dir, _ := crashed(t, 1, 0)
	m := make([]byte, 40)
	binary.BigEndian.PutUint32(m[8:], uint32(len(m)-12))
	m[16] = 1
	binary.BigEndian.PutUint32(m[12:], crcIEEE(m[16:]))
	mustWrite(t, lastSegment(t, dir), append(m, make([]byte, 100)...))
	_, err := OpenDir(dir, testID, small())
	if !errors.Is(err, ErrUnsupported) {
		t.Fatalf("got %v", err)
	}
}

// TestLogStartBeyondEnd: Kafka starts over at the log start.
func TestLogStartBeyondEnd(t *testing.T) {
	dir, _ := crashed(t, 10, 0)
	mustWrite(t, filepath.Join(dir, logStartFile), []byte("0\n1\nt 0 5000\n"))
	l := openTest(t, dir, small()).Logs()[0]
	if l.StartOffset() != 5000 || l.EndOffset() != 5000 {
		t.Fatalf("%d to %d", l.StartOffset(), l.EndOffset())
	}
	if info := appendTest(t, l, makeBatch(1, 1, 1, batch.None), nil); info.Base != 5000 {
		t.Fatalf("%+v", info)
	}
	readAll(t, l, 1000)
}

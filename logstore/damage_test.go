package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// damaged is a directory with one log of some small segments, some producers and two epochs, to be damaged: a copy of
// the same content for each stop it may have come to.
type damaged struct {
	*testing.T
	work    string
	n       int
	batches []batch.Batch
	stops   map[string]string // how it was stopped, and a directory in that state
	stale   string            // the same directory when it had half as much
}

// The stops: nothing on the device as far as anybody knows, all of it, about two thirds, a clean stop.
const (
	unsynced = "nothing synced"
	synced   = "all synced"
	partly   = "partly synced"
	cleanly  = "clean stop"
)

// Of so many batches the first synced ones are on the device when the stop is partly.
const (
	damagedBatches = 14
	syncedBatches  = 9
)

func damageOptions() Options {
	o := small()
	o.SegmentBytes, o.IndexIntervalBytes = 500, 100
	o.ProducerExpiration = 1 << 62 // the batches are of 1970
	return o
}

func newDamaged(t *testing.T) *damaged {
	x := &damaged{T: t, work: tempDir(t), stops: map[string]string{}}
	for _, stop := range []string{unsynced, partly, synced, cleanly} {
		d := openTest(t, filepath.Join(x.work, "live "+stop), damageOptions())
		l := createTest(t, d, "t")
		x.batches = nil
		seqs := map[int64]int32{}
		for i := range damagedBatches {
			if i == damagedBatches/2 {
				if err := l.BeginEpoch(1); err != nil {
					t.Fatal(err)
				}
			}
			var bd batch.Builder
			bd.Reset(batch.None)
			n := 1 + i%3
			if id := int64(i % 4); id > 0 {
				bd.SetProducer(id, 0, seqs[id], false)
				seqs[id] += int32(n)
			}
			for r := range n {
				bd.Append(int64(1000+10*i+r), nil, fmt.Appendf(nil, "value %d of %d", r, i))
			}
			b := batch.Batch(bytes.Clone(bd.Finish()))
			appendTest(t, l, b, nil)
			x.batches = append(x.batches, b)
			if stop == partly && i+1 == syncedBatches || stop == synced && i+1 == damagedBatches {
				if err := errors.Join(l.Flush(), d.writeCheckpoint(recoveryPointFile)); err != nil {
					t.Fatal(err)
				}
			}
			if stop == cleanly && i == damagedBatches/2 {
				x.stale = filepath.Join(x.work, "stale")
				if err := l.Flush(); err != nil {
					t.Fatal(err)
				}
				copyDir(t, d.path, x.stale)
			}
		}
		if stop == cleanly {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		x.stops[stop] = filepath.Join(x.work, stop)
		copyDir(t, d.path, x.stops[stop])
		d.Close()
	}
	return x
}

// files are those of one state with the suffix, as paths in it.
func (x *damaged) files(stop, pattern string) []string {
	names, err := filepath.Glob(filepath.Join(x.stops[stop], pattern))
	if err != nil || len(names) == 0 {
		x.Fatal(pattern, err)
	}
	for i := range names {
		names[i], _ = filepath.Rel(x.stops[stop], names[i])
	}
	return names
}

// open gives a copy of the state to change, and opens it.
func (x *damaged) open(stop string, change func(dir string)) (*Dir, error) {
	x.n++
	dir := filepath.Join(x.work, fmt.Sprint(x.n))
	copyDir(x.T, x.stops[stop], dir)
	change(dir)
	return OpenDir(dir, testID, damageOptions())
}

func (x *damaged) close(d *Dir) {
	d.Close()
	os.RemoveAll(d.path)
}

// readable reads all the log offers, some bytes at a time and from each offset, and returns how many batches from the
// first on are served. Whatever is served must be what was appended: an error is not held against the log.
func (x *damaged) readable(what string, l *Log) int {
	served := 0
	for i, want := range x.batches {
		if want.BaseOffset() >= l.EndOffset() {
			break
		}
		spans, _, err := l.Read(nil, want.BaseOffset(), l.EndOffset(), 300, true)
		if err != nil {
			continue
		}
		got := spanBytes(x.T, spans)
		all := bytes.Join(batchBytes(x.batches[i:]), nil)
		if len(got) == 0 || !bytes.HasPrefix(all, got) {
			x.Fatalf("%s: a read from %d gives %d bytes that were not appended", what, want.BaseOffset(), len(got))
		}
		if served == i {
			served++
		}
	}
	return served
}

func batchBytes(list []batch.Batch) [][]byte {
	out := make([][]byte, len(list))
	for i, b := range list {
		out[i] = b
	}
	return out
}

// whole checks that everything is there: batches, times, producers.
func (x *damaged) whole(what string, l *Log) {
	if l.Err() != nil {
		x.Fatalf("%s: %v", what, l.Err())
	}
	if n := x.readable(what, l); n != len(x.batches) {
		x.Fatalf("%s: %d of %d batches are served, the log ends at %d", what, n, len(x.batches), l.EndOffset())
	}
	for _, b := range x.batches {
		if off, _, found, err := l.OffsetForTime(b.BaseTimestamp()); off != b.BaseOffset() || !found || err != nil {
			x.Fatalf("%s: time %d is found at %d (%v, %v), is at %d", what, b.BaseTimestamp(), off, found, err, b.BaseOffset())
		}
	}
	for _, b := range x.batches[len(x.batches)-4:] {
		if !idempotent(b) {
			continue
		}
		if p := l.producers.byID[b.ProducerID()]; p == nil || *p.newest() != batchOf(b) {
			x.Fatalf("%s: producer %d is known as %+v", what, b.ProducerID(), p)
		}
	}
}

// victim is the batch that has byte at of the file, counted over all, and what follows it in the file.
func (x *damaged) victim(file string, at int64) int {
	base, _, _ := parseSegmentFile(filepath.Base(file))
	i := slices.IndexFunc(x.batches, func(b batch.Batch) bool { return b.BaseOffset() == base })
	for ; at >= int64(len(x.batches[i])); i++ {
		at -= int64(len(x.batches[i]))
	}
	return i
}

// damageAll has every byte damaged, which takes minutes: SLUICE_DAMAGE_ALL=1. Else it is every byte of the headers of
// what was partly synced, and some of the others.
var damageAll = envInt("SLUICE_DAMAGE_ALL", 0) > 0

func (x *damaged) due(stop, file string, at int64) bool {
	first := at
	for i := x.victim(file, at); first > 0 && x.victim(file, first-1) == i; {
		first--
	}
	header := at-first < batch.HeaderSize
	return damageAll || header && (stop == partly || at%5 == 0) || at%11 == 0 || at == first
}

// outcome checks a log that was damaged at batch i: all before it is served, nothing of it, and nothing that was safe
// is cut.
func (x *damaged) outcome(what, stop string, d *Dir, i int) {
	l := d.Logs()[0]
	want := x.batches[i].BaseOffset()
	if n := x.readable(what, l); l.EndOffset() != want || n != i {
		x.Fatalf("%s: the log ends at %d, want %d; %d of %d batches are served", what, l.EndOffset(), want, n, i)
	}
	safe := stop == synced || stop == partly && i < syncedBatches
	if failed := errors.Is(l.Err(), ErrCorrupt); failed != safe {
		x.Fatalf("%s: the log says %v", what, l.Err())
	}
}

// walked tells whether recovery reads the segment's file after the stop.
func (x *damaged) walked(stop, file string) bool {
	names := x.files(stop, "t-0/*.log")
	i := slices.Index(names, file)
	switch stop {
	case unsynced:
		return true
	case synced:
		return i == len(names)-1
	}
	base, _, _ := parseSegmentFile(filepath.Base(names[min(i+1, len(names)-1)]))
	return i == len(names)-1 || base > x.batches[syncedBatches-1].LastOffset()+1
}

// TestCutEverywhere cuts each segment at each byte.
func TestCutEverywhere(t *testing.T) {
	t.Parallel()
	x := newDamaged(t)
	for _, stop := range []string{unsynced, partly, synced} {
		for _, file := range x.files(stop, "t-0/*.log") {
			size := int64(len(mustRead(t, filepath.Join(x.stops[stop], file))))
			for at := range size {
				if !x.walked(stop, file) && at%64 != 0 {
					continue // nobody looks there before it is read
				}
				if !x.due(stop, file, at) {
					continue
				}
				what := fmt.Sprintf("%s, %s cut at %d", stop, file, at)
				d, err := x.open(stop, func(dir string) {
					if err := os.Truncate(filepath.Join(dir, file), at); err != nil {
						t.Fatal(err)
					}
				})
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				switch i := x.victim(file, at); {
				case !x.walked(stop, file):
					d.Logs()[0].Err()
				case at == 0 && stop == synced, x.batches[i].BaseOffset() >= d.Logs()[0].RecoveryPoint() && x.endsWhole(file, at) && x.last(stop, file):
					// a shorter log, in which nothing looks wrong
				default:
					x.outcome(what, stop, d, i)
				}
				x.close(d)
			}
		}
	}
}

func (x *damaged) last(stop, file string) bool {
	names := x.files(stop, "t-0/*.log")
	return names[len(names)-1] == file
}

// endsWhole tells whether the file, cut at at, ends with a batch.
func (x *damaged) endsWhole(file string, at int64) bool {
	return at == 0 || x.victim(file, at) != x.victim(file, at-1)
}

// TestFlipEverywhere flips a bit of each byte of each batch that recovery looks at.
func TestFlipEverywhere(t *testing.T) {
	t.Parallel()
	x := newDamaged(t)
	for _, stop := range []string{unsynced, partly, synced} {
		for _, file := range x.files(stop, "t-0/*.log") {
			if !x.walked(stop, file) {
				continue
			}
			data := mustRead(t, filepath.Join(x.stops[stop], file))
			for at := range data {
				if !x.due(stop, file, int64(at)) {
					continue
				}
				what := fmt.Sprintf("%s, %s flipped at %d", stop, file, at)
				d, err := x.open(stop, func(dir string) {
					b := bytes.Clone(data)
					b[at] ^= 1 << (at % 8)
					mustWrite(t, filepath.Join(dir, file), b)
				})
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				x.outcome(what, stop, d, x.victim(file, int64(at)))
				x.close(d)
			}
		}
	}
}

// damages are what may happen to a small file. nil: it is gone.
func damages(b, stale []byte, entry int, rnd *rand.Rand) map[string][]byte {
	m := map[string][]byte{
		"gone": nil, "empty": {}, "zeroed": make([]byte, len(b)), "stale": stale,
		"twice": append(bytes.Clone(b), b...), "zeros behind": append(bytes.Clone(b), make([]byte, 10*entry)...),
		"ones": bytes.Repeat([]byte{0xff}, len(b)),
	}
	garbage := make([]byte, len(b))
	for i := range garbage {
		garbage[i] = byte(rnd.Uint32())
	}
	m["garbage"] = garbage
	step := 1 + len(b)/8 // of large files some bytes
	if damageAll {
		step = 1 + len(b)/24
	}
	for n := 1 + rnd.IntN(step); n < len(b); n += step {
		m[fmt.Sprintf("cut to %d", n)] = b[:n]
	}
	for n := 0; n < 12; n += 1 + rnd.IntN(3) {
		m[fmt.Sprintf("%d bytes more", n+1)] = append(bytes.Clone(b), garbage[:min(n+1, len(garbage))]...)
	}
	for i := rnd.IntN(step); i < len(b); i += step {
		flipped := bytes.Clone(b)
		flipped[i] ^= 1 << rnd.IntN(8)
		m[fmt.Sprintf("flipped at %d", i)] = flipped
	}
	for n := range 2 {
		m[fmt.Sprintf("entries shuffled %d", n)] = shuffled(b, entry, rnd)
		m[fmt.Sprintf("bytes shuffled %d", n)] = shuffled(b, 1, rnd)
	}
	return m
}

func shuffled(b []byte, entry int, rnd *rand.Rand) []byte {
	b = bytes.Clone(b)
	rnd.Shuffle(len(b)/entry, func(i, j int) {
		for k := range entry {
			b[i*entry+k], b[j*entry+k] = b[j*entry+k], b[i*entry+k]
		}
	})
	return b
}

func (x *damaged) change(path string, b []byte) func(dir string) {
	return func(dir string) {
		if b == nil {
			if err := os.Remove(filepath.Join(dir, path)); err != nil {
				x.Fatal(err)
			}
			return
		}
		mustWrite(x.T, filepath.Join(dir, path), b)
	}
}

// each damages the files of a pattern in all ways and lets check look at what is opened. err is OpenDir's.
func (x *damaged) each(pattern string, entry int, check func(what, stop string, d *Dir, err error)) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, stop := range []string{unsynced, partly, synced, cleanly} {
		names, _ := filepath.Glob(filepath.Join(x.stops[stop], pattern))
		for _, name := range names {
			file, _ := filepath.Rel(x.stops[stop], name)
			stale, _ := os.ReadFile(filepath.Join(x.stale, file))
			for how, b := range damages(mustRead(x.T, name), stale, entry, rnd) {
				if b == nil && how == "stale" {
					continue // there was none
				}
				d, err := x.open(stop, x.change(file, b))
				check(fmt.Sprintf("%s, %s %s", stop, file, how), stop, d, err)
				if err == nil {
					x.close(d)
				}
			}
		}
	}
}

// TestDamagedOffsetIndex: whatever is in an index, reads find what is there.
func TestDamagedOffsetIndex(t *testing.T) {
	t.Parallel()
	x := newDamaged(t)
	x.each("t-0/*"+indexSuffix, offsetEntrySize, func(what, _ string, d *Dir, err error) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		x.whole(what, d.Logs()[0])
	})
}

// TestDamagedTimeIndex: reads do not depend on it. Look-ups do where a start believes it, and find nothing earlier.
func TestDamagedTimeIndex(t *testing.T) {
	t.Parallel()
	x := newDamaged(t)
	x.each("t-0/*"+timeIndexSuffix, timeEntrySize, func(what, stop string, d *Dir, err error) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		l := d.Logs()[0]
		if n := x.readable(what, l); n != len(x.batches) || l.Err() != nil {
			t.Fatalf("%s: %d batches are served, %v", what, n, l.Err())
		}
	})
}

// TestDamagedSnapshot: producers are found in the log, if not in a snapshot.
func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	x := newDamaged(t)
	x.each("t-0/*"+snapshotSuffix, snapshotEntrySize, func(what, _ string, d *Dir, err error) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		x.whole(what, d.Logs()[0])
	})
}

// TestDamagedCheckpoints: nothing is lost by a checkpoint, and nothing wrong is served. Wrong numbers in one that looks
// whole may hide records, or make the log look damaged.
func TestDamagedCheckpoints(t *testing.T) {
	t.Parallel()
	x := newDamaged(t)
	for _, pattern := range []string{"*-checkpoint", "t-0/" + epochFile} {
		x.each(pattern, 2, func(what, stop string, d *Dir, err error) {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			l := d.Logs()[0]
			n := x.readable(what, l)
			silent := strings.Contains(what, "flipped") || strings.Contains(what, "shuffled") || strings.Contains(what, "cut to") || strings.Contains(what, "stale")
			if n != len(x.batches) && !silent && l.Err() == nil {
				t.Fatalf("%s: %d of %d batches are served", what, n, len(x.batches))
			}
		})
	}
}

// TestDamagedMetadata: a directory that does not say whose it is, or a log which, is not opened.
func TestDamagedMetadata(t *testing.T) {
	t.Parallel()
	x := newDamaged(t)
	for _, pattern := range []string{metaFile, "t-0/" + partitionFile, lockFile} {
		x.each(pattern, 2, func(what, _ string, d *Dir, err error) {
			if err != nil {
				if !errors.Is(err, ErrForeign) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%s: %v", what, err)
				}
				return
			}
			if n := x.readable(what, d.Logs()[0]); n != len(x.batches) {
				t.Fatalf("%s: %d batches are served", what, n)
			}
		})
	}
}

package logstore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// coldLog fills a log with small segments, all of which but the last are on the device.
func coldLog(t *testing.T, d *Dir, name string) *Log {
	t.Helper()
	l := createTest(t, d, name)
	for i := 0; l.Segments() < 6; i++ {
		if i == 10 {
			if err := l.BeginEpoch(3); err != nil {
				t.Fatal(err)
			}
		}
		appendTest(t, l, makeBatch(2, 60, int64(1000+10*i), batch.None), nil)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	return l
}

// rot changes one byte of a file under everybody's feet.
func rot(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// scrubOptions are those of a Dir that makes one pass after the other and tells what it finds.
func scrubOptions() (o Options, damaged chan Flaw, passes chan int64) {
	o = small()
	o.ScrubBytesPerSecond, o.ScrubInterval = 1<<40, time.Millisecond
	damaged, passes = make(chan Flaw, 1000), make(chan int64)
	o.Listener.Damaged = func(_ *Log, d Flaw) { damaged <- d }
	o.Listener.Scrubbed = func(_ string, n int64) {
		select {
		case passes <- n:
		case <-time.After(20 * time.Second): // nobody looks any more
		}
	}
	return o, damaged, passes
}

// TestScrubOfARunningLog: a pass over what is right finds nothing; a bit that flips then is found by the next one,
// wherever it is: in what the checksum covers, and in the offset and epoch, which it does not.
func TestScrubOfARunningLog(t *testing.T) {
	for _, at := range []int64{80, batch.OffsetBaseOffset + 7, batch.OffsetLeaderEpoch + 3, batch.OffsetLength + 3, batch.OffsetMagic} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			d := openTest(t, tempDir(t), small())
			l := coldLog(t, d, "t")
			var found []Flaw
			d.opts.Listener.Damaged = func(_ *Log, d Flaw) { found = append(found, d) }
			d.opts.ScrubBytesPerSecond = 1 << 40
			x := newScrubber(d)
			if !x.pass() || len(found) > 0 || x.damages.Load() != 0 {
				t.Fatal("found", found)
			}
			cold := int64(0)
			list := l.segs.Load().s
			for _, s := range list[:len(list)-1] {
				cold += s.size.Load()
			}
			if x.bytes.Load() != cold {
				t.Errorf("%d bytes were read of %d cold ones", x.bytes.Load(), cold)
			}
			s := list[3]
			second := secondBatch(t, s)
			rot(t, s.stem+logSuffix, second+at)
			x = newScrubber(d)
			if !x.pass() || len(found) == 0 {
				t.Fatal("not found")
			}
			if f := found[0]; f.Base != s.base || f.Pos != second || f.Size <= 0 || f.Offset != s.base+2 || f.Why == "" {
				t.Errorf("found %+v", f)
			}
			if x.damages.Load() != int64(len(found)) {
				t.Errorf("%d damages are counted, %d were found", x.damages.Load(), len(found))
			}
			if lost := l.Damage(); lost == nil || lost.At != s.base+2 || lost.UpTo != list[4].base {
				t.Errorf("the log has lost %v", lost)
			}
		})
	}
}

// secondBatch is where the second batch of the segment begins.
func secondBatch(t *testing.T, s *segment) int64 {
	t.Helper()
	if err := s.hold(); err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	sc := getScratch()
	defer putScratch(sc)
	h, err := sc.headAt(s, 0, s.size.Load())
	if err != nil {
		t.Fatal(err)
	}
	return h.size
}

// TestScrubInTheBackground is the same by the goroutine of the Dir.
func TestScrubInTheBackground(t *testing.T) {
	o, damaged, passes := scrubOptions()
	d := openTest(t, tempDir(t), o)
	l := coldLog(t, d, "t")
	if n := <-passes; n != 0 || d.Scrub().Passes == 0 || d.Scrub().LastPass.IsZero() {
		t.Error(n, d.Scrub())
	}
	s := l.segs.Load().s[2]
	rot(t, s.stem+logSuffix, s.size.Load()-1)
	n := int64(0)
	for found := false; !found; {
		select {
		case f := <-damaged:
			if found = true; f.Base != s.base {
				t.Errorf("found %+v", f)
			}
		case more := <-passes: // one that was over before the bit flipped, or the one that has met it
			n += more
		}
	}
	for n == 0 {
		n = <-passes
	}
	if d.Scrub().Damaged == 0 {
		t.Error(d.Scrub())
	}
	go func() {
		for range passes {
		}
	}()
	d.Close()
	close(passes)
}

// TestScrubGoesOnWhereItWas: a stop in the middle of a pass, and the next start begins with the log that is due.
func TestScrubGoesOnWhereItWas(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, small())
	for i := range 4 {
		coldLog(t, d, fmt.Sprint("t", i))
	}
	d.opts.ScrubBytesPerSecond = 1
	x := newScrubber(d)
	naps := 0
	x.pace.sleep = func(time.Duration) bool {
		if naps++; naps == 13 { // five segments of t0, five of t1, then the third of t2
			x.end()
		}
		return x.ctx.Err() == nil
	}
	x.state.Began = x.wall()
	if x.pass() {
		t.Fatal("not interrupted")
	}
	x.save()
	if at := x.state.Position; at.Topic != "t2" || at.Offset == 0 {
		t.Fatal("stopped at", at)
	}
	d.Close()
	d = openTest(t, path, small())
	d.opts.ScrubBytesPerSecond = 1 << 40
	y := newScrubber(d)
	if y.state != x.state || y.untilNext() != 0 {
		t.Errorf("state %+v, it was %+v; due in %v", y.state, x.state, y.untilNext())
	}
	if at := *y.position.Load(); at.Topic != "t2" {
		t.Error("stands at", at)
	}
	before := y.bytes.Load()
	if !y.pass() || y.bytes.Load()-before > x.bytes.Load() {
		t.Errorf("read %d bytes for the rest", y.bytes.Load()-before)
	}
	if err := os.WriteFile(filepath.Join(path, scrubFile), []byte("not JSON"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := readScrubState(d); s != (scrubState{}) {
		t.Errorf("%+v was read from garbage", s)
	}
}

// TestScrubOfWhatGoesAway: a segment that is damaged, but deleted meanwhile, is nobody's loss; and what is shortened
// under it is no damage unless it is still the log's.
func TestScrubOfWhatGoesAway(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := coldLog(t, d, "t")
	s := l.segs.Load().s[0]
	rot(t, s.stem+logSuffix, 100)
	d.opts.ScrubBytesPerSecond = 1
	d.opts.Listener.Damaged = func(_ *Log, f Flaw) { t.Errorf("found %+v", f) }
	x := newScrubber(d)
	gone := false
	x.pace.sleep = func(time.Duration) bool {
		if !gone {
			gone = true
			if _, err := l.DeleteBefore(l.segs.Load().s[1].base, l.EndOffset()); err != nil {
				t.Error(err)
			}
			if err := d.Trim(); err != nil {
				t.Error(err)
			}
		}
		return true
	}
	if !x.pass() || !gone {
		t.Error("interrupted")
	}
	gone = true
	if err := d.Delete(l); err != nil {
		t.Fatal(err)
	}
	if y := newScrubber(d); !y.pass() || y.bytes.Load() != 0 {
		t.Error("a deleted log was read")
	}
}

// TestScrubPace: the rate holds, load holds it back, and not for ever.
func TestScrubPace(t *testing.T) {
	now, load, perSecond := time.Duration(0), int64(0), int64(0)
	var naps []time.Duration
	p := scrubPace{rate: 1000, load: func() int64 { return load }, now: func() time.Duration { return now },
		sleep: func(d time.Duration) bool {
			naps = append(naps, d)
			now += d
			load += int64(d.Seconds() * float64(perSecond))
			return true
		}}
	for range 1000 {
		p.read(5)
	}
	if now != 5*time.Second {
		t.Errorf("5000 bytes at 1000 a second took %v", now)
	}
	naps, perSecond = nil, 1_000_000
	p.read(1000)
	if len(naps) != scrubPatience || slices.Max(naps) != time.Second {
		t.Errorf("under load it waited for %v", naps)
	}
	naps, perSecond = nil, 3000
	if p.read(1000); len(naps) != 1 {
		t.Errorf("with little load it waited for %v", naps)
	}
}

// TestScrubInterval: a clock that goes back makes it wait for no longer than one.
func TestScrubInterval(t *testing.T) {
	o := small()
	wall := time.UnixMilli(1_000_000_000)
	o.clock = func() (time.Time, time.Duration) { return wall, 0 }
	o.ScrubInterval = time.Hour
	o.Cleaner.Disabled = true // it would read the clock that the test moves
	d := openTest(t, tempDir(t), o)
	x := newScrubber(d)
	if w := x.untilNext(); w != 0 {
		t.Error("the first pass begins in", w)
	}
	x.state.LastBegan = wall.UnixMilli() - 60_000
	if w := x.untilNext(); w != 59*time.Minute {
		t.Error("the next pass begins in", w)
	}
	wall = wall.Add(-1000 * time.Hour)
	if w := x.untilNext(); w != time.Hour {
		t.Error("with a clock that was set back the next pass begins in", w)
	}
}

// TestScrubLeavesThePageCacheAlone: of a segment that is not in the page cache no page comes in, of one that is none
// goes. The directory is the package's, because a temporary one may be in memory.
func TestScrubLeavesThePageCacheAlone(t *testing.T) {
	path, err := os.MkdirTemp(".", "scrub-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(path)
	o := small()
	o.SegmentBytes = 1 << 20
	d := openTest(t, path, o)
	l := createTest(t, d, "t")
	for l.Segments() < 4 {
		appendTest(t, l, makeBatch(1, 30_000, 1, batch.None), nil)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	list := l.segs.Load().s
	if err := sys.DropCached(list[1].fd); err != nil {
		t.Fatal(err)
	}
	var before [3]int64
	for i := range before {
		if before[i], _, err = sys.Cached(list[i].fd); err != nil {
			t.Fatal(err)
		}
	}
	if before[0] == 0 || before[1] != 0 {
		t.Fatal("pages in the cache before:", before)
	}
	d.opts.ScrubBytesPerSecond = 1 << 40
	if x := newScrubber(d); !x.pass() || x.bytes.Load() < 2<<20 {
		t.Fatal(x.bytes.Load())
	}
	for i := range before {
		if after, _, _ := sys.Cached(list[i].fd); after != before[i] {
			t.Errorf("segment %d had %d pages in the cache, now %d", i, before[i], after)
		}
	}
	d.Close()
}

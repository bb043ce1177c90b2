package logstore

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// TestRetentionWithoutTimestamps: where records have no timestamps, the file's time counts.
func TestRetentionWithoutTimestamps(t *testing.T) {
	d := openTest(t, tempDir(t), small())
	l := createTest(t, d, "t")
	l.Configure(Settings{Retention: Retention{Delete: true, Millis: 1000, Bytes: -1}})
	rolled(t, l, 3, at(batch.NoTimestamp))
	for base := range int64(3) {
		when := time.UnixMilli(5000 + base*1000)
		if err := os.Chtimes(segmentFile(d, l, base, logSuffix), when, when); err != nil {
			t.Fatal(err)
		}
	}
	for now, want := range map[int64]int64{6000: 0, 7001: 2} {
		if l.StartOffset() > want {
			continue // maps come in any order
		}
		l.retain(3, now, true)
		if l.StartOffset() != want {
			t.Errorf("at %d: start %d, want %d", now, l.StartOffset(), want)
		}
	}
}

// TestRetentionRuns: the Dir applies it by itself, first after 30 s, by the wall clock.
func TestRetentionRuns(t *testing.T) {
	path := tempDir(t)
	synctest.Test(t, func(t *testing.T) {
		d := openTest(t, path, small())
		l := createTest(t, d, "t")
		l.Configure(Settings{Retention: Retention{Delete: true, Millis: 60_000, Bytes: -1}})
		rolled(t, l, 3, at(time.Now().UnixMilli()))
		for _, c := range []struct {
			after time.Duration
			start int64
		}{{31 * time.Second, 0}, {5 * time.Minute, 3}} {
			<-time.After(c.after)
			synctest.Wait()
			if l.StartOffset() != c.start {
				t.Errorf("after %v: start %d, want %d", c.after, l.StartOffset(), c.start)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRetentionAndJumps: a wall clock that jumps ahead deletes nothing; one that is right again, or has run evenly
// for an hour, counts.
func TestRetentionAndJumps(t *testing.T) {
	const week = 7 * 24 * time.Hour
	c := newTestClock()
	o := small()
	o.clock = c.now
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	l.Configure(Settings{Retention: Retention{Delete: true, Millis: week.Milliseconds(), Bytes: -1}})
	wall, _ := c.now()
	rolled(t, l, 3, at(wall.UnixMilli()))
	check := func(what string, start int64) {
		t.Helper()
		d.retain()
		if l.StartOffset() != start {
			t.Fatalf("%s: start %d, want %d", what, l.StartOffset(), start)
		}
	}
	check("at first", 0)
	c.pass(5 * time.Minute)
	c.jump(2 * week)
	check("after a jump", 0)
	c.pass(5 * time.Minute)
	check("5 minutes later", 0)
	c.jump(-2 * week)
	c.pass(5 * time.Minute)
	check("set back", 0)
	c.jump(2 * week)
	check("another jump", 0)
	c.pass(clockHold)
	check("after an hour", 3)
}

func TestClockGuard(t *testing.T) {
	type look struct {
		pass, jump time.Duration
		ok         bool
	}
	const s, m, h = time.Second, time.Minute, time.Hour
	for name, looks := range map[string][]look{
		"even":                {{0, 0, true}, {5 * m, 0, true}, {500 * h, 0, true}},
		"slewed":              {{0, 0, true}, {5 * m, m, true}, {5 * m, -m, true}},
		"ahead and back":      {{0, 0, true}, {5 * m, 3 * h, false}, {5 * m, 0, false}, {5 * m, -3*h + 20*s, true}},
		"ahead, and kept":     {{0, 0, true}, {5 * m, 3 * h, false}, {59 * m, 0, false}, {m, 0, true}, {m, 0, true}},
		"back":                {{0, 0, true}, {5 * m, -3 * h, false}, {h, 0, true}},
		"ahead and ahead":     {{0, 0, true}, {5 * m, h, false}, {59 * m, h, false}, {59 * m, 0, false}, {m, 0, true}},
		"back to the old one": {{0, 0, true}, {m, 2 * m, false}, {m, 2 * m, false}, {m, -4 * m, true}, {m, 2 * m, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var g clockGuard
			c := newTestClock()
			for i, l := range looks {
				c.pass(l.pass)
				c.jump(l.jump)
				if ok, news := g.check(c.now()); ok != l.ok {
					t.Errorf("look %d: %v (%s), want %v", i, ok, news, l.ok)
				}
			}
		})
	}
}

// TestRetentionDuringAppends: retention that would take all, while the log is appended to: nothing above the high
// watermark goes, and what was appended last is always there.
func TestRetentionDuringAppends(t *testing.T) {
	o := small()
	o.SegmentBytes = 500
	path := tempDir(t)
	d := openTest(t, filepath.Join(path, "0"), o)
	l := createTest(t, d, "t")
	l.Configure(Settings{SegmentBytes: 500, Retention: Retention{Delete: true, Millis: -1, Bytes: 0}})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				d.retain()
			}
		}
	})
	for i := range int64(1500) {
		info := appendTest(t, l, makeBatch(2, 50, i, batch.None), nil)
		if start, end := l.StartOffset(), l.EndOffset(); start > end || end != info.Last+1 {
			t.Fatalf("log %d to %d", start, end)
		}
		if i%100 == 0 {
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
	d.retain()
	if l.StartOffset() != 3000 || l.Segments() != 1 || l.Err() != nil {
		t.Errorf("log %d to %d, %d segments, %v", l.StartOffset(), l.EndOffset(), l.Segments(), l.Err())
	}
	copyDir(t, filepath.Join(path, "0"), filepath.Join(path, "1"))
	again := openTest(t, filepath.Join(path, "1"), small()).Logs()[0]
	if got := fmt.Sprint(again.StartOffset(), again.EndOffset()); got != "3000 3000" {
		t.Errorf("after a crash: %s", got)
	}
}

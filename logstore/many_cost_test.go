//go:build !race

package logstore

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// heapOf is how much of the heap is in use.
func heapOf() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools held
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestLogMemory: an idle log costs less than 3 KiB of the heap, new, opened or written to; no goroutine; and beyond the
// bound no descriptor.
func TestLogMemory(t *testing.T) {
	const n, bound = 2000, 3 << 10
	path := tempDir(t)
	o := Options{OpenFiles: 100}
	check := func(what string, before uint64, goroutines int) {
		t.Helper()
		per := float64(heapOf()-before) / n
		t.Logf("%s: %.0f bytes per log", what, per)
		if per > bound {
			t.Errorf("%s: %.0f bytes per log", what, per)
		}
		if g := runtime.NumGoroutine() - goroutines; g > 10 {
			t.Errorf("%s: %d goroutines for %d logs", what, g, n)
		}
	}
	goroutines, before := runtime.NumGoroutine(), heapOf()
	d := openTest(t, path, o)
	logs, err := d.CreateAll(t.Context(), newLogs("t", n))
	if err != nil {
		t.Fatal(err)
	}
	check("new", before, goroutines)
	b := makeBatch(1, 100, 1, batch.None)
	for _, l := range logs {
		if _, err := l.Append(b, 0, nil); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	check("written", before, goroutines)
	if f := openIn(t, path); f > o.OpenFiles {
		t.Errorf("%d files are open", f)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	logs = nil
	d = nil
	goroutines, before = runtime.NumGoroutine(), heapOf()
	d = openTest(t, path, o)
	check("opened", before, goroutines)
	if f := openIn(t, path); f > o.OpenFiles {
		t.Errorf("%d files are open", f)
	}
	runtime.KeepAlive(d)
}

// TestIdlePasses: what comes around every few seconds allocates nothing while nothing happens, however many logs there
// are.
func TestIdlePasses(t *testing.T) {
	d := openTest(t, tempDir(t), Options{})
	if _, err := d.CreateAll(t.Context(), newLogs("t", 500)); err != nil {
		t.Fatal(err)
	}
	pass := func() {
		d.sweepTails()
		d.files.shrink()
		d.removeDue()
		d.expireProducers()
		d.flushDue()
		for _, name := range []string{highWatermarkFile, recoveryPointFile, logStartFile} {
			if err := d.writeCheckpoint(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	pass()
	if n := testing.AllocsPerRun(20, pass); n > 5 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkOpenDir is the start after a clean stop: the time for each of 2,000 logs with a batch, in memory.
func BenchmarkOpenDir(b *testing.B) {
	const n = 2000
	path := tempDir(b)
	d := openTest(b, path, Options{})
	logs, err := d.CreateAll(b.Context(), newLogs("t", n))
	if err != nil {
		b.Fatal(err)
	}
	m := makeBatch(1, 100, 1, batch.None)
	for _, l := range logs {
		if _, err := l.Append(m, 0, nil); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		d = openTest(b, path, Options{})
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "us/log")
}

// BenchmarkCreateAll is one log of 1,000 made at once, in memory.
func BenchmarkCreateAll(b *testing.B) {
	const n = 1000
	d := openTest(b, tempDir(b), Options{Logger: quiet()})
	for b.Loop() {
		logs, err := d.CreateAll(b.Context(), newLogs("t", n))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := d.DeleteAll(logs); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "us/log")
}

// BenchmarkAppendMany appends to many logs in turn.
func BenchmarkAppendMany(b *testing.B) {
	for _, n := range []int{6, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := openTest(b, tempDir(b), Options{SegmentBytes: 64 << 20})
			logs, err := d.CreateAll(b.Context(), newLogs("t", n))
			if err != nil {
				b.Fatal(err)
			}
			m := makeBatch(1, 4000, 1, batch.None)
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := logs[i%n].Append(m, 0, nil); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

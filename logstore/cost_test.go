//go:build !race

package logstore

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/sluice-mq/sluice/internal/invariants"
	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// costLog is a log with default options whose record writes are counted.
func costLog(t testing.TB, o Options) (*Log, *atomic.Int64) {
	var writes atomic.Int64
	o.pwrite = func(fd int, b []byte, off int64) (int, error) {
		writes.Add(1)
		return sys.Pwrite(fd, b, off)
	}
	return createTest(t, openTest(t, tempDir(t), o), "t"), &writes
}

// TestAppendCost: an append costs one write and no allocation, whether or not the tail keeps it.
func TestAppendCost(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		read bool
	}{{"small", 100, false}, {"large", 60000, false}, {"small, reader", 100, true}, {"large, reader", 60000, true}} {
		t.Run(c.name, func(t *testing.T) {
			l, writes := costLog(t, Options{})
			b := makeBatch(1, c.size, 1, batch.None)
			ref := &testRef{size: len(b)}
			appendTest(t, l, b, ref)
			var spans []span.Span
			op := func() {
				appendTest(t, l, b, ref)
				if !c.read {
					return
				}
				var err error
				end := l.EndOffset()
				if spans, _, err = l.Read(spans[:0], end-1, end, 1<<20, true); err != nil {
					t.Fatal(err)
				}
				for i := range spans {
					if spans[i].Mem == nil {
						t.Fatal("a caught-up reader got a file span")
					}
					spans[i].Release()
				}
			}
			if c.read {
				l.tail.caughtUp()
			}
			for range 300 { // buffers reach their size
				op()
			}
			writes.Store(0)
			const runs = 1000
			allocs := testing.AllocsPerRun(runs, op)
			if n := writes.Load(); n != runs+1 {
				t.Errorf("%d writes for %d appends", n, runs+1)
			}
			if allocs != 0 && !invariants.Enabled {
				t.Errorf("%v allocations per append", allocs)
			}
		})
	}
}

// TestNumberedAppendCost: so does one of a producer that numbers its batches, whether it is new to the log or repeated.
func TestNumberedAppendCost(t *testing.T) {
	l, writes := costLog(t, Options{})
	batches := make([]batch.Batch, 10) // of as many producers
	for id := range batches {
		batches[id] = numbered(int64(id), 0, 0, 1, 1)
		appendTest(t, l, batches[id], nil)
	}
	seq := uint32(0)
	op := func() {
		seq++
		for _, b := range batches {
			binary.BigEndian.PutUint32(b[batch.OffsetBaseSequence:], seq)
			// Nothing checks the sum but the invariants' build, which these tests leave out.
			if info, err := l.Append(b, 0, nil); err != nil || info.Duplicate {
				t.Fatal(info, err)
			}
			if info, err := l.Append(b, 0, nil); err != nil || !info.Duplicate {
				t.Fatal(info, err)
			}
		}
	}
	if invariants.Enabled {
		return
	}
	for range 300 {
		op()
	}
	writes.Store(0)
	const runs = 200
	if allocs := testing.AllocsPerRun(runs, op); allocs != 0 {
		t.Errorf("%v allocations for %d appends and as many repetitions", allocs, len(batches))
	}
	if n := writes.Load(); n != int64(len(batches)*(runs+1)) {
		t.Errorf("%d writes for %d appends", n, len(batches)*(runs+1))
	}
}

// TestProducerMemory: the figure that the documents give for MaxProducers.
func TestProducerMemory(t *testing.T) {
	const n = 100_000
	total := producerTotal{limit: n}
	x := producers{total: &total}
	b := numbered(0, 0, 0, 1, 1)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for id := range uint64(n) {
		binary.BigEndian.PutUint64(b[batch.OffsetProducerID:], id)
		noteAppend(&x, b)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("%.0f bytes per producer", per)
	if per > 240 {
		t.Errorf("%.0f bytes per producer", per)
	}
	runtime.KeepAlive(&x)
}

// TestReadCost: reads from files allocate nothing, wherever they begin.
func TestReadCost(t *testing.T) {
	l, _ := costLog(t, Options{})
	b := makeBatch(1, 1000, 1, batch.None)
	for range 2000 {
		appendTest(t, l, b, nil)
	}
	if err := l.Flush(); err != nil { // index entries go to the file
		t.Fatal(err)
	}
	var spans []span.Span
	from := int64(0)
	for name, next := range map[string]func() int64{
		"sequential": func() int64 { return from },
		"scattered":  func() int64 { return (from*7 + 13) % 2000 },
	} {
		from = 0
		allocs := testing.AllocsPerRun(500, func() {
			at := next()
			var n int64
			var err error
			spans, n, err = l.Read(spans[:0], at, l.EndOffset(), 10000, true)
			if err != nil || n == 0 {
				t.Fatal(at, n, err)
			}
			for i := range spans {
				spans[i].Release()
			}
			from = (at + n/int64(len(b))) % 2000
		})
		if allocs != 0 && !invariants.Enabled {
			t.Errorf("%s: %v allocations per read", name, allocs)
		}
	}
}

// BenchmarkAppend is the price of an append without the network: what the produce path can at best reach.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"100B", 100}, {"16KiB", 16 << 10}, {"64KiB", 64 << 10}} {
		b.Run(c.name, func(b *testing.B) {
			l := createTest(b, openTest(b, b.TempDir(), Options{}), "t")
			m := makeBatch(1, c.size, 1, batch.None)
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Append(m, 0, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead is the price of finding the range for one fetch of 1 MiB by a reader that goes through the log.
func BenchmarkRead(b *testing.B) {
	l := createTest(b, openTest(b, b.TempDir(), Options{SegmentBytes: 64 << 20}), "t")
	m := makeBatch(1, 4000, 1, batch.None)
	for range 40000 {
		if _, err := l.Append(m, 0, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		b.Fatal(err)
	}
	var spans []span.Span
	from := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		var n int64
		var err error
		if spans, n, err = l.Read(spans[:0], from, l.EndOffset(), 1<<20, true); err != nil {
			b.Fatal(err)
		}
		for i := range spans {
			spans[i].Release()
		}
		if from += n / int64(len(m)); from == l.EndOffset() {
			from = 0
		}
	}
}

// BenchmarkAppendNumbered is BenchmarkAppend for an idempotent producer, one of many: what the look-up adds.
func BenchmarkAppendNumbered(b *testing.B) {
	for _, producers := range []int{1, 1000} {
		b.Run(fmt.Sprint(producers), func(b *testing.B) {
			l := createTest(b, openTest(b, b.TempDir(), Options{}), "t")
			m := numbered(0, 0, 0, 1, 1)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				binary.BigEndian.PutUint64(m[batch.OffsetProducerID:], uint64(n%producers))
				binary.BigEndian.PutUint32(m[batch.OffsetBaseSequence:], uint32(n/producers))
				if _, err := l.Append(m, 0, nil); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}

// BenchmarkSnapshot is what a roll adds to one append, for 10,000 producers.
func BenchmarkSnapshot(b *testing.B) {
	x := producers{total: &producerTotal{limit: 1 << 30}}
	m := numbered(0, 0, 0, 1, 1)
	for id := range uint64(10000) {
		binary.BigEndian.PutUint64(m[batch.OffsetProducerID:], id)
		noteAppend(&x, m)
	}
	for b.Loop() {
		x.encode()
	}
}

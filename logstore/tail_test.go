package logstore

import (
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// TestTailBounds: memory is kept only while somebody reads near the end, within the log's and the Dir's bounds,
// and every hold is given back.
func TestTailBounds(t *testing.T) {
	o := Options{TailBytes: 100_000, TailTotalBytes: 150_000}
	d := openTest(t, tempDir(t), o)
	a, b := createTest(t, d, "a"), createTest(t, d, "b")
	m := makeBatch(1, 10_000, 1, batch.None)
	refA, refB := &testRef{size: len(m)}, &testRef{size: len(m)}
	put := func(l *Log, ref *testRef, n int) {
		for range n {
			appendTest(t, l, m, ref)
		}
	}
	want := func(what string, holdsA, holdsB int64) {
		t.Helper()
		if refA.holds.Load() != holdsA || refB.holds.Load() != holdsB {
			t.Fatalf("%s: %d and %d holds, want %d and %d", what, refA.holds.Load(), refB.holds.Load(), holdsA, holdsB)
		}
		if used := d.tails.used.Load(); used != (holdsA+holdsB)*int64(len(m)) {
			t.Fatalf("%s: %d bytes charged for %d holds", what, used, holdsA+holdsB)
		}
	}
	put(a, refA, 20)
	want("nobody reads", 0, 0)
	readTest(t, a, a.EndOffset(), a.EndOffset(), 1, true)
	put(a, refA, 20)
	want("the log's bound", 9, 0)
	readTest(t, b, b.EndOffset(), b.EndOffset(), 1, true)
	put(b, refB, 5)
	want("both", 9, 5)
	put(b, refB, 1)
	want("the Dir's bound: the log gives up all it has", 9, 0)
	put(b, refB, 2)
	want("and begins anew", 9, 2)
	d.sweepTails()
	want("first sweep", 9, 2)
	put(b, refB, 1)
	d.sweepTails()
	want("only one had appends", 0, 3)
	put(b, refB, nearBytes/len(m)+2)
	want("the reader fell behind", 0, 0)
}

// TestTailPins: a batch whose frame is much larger is copied, or not kept.
func TestTailPins(t *testing.T) {
	for _, c := range []struct {
		size, frame int
		holds       int64
		memory      bool
	}{
		{100, 100, 0, true},          // small: copied
		{10_000, 11_000, 1, true},    // its own frame: held
		{10_000, 1 << 20, 0, true},   // a part of a large frame: copied
		{60_000, 1 << 20, 0, true},   // also in one piece
		{100_000, 150_000, 1, true},  // most of its frame: held
		{100_000, 700_000, 0, false}, // too large to copy, keeps too much
		{300_000, 300_000, 0, false}, // above the log's bound
	} {
		d := openTest(t, tempDir(t), Options{})
		l := createTest(t, d, "t")
		ref := &testRef{size: c.frame}
		l.tail.caughtUp()
		appendTest(t, l, makeBatch(1, c.size, 1, batch.None), ref)
		spans, _, err := l.Read(nil, 0, 1, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		if memory := spans[0].Mem != nil; memory != c.memory || ref.holds.Load()-b2i(memory && c.holds > 0) != c.holds {
			t.Errorf("%d bytes of %d: memory %v, %d holds", c.size, c.frame, memory, ref.holds.Load())
		}
		spanBytes(t, spans)
		d.Close()
		if ref.holds.Load() != 0 {
			t.Errorf("%d bytes of %d: %d holds left", c.size, c.frame, ref.holds.Load())
		}
	}
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// TestTailSpans: tiny batches come as few spans.
func TestTailSpans(t *testing.T) {
	d := openTest(t, tempDir(t), Options{})
	l := createTest(t, d, "t")
	l.tail.caughtUp()
	for range 1000 {
		appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil)
	}
	spans, n, err := l.Read(nil, 0, 1000, 1<<20, true)
	if err != nil || len(spans) > int(n)/chunkSize+1 || spans[0].Mem == nil {
		t.Fatalf("%d spans for %d bytes, %v", len(spans), n, err)
	}
	spanBytes(t, spans)
}

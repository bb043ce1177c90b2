package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/wire/batch"
)

// model is what a log should hold: its batches' bytes.
type model struct {
	batches [][]byte
	bases   []int64
	end     int64
	start   int64
	lasting int64 // start that a crash leaves
}

func (m *model) append(b batch.Batch) {
	m.batches = append(m.batches, bytes.Clone(b))
	m.bases = append(m.bases, b.BaseOffset())
	m.end = b.LastOffset() + 1
}

// at is the index of the batch that holds off.
func (m *model) at(off int64) int {
	i := 0
	for i < len(m.bases) && m.bases[i] <= off {
		i++
	}
	return i - 1
}

// read is what the longest allowed answer would be.
func (m *model) read(from, upper, max int64, minOne bool) []byte {
	var out []byte
	for i := m.at(from); i < len(m.batches); i++ {
		b := batch.Batch(m.batches[i])
		if b.LastOffset() >= upper || int64(len(out)+len(b)) > max && (!minOne || len(out) > 0) {
			break
		}
		out = append(out, b...)
	}
	return out
}

// TestModel drives a log with random operations and compares with the model. What reads return must be the
// longest possible: whole batches up to the bound, from memory, files, or across segments.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			(&modelRun{T: t, rnd: rand.New(rand.NewPCG(seed, 1))}).run(2500)
		})
	}
}

type modelRun struct {
	*testing.T
	rnd  *rand.Rand
	o    Options
	n    int
	tmp  string
	dir  *Dir
	log  *Log
	m    model
	ts   int64
	held []heldSpan
	refs []*testRef
}

type heldSpan struct {
	spans []span.Span
	want  []byte
}

func (r *modelRun) run(ops int) {
	r.tmp = tempDir(r.T)
	r.o = small()
	r.o.SegmentBytes = 1000 + r.rnd.Int64N(20000)
	r.o.IndexIntervalBytes = 1 + r.rnd.IntN(1000)
	r.o.TailBytes = r.rnd.IntN(40 << 10)
	r.dir = openTest(r.T, filepath.Join(r.tmp, "0"), r.o)
	r.log = createTest(r.T, r.dir, "t")
	for range ops {
		switch p := r.rnd.IntN(1000); {
		case p < 400:
			r.append()
		case p < 940:
			r.read()
		case p < 960:
			r.releaseHeld()
		case p < 970:
			if err := r.log.Flush(); err != nil {
				r.Fatal(err)
			}
		case p < 975:
			r.log.tail.sweep()
			r.log.tail.sweep()
		case p < 980:
			r.time()
		case p < 984:
			r.deleteBefore()
		case p < 986:
			r.retain()
		case p < 995:
			r.reopen(true)
		default:
			r.reopen(false)
		}
	}
	r.releaseHeld()
	readAll(r.T, r.log, 5000)
	if err := r.dir.Close(); err != nil {
		r.Fatal(err)
	}
	checkIndexes(r.T, r.log.dir)
	for _, ref := range r.refs {
		if n := ref.holds.Load(); n != 0 {
			r.Fatalf("%d holds left on a frame", n)
		}
	}
	if n := r.dir.tails.used.Load(); n != 0 {
		r.Fatalf("%d bytes of tail left", n)
	}
}

func (r *modelRun) append() {
	r.ts += int64(r.rnd.IntN(10)) - 3
	b := makeBatch(1+r.rnd.IntN(4), r.rnd.IntN(1+r.rnd.IntN(300)), 1_000_000+r.ts, batch.None)
	if r.rnd.IntN(20) == 0 {
		b = makeBatch(1, r.rnd.IntN(int(min(r.o.SegmentBytes-100, 8000))), 1_000_000+r.ts, batch.None)
	}
	var ref span.Ref
	if r.rnd.IntN(4) > 0 {
		f := &testRef{size: len(b) * (1 + r.rnd.IntN(10))}
		r.refs, ref = append(r.refs, f), f
	}
	if r.rnd.IntN(100) == 0 {
		if err := r.log.BeginEpoch(r.log.LeaderEpoch() + 1); err != nil {
			r.Fatal(err)
		}
	}
	info := appendTest(r.T, r.log, b, ref)
	if info.Base != r.m.end || info.Last != b.LastOffset() {
		r.Fatalf("append gave %+v, want base %d", info, r.m.end)
	}
	r.m.append(b)
	if ref == nil {
		clear(b) // it is ours again
	}
}

func (r *modelRun) read() {
	if r.m.end == 0 {
		return
	}
	from := r.rnd.Int64N(r.m.end + 1)
	if r.rnd.IntN(2) == 0 {
		from = max(0, r.m.end-r.rnd.Int64N(40))
	}
	upper := r.m.end
	if r.rnd.IntN(3) == 0 {
		upper = r.rnd.Int64N(r.m.end + 1)
	}
	max, minOne := r.rnd.Int64N(6000), r.rnd.IntN(2) == 0
	spans, n, err := r.log.Read(nil, from, upper, max, minOne)
	if from < r.m.start && errors.Is(err, ErrOffsetOutOfRange) {
		return
	}
	if err != nil || from < r.m.start {
		r.Fatalf("read(%d, %d, %d, %v): %v", from, upper, max, minOne, err)
	}
	var want []byte
	if from < upper {
		want = r.m.read(from, upper, max, minOne)
	}
	if n != int64(len(want)) {
		r.Fatalf("read(%d, %d, %d, %v) gave %d bytes, want %d; log has %d", from, upper, max, minOne, n, len(want), r.m.end)
	}
	r.held = append(r.held, heldSpan{spans, want})
	if r.rnd.IntN(3) > 0 {
		r.releaseHeld()
	}
}

// releaseHeld looks at the bytes as late as possible: they must still be what they were at the read.
func (r *modelRun) releaseHeld() {
	for _, h := range r.held {
		if got := spanBytes(r.T, h.spans); !bytes.Equal(got, h.want) {
			r.Fatalf("spans have %d bytes that are not the batches appended", len(got))
		}
	}
	r.held = nil
}

func (r *modelRun) time() {
	ts := 1_000_000 + r.rnd.Int64N(max(r.ts, 1)+10)
	off, at, found, err := r.log.OffsetForTime(ts)
	if err != nil {
		r.Fatal(err)
	}
	wantOff, wantAt, want := r.m.forTime(ts, r.m.start)
	if off != wantOff || at != wantAt || found != want {
		r.Fatalf("time %d: got %d %d %v, want %d %d %v", ts, off, at, found, wantOff, wantAt, want)
	}
}

func (m *model) forTime(ts, from int64) (off, at int64, found bool) {
	var w batch.Walker
	var rec batch.Record
	for _, b := range m.batches {
		b := batch.Batch(b)
		if b.MaxTimestamp() < ts || b.LastOffset() < from {
			continue
		}
		w.Reset(b, 0)
		for w.Next(&rec) {
			off := b.BaseOffset() + int64(rec.OffsetDelta)
			if at := b.BaseTimestamp() + rec.TimestampDelta; at >= ts && off >= from {
				return off, at, true
			}
		}
	}
	return 0, 0, false
}

// deleteBefore moves the start up, to the middle of a batch as well, and mostly makes that last.
func (r *modelRun) deleteBefore() {
	to := min(r.m.start+r.rnd.Int64N(200), r.m.end)
	if start, err := r.log.DeleteBefore(to, r.m.end); err != nil || start != to {
		r.Fatalf("delete before %d: start %d, %v", to, start, err)
	}
	r.m.start = to
	if r.rnd.IntN(4) > 0 {
		r.trim()
	}
}

func (r *modelRun) trim() {
	if err := r.dir.Trim(); err != nil {
		r.Fatal(err)
	}
	r.m.lasting = r.m.start
}

// retain leaves about half the bytes. Which segments those are is not the model's matter, but where the log starts
// then is the first offset of a batch, not below where it was.
func (r *modelRun) retain() {
	r.log.Configure(Settings{Retention: Retention{Delete: true, Millis: -1, Bytes: r.log.Size() / 2}})
	r.log.retain(r.m.end, 0, true)
	start := r.log.StartOffset()
	i := r.m.at(start)
	if start < r.m.start || start > r.m.end || start > r.m.start && start < r.m.end && r.m.bases[i] != start {
		r.Fatalf("retention moved the start from %d to %d", r.m.start, start)
	}
	r.m.start = start
	r.trim()
}

// reopen stops cleanly, or takes a copy as a killed process leaves it.
func (r *modelRun) reopen(clean bool) {
	r.n++
	path := filepath.Join(r.tmp, fmt.Sprint(r.n))
	if clean {
		if err := r.dir.Close(); err != nil {
			r.Fatal(err)
		}
		checkIndexes(r.T, r.log.dir)
	}
	copyDir(r.T, r.dir.path, path)
	r.dir.Close()
	r.releaseHeld()
	r.dir = openTest(r.T, path, r.o)
	logs := r.dir.Logs()
	if len(logs) != 1 || logs[0].EndOffset() != r.m.end || logs[0].Err() != nil {
		r.Fatalf("after reopen (clean %v): %d logs, end %d, want %d; %v", clean, len(logs), logs[0].EndOffset(), r.m.end, logs[0].Err())
	}
	if clean {
		r.m.lasting = r.m.start
	}
	r.m.start = r.m.lasting
	if start := logs[0].StartOffset(); start != r.m.start {
		r.Fatalf("after reopen (clean %v): start %d, want %d", clean, start, r.m.start)
	}
	r.log = logs[0]
	if r.log.LeaderEpoch() >= 0 {
		if _, err := r.log.Append(makeBatch(1, 1, 1, batch.None), -1, nil); !errors.Is(err, ErrEpoch) {
			r.Fatalf("append of a lower epoch: %v", err)
		}
	}
	if r.rnd.IntN(4) == 0 {
		readAll(r.T, r.log, 3000)
	}
}

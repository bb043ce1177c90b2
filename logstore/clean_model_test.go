package logstore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// modelRecord is a record as a reader sees it.
type modelRecord struct {
	offset, ts int64
	key, value []byte
}

// modelBatch is a batch that a compacted log should hold.
type modelBatch struct {
	base, last int64
	pid        int64
	epoch      int16
	seq        int32
	codec      batch.Codec
	txn        bool
	control    bool
	horizon    int64 // 0: none
	maxTime    int64
	records    []modelRecord
}

func (b *modelBatch) String() string {
	return fmt.Sprintf("%d-%d pid %d seq %d txn %v control %v horizon %d: %d records", b.base, b.last, b.pid, b.seq, b.txn,
		b.control, b.horizon, len(b.records))
}

// parseBatch reads a stored batch.
func parseBatch(t testing.TB, b batch.Batch) *modelBatch {
	t.Helper()
	m := &modelBatch{base: b.BaseOffset(), last: b.LastOffset(), pid: b.ProducerID(), epoch: b.ProducerEpoch(), seq: b.BaseSequence(),
		codec: b.Codec(), txn: b.IsTransactional(), control: b.IsControl(), maxTime: b.MaxTimestamp()}
	if b.HasDeleteHorizon() {
		m.horizon = b.BaseTimestamp()
	}
	var w batch.Walker
	var r batch.Record
	if err := w.Reset(b, 0); err != nil {
		t.Fatal(err)
	}
	for w.Next(&r) {
		m.records = append(m.records, modelRecord{b.BaseOffset() + int64(r.OffsetDelta), b.BaseTimestamp() + r.TimestampDelta,
			bytes.Clone(r.Key), bytes.Clone(r.Value)})
	}
	if w.Err() != nil || !b.CRCOK() {
		t.Fatalf("batch at %d: %v, checksum right: %v", b.BaseOffset(), w.Err(), b.CRCOK())
	}
	return m
}

func (b *modelBatch) equal(o *modelBatch) bool {
	same := func(x, y modelRecord) bool {
		return x.offset == y.offset && x.ts == y.ts && bytes.Equal(x.key, y.key) && bytes.Equal(x.value, y.value) &&
			(x.value == nil) == (y.value == nil)
	}
	return b.base == o.base && b.last == o.last && b.pid == o.pid && b.epoch == o.epoch && b.seq == o.seq && b.txn == o.txn &&
		b.control == o.control && b.horizon == o.horizon && b.maxTime == o.maxTime &&
		(b.codec == o.codec || len(b.records) == 0) && slices.EqualFunc(b.records, o.records, same)
}

// storedBatches reads a log with gaps from its first segment on.
func storedBatches(t testing.TB, l *Log) (out []*modelBatch) {
	t.Helper()
	for from := l.StartOffset(); from < l.EndOffset(); {
		rest := readTest(t, l, from, l.EndOffset(), 20_000, true)
		if len(rest) == 0 {
			return out // a gap up to the end
		}
		for len(rest) > 0 {
			b, next, err := batch.First(rest)
			if err != nil {
				t.Fatalf("at offset %d: %v", from, err)
			}
			if b.LastOffset() < from || len(out) > 0 && b.BaseOffset() < from {
				t.Fatalf("batch %d-%d where %d is due", b.BaseOffset(), b.LastOffset(), from)
			}
			out, rest, from = append(out, parseBatch(t, b)), next, b.LastOffset()+1
		}
	}
	return out
}

// cleanModel is a compacted log: what was appended and what rounds should have left of it.
type cleanModel struct {
	batches []*modelBatch
	dirty   int64
	aborted []AbortedTxn
	open    map[int64]int64 // first offset of each producer's transaction
	seq     map[int64]int32
	end     int64
}

// round does to the model what compaction up to the offset end, of segments up to the offset processed, must do.
func (m *cleanModel) round(from, end, processed, to, now, retention int64) {
	lasts := map[string]int64{}
	isAborted := func(b *modelBatch) bool {
		return slices.ContainsFunc(m.aborted, func(a AbortedTxn) bool {
			return b.txn && !b.control && a.ProducerID == b.pid && a.FirstOffset <= b.last && b.last < a.LastOffset
		})
	}
	for _, b := range m.batches {
		for _, r := range b.records {
			if r.offset >= from && r.offset < end && !b.control && !isAborted(b) {
				lasts[string(r.key)] = r.offset
			}
		}
	}
	lastData, data := map[int64]int64{}, map[int64]bool{}
	for _, b := range m.batches {
		if b.pid >= 0 && !b.control {
			lastData[b.pid] = b.last
		}
	}
	var kept []*modelBatch
	for _, b := range m.batches {
		if b.base >= processed {
			kept = append(kept, b)
			continue
		}
		var records []modelRecord
		later := false
		switch {
		case b.control:
			used := data[b.pid]
			delete(data, b.pid)
			if used || b.horizon == 0 || b.horizon > now {
				records = b.records
			}
			later = !used
		case isAborted(b):
			data[b.pid] = true
		default:
			if b.txn {
				data[b.pid] = true
			}
			for _, r := range b.records {
				last, known := lasts[string(r.key)]
				tombstoneGone := r.value == nil && b.horizon > 0 && b.horizon <= now
				if r.offset >= end || (!known || r.offset >= last) && !tombstoneGone {
					records = append(records, r)
					later = later || r.value == nil
				}
			}
		}
		n := *b
		n.records = records
		switch {
		case len(records) > 0:
			if later && b.horizon == 0 {
				n.horizon = now + retention
			}
			if len(records) < len(b.records) || n.horizon != b.horizon {
				n.maxTime = -1
				for _, r := range records {
					n.maxTime = max(n.maxTime, r.ts)
				}
			}
		case b.last+1 == to || b.pid >= 0 && !b.control && lastData[b.pid] == b.last ||
			b.control && b.pid >= 0 && lastData[b.pid] == 0:
			n.horizon = 0
		default:
			continue
		}
		kept = append(kept, &n)
	}
	m.batches, m.dirty = kept, end
}

type cleanModelRun struct {
	*testing.T
	rnd   *rand.Rand
	o     Options
	c     Compaction
	n     int
	tmp   string
	dir   *Dir
	log   *Log
	m     cleanModel
	wall  time.Time
	mono  time.Duration
	done  *Cleaning
	total int
}

// TestCompactionModel compacts a log of random batches of five codecs, with tombstones, idempotent and transactional
// producers, aborted and open transactions, and compares every batch that is left with the model, after restarts too.
func TestCompactionModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			(&cleanModelRun{T: t, rnd: rand.New(rand.NewPCG(seed, 7))}).run(250)
		})
	}
}

func (r *cleanModelRun) run(ops int) {
	r.tmp = tempDir(r.T)
	r.wall = time.UnixMilli(1_700_000_000_000)
	r.m = cleanModel{open: map[int64]int64{}, seq: map[int64]int32{}}
	r.c = Compaction{DeleteRetention: time.Duration(r.rnd.IntN(3)) * time.Hour, MinDirtyRatio: -1}
	r.o = small()
	r.o.SegmentBytes = 2000 + r.rnd.Int64N(6000)
	r.o.IndexIntervalBytes = 1 + r.rnd.IntN(800)
	r.o.ProducerExpiration = 1e6 * time.Hour
	r.o.Cleaner = CleanerOptions{Disabled: true}
	if r.rnd.IntN(3) == 0 {
		r.o.Cleaner.BufferBytes = mapSlotSize * int64(3+r.rnd.IntN(30)) // does not hold all keys
	}
	r.o.clock = func() (time.Time, time.Duration) { return r.wall, r.mono }
	r.o.Listener.Cleaned = func(_ *Log, c Cleaning) { r.done = &c }
	r.dir = openTest(r.T, filepath.Join(r.tmp, "0"), r.o)
	r.log = createTest(r.T, r.dir, "t")
	r.configure()
	for range ops {
		switch p := r.rnd.IntN(100); {
		case p < 70:
			r.append()
		case p < 76:
			r.end()
		case p < 86:
			r.clean()
		case p < 90:
			hours := time.Duration(r.rnd.IntN(4)) * time.Hour
			r.wall, r.mono = r.wall.Add(hours), r.mono+hours
		case p < 94:
			r.reopen(true)
		case p < 97:
			r.reopen(false)
		default:
			r.check()
		}
	}
	r.clean()
	if r.total == 0 {
		r.Fatal("nothing was compacted")
	}
	r.reopen(true)
	r.check()
}

// configure gives the log sizes again of which some may be less than a topic's may be.
func (r *cleanModelRun) configure() {
	r.log.Configure(Settings{Compaction: &r.c})
}

func (r *cleanModelRun) append() {
	var bd batch.Builder
	bd.Reset(batch.Codec(r.rnd.IntN(5)))
	pid := r.rnd.Int64N(8) - 4 // below 0: none
	txn := pid >= 2
	n := 1 + r.rnd.IntN(6)
	if pid >= 0 {
		bd.SetProducer(pid, 0, r.m.seq[pid], txn)
		r.m.seq[pid] += int32(n)
	}
	for range n {
		key := fmt.Appendf(nil, "key%d", r.rnd.IntN(40))
		value := bytes.Repeat([]byte{byte('a' + r.rnd.IntN(26))}, r.rnd.IntN(100))
		if r.rnd.IntN(5) == 0 {
			value = nil
		}
		if r.rnd.IntN(4) == 0 {
			bd.Append(r.wall.UnixMilli()-r.rnd.Int64N(1000), key, value, batch.Header{Key: "h", Value: []byte("v")})
		} else {
			bd.Append(r.wall.UnixMilli()-r.rnd.Int64N(1000), key, value)
		}
	}
	r.add(bd.Finish())
	if b := r.m.batches[len(r.m.batches)-1]; txn {
		if _, ok := r.m.open[pid]; !ok {
			r.m.open[pid] = b.base
		}
	}
}

func (r *cleanModelRun) add(b batch.Batch) {
	info := appendTest(r.T, r.log, b, nil)
	r.m.batches = append(r.m.batches, parseBatch(r.T, b))
	r.m.end = info.Last + 1
}

// end ends some transaction.
func (r *cleanModelRun) end() {
	for pid, first := range r.m.open {
		kind := byte(r.rnd.IntN(2))
		delete(r.m.open, pid)
		r.add(endMarker(pid, 0, kind, 1, r.wall.UnixMilli()))
		if kind == 0 {
			stable := r.m.end
			for _, f := range r.m.open {
				stable = min(stable, f)
			}
			a := AbortedTxn{pid, first, r.m.end - 1, stable}
			r.m.aborted = append(r.m.aborted, a)
		}
		return
	}
}

func (r *cleanModelRun) clean() {
	if err := r.log.flush(false); err != nil {
		r.Fatal(err)
	}
	x := r.log.dirtiness(r.wall)
	if x == nil {
		return
	}
	bases := []int64{}
	for _, s := range r.log.segs.Load().s {
		bases = append(bases, s.base)
	}
	r.done = nil
	if !r.dir.cleaner.round() || r.done == nil {
		r.Fatalf("not compacted: %v", r.dir.CleanerStats())
	}
	if r.done.From != r.m.dirty || r.done.To > x.to {
		r.Fatalf("%+v, first dirty offset is %d, bound %d", r.done, r.m.dirty, x.to)
	}
	processed := x.to // base behind the segment that has the last mapped offset
	for _, base := range bases {
		if base >= r.done.To {
			processed = min(base, processed)
			break
		}
	}
	r.m.round(r.done.From, r.done.To, processed, x.to, r.wall.UnixMilli(), r.c.DeleteRetention.Milliseconds())
	r.total++
	r.check()
}

// check compares the log with the model: front to back, from random offsets, and by time.
func (r *cleanModelRun) check() {
	r.Helper()
	got := storedBatches(r.T, r.log)
	for i := range max(len(got), len(r.m.batches)) {
		if i >= len(got) || i >= len(r.m.batches) || !got[i].equal(r.m.batches[i]) {
			r.Fatalf("batch %d of %d, want %d:\n got %v\nwant %v", i, len(got), len(r.m.batches), nth(got, i), nth(r.m.batches, i))
		}
	}
	if r.m.end == 0 {
		return
	}
	for range 10 {
		from := r.rnd.Int64N(r.m.end)
		i := slices.IndexFunc(r.m.batches, func(b *modelBatch) bool { return b.last >= from })
		b := readTest(r.T, r.log, from, r.m.end, 1+r.rnd.Int64N(3000), true)
		if i >= 0 {
			if first := batch.Batch(b); len(b) == 0 || first.BaseOffset() != r.m.batches[i].base {
				r.Fatalf("read of %d, %d bytes, want batch %v", from, len(b), r.m.batches[i])
			}
		} else if len(b) > 0 {
			r.Fatalf("read of %d behind the last batch gives %d bytes", from, len(b))
		}
	}
	r.times()
	r.txns()
}

func nth(list []*modelBatch, i int) *modelBatch {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func (r *cleanModelRun) times() {
	newest := modelRecord{ts: -1}
	probe := r.wall.UnixMilli() - r.rnd.Int64N(2000)
	found := modelRecord{ts: -1}
	for _, b := range r.m.batches {
		for _, rec := range b.records {
			if rec.ts > newest.ts {
				newest = rec
			}
			if rec.ts >= probe && found.ts < 0 {
				found = rec
			}
		}
	}
	off, ts, ok, err := r.log.MaxTimestamp()
	if err != nil || ok != (newest.ts >= 0) || ok && (ts != newest.ts || off != newest.offset) {
		r.Fatalf("largest timestamp: %d at %d %v %v, want %d at %d", ts, off, ok, err, newest.ts, newest.offset)
	}
	off, ts, ok, err = r.log.OffsetForTime(probe)
	if err != nil || ok != (found.ts >= 0) || ok && (ts != found.ts || off != found.offset) {
		r.Fatalf("time %d: %d at %d %v %v, want %d at %d", probe, ts, off, ok, err, found.ts, found.offset)
	}
}

// txns checks what readers at read_committed are told: every aborted transaction of which data is left, and none that
// was not aborted. A recovery finds the beginnings of those whose first batches are gone further on.
func (r *cleanModelRun) txns() {
	r.Helper()
	stable := r.log.LastStableOffset()
	list, err := r.log.AbortedTxns(r.log.StartOffset(), stable)
	if err != nil {
		r.Fatal(err)
	}
	for _, a := range list {
		if !slices.ContainsFunc(r.m.aborted, func(b AbortedTxn) bool {
			return a.ProducerID == b.ProducerID && a.LastOffset == b.LastOffset && a.FirstOffset >= b.FirstOffset
		}) {
			r.Fatalf("told of the aborted transaction %+v", a)
		}
	}
	for _, b := range r.m.batches {
		in := func(a AbortedTxn) bool {
			return a.ProducerID == b.pid && a.FirstOffset <= b.base && b.last < a.LastOffset && b.txn && !b.control
		}
		if b.last < stable && slices.ContainsFunc(r.m.aborted, in) && len(b.records) > 0 && !slices.ContainsFunc(list, in) {
			r.Fatalf("not told that batch %v was aborted", b)
		}
	}
}

func (r *cleanModelRun) reopen(clean bool) {
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
	r.dir = openTest(r.T, path, r.o)
	logs := r.dir.Logs()
	if len(logs) != 1 || logs[0].EndOffset() != r.m.end || logs[0].Err() != nil {
		r.Fatalf("after reopen (clean %v): %d logs, end %d, want %d; %v", clean, len(logs), logs[0].EndOffset(), r.m.end, logs[0].Err())
	}
	r.log = logs[0]
	if r.total > 0 && r.log.firstDirty() != r.m.dirty {
		r.Fatalf("after reopen: first dirty offset %d, want %d", r.log.firstDirty(), r.m.dirty)
	}
	r.configure()
	for pid, seq := range r.m.seq { // their next sequences are known, whatever was compacted
		p := r.log.producers.byID[pid]
		if last := p.newest(); last == nil || addSequence(last.lastSeq, 1) != seq {
			r.Fatalf("after reopen: producer %d is at %+v, want %d", pid, last, seq)
		}
	}
	if clean {
		f := verifyAll(r.T, path, VerifyOptions{})
		if f.Damaged > 0 {
			r.Fatalf("verify: %+v", f.List)
		}
	}
}

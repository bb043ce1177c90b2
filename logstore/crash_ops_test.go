//go:build invariants

package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// modelCodecs are those of the model; zstd's pools do not go with test bubbles.
var modelCodecs = []batch.Codec{batch.None, batch.None, batch.Gzip, batch.Snappy, batch.LZ4}

// newBatch makes a batch of random size; most are small, some span pages.
func (r *crashRun) newBatch(id int64, epoch int16, seq int32) batch.Batch {
	r.ts += int64(r.rnd.IntN(10)) - 3
	var bd batch.Builder
	bd.Reset(modelCodecs[r.rnd.IntN(len(modelCodecs))])
	if id >= 0 {
		bd.SetProducer(id, epoch, seq, false)
	}
	size := 1 + r.rnd.IntN(1+r.rnd.IntN(300))
	n := 1 + r.rnd.IntN(4)
	if r.rnd.IntN(20) == 0 {
		n, size = 1, r.rnd.IntN(int(min(r.o.SegmentBytes-200, 12000)))
	}
	value := make([]byte, size)
	for i := range n {
		for j := range value {
			value[j] = byte(r.rnd.Uint32())
		}
		v := value
		if r.rnd.IntN(6) == 0 {
			v = nil
		}
		bd.Append(1_000_000+r.ts+int64(i), fmt.Appendf(nil, "k%d", r.rnd.IntN(8)), v)
	}
	return batch.Batch(bytes.Clone(bd.Finish()))
}

func (r *crashRun) append(l *Log, m *logModel) { r.appendBatch(l, m, r.newBatch(-1, -1, -1)) }

// appendNumbered goes on with the sequence of a producer, or in a new epoch of it.
func (r *crashRun) appendNumbered(l *Log, m *logModel) {
	id := int64(r.rnd.IntN(5))
	epoch, seq := int16(0), int32(0)
	if p := l.producers.byID[id]; p != nil {
		epoch, seq = p.epoch, addSequence(p.lastSeq(), 1)
		if r.rnd.IntN(20) == 0 {
			epoch, seq = epoch+1, 0
		}
	}
	r.appendBatch(l, m, r.newBatch(id, epoch, seq))
}

func (r *crashRun) appendBatch(l *Log, m *logModel, b batch.Batch) {
	// The model has it first: a crash in the middle may leave it or not.
	base := m.end
	b.SetBaseOffset(base)
	b.SetLeaderEpoch(max(0, l.LeaderEpoch()))
	m.append(b)
	info, err := l.Append(b, max(0, l.LeaderEpoch()), nil)
	r.must(err)
	if info.Base != base || info.Duplicate {
		r.fatalf("append to %s gave %+v, want base %d", l.name, info, base)
	}
	r.appended += int(info.Last - info.Base + 1)
	if info.Wait {
		w := newWaiter()
		l.AwaitSync(info.Last+1, w)
		r.must(<-w)
	}
	if l.settings.Flush.Wait && l.StableEnd() > l.durable.synced.Load() {
		r.fatalf("%s shows up to %d, synced up to %d", l.name, l.StableEnd(), l.durable.synced.Load())
	}
}

// appendAgain sends a producer's last batch again.
func (r *crashRun) appendAgain(l *Log, m *logModel) {
	for i := len(m.batches) - 1; i >= max(0, len(m.batches)-3); i-- {
		b := batch.Batch(bytes.Clone(m.batches[i]))
		if b.BaseOffset() < m.uncleanedFrom || !idempotent(b) || l.producers.byID[b.ProducerID()] == nil || b.ProducerEpoch() != l.producers.byID[b.ProducerID()].epoch {
			continue
		}
		want := b.BaseOffset()
		info, err := l.Append(b, max(0, l.LeaderEpoch()), nil)
		r.must(err)
		if !info.Duplicate || info.Base != want {
			r.fatalf("%s: a batch at %d sent again gives %+v", l.name, want, info)
		}
		return
	}
}

func (r *crashRun) flush(l *Log, _ *logModel) { r.must(l.Flush()) }

func (r *crashRun) read(l *Log, m *logModel) {
	r.checkHeld()
	from := m.start + r.rnd.Int64N(m.end-m.start+1)
	max := r.rnd.Int64N(8000)
	spans, _, err := l.Read(nil, from, l.StableEnd(), max, true)
	r.must(err)
	got := spanBytes(r.T, spans)
	for i := m.at(from); len(got) > 0; i++ {
		if !bytes.HasPrefix(got, m.batches[i]) {
			r.fatalf("%s: a read from %d does not give batch %d, at %d", l.name, from, i, m.bases[i])
		}
		got = got[len(m.batches[i]):]
	}
}

func (r *crashRun) lookUp(l *Log, m *logModel) {
	ts := 1_000_000 + r.rnd.Int64N(max(r.ts, 1)+10)
	want := model{batches: m.batches}
	off, at, found, err := l.OffsetForTime(ts)
	r.must(err)
	if wantOff, wantAt, wantFound := want.forTime(ts, m.start); off != wantOff || at != wantAt || found != wantFound {
		r.fatalf("%s: time %d: got %d %d %v, want %d %d %v", l.name, ts, off, at, found, wantOff, wantAt, wantFound)
	}
}

func (r *crashRun) beginEpoch(l *Log, _ *logModel) { r.must(l.BeginEpoch(l.LeaderEpoch() + 1)) }

// configure gives the log one of the durability classes, and other sizes.
func (r *crashRun) configure(l *Log, _ *logModel) {
	s := Settings{SegmentBytes: max(r.o.SegmentBytes/int64(1+r.rnd.IntN(3)), 13000)}
	if l.topic != "b" {
		s.Compaction = &modelCompaction
	}
	switch r.rnd.IntN(4) {
	case 0:
		s.Flush = Flush{Records: 1, Wait: true}
	case 1:
		s.Flush = Flush{Bytes: 1 + r.rnd.Int64N(4000)}
	case 2:
		s.Flush = Flush{Every: time.Duration(1+r.rnd.IntN(5)) * time.Second}
	}
	if r.rnd.IntN(2) == 0 {
		s.DeleteDelay = time.Duration(1+r.rnd.IntN(20)) * time.Second
	}
	l.Configure(s)
	synctest.Wait()
}

func (r *crashRun) deleteBefore(l *Log, m *logModel) {
	to := m.start + r.rnd.Int64N(m.end-m.start+1)
	start, err := l.DeleteBefore(to, m.end)
	r.must(err)
	m.start = start
}

func (r *crashRun) trim(_ *Log, _ *logModel) { r.trimAll() }

// trimAll makes all starts last, but not before it returns.
func (r *crashRun) trimAll() {
	r.must(r.dir.Trim())
	for _, m := range r.m.logs {
		r.lasts = append(r.lasts, func() { m.lastingStart = m.start; m.drop() })
	}
}

func (r *crashRun) retain(l *Log, m *logModel) {
	set := func(x Retention) { // for this once: the Dir's own retention would be unknown to the model
		l.mu.Lock()
		l.settings.Retention = x
		l.mu.Unlock()
	}
	set(Retention{Delete: true, Millis: -1, Bytes: l.Size() / 2})
	l.retain(l.StableEnd(), 0, true)
	set(Retention{})
	m.start = l.StartOffset()
	r.trimAll()
}

// truncate cuts the log somewhere, also where bytes of it are on their way to a reader.
func (r *crashRun) truncate(l *Log, m *logModel) {
	to := m.start + r.rnd.Int64N(m.end-m.start+1)
	if r.rnd.IntN(3) > 0 {
		to = max(m.start, m.end-r.rnd.Int64N(6))
	}
	i := m.at(to)
	if i == len(m.batches) || m.bases[i] < m.start {
		return // nothing to cut, or all of it
	}
	from := m.start + r.rnd.Int64N(m.end-m.start)
	spans, _, err := l.Read(nil, from, m.end, 1+r.rnd.Int64N(20000), true)
	r.must(err)
	m.cutting = m.bases[i]
	if m.gappy() { // it may end with the batch before that
		m.cutting = 0
		if i > 0 {
			m.cutting = batch.Batch(m.batches[i-1]).LastOffset() + 1
		}
	}
	r.must(l.TruncateTo(to))
	if l.EndOffset() != m.bases[i] && !(m.gappy() && l.EndOffset() <= m.bases[i]) {
		r.fatalf("%s ends at %d, truncated to %d, batch at %d", l.name, l.EndOffset(), to, m.bases[i])
	}
	after := m.clone()
	after.cut(m.bases[i])
	after.end = l.EndOffset()
	after.synced = min(after.synced, after.end)
	r.lasts = append(r.lasts, func() { *m = *after })
	r.held = append(r.held, heldSpan{spans, bytes.Join(m.batches[m.at(from):], nil)})
	if r.rnd.IntN(2) == 0 {
		r.checkHeld()
	}
}

// checkHeld: what was read before a truncation comes as it was or ends early, also once something else was appended.
func (r *crashRun) checkHeld() {
	for _, h := range r.held {
		want := h.want
		for _, s := range h.spans {
			got := s.Mem
			if got == nil {
				got = make([]byte, s.Len)
				n, err := sys.Pread(s.FD, got, s.Off)
				r.must(err)
				got = got[:n]
			}
			if !bytes.Equal(got, want[:len(got)]) {
				r.fatalf("a span that was read before a truncation has other bytes after it")
			}
			want = want[s.Len:]
			s.Release()
		}
	}
	r.held = nil
}

func (r *crashRun) truncateFully(l *Log, m *logModel) {
	to := max(0, m.end+r.rnd.Int64N(100)-50)
	m.wiping = to
	r.must(l.TruncateFullyAndStartAt(to))
	if l.StartOffset() != to || l.EndOffset() != to || l.Size() != 0 {
		r.fatalf("%s has %d to %d, %d bytes, begins anew at %d", l.name, l.StartOffset(), l.EndOffset(), l.Size(), to)
	}
	r.lasts = append(r.lasts, func() { m.startOver(to); m.synced = to })
}

// wait lets time pass, for what the Dir does by itself.
func (r *crashRun) wait(_ *Log, _ *logModel) {
	<-time.After(time.Duration(r.rnd.IntN(90)) * time.Second)
}

func (r *crashRun) checkpoint(_ *Log, _ *logModel) {
	names := []string{recoveryPointFile, highWatermarkFile}
	r.must(r.dir.writeCheckpoint(names[r.rnd.IntN(len(names))]))
}

func (r *crashRun) create(_ *Log, _ *logModel) {
	topics := []string{"a", "b", modelCompacted}
	topic := topics[r.rnd.IntN(len(topics))]
	name := partitionDirName(topic, 0)
	if r.m.logs[name] != nil {
		return
	}
	r.ids++
	m := &logModel{name: name, id: [16]byte{1, r.ids}, seen: map[int64]bool{}, cutting: -1, wiping: -1}
	r.m.logs[name] = m
	l, err := r.dir.Create(topic, 0, m.id)
	if errors.Is(err, ErrExists) {
		r.fatalf("%s is there", name)
	}
	r.must(err)
	r.configure(l, m)
}

func (r *crashRun) delete(l *Log, m *logModel) {
	delete(r.m.logs, m.name)
	r.m.earlier[m.name] = m
	r.must(r.dir.Delete(l))
}

func (r *crashRun) restart(_ *Log, _ *logModel) {
	r.must(r.dir.Close())
	delete(r.opened, r.dir)
	for _, m := range r.m.logs {
		r.lasts = append(r.lasts, func() { m.lastingStart, m.synced = m.start, m.end; m.drop() })
	}
	r.open()
	for name, m := range r.m.logs {
		l := r.log(name)
		if l == nil || l.EndOffset() != m.end || l.StartOffset() != m.start {
			r.fatalf("%s is not what it was before the stop: %d to %d", name, l.StartOffset(), l.EndOffset())
		}
	}
}

//go:build invariants

package logstore

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// modelCompaction is how the model's logs are compacted, but for those of topic b. Lags and horizons are short against
// what "wait" waits.
var modelCompaction = Compaction{MinDirtyRatio: -1, MinLag: time.Millisecond, DeleteRetention: 40 * time.Second}

// cleanedLog is a log in a round of compaction: a crash leaves of each batch below to what was there or what took its
// place.
type cleanedLog struct {
	old *logModel // before the round
	to  int64     // what lies above is not touched
}

// cleanedRound is one that was done.
type cleanedRound struct {
	l *Log
	Cleaning
}

// clean does a round of compaction, of whatever log is the dirtiest.
func (r *crashRun) clean(l *Log, _ *logModel) {
	if r.rnd.IntN(3) > 0 {
		r.must(l.flush(false)) // what is not on the device is left alone
	}
	bounds := map[*Log]*dirtyLog{}
	wall, _ := r.dir.opts.clock()
	for _, l := range r.dir.Logs() {
		bounds[l] = l.dirtiness(wall)
	}
	r.cleaned = nil
	done := r.dir.cleaner.round()
	for _, l := range r.dir.Logs() {
		if l.cleaning.uncleanable.Load() || l.Err() != nil {
			r.fatalf("compaction of %s failed: %v", l.name, l.Err())
		}
	}
	if !done {
		return
	}
	l = r.cleaned.l
	m := r.m.logs[l.name]
	m.drop()
	old := m.clone()
	m.batches, m.bases = r.storedBelow(l, m)
	m.gaps, m.uncleanedFrom, m.round = true, bounds[l].to, &cleanedLog{old: old, to: bounds[l].to}
	r.checkRound(l, m, bounds[l].to, wall.UnixMilli())
	m.mapped = max(m.mapped, l.StartOffset())
	r.checkUnique(l, m)
	r.rounds++
}

// storedBelow reads what the segments have, also below the start of the log, which a crash may bring down again; from
// the lasting start on.
func (r *crashRun) storedBelow(l *Log, m *logModel) (batches [][]byte, bases []int64) {
	for _, s := range l.segs.Load().s {
		rest, err := os.ReadFile(s.stem + logSuffix)
		r.must(err)
		for rest = rest[:s.size.Load()]; len(rest) > 0; {
			b, next, err := batch.First(rest)
			if err != nil || !b.CRCOK() || len(bases) > 0 && b.BaseOffset() <= bases[len(bases)-1] {
				r.fatalf("%s: batch at %d of segment %d: %v", l.name, b.BaseOffset(), s.base, err)
			}
			if rest = next; b.LastOffset() >= m.lastingStart {
				batches, bases = append(batches, b), append(bases, b.BaseOffset())
			}
		}
	}
	return batches, bases
}

// checkRound: of each key the last record below the round's end is there, and those that are later; a tombstone may go
// when its time is over. What is superseded is gone, everything else is as it was, and the log does not end lower.
func (r *crashRun) checkRound(l *Log, m *logModel, to, now int64) {
	c, old := r.cleaned.Cleaning, m.round.old
	lasts, stays := map[string]int64{}, map[int64]modelRecord{}
	before := parseAll(r, old.batches)
	for _, b := range before {
		for _, rec := range b.records {
			if rec.offset >= c.From && rec.offset < c.To {
				lasts[string(rec.key)] = rec.offset
			}
		}
	}
	needed := map[int64]bool{} // ends of batches that stay, if need be without records
	for _, b := range before {
		for _, rec := range b.records {
			last, known := lasts[string(rec.key)]
			expired := rec.value == nil && b.horizon > 0 && b.horizon <= now
			if rec.offset >= c.To || (!known || rec.offset >= last) && !expired {
				stays[rec.offset] = rec
			}
		}
		p := l.producers.byID[b.pid]
		if b.last+1 == to || b.base >= to || b.pid >= 0 && p != nil && p.newest() != nil && p.newest().last == b.last {
			needed[b.last] = true
		}
	}
	for i, b := range parseAll(r, m.batches) {
		delete(needed, b.last)
		if j, there := slices.BinarySearch(old.bases, b.base); !there || b.last != before[j].last || b.pid != before[j].pid ||
			b.seq != before[j].seq || b.epoch != before[j].epoch || b.base >= to && !bytes.Equal(m.batches[i], old.batches[j]) {
			r.fatalf("%s: after a round to %d there is batch %v", l.name, to, b)
		}
		for _, rec := range b.records {
			want, ok := stays[rec.offset]
			if !ok || want.ts != rec.ts || !bytes.Equal(want.key, rec.key) || !bytes.Equal(want.value, rec.value) ||
				(want.value == nil) != (rec.value == nil) {
				r.fatalf("%s: after the round %+v there is record %d, wanted: %v", l.name, c, rec.offset, ok)
			}
			delete(stays, rec.offset)
		}
	}
	// What lies below the start may have gone with its segment.
	maps.DeleteFunc(stays, func(at int64, _ modelRecord) bool { return at < l.StartOffset() })
	maps.DeleteFunc(needed, func(at int64, _ bool) bool { return at < l.StartOffset() })
	if len(stays) > 0 || len(needed) > 0 {
		r.fatalf("%s: the round %+v has lost records %v, batches that end at %v", l.name, c, stays, needed)
	}
}

func parseAll(r *crashRun, batches [][]byte) (out []*modelBatch) {
	for _, b := range batches {
		out = append(out, parseBatch(r.T, b))
	}
	return out
}

// checkUnique: below the offset that the log takes for compacted no key comes twice, and that is no more than there is.
func (r *crashRun) checkUnique(l *Log, m *logModel) {
	dirty := l.firstDirty()
	if l.mayHaveGaps() && !m.gaps && l.topic != modelCompacted {
		r.fatalf("%s is said to be compacted", l.name)
	}
	seen := map[string]int64{}
	for _, b := range m.batches {
		b := parseBatch(r.T, b)
		for _, rec := range b.records {
			if rec.offset < max(m.mapped, l.StartOffset()) || rec.offset >= dirty {
				continue
			}
			if at, ok := seen[string(rec.key)]; ok {
				r.fatalf("%s: compacted up to %d, but %s is at %d and %d", l.name, dirty, rec.key, at, rec.offset)
			}
			seen[string(rec.key)] = rec.offset
		}
	}
}

// interrupted is what the log should hold after a crash in a round, given what was found: of each batch what was there
// or what took its place. A batch that was to go may be there.
func (r *crashRun) interrupted(m *logModel, got []batch.Batch) *logModel {
	x := *m
	x.batches, x.bases = nil, nil
	found := map[int64]batch.Batch{}
	for _, b := range got {
		found[b.BaseOffset()] = b
	}
	old := m.round.old
	for i, base := range old.bases {
		j, stays := slices.BinarySearch(m.bases, base)
		switch b, there := found[base]; {
		case there && bytes.Equal(b, old.batches[i]):
			x.batches = append(x.batches, old.batches[i])
		case stays:
			x.batches = append(x.batches, m.batches[j])
		default:
			continue
		}
		x.bases = append(x.bases, base)
	}
	return &x
}

//go:build invariants

package logstore

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/internal/crashdisk"
	"github.com/sluice-mq/sluice/wire/batch"
)

// TestCrashModel does random operations on the logs of a directory, lets the power fail or kills the process between
// any two of their system calls, and holds what is found afterwards against what was promised: see crashdisk and crashModel.
//
// SLUICE_MODEL_OPS is how many operations are done for each seed, SLUICE_MODEL_SEED the first seed, SLUICE_MODEL_SEEDS
// how many there are. A seed determines the operations and the crashes, but not how goroutines of the Dir take turns.
func TestCrashModel(t *testing.T) {
	ops, first, seeds := envInt("SLUICE_MODEL_OPS", 300), envInt("SLUICE_MODEL_SEED", 1), envInt("SLUICE_MODEL_SEEDS", 6)
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			tmp := tempDir(t)
			synctest.Test(t, func(t *testing.T) {
				r := &crashRun{T: t, tmp: tmp, rnd: rand.New(rand.NewPCG(uint64(seed), 2)), opened: map[*Dir]*crashdisk.Disk{}}
				defer r.closeAll()
				r.run(ops)
				t.Logf("%d operations, %d crashes, %d recoveries that crashed, %d records appended, %d rounds of compaction",
					ops, r.crashes, r.nested, r.appended, r.rounds)
			})
		})
	}
}

// crashRun is one sequence of operations.
type crashRun struct {
	*testing.T
	rnd  *rand.Rand
	tmp  string
	made int // directories so far
	o    Options
	disk *crashdisk.Disk
	dir  *Dir
	m    crashModel

	opened map[*Dir]*crashdisk.Disk // and not closed yet
	held   []heldSpan               // read before truncations
	ts     int64
	ids    byte
	last   string // what is being done, for messages

	// lasts are the promises that the operation under way makes by returning.
	lasts []func()

	cleaned *cleanedRound // the last

	crashes, nested, appended, rounds int
}

// ops are the operations and how often they come. Those that work on a log are left out when there is none.
var ops = []struct {
	name   string
	weight int
	do     func(r *crashRun, l *Log, m *logModel)
}{
	{"append", 300, (*crashRun).append},
	{"append of a producer", 300, (*crashRun).appendNumbered},
	{"append again", 40, (*crashRun).appendAgain},
	{"flush", 25, (*crashRun).flush},
	{"read", 100, (*crashRun).read},
	{"look up a time", 30, (*crashRun).lookUp},
	{"begin an epoch", 10, (*crashRun).beginEpoch},
	{"configure", 20, (*crashRun).configure},
	{"delete before", 15, (*crashRun).deleteBefore},
	{"trim", 15, (*crashRun).trim},
	{"truncate", 10, (*crashRun).truncate},
	{"truncate fully", 3, (*crashRun).truncateFully},
	{"retain", 6, (*crashRun).retain},
	{"wait", 10, (*crashRun).wait},
	{"write a checkpoint", 15, (*crashRun).checkpoint},
	{"create", 6, (*crashRun).create},
	{"clean", 40, (*crashRun).clean},
	{"delete", 2, (*crashRun).delete},
	{"stop and start", 8, (*crashRun).restart},
}

func (r *crashRun) run(n int) {
	r.o = small()
	r.o.SegmentBytes = 3000 + r.rnd.Int64N(20000)
	r.o.IndexIntervalBytes = 1 + r.rnd.IntN(1000)
	r.o.TailBytes = r.rnd.IntN(40 << 10)
	r.o.now = func() time.Time { return time.UnixMilli(1_000_000 + r.ts) }
	r.o.Cleaner.Disabled = true // it is asked
	if r.rnd.IntN(3) == 0 {
		r.o.Cleaner.BufferBytes = 7 * mapSlotSize // does not hold all keys
	}
	r.o.Listener.Cleaned = func(l *Log, c Cleaning) { r.cleaned = &cleanedRound{l, c} }
	r.m.logs = map[string]*logModel{}
	r.start(crashdisk.Tree{})
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	for range n {
		at := r.rnd.IntN(total)
		i := 0
		for at >= ops[i].weight {
			at -= ops[i].weight
			i++
		}
		r.step(ops[i].name, ops[i].do)
	}
	r.checkHeld()
	r.stop(r.dir, r.disk)
}

// start makes a directory of what t says and opens it.
func (r *crashRun) start(t crashdisk.Tree) {
	r.made++
	path := filepath.Join(r.tmp, fmt.Sprint(r.made))
	r.must(t.WriteTo(path))
	r.disk = crashdisk.Start(path, t)
	r.open()
}

func (r *crashRun) open() {
	d, err := OpenDir(r.disk.Dir(), testID, r.o)
	r.must(err)
	r.dir = d
	r.opened[d] = r.disk
	synctest.Wait()
	for name := range r.m.logs {
		if l := r.log(name); l != nil {
			r.configure(l, nil)
		}
	}
}

// stop ends the process that has the directory open, and removes it.
func (r *crashRun) stop(d *Dir, k *crashdisk.Disk) {
	k.End()
	d.Close()
	delete(r.opened, d)
	r.must(os.RemoveAll(k.Dir()))
}

func (r *crashRun) closeAll() {
	for d, k := range r.opened {
		k.End()
		d.Close()
	}
}

func (r *crashRun) must(err error) {
	if err != nil {
		r.Helper()
		r.fatalf("%v", err)
	}
}

func (r *crashRun) fatalf(format string, args ...any) {
	r.Helper()
	r.Fatalf("%s: %s", r.last, fmt.Sprintf(format, args...))
}

func (r *crashRun) log(name string) *Log {
	for _, l := range r.dir.Logs() {
		if l.name == name {
			return l
		}
	}
	return nil
}

// step does one operation, and lets a crash happen in or after it.
func (r *crashRun) step(name string, do func(r *crashRun, l *Log, m *logModel)) {
	var l *Log
	var m *logModel
	if names := slices.Sorted(maps.Keys(r.m.logs)); len(names) > 0 {
		m = r.m.logs[names[r.rnd.IntN(len(names))]]
		l = r.log(m.name)
		r.last = name + " " + m.name
	} else if do, name = (*crashRun).create, "create"; true {
		r.last = name
	}
	r.m.begin()
	r.lasts = nil
	from := r.disk.Calls()
	do(r, l, m)
	if r.rnd.IntN(10) > 0 { // else what the Dir does by itself goes on beside the next operation
		synctest.Wait()
	}
	if r.rnd.IntN(25) == 0 {
		r.crash(from)
	} else {
		for _, f := range r.lasts {
			f()
		}
		r.m.promise(r.dir)
	}
}

// crash ends the process at one of the calls since from. Some other moments and outcomes are looked at before.
func (r *crashRun) crash(from int) {
	synctest.Wait()
	op := r.last
	for range r.rnd.IntN(3) {
		r.crashOnce(op, from, false)
	}
	r.crashOnce(op, from, true)
}

func (r *crashRun) crashOnce(op string, from int, adopt bool) {
	r.crashes++
	n, power := from+r.rnd.IntN(r.disk.Calls()-from+1), r.rnd.IntN(4) > 0
	t := r.disk.Crash(r.rnd, n, power)
	old, oldDir := r.disk, r.dir
	how := fmt.Sprintf("crash (power cut %v) at call %d of", power, n)
	r.last = fmt.Sprintf("%s %s", how, op)
	trouble := func() {
		if r.Failed() {
			r.Logf("calls of the operation and before it:\n%s", old.Describe(max(0, from-60)))
		}
	}
	defer trouble()
	r.start(t)
	for depth := 0; r.rnd.IntN(4) == 0 && depth < 3; depth++ { // recovery is interrupted as well
		r.nested++
		n, power := r.rnd.IntN(r.disk.Calls()+1), r.rnd.IntN(4) > 0
		t := r.disk.Crash(r.rnd, n, power)
		r.last += fmt.Sprintf(", then (power cut %v) at call %d of recovery", power, n)
		r.stop(r.dir, r.disk)
		r.start(t)
	}
	if _, clean := r.disk.Base()[cleanShutdownFile]; !clean {
		r.checkAgain()
	}
	found := r.check()
	if adopt {
		r.m = found
		r.stop(oldDir, old)
		return
	}
	r.stop(r.dir, r.disk)
	r.disk, r.dir = old, oldDir
}

// checkAgain: a second recovery changes nothing.
func (r *crashRun) checkAgain() {
	before, err := crashdisk.ReadTree(r.disk.Dir())
	r.must(err)
	r.made++
	path := filepath.Join(r.tmp, fmt.Sprint(r.made))
	r.must(before.WriteTo(path))
	d, err := OpenDir(path, testID, r.o)
	r.must(err)
	defer d.Close()
	synctest.Wait()
	after, err := crashdisk.ReadTree(path)
	r.must(err)
	for name := range mergedKeys(before, after) {
		if a, there := after[name]; filepath.Base(name) != lockFile && (!bytes.Equal(a, before[name]) || there != (before[name] != nil || a == nil && hasKey(before, name))) {
			r.fatalf("a second recovery changed %s: %d bytes, then %d (there: %v)", name, len(before[name]), len(a), there)
		}
	}
	for i, l := range d.Logs() {
		if one := r.dir.Logs()[i]; one.EndOffset() != l.EndOffset() || one.StartOffset() != l.StartOffset() || !bytes.Equal(one.producers.encode(), l.producers.encode()) {
			r.fatalf("%s: a second recovery found %d to %d, the first %d to %d", l.name, l.StartOffset(), l.EndOffset(), one.StartOffset(), one.EndOffset())
		}
	}
	r.must(os.RemoveAll(path))
}

func hasKey(t crashdisk.Tree, name string) bool { _, ok := t[name]; return ok }

func mergedKeys(a, b crashdisk.Tree) map[string]bool {
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return all
}

// check holds the logs that are open now against the model, and returns the model that goes on with what was found.
func (r *crashRun) check() crashModel {
	found := crashModel{logs: map[string]*logModel{}}
	for _, l := range r.dir.Logs() {
		r.must(l.Err())
		m := r.m.logs[l.name]
		if m == nil || m.id != l.id {
			m = r.m.earlier[l.name]
		}
		if m == nil || m.id != l.id {
			r.fatalf("log %s with id %x is not known, or was deleted", l.name, l.id)
		}
		found.logs[l.name] = r.checkLog(l, m)
	}
	for name, m := range r.m.logs {
		if found.logs[name] == nil && m.lasting {
			r.fatalf("log %s is gone", name)
		}
	}
	return found
}

func (r *crashRun) checkLog(l *Log, m *logModel) *logModel {
	start, end := l.StartOffset(), l.EndOffset()
	x := m.clone()
	x.lasting = true
	if m.wiping >= 0 && start == end && (start == m.wiping || start == m.lastingStart) {
		x.startOver(start)
		return x
	}
	if m.cutting >= 0 { // the cut may be there or not, or some of it
		m.synced = min(m.synced, m.cutting)
	}
	if m.wiping >= 0 {
		m.synced, m.lastingStart = 0, min(m.lastingStart, m.wiping)
		m.start = max(m.start, m.wiping)
	}
	if end < m.synced || end > m.end {
		r.fatalf("%s ends at %d; it was synced up to %d and ended at %d", l.name, end, m.synced, m.end)
	}
	if start < m.lastingStart || start > max(m.start, m.lastingStart) {
		r.fatalf("%s starts at %d; that was %d, lastingly %d", l.name, start, m.start, m.lastingStart)
	}
	if start == end { // all that is left was not synced and lay below the start, or nothing was
		x.startOver(start)
		x.synced = min(m.synced, end)
		x.readProducers(l)
		if end > 0 {
			x.synced = end
		}
		return x
	}
	got := r.readLog(l, m)
	if m.round != nil {
		m = r.interrupted(m, got)
		x = m.clone()
		x.lasting = true
	}
	i := m.at(start)
	x.cut(end)
	x.batches, x.bases = x.batches[:i], x.bases[:i]
	for _, b := range got {
		for i < len(m.batches) && m.bases[i] < b.BaseOffset() && m.mayLack(i, l, b) {
			i, x.hole = i+1, true
		}
		if i >= len(m.batches) || !bytes.Equal(b, m.batches[i]) {
			r.fatalf("%s: batch %d at offset %d is not what was appended", l.name, i, b.BaseOffset())
		}
		x.batches, x.bases = append(x.batches, m.batches[i]), append(x.bases, m.bases[i])
		i++
	}
	for i < len(m.batches) && m.bases[i] < end && l.active.base == end && m.mayLack(i, l, nil) {
		i, x.hole = i+1, true
	}
	if i != m.at(end) {
		r.fatalf("%s ends at %d, its last batch is %d", l.name, end, i-1)
	}
	x.start, x.lastingStart = start, start
	x.synced = end // a crash leaves what is on the device
	r.checkUnique(l, x)
	r.checkEpochs(l, got)
	if !x.hole {
		r.checkProducers(l, x)
	}
	if _, err := os.Stat(filepath.Join(l.dir, segmentName(l.active.base)+indexSuffix)); err == nil {
		checkIndexes(r.T, l.dir)
	}
	return x
}

// readLog reads the log from its start to its end, some batches at a time: whole ones, with right checksums.
func (r *crashRun) readLog(l *Log, m *logModel) (out []batch.Batch) {
	for from := l.StartOffset(); from < l.EndOffset(); {
		spans, _, err := l.Read(nil, from, l.EndOffset(), 3000, true)
		r.must(err)
		rest := spanBytes(r.T, spans)
		if len(rest) == 0 && m.gappy() && l.active.size.Load() == 0 {
			break // a hole in front of an empty segment
		}
		if len(rest) == 0 {
			r.fatalf("%s: nothing at %d, the log ends at %d", l.name, from, l.EndOffset())
		}
		for len(rest) > 0 {
			b, next, err := batch.First(rest)
			if err != nil || !b.CRCOK() || b.LastOffset() < from {
				r.fatalf("%s: at %d: batch at %d, %v", l.name, from, b.BaseOffset(), err)
			}
			out, rest, from = append(out, b), next, b.LastOffset()+1
		}
	}
	return out
}

// checkEpochs: each batch's epoch is one that had begun by then and goes on there.
func (r *crashRun) checkEpochs(l *Log, got []batch.Batch) {
	for _, b := range got {
		e := b.LeaderEpoch()
		found, end, ok := l.EpochEnd(e)
		if !ok || found != e || end <= b.LastOffset() {
			r.fatalf("%s: batch at %d has epoch %d; the log says %d up to %d (%v)", l.name, b.BaseOffset(), e, found, end, ok)
		}
	}
}

// checkProducers: each producer with batches in the log is known by them, the last one and those before it.
func (r *crashRun) checkProducers(l *Log, m *logModel) {
	for id, p := range m.producers() {
		q := l.producers.byID[id]
		if m.gaps {
			if q == nil || q.epoch < p.epoch || q.n == 0 || q.newest().last < p.newest().last ||
				q.newest().last == p.newest().last && q.newest().lastSeq != p.newest().lastSeq {
				r.fatalf("%s: producer %d is known as %+v, should be %+v", l.name, id, q, p)
			}
			continue
		}
		if q == nil || q.epoch != p.epoch || q.n == 0 || *q.newest() != *p.newest() {
			r.fatalf("%s: producer %d is known as %+v, should be %+v", l.name, id, q, p)
		}
		for i := range int(min(q.n, p.n)) {
			at := func(x *producer) producerBatch {
				return x.batches[(int(x.at)+2*producerBatches-1-i)%producerBatches]
			}
			if at(q) != at(p) {
				r.fatalf("%s: batch %d of producer %d is known as %+v, should be %+v", l.name, i, id, at(q), at(p))
			}
		}
	}
	for id := range l.producers.byID {
		if !m.seen[id] {
			r.fatalf("%s: producer %d was never here", l.name, id)
		}
	}
}

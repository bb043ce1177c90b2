package logstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// at1970 is a clock at which nothing has expired.
func at1970() time.Time { return time.UnixMilli(0) }

// TestSnapshotBytes: the layout of FORMAT.md, which kafka-dump-log reads.
func TestSnapshotBytes(t *testing.T) {
	d := openTest(t, tempDir(t), Options{})
	l := createTest(t, d, "t")
	appendTest(t, l, numbered(0x0102030405060708, 3, 20, 3, 0x1122334455), nil)
	appendTest(t, l, endMarker(2, 1, 0, 6, 0x77), nil)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"0001", "6c9e9683", "00000002",
		"0102030405060708", "0003", "00000016", "0000000000000002", "00000002", "0000001122334457", "ffffffff", "ffffffffffffffff",
		"0000000000000002", "0001", "ffffffff", "ffffffffffffffff", "00000000", "0000000000000077", "00000006", "ffffffffffffffff",
	}, "")
	if got := hex.EncodeToString(mustRead(t, segmentFile(d, l, 4, snapshotSuffix))); got != want {
		t.Errorf("snapshot is\n%s, want\n%s", got, want)
	}
}

// snapshotOffsets lists the snapshots of a log.
func snapshotOffsets(t *testing.T, dir string) (offsets []int64) {
	names, err := filepath.Glob(filepath.Join(dir, "*"+snapshotSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		offset, _, ok := parseSegmentFile(filepath.Base(name))
		if !ok {
			t.Fatalf("%s is no snapshot's name", name)
		}
		offsets = append(offsets, offset)
	}
	slices.Sort(offsets)
	return offsets
}

// TestTornSnapshots: whatever is left of the newest snapshot, what is known afterwards is the same.
func TestTornSnapshots(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, Options{now: at1970})
	l := createTest(t, d, "t")
	for i := range int32(3) {
		for id := range int64(3) {
			appendTest(t, l, numbered(id, 0, 2*i, 2, int64(i)), nil)
		}
	}
	want := l.producers.encode()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	whole := mustRead(t, segmentFile(d, l, 18, snapshotSuffix))
	if !bytes.Equal(whole, want) {
		t.Fatalf("snapshot is %x, table %x", whole, want)
	}
	check := func(name string, content []byte) {
		t.Helper()
		mustWrite(t, segmentFile(d, l, 18, snapshotSuffix), content)
		again := openTest(t, path, Options{now: at1970})
		if got := again.Logs()[0].producers.encode(); !bytes.Equal(got, want) {
			t.Errorf("%s: producers are %x, want %x", name, got, want)
		}
		_, err := os.Stat(segmentFile(d, l, 18, snapshotSuffix))
		if gone := errors.Is(err, fs.ErrNotExist); gone == bytes.Equal(content, whole) {
			t.Errorf("%s: the file is gone: %v", name, gone)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check("whole", whole)
	for n := 0; n < len(whole); n += 9 {
		check(fmt.Sprintf("cut at %d", n), whole[:n])
	}
	for i := 0; i < len(whole); i += 5 {
		check(fmt.Sprintf("bit flipped in %d", i), edit(whole, i, 1<<(i%8)))
	}
	check("zeros", make([]byte, len(whole)))
	check("longer", append(slices.Clone(whole), 0))
}

func edit(b []byte, at int, mask byte) []byte {
	b = slices.Clone(b)
	b[at] ^= mask
	return b
}

// TestSnapshotsThatStay: those at segments' bases and the newest.
func TestSnapshotsThatStay(t *testing.T) {
	path := tempDir(t)
	o := Options{SegmentBytes: 500, now: at1970}
	for round := range 3 {
		d := openTest(t, path, o)
		var l *Log
		if round == 0 {
			l = createTest(t, d, "t")
		} else {
			l = d.Logs()[0]
		}
		for i := range 10 {
			appendTest(t, l, numbered(1, 0, int32(10*round+i), 1, 1), nil)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(path, "t-0")
	mustWrite(t, filepath.Join(dir, segmentName(29)+snapshotSuffix), []byte("not the newest, not at a base"))
	mustWrite(t, filepath.Join(dir, segmentName(31)+snapshotSuffix), []byte("above the end"))
	d := openTest(t, path, o)
	var want []int64
	for _, s := range d.Logs()[0].segs.Load().s[1:] {
		want = append(want, s.base)
	}
	want = append(want, 30)
	if got := snapshotOffsets(t, dir); !slices.Equal(got, want) {
		t.Errorf("snapshots at %v, want %v", got, want)
	}
}

// TestPendingSnapshotsAreBounded: a flusher that does not come leaves the newest ones waiting.
func TestPendingSnapshotsAreBounded(t *testing.T) {
	total := producerTotal{limit: 10}
	x := producers{total: &total}
	for i := range int64(10) {
		x.snapshot(i)
		x.snapshot(i) // the same again is none
	}
	if len(x.pending) != maxPendingSnapshots || x.pending[0].offset != 10-maxPendingSnapshots {
		t.Errorf("%d pending, the first at %d", len(x.pending), x.pending[0].offset)
	}
}

// pmodel is what should be known of each producer: all batches of its epoch that are in the log, newest last.
type pmodel map[int64]*pstate

type pstate struct {
	epoch   int16
	batches []pbatch
}

type pbatch struct {
	id         int64
	epoch      int16
	first      int32
	n          int32
	base, time int64
}

func (m pmodel) append(b pbatch) {
	p := m[b.id]
	if p == nil || p.epoch != b.epoch {
		p = &pstate{epoch: b.epoch}
		m[b.id] = p
	}
	p.batches = append(p.batches, b)
	p.batches = p.batches[max(0, len(p.batches)-5):]
}

// onlyLast is what a snapshot keeps.
func (m pmodel) onlyLast() {
	for _, p := range m {
		p.batches = p.batches[len(p.batches)-1:]
	}
}

// judge is what has to come of b: the base offset of an earlier one, or an error, or neither.
func (m pmodel) judge(b pbatch) (again int64, err error) {
	p := m[b.id]
	if p == nil {
		return -1, nil
	}
	for _, x := range p.batches {
		if x.epoch == b.epoch && x.first == b.first && x.n == b.n {
			return x.base, nil
		}
	}
	last := p.batches[len(p.batches)-1]
	next := (int64(last.first) + int64(last.n)) % (1 << 31)
	switch {
	case b.epoch < p.epoch:
		return -1, ErrProducerEpoch
	case b.epoch > p.epoch && b.first != 0, b.epoch == p.epoch && int64(b.first) != next:
		return -1, ErrOutOfOrderSequence
	}
	return -1, nil
}

// TestProducersModel: producers that send in order, again, with gaps, with new and old epochs and across the end of
// the numbers, against the model; with stops, kills and cut tails in between.
func TestProducersModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			(&producersRun{T: t, rnd: rand.New(rand.NewPCG(seed, 2))}).run(1000)
		})
	}
}

type producersRun struct {
	*testing.T
	rnd     *rand.Rand
	o       Options
	n       int
	tmp     string
	dir     *Dir
	log     *Log
	history []pbatch // all that is in the log; id -1: of nobody
	sent    []pbatch // the latest, to send again
	m       pmodel
	next    map[int64]pbatch // what each producer would send next
	counts  map[string]int
}

func (r *producersRun) run(ops int) {
	r.tmp = tempDir(r.T)
	r.o = Options{SegmentBytes: 500 + r.rnd.Int64N(20000), IndexIntervalBytes: 1 + r.rnd.IntN(1000), now: at1970, Logger: quiet()}
	r.dir = openTest(r.T, filepath.Join(r.tmp, "0"), r.o)
	r.log = createTest(r.T, r.dir, "t")
	r.m, r.next, r.counts = pmodel{}, map[int64]pbatch{}, map[string]int{}
	for range ops {
		switch p := r.rnd.IntN(1000); {
		case p < 600:
			r.sendNext()
		case p < 850:
			r.sendAgain()
		case p < 960:
			r.sendWrong()
		case p < 975:
			if err := r.log.Flush(); err != nil {
				r.Fatal(err)
			}
		case p < 985:
			r.reopen("stop")
		case p < 993:
			r.reopen("kill")
		default:
			r.reopen("cut")
		}
	}
	r.Logf("%v, %d segments", r.counts, r.log.Segments())
	for _, what := range []string{"appended", "again", "order", "epoch", "stop", "kill", "cut"} {
		if r.counts[what] == 0 {
			r.Errorf("never: %s", what)
		}
	}
}

func (r *producersRun) sendNext() {
	id := r.rnd.Int64N(6) - 1
	b, known := r.next[id]
	if !known {
		b = pbatch{id: id, first: r.rnd.Int32N(3)}
		if r.rnd.IntN(2) == 0 {
			b.first = maxSequence - r.rnd.Int32N(10)
		}
	} else if r.rnd.IntN(30) == 0 {
		b.epoch, b.first = b.epoch+1+int16(r.rnd.IntN(2)), 0
	}
	b.n = 1 + r.rnd.Int32N(4)
	r.send(b)
}

func (r *producersRun) sendAgain() {
	if len(r.sent) > 0 {
		r.send(r.sent[max(0, len(r.sent)-1-r.rnd.IntN(20))])
	}
}

func (r *producersRun) sendWrong() {
	if len(r.sent) == 0 {
		return
	}
	b := r.sent[r.rnd.IntN(len(r.sent))]
	switch r.rnd.IntN(4) {
	case 0:
		b.first = addSequence(b.first, r.rnd.Int32N(20)-10)
	case 1:
		b.n = 1 + r.rnd.Int32N(5)
	case 2:
		b.epoch--
	default:
		b.first, b.epoch = r.rnd.Int32N(5), b.epoch+int16(r.rnd.IntN(2))
	}
	b.epoch = max(b.epoch, 0)
	r.send(b)
}

func (r *producersRun) send(b pbatch) {
	b.time = int64(len(r.history))
	again, want := r.m.judge(b)
	if b.id < 0 {
		again, want = -1, nil
	}
	end := r.log.EndOffset()
	info, err := r.log.Append(numbered(b.id, b.epoch, b.first, int(b.n), b.time), 0, nil)
	switch {
	case !errors.Is(err, want) || (err == nil) != (want == nil):
		r.Fatalf("%+v: %v, want %v", b, err, want)
	case errors.Is(err, ErrOutOfOrderSequence):
		r.counts["order"]++
	case err != nil:
		r.counts["epoch"]++
	case again >= 0:
		r.counts["again"]++
		if !info.Duplicate || info.Base != again || info.Last != again+int64(b.n)-1 || r.log.EndOffset() != end {
			r.Fatalf("%+v again: %+v, want base %d", b, info, again)
		}
	default:
		r.counts["appended"]++
		if info.Duplicate || info.Base != end {
			r.Fatalf("%+v: %+v, want base %d", b, info, end)
		}
		b.base = info.Base
		r.accept(b)
	}
}

func (r *producersRun) accept(b pbatch) {
	r.history = append(r.history, b)
	if b.id >= 0 {
		r.m.append(b)
	}
	r.sent = append(r.sent, b)
	next := b
	next.first = addSequence(b.first, b.n)
	r.next[b.id] = next
}

// reopen stops the directory, or goes on with a copy as a killed process leaves it, or such a copy with less at its
// end. The model then knows what the newest snapshot and the batches behind it tell, and after a kill the batches
// before it as well.
func (r *producersRun) reopen(how string) {
	r.counts[how]++
	r.n++
	path := filepath.Join(r.tmp, fmt.Sprint(r.n))
	if how == "stop" || how == "cut" && r.rnd.IntN(2) == 0 {
		if err := r.dir.Close(); err != nil {
			r.Fatal(err)
		}
	}
	copyDir(r.T, r.dir.path, path)
	r.dir.Close()
	if how == "cut" {
		r.cutTail(path)
	}
	snapAt := int64(-1)
	for _, o := range snapshotOffsets(r.T, filepath.Join(path, "t-0")) {
		x := producers{total: &producerTotal{limit: 100}}
		if o <= r.end() && x.decode(mustRead(r.T, filepath.Join(path, "t-0", segmentName(o)+snapshotSuffix))) == nil {
			snapAt = o // else it was not whole yet
		}
	}
	r.dir = openTest(r.T, path, r.o)
	r.log = r.dir.Logs()[0]
	if r.log.EndOffset() != r.end() {
		r.Fatalf("%s: log ends at %d, want %d", how, r.log.EndOffset(), r.end())
	}
	r.m = pmodel{}
	behind := 0
	for behind < len(r.history) && r.history[behind].base < snapAt {
		behind++
	}
	for i, b := range r.history {
		if i == behind && how == "stop" {
			r.m.onlyLast()
		}
		if b.id >= 0 {
			r.m.append(b)
		}
	}
	if behind == len(r.history) && how == "stop" {
		r.m.onlyLast()
	}
	r.compare()
}

func (r *producersRun) end() int64 {
	if len(r.history) == 0 {
		return 0
	}
	last := r.history[len(r.history)-1]
	return last.base + int64(last.n)
}

// cutTail makes path look like after a power cut that took some of the last segment with it.
func (r *producersRun) cutTail(path string) {
	os.Remove(filepath.Join(path, cleanShutdownFile))
	os.Remove(filepath.Join(path, recoveryPointFile))
	logs, err := filepath.Glob(filepath.Join(path, "t-0", "*"+logSuffix))
	if err != nil {
		r.Fatal(err)
	}
	slices.Sort(logs)
	name := logs[len(logs)-1]
	base, _, _ := parseSegmentFile(filepath.Base(name))
	b := mustRead(r.T, name)
	b = b[:len(b)-r.rnd.IntN(len(b)+1)]
	mustWrite(r.T, name, b)
	end := base
	for len(b) > 0 {
		x, rest, err := batch.First(b)
		if err != nil {
			break
		}
		end, b = x.LastOffset()+1, rest
	}
	for len(r.history) > 0 && r.end() > end {
		r.history = r.history[:len(r.history)-1]
	}
}

// compare holds the log's table against the model's.
func (r *producersRun) compare() {
	t := &r.log.producers
	if len(t.byID) != len(r.m) || r.dir.Producers() != int64(len(r.m)) {
		r.Fatalf("%d producers, total %d, want %d", len(t.byID), r.dir.Producers(), len(r.m))
	}
	inOrder := 0
	for p := t.oldest; p != nil; p = p.newer {
		inOrder++
	}
	if inOrder != len(t.byID) {
		r.Fatalf("%d producers in the list, %d in the map", inOrder, len(t.byID))
	}
	for id, want := range r.m {
		p := t.byID[id]
		if p == nil || p.epoch != want.epoch || int(p.n) != len(want.batches) {
			r.Fatalf("producer %d is %+v, want %+v", id, p, want)
		}
		for i, b := range want.batches {
			got := p.batches[(int(p.at)+producerBatches-int(p.n)+i)%producerBatches]
			if got != (producerBatch{addSequence(b.first, b.n-1), b.n - 1, b.base + int64(b.n) - 1, b.time + int64(b.n) - 1}) {
				r.Fatalf("producer %d's batch %d is %+v, want %+v", id, i, got, b)
			}
		}
	}
}

// FuzzSnapshot: no bytes make decode panic, and what it takes encodes to what it decodes to again.
func FuzzSnapshot(f *testing.F) {
	x := producers{total: &producerTotal{limit: 100}}
	f.Add(x.encode())
	noteAppend(&x, numbered(5, 1, maxSequence-1, 4, 77))
	noteAppend(&x, endMarker(6, 1, 0, 6, 78))
	f.Add(x.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= snapshotHeaderSize { // else nothing gets past the checksum
			binary.BigEndian.PutUint32(b[snapshotCRCAt:], crc32.Checksum(b[snapshotCRCFrom:], castagnoli))
		}
		x := producers{total: &producerTotal{limit: 1 << 30}}
		if x.decode(b) != nil {
			if len(x.byID) != 0 {
				t.Fatal("a refused snapshot left producers")
			}
			return
		}
		y := producers{total: &producerTotal{limit: 1 << 30}}
		if err := y.decode(x.encode()); err != nil || !bytes.Equal(y.encode(), x.encode()) {
			t.Fatalf("%v; %x and %x", err, x.encode(), y.encode())
		}
	})
}

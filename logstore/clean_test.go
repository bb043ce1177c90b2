package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// cleanClock is a clock that tests set, in ms since 1970.
type cleanClock struct {
	mu sync.Mutex
	ms int64
}

func (c *cleanClock) now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.UnixMilli(c.ms), time.Duration(c.ms) * time.Millisecond
}

func (c *cleanClock) set(ms int64) {
	c.mu.Lock()
	c.ms = ms
	c.mu.Unlock()
}

// ruleLog is a log for single rules: each batch lies in a segment of its own unless it is appended with add.
type ruleLog struct {
	testing.TB
	d     *Dir
	l     *Log
	clock cleanClock
}

func newRuleLog(t testing.TB, adjust func(*Options), c Compaction) *ruleLog {
	r := &ruleLog{TB: t}
	r.clock.ms = 1_000_000
	o := small()
	o.SegmentBytes = 1 << 20
	o.Cleaner.Disabled = true
	o.ProducerExpiration = 1e6 * time.Hour
	o.clock = r.clock.now
	if adjust != nil {
		adjust(&o)
	}
	r.d = openTest(t, filepath.Join(tempDir(t), "d"), o)
	r.l = createTest(t, r.d, "t")
	r.l.Configure(Settings{Compaction: &c})
	return r
}

// add appends records "key=value", "key" for a tombstone, all with the timestamp ts.
func (r *ruleLog) add(ts int64, records ...string) {
	r.Helper()
	var bd batch.Builder
	bd.Reset(batch.None)
	r.put(&bd, ts, records)
}

func (r *ruleLog) put(bd *batch.Builder, ts int64, records []string) {
	r.Helper()
	for _, s := range records {
		key, value, ok := strings.Cut(s, "=")
		if ok {
			bd.Append(ts, []byte(key), []byte(value))
		} else {
			bd.Append(ts, []byte(key), nil)
		}
	}
	appendTest(r.TB, r.l, bd.Finish(), nil)
}

// send is add by a producer.
func (r *ruleLog) send(pid int64, seq int32, txn bool, records ...string) {
	r.Helper()
	var bd batch.Builder
	bd.Reset(batch.None)
	bd.SetProducer(pid, 0, seq, txn)
	r.put(&bd, 1000, records)
}

func (r *ruleLog) end(pid int64, kind byte) {
	r.Helper()
	appendTest(r.TB, r.l, endMarker(pid, 0, kind, 1, 1000), nil)
}

// roll begins a segment, so that what is before it may be compacted.
func (r *ruleLog) roll() {
	r.Helper()
	r.l.mu.Lock()
	err := r.l.roll(r.l.end.Load())
	r.l.mu.Unlock()
	if err == nil {
		err = r.l.flush(false)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// clean rolls, compacts, and returns what is left: "offset:key=value" for records, "[first-last]" for batches without,
// "offset:abort" and "offset:commit" for markers; a batch with a delete horizon is followed by "@horizon".
func (r *ruleLog) clean() string {
	r.Helper()
	r.roll()
	if !r.d.cleaner.round() {
		r.Fatalf("not compacted, %+v", r.d.CleanerStats())
	}
	return r.state()
}

func (r *ruleLog) state() string {
	r.Helper()
	var out []string
	for _, b := range storedBatches(r.TB, r.l) {
		if len(b.records) == 0 {
			out = append(out, fmt.Sprintf("[%d-%d]", b.base, b.last))
		}
		for _, rec := range b.records {
			text := string(rec.key)
			switch {
			case b.control:
				text = []string{"abort", "commit"}[binary.BigEndian.Uint16(rec.key[2:])]
			case rec.value != nil:
				text += "=" + string(rec.value)
			}
			out = append(out, fmt.Sprintf("%d:%s", rec.offset, text))
		}
		if b.horizon > 0 {
			out = append(out, fmt.Sprintf("@%d", b.horizon))
		}
	}
	return strings.Join(out, " ")
}

func (r *ruleLog) want(got, want string) {
	r.Helper()
	if got != want {
		r.Fatalf("left is\n%s, want\n%s", got, want)
	}
}

var always = Compaction{MinDirtyRatio: -1, DeleteRetention: 100 * time.Millisecond}

func TestCompactionKeepsTheLastOfEachKey(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.add(1, "a=1", "b=1", "c=1")
	r.roll()
	r.add(2, "a=2", "d=1")
	r.want(r.clean(), "1:b=1 2:c=1 3:a=2 4:d=1")
	r.add(3, "b=2") // again, over clean and dirty part
	r.want(r.clean(), "2:c=1 3:a=2 4:d=1 5:b=2")
	if r.l.Segments() != 2 || r.l.EndOffset() != 6 || r.l.firstDirty() != 6 {
		t.Errorf("%d segments, end %d, dirty from %d", r.l.Segments(), r.l.EndOffset(), r.l.firstDirty())
	}
	if b := mustRead(t, filepath.Join(r.d.path, cleanerFile)); string(b) != "0\n1\nt 0 6\n" {
		t.Errorf("checkpoint %q", b)
	}
}

func TestTombstones(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.add(1, "a=1", "b=1")
	r.add(2, "a", "x=1")
	r.want(r.clean(), "1:b=1 2:a 3:x=1 @1000100")
	r.clock.set(1_000_099)
	r.add(3, "y=1")
	r.want(r.clean(), "1:b=1 2:a 3:x=1 @1000100 4:y=1")
	r.clock.set(1_000_100)
	r.add(4, "z=1")
	r.want(r.clean(), "1:b=1 3:x=1 @1000100 4:y=1 5:z=1")
}

// TestMarkersStay: a marker goes when all data of its transaction is gone and its own horizon has passed
// (KAFKA-14055: not because a key is like a marker's).
func TestMarkersStay(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.send(7, 0, true, "a=1", "b=1")
	r.end(7, controlCommit) // 2
	r.send(8, 0, true, "a=2")
	r.end(8, controlAbort)                                            // 4
	r.add(1, "\x00\x00\x00\x00=like an abort", "\x00\x00\x00\x01=it") // 5, 6
	r.want(r.clean(), "0:a=1 1:b=1 2:commit [3-3] 4:abort 5:\x00\x00\x00\x00=like an abort 6:\x00\x00\x00\x01=it")
	if list, _ := r.l.AbortedTxns(0, 7); len(list) != 1 || list[0].LastOffset != 4 {
		t.Errorf("aborted: %+v", list)
	}
	r.send(7, 2, true, "a=3", "b=3") // 7, 8: the first transaction has no data left, and its producer goes on
	r.end(7, controlCommit)
	r.send(8, 1, true, "c=1") // 10: nor has the aborted one
	r.end(8, controlCommit)
	r.add(1, "\x00\x00\x00\x00=1", "\x00\x00\x00\x01=1") // 12, 13
	r.want(r.clean(), "2:commit 4:abort 7:a=3 8:b=3 9:commit 10:c=1 11:commit 12:\x00\x00\x00\x00=1 13:\x00\x00\x00\x01=1")
	r.add(1, "q=1") // 14: now they are met without data
	r.want(r.clean(), "2:commit @1000100 4:abort @1000100 7:a=3 8:b=3 9:commit 10:c=1 11:commit "+
		"12:\x00\x00\x00\x00=1 13:\x00\x00\x00\x01=1 14:q=1")
	r.clock.set(1_000_101)
	r.add(1, "r=1")
	r.want(r.clean(), "7:a=3 8:b=3 9:commit 10:c=1 11:commit 12:\x00\x00\x00\x00=1 13:\x00\x00\x00\x01=1 14:q=1 15:r=1")
	if list, _ := r.l.AbortedTxns(0, 16); len(list) != 0 {
		t.Errorf("aborted: %+v", list)
	}
}

// TestOpenTransactionBounds: nothing from the first record of an open transaction on is compacted (KAFKA-13194 in the
// form it has here).
func TestOpenTransactionBounds(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.add(1, "a=1", "a=2")
	r.roll()
	r.send(7, 0, true, "b=1")
	r.roll()
	r.add(1, "b=2", "a=3")
	r.want(r.clean(), "1:a=2 2:b=1 3:b=2 4:a=3")
	r.end(7, controlAbort)
	r.want(r.clean(), "[2-2] 3:b=2 4:a=3 5:abort")
}

// TestHighWatermarkBounds: the same for what is not committed.
func TestHighWatermarkBounds(t *testing.T) {
	committed := int64(2)
	r := newRuleLog(t, func(o *Options) { o.HighWatermark = func(*Log) int64 { return committed } }, always)
	r.add(1, "a=1", "a=2")
	r.roll()
	r.add(1, "a=3")
	r.want(r.clean(), "1:a=2 2:a=3")
}

// TestProducersGoOn: the batch that has a producer's last sequence stays, without records.
func TestProducersGoOn(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.send(5, 0, false, "a=1", "b=1")
	r.send(5, 2, false, "c=1", "d=1", "c=2")
	r.add(1, "a=2", "b=2", "c=3", "d=2")
	r.want(r.clean(), "[2-4] 5:a=2 6:b=2 7:c=3 8:d=2")
	// Without snapshots the log has to tell.
	r.d.Close()
	for _, name := range listFiles(t, r.l.dir) {
		if strings.HasSuffix(name, snapshotSuffix) {
			os.Remove(filepath.Join(r.l.dir, name))
		}
	}
	d := openTest(t, r.d.path, r.d.opts)
	l := d.Logs()[0]
	var bd batch.Builder
	for _, c := range []struct {
		seq int32
		err error
	}{{6, ErrOutOfOrderSequence}, {5, nil}} {
		bd.Reset(batch.None)
		bd.SetProducer(5, 0, c.seq, false)
		bd.Append(1, []byte("k"), nil)
		if _, err := l.Append(bd.Finish(), 0, nil); !errors.Is(err, c.err) {
			t.Errorf("sequence %d: %v", c.seq, err)
		}
	}
}

// TestRoundKeepsItsEnd: the last batch of a round stays, so that the log does not end lower when all behind it is lost
// (KAFKA-17076).
func TestRoundKeepsItsEnd(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.add(1, "a=1")
	r.send(9, 0, true, "a=2") // goes, but for its place
	r.roll()
	r.end(9, controlAbort)
	r.send(9, 1, false, "x=1")
	if !r.d.cleaner.round() {
		t.Fatal("not compacted")
	}
	r.want(r.state(), "0:a=1 [1-1] 2:abort 3:x=1")
	r.d.Close()
	last := r.l.segs.Load().last().base
	os.Remove(segmentFile(r.d, r.l, last, logSuffix))
	os.Remove(filepath.Join(r.d.path, cleanShutdownFile))
	d := openTest(t, r.d.path, r.d.opts)
	if end := d.Logs()[0].EndOffset(); end != last {
		t.Errorf("the log ends at %d, was compacted up to %d", end, last)
	}
}

// TestRecordsWithoutKey go: they are from before the topic was compacted.
func TestRecordsWithoutKey(t *testing.T) {
	r := newRuleLog(t, nil, always)
	var bd batch.Builder
	bd.Reset(batch.Zstd)
	bd.Append(1, nil, []byte("v"))
	bd.Append(1, []byte("k"), []byte("v"))
	appendTest(t, r.l, bd.Finish(), nil)
	r.want(r.clean(), "1:k=v")
}

// TestFullMap: the round ends where the map is full; all above is kept, and the next round goes on there.
func TestFullMap(t *testing.T) {
	r := newRuleLog(t, func(o *Options) { o.Cleaner.BufferBytes, o.Cleaner.LoadFactor = 4*mapSlotSize, 0.5 }, always)
	r.add(1, "a=1", "b=1", "a=2", "c=1", "a=3", "b=2", "c=2")
	r.want(r.clean(), "0:a=1 1:b=1 2:a=2 3:c=1 4:a=3 5:b=2 6:c=2") // a and b, up to 1
	for _, c := range []struct {
		dirty int64
		left  string
	}{{2, "1:b=1 2:a=2 3:c=1 4:a=3 5:b=2 6:c=2"}, {4, "3:c=1 4:a=3 5:b=2 6:c=2"}, {6, "4:a=3 5:b=2 6:c=2"}} {
		if dirty := r.l.firstDirty(); dirty != c.dirty {
			t.Fatalf("dirty from %d, want %d", dirty, c.dirty)
		}
		if !r.d.cleaner.round() {
			t.Fatal("no further round")
		}
		r.want(r.state(), c.left)
	}
}

func TestLags(t *testing.T) {
	r := newRuleLog(t, nil, Compaction{MinDirtyRatio: 1, MinLag: 500 * time.Millisecond, MaxLag: 2 * time.Second})
	r.add(999_000, "a=1", "a=2")
	r.roll()
	r.add(999_600, "a=3")
	r.roll()
	x := r.l.dirtiness(time.UnixMilli(1_000_000))
	if x == nil || x.to != 2 || x.late != 0 {
		t.Fatalf("%+v", x)
	}
	if r.d.cleaner.round() {
		t.Fatal("compacted at a ratio of 1")
	}
	r.clock.set(1_001_001)
	if !r.d.cleaner.round() {
		t.Fatal("not compacted when it is late")
	}
	r.want(r.state(), "2:a=3")
	if s := r.d.CleanerStats(); s.MaxDelay != time.Millisecond || s.MaxDirtyRatio != 1 {
		t.Errorf("%+v", s)
	}
	// Appends roll the active segment when its first batch is as old.
	before := r.l.Segments()
	r.add(1_000_000, "b=1")
	r.add(1_002_001, "b=2")
	if n := r.l.Segments(); n != before+1 {
		t.Errorf("%d segments, were %d", n, before)
	}
}

// TestDirtyRatioChooses: the dirtiest log goes first; one that is not dirty enough stays.
func TestDirtyRatioChooses(t *testing.T) {
	r := newRuleLog(t, nil, Compaction{MinDirtyRatio: 0.5})
	r.add(1, "a=1", "b=1", "c=1", "d=1")
	r.clean()
	r.add(1, "a=1")
	r.roll()
	if r.d.cleaner.round() {
		t.Fatal("compacted with few dirty bytes")
	}
	l, err := r.d.Create("u", 0, testTopicID)
	if err != nil {
		t.Fatal(err)
	}
	first := r.l
	r.l = l
	r.l.Configure(Settings{Compaction: &Compaction{MinDirtyRatio: 0.5}})
	r.add(1, "a=1", "a=2")
	r.want(r.clean(), "1:a=2")
	r.l = first
	r.add(1, "a=1", "b=1", "c=2", "d=3")
	r.want(r.clean(), "5:a=1 6:b=1 7:c=2 8:d=3")
}

// TestCheckpointAbove: a checkpoint above the log's end counts for nothing, also when the log has grown past it.
func TestCheckpointAbove(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.add(1, "a=1", "a=2")
	r.d.Close()
	path := filepath.Join(r.d.path, cleanerFile)
	mustWrite(t, path, []byte("0\n2\nt 0 5\ngone 0 1\n"))
	d := openTest(t, r.d.path, r.d.opts)
	if b := mustRead(t, path); string(b) != "0\n1\nt 0 0\n" {
		t.Errorf("checkpoint %q", b)
	}
	r.d, r.l = d, d.Logs()[0]
	r.l.Configure(Settings{Compaction: &always})
	r.add(1, "a=3", "a=4", "a=5", "a=6")
	r.want(r.clean(), "5:a=6")
}

// TestDamageIsNotCopied: a flipped bit must not get a new checksum. The log is left alone from then on, others go on.
func TestDamageIsNotCopied(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.add(1, "a=1", "a=2")
	r.roll()
	path := segmentFile(r.d, r.l, 0, logSuffix)
	b := mustRead(t, path)
	b[len(b)-2] ^= 1
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt(b, 0)
	f.Close()
	files := listFiles(t, r.l.dir)
	for range 2 {
		if r.d.cleaner.round() {
			t.Fatal("compacted")
		}
	}
	if s := r.d.CleanerStats(); s.Uncleanable != 1 || s.UncleanableBytes != int64(len(b)) || !bytes.Equal(mustRead(t, path), b) {
		t.Errorf("%+v", s)
	}
	if now := listFiles(t, r.l.dir); !slices.Equal(now, files) {
		t.Errorf("files %v, were %v", now, files)
	}
	if r.l.Err() != nil || r.d.Err() != nil {
		t.Error(r.l.Err(), r.d.Err())
	}
	r.l, err = r.d.Create("u", 0, testTopicID)
	if err != nil {
		t.Fatal(err)
	}
	r.l.Configure(Settings{Compaction: &always})
	r.add(1, "a=1", "a=2")
	r.want(r.clean(), "1:a=2")
}

// TestNoSpaceForCompaction: nothing is lost, and it works when there is space again.
func TestNoSpaceForCompaction(t *testing.T) {
	full := false
	r := newRuleLog(t, func(o *Options) {
		o.pwrite = func(fd int, b []byte, off int64) (int, error) {
			if full {
				return 0, syscall.ENOSPC
			}
			return syscall.Pwrite(fd, b, off)
		}
	}, always)
	r.add(1, "a=1", "a=2")
	r.roll()
	full = true
	if r.d.cleaner.round() {
		t.Fatal("compacted")
	}
	full = false
	r.want(r.state(), "0:a=1 1:a=2")
	r.add(1, "a=3")
	r.want(r.clean(), "2:a=3")
}

// TestDeleteEndsCompaction: a log that is deleted while it is compacted, slowly, is gone at once.
func TestDeleteEndsCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRuleLog(t, func(o *Options) { o.Cleaner.Limit = NewIOLimit(1) }, always)
		r.add(1, "a=1", "a=2")
		r.roll()
		ended := make(chan bool)
		go func() { ended <- r.d.cleaner.round() }()
		synctest.Wait() // it waits for the limit, for minutes
		began := time.Now()
		if err := r.d.Delete(r.l); err != nil {
			t.Fatal(err)
		}
		if <-ended || time.Since(began) > time.Second || r.d.CleanerStats().Uncleanable != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
		r.d.Close()
	})
}

func TestIOLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewIOLimit(1000)
		began := time.Now()
		for range 100 {
			if err := l.wait(t.Context(), 50); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 4900*time.Millisecond || took > 5100*time.Millisecond {
			t.Errorf("5000 bytes at 1000 per second took %v", took)
		}
	})
}

// TestReadersDuringCompaction: readers that go on while segments are replaced see whole batches in order, and each
// key's last value.
func TestReadersDuringCompaction(t *testing.T) {
	d, l := compactable(t, small())
	end := l.EndOffset()
	lasts := map[string]string{}
	for _, b := range storedBatches(t, l) {
		for _, rec := range b.records {
			lasts[string(rec.key)] = string(rec.value)
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				seen := map[string]string{}
				for _, b := range storedBatches(t, l) {
					for _, rec := range b.records {
						seen[string(rec.key)] = string(rec.value)
					}
				}
				for key, value := range lasts {
					if seen[key] != value {
						t.Errorf("%s is %q, was %q", key, seen[key], value)
					}
				}
				if _, _, found, err := l.OffsetForTime(1_700_000_000_050); err != nil || !found {
					t.Errorf("by time: %v %v", found, err)
				}
				if _, ts, _, err := l.MaxTimestamp(); err != nil || ts != 1_700_000_000_059 {
					t.Errorf("largest timestamp: %d %v", ts, err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 5 {
		// Everything is dirty again, so the same is written anew, in fewer and fewer segments.
		l.cleaning.dirty.Store(0)
		if !d.cleaner.round() {
			t.Error("not compacted")
		}
	}
	close(stop)
	wg.Wait()
	if l.EndOffset() != end {
		t.Errorf("the log ends at %d", l.EndOffset())
	}
}

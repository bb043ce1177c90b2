package logstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// transactional is a batch of n records in a producer's transaction.
func transactional(id int64, seq int32, n int) batch.Batch {
	return attributes(numbered(id, 0, seq, n, 1), transactionalBit)
}

func abortMarker(id int64) batch.Batch  { return endMarker(id, 0, 0, 0, 1) }
func commitMarker(id int64) batch.Batch { return endMarker(id, 0, 1, 0, 1) }

func checkStable(t *testing.T, l *Log, want int64) {
	t.Helper()
	if got := l.LastStableOffset(); got != want {
		t.Errorf("last stable offset is %d, want %d", got, want)
	}
}

func checkAborted(t *testing.T, l *Log, from, upper int64, want ...AbortedTxn) {
	t.Helper()
	if got, err := l.AbortedTxns(from, upper); err != nil || !slices.Equal(got, want) {
		t.Errorf("aborted between %d and %d: %v, %v, want %v", from, upper, got, err, want)
	}
}

// TestLastStableOffset: it stays at the oldest open transaction.
func TestLastStableOffset(t *testing.T) {
	d := openTest(t, tempDir(t), Options{})
	l := createTest(t, d, "t")
	checkStable(t, l, 0)
	appendTest(t, l, makeBatch(2, 10, 1, batch.None), nil) // 0, 1
	checkStable(t, l, 2)
	appendTest(t, l, transactional(1, 0, 2), nil) // 2, 3
	appendTest(t, l, transactional(2, 0, 1), nil) // 4
	appendTest(t, l, transactional(1, 2, 1), nil) // 5
	checkStable(t, l, 2)
	appendTest(t, l, abortMarker(1), nil) // 6
	checkStable(t, l, 4)
	appendTest(t, l, makeBatch(1, 10, 1, batch.None), nil) // 7
	checkStable(t, l, 4)
	appendTest(t, l, commitMarker(2), nil) // 8
	checkStable(t, l, 9)
	appendTest(t, l, commitMarker(2), nil) // 9, of a transaction without records here
	checkStable(t, l, 10)
	appendTest(t, l, abortMarker(3), nil) // 10, the same
	checkStable(t, l, 11)
	a := AbortedTxn{ProducerID: 1, FirstOffset: 2, LastOffset: 6, LastStableOffset: 4}
	checkAborted(t, l, 0, 11, a)
	checkAborted(t, l, 6, 11, a)
	checkAborted(t, l, 7, 11)
	checkAborted(t, l, 0, 2)
	checkAborted(t, l, 0, 3, a)

	// Records that were deleted hold up nobody.
	appendTest(t, l, transactional(1, 3, 3), nil) // 11 to 13
	checkStable(t, l, 11)
	if _, err := l.DeleteBefore(13, l.EndOffset()); err != nil {
		t.Fatal(err)
	}
	checkStable(t, l, 13)
}

// TestTxnIndexBytes: the layout of FORMAT.md.
func TestTxnIndexBytes(t *testing.T) {
	d := openTest(t, tempDir(t), Options{})
	l := createTest(t, d, "t")
	appendTest(t, l, transactional(0x0102030405060708, 0, 2), nil)
	if _, err := os.Stat(segmentFile(d, l, 0, txnIndexSuffix)); !os.IsNotExist(err) {
		t.Errorf("there before it is needed: %v", err)
	}
	appendTest(t, l, abortMarker(0x0102030405060708), nil)
	want := "0000" + "0102030405060708" + "0000000000000000" + "0000000000000002" + "0000000000000003"
	if got := fmt.Sprintf("%x", mustRead(t, segmentFile(d, l, 0, txnIndexSuffix))); got != want {
		t.Errorf("file is %s, want %s", got, want)
	}
}

// TestStableWaitsForTheDevice: with appends that wait for a sync, a transaction ends for readers when its marker is on
// the device, not when its records are.
func TestStableWaitsForTheDevice(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{}, 100)
	d := openTest(t, tempDir(t), Options{Sync: func(int) error { held <- struct{}{}; <-hold; return nil }})
	l := createTest(t, d, "t")
	l.Configure(Settings{Flush: Flush{Records: 1, Wait: true}})
	records, marker := newWaiter(), newWaiter()
	l.AwaitSync(appendTest(t, l, transactional(1, 0, 1), nil).Last+1, records)
	<-held
	l.AwaitSync(appendTest(t, l, commitMarker(1), nil).Last+1, marker) // not part of the sync that began
	checkStable(t, l, 0)
	hold <- struct{}{}
	if err := <-records; err != nil {
		t.Fatal(err)
	}
	<-held
	if got := l.StableEnd(); got != 1 {
		t.Errorf("readers come up to %d, want 1", got)
	}
	checkStable(t, l, 0)
	hold <- struct{}{}
	if err := <-marker; err != nil {
		t.Fatal(err)
	}
	checkStable(t, l, 2)
	close(hold)
}

// txnModel is what a log's transactions are by the book.
type txnModel struct {
	open    map[int64]int64 // first offset by producer
	aborted []AbortedTxn
	next    map[int64]int32 // sequence
	end     int64
}

func (m *txnModel) stable() int64 {
	first := m.end
	for _, f := range m.open {
		first = min(first, f)
	}
	return first
}

// between is the rule for readers: an aborted transaction with records between from and upper.
func (m *txnModel) between(from, upper int64) (list []AbortedTxn) {
	for _, a := range m.aborted {
		if a.LastOffset >= from && a.FirstOffset < upper {
			list = append(list, a)
		}
	}
	return list
}

func (m *txnModel) step(t *testing.T, r *rand.Rand, l *Log) {
	id := r.Int64N(5)
	first, open := m.open[id]
	switch k := r.IntN(10); {
	case k < 2:
		appendTest(t, l, makeBatch(1, 30, 1, batch.None), nil)
	case k < 5 && open:
		appendTest(t, l, commitMarker(id), nil)
		delete(m.open, id)
	case k < 8 && open:
		appendTest(t, l, abortMarker(id), nil)
		delete(m.open, id)
		last := m.end
		m.end++
		m.aborted = append(m.aborted, AbortedTxn{id, first, last, m.stable()})
		m.end--
	default:
		n := 1 + r.IntN(3)
		appendTest(t, l, transactional(id, m.next[id], n), nil)
		m.next[id] += int32(n)
		if !open {
			m.open[id] = m.end
		}
	}
	m.end = l.EndOffset()
}

func (m *txnModel) check(t *testing.T, r *rand.Rand, l *Log, what string) {
	t.Helper()
	if got, want := l.LastStableOffset(), m.stable(); got != want {
		t.Fatalf("%s: last stable offset is %d, want %d", what, got, want)
	}
	start := l.StartOffset()
	for range 20 {
		from := start + r.Int64N(max(1, m.stable()-start))
		upper := from + r.Int64N(m.stable()-min(from, m.stable())+1)
		got, err := l.AbortedTxns(from, upper)
		base := l.segs.Load().s[0].base
		if want := m.between(from, upper); err != nil || !sameTxns(got, want, base) {
			t.Fatalf("%s: aborted between %d and %d: %v, %v, want %v", what, from, upper, got, err, want)
		}
	}
}

// TestTransactionsAgainstModel: many segments; stops clean and not; .txnindex files and snapshots lost, torn, stale.
func TestTransactionsAgainstModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			path := tempDir(t)
			o := Options{SegmentBytes: 1500, now: at1970}
			d := openTest(t, path, o)
			l := createTest(t, d, "t")
			m := txnModel{open: map[int64]int64{}, next: map[int64]int32{}}
			for range 8 {
				for range r.IntN(150) {
					m.step(t, r, l)
				}
				m.check(t, r, l, "running")
				if r.IntN(3) == 0 {
					if err := l.Flush(); err != nil {
						t.Fatal(err)
					}
					d.writeCheckpoint(recoveryPointFile)
				}
				if r.IntN(4) == 0 {
					if _, err := l.DeleteBefore(l.StartOffset()+(m.stable()-l.StartOffset())/4, m.stable()); err != nil {
						t.Fatal(err)
					}
					if err := d.Trim(); err != nil {
						t.Fatal(err)
					}
				}
				what := "after a clean stop"
				crashed := tempDir(t) + "/d"
				if r.IntN(2) == 0 {
					what = "after a kill"
					copyDir(t, path, crashed)
					os.Remove(filepath.Join(crashed, ".lock"))
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if what == "after a kill" {
					path = crashed
					what += damageTxns(t, r, l, path)
				}
				d = openTest(t, path, o)
				l = d.Logs()[0]
				m.check(t, r, l, what)
				compareTxnFiles(t, &m, l)
			}
		})
	}
}

// damageTxns does to files at or above the recovery point what a power cut could.
func damageTxns(t *testing.T, r *rand.Rand, l *Log, path string) string {
	names, err := filepath.Glob(filepath.Join(path, "t-0", "*"+txnIndexSuffix))
	if err != nil {
		t.Fatal(err)
	}
	rp, err := readOffsets(filepath.Join(path, recoveryPointFile))
	if err != nil {
		t.Fatal(err)
	}
	var bases []int64
	for _, s := range l.segs.Load().s {
		bases = append(bases, s.base)
	}
	what := ""
	for _, name := range names {
		base, _, _ := parseSegmentFile(filepath.Base(name))
		if i := slices.Index(bases, base); i < 0 || i+1 < len(bases) && bases[i+1] <= rp["t-0"] {
			continue
		}
		content := mustRead(t, name)
		switch r.IntN(5) {
		case 0:
			what += fmt.Sprintf(", %d gone", base)
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		case 1:
			what += fmt.Sprintf(", %d torn", base)
			mustWrite(t, name, content[:r.IntN(len(content)+1)])
		case 2:
			what += fmt.Sprintf(", %d zeros", base)
			mustWrite(t, name, make([]byte, len(content)))
		case 3:
			what += fmt.Sprintf(", %d twice", base)
			mustWrite(t, name, append(content, content...))
		}
	}
	return what
}

// sameTxns compares what a log says with the model. Of transactions that began below base, where all was deleted, the
// beginning may be unknown, if a kill has cost the snapshot at base: they seem to begin with what is left of them.
func sameTxns(got, want []AbortedTxn, base int64) bool {
	for _, w := range want {
		old := w.FirstOffset < base
		switch {
		case len(got) > 0 && got[0].LastOffset == w.LastOffset && got[0].ProducerID == w.ProducerID:
			g := got[0]
			if got = got[1:]; !old && g.FirstOffset != w.FirstOffset || w.LastStableOffset >= base && g.LastStableOffset != w.LastStableOffset {
				return false
			}
		case !old:
			return false
		}
	}
	return len(got) == 0
}

// compareTxnFiles: the files of the segments have the model's entries, and nothing else.
func compareTxnFiles(t *testing.T, m *txnModel, l *Log) {
	t.Helper()
	var got []AbortedTxn
	for _, s := range l.segs.Load().s {
		list, err := ReadTxnIndex(s.stem + txnIndexSuffix)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		got = append(got, list...)
	}
	first := l.segs.Load().s[0].base
	want := slices.DeleteFunc(slices.Clone(m.aborted), func(a AbortedTxn) bool { return a.LastOffset < first })
	if !sameTxns(got, want, first) {
		t.Fatalf("files have %v, want %v", got, want)
	}
}

// TestTxnIndexIsBelievedWhenClean: a file that is impossible makes its segment be walked, also after a clean stop.
func TestTxnIndexIsBelievedWhenClean(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, Options{SegmentBytes: 300})
	l := createTest(t, d, "t")
	for i := range int32(4) {
		appendTest(t, l, transactional(1, i, 1), nil)
		appendTest(t, l, abortMarker(1), nil)
	}
	var want []AbortedTxn
	for i := range int64(4) {
		want = append(want, AbortedTxn{1, 2 * i, 2*i + 1, 2*i + 2})
	}
	checkAborted(t, l, 0, 8, want...)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	file := segmentFile(d, l, 0, txnIndexSuffix)
	whole := mustRead(t, file)
	for what, content := range map[string][]byte{
		"torn": whole[:10], "another version": edit(whole, len(whole)-txnEntrySize+1, 1),
		"of later offsets": edit(whole, len(whole)-8-4, 1),
	} {
		mustWrite(t, file, content)
		d = openTest(t, path, Options{SegmentBytes: 300})
		l = d.Logs()[0]
		checkAborted(t, l, 0, 8, want...)
		if got := mustRead(t, file); !slices.Equal(got, whole) {
			t.Errorf("%s: file is %x, want %x", what, got, whole)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFailedTxnIndex: an entry that cannot be written ends appends before the marker is written; nothing is lost, and
// no offset is given out twice (KAFKA-7866).
func TestFailedTxnIndex(t *testing.T) {
	path := tempDir(t)
	d := openTest(t, path, Options{})
	l := createTest(t, d, "t")
	appendTest(t, l, transactional(1, 0, 1), nil)
	if err := os.Mkdir(segmentFile(d, l, 0, txnIndexSuffix), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(abortMarker(1), 0, nil); err == nil {
		t.Fatal("appended")
	}
	if l.EndOffset() != 1 || l.Err() == nil {
		t.Errorf("log ends at %d, has %v", l.EndOffset(), l.Err())
	}
	checkStable(t, l, 0)
	d.Close()
	if err := os.Remove(segmentFile(d, l, 0, txnIndexSuffix)); err != nil {
		t.Fatal(err)
	}
	l = openTest(t, path, Options{}).Logs()[0]
	checkStable(t, l, 0)
	appendTest(t, l, abortMarker(1), nil)
	checkStable(t, l, 2)
	checkAborted(t, l, 0, 2, AbortedTxn{1, 0, 1, 2})
}

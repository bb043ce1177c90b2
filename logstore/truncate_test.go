package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// numberedLog has 40 batches of one record from three producers, in segments of about five, with an epoch every ten.
func numberedLog(t *testing.T, d *Dir) (*Log, []batch.Batch) {
	l := createTest(t, d, "t")
	var all []batch.Batch
	seqs := map[int64]int32{}
	for i := range 40 {
		if i%10 == 0 {
			if err := l.BeginEpoch(int32(i / 10)); err != nil {
				t.Fatal(err)
			}
		}
		id := int64(i % 3)
		var bd batch.Builder
		bd.Reset(batch.None)
		bd.SetProducer(id, 0, seqs[id], false)
		bd.Append(int64(1000+i), nil, bytes.Repeat([]byte{byte(i)}, 300))
		seqs[id]++
		b := batch.Batch(bytes.Clone(bd.Finish()))
		appendTest(t, l, b, nil)
		all = append(all, b)
	}
	return l, all
}

// TestTruncateTo cuts a log at every offset, goes on appending, and opens what a kill leaves.
func TestTruncateTo(t *testing.T) {
	for to := range int64(41) {
		o := small()
		o.ProducerExpiration = 1 << 62
		tmp := tempDir(t)
		d := openTest(t, filepath.Join(tmp, "live"), o)
		l, all := numberedLog(t, d)
		if to%2 == 0 {
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.TruncateTo(to); err != nil {
			t.Fatal(err)
		}
		check := func(l *Log, more ...batch.Batch) {
			t.Helper()
			got := readAll(t, l, 1000)
			want := append(all[:to:to], more...)
			if l.EndOffset() != int64(len(want)) || len(got) != len(want) || l.RecoveryPoint() > l.EndOffset() {
				t.Fatalf("cut at %d: log ends at %d, recovery point %d, %d batches", to, l.EndOffset(), l.RecoveryPoint(), len(got))
			}
			for i, b := range got {
				if !bytes.Equal(b, want[i]) {
					t.Fatalf("cut at %d: batch %d is another", to, i)
				}
			}
			for id := range int64(3) {
				p, n := l.producers.byID[id], int32(0)
				for _, b := range all[:to] {
					if b.ProducerID() == id {
						n = b.BaseSequence() + 1
					}
				}
				if known := p != nil; known != (n > 0) || known && p.lastSeq() != n-1 {
					t.Fatalf("cut at %d: producer %d is known as %+v", to, id, p)
				}
			}
			if off, _, found, err := l.MaxTimestamp(); err != nil || found != (len(want) > 0) || found && off != max(to-1, 0) {
				t.Fatalf("cut at %d: largest timestamp at %d, %v, %v", to, off, found, err)
			}
		}
		check(l)
		if epoch := l.LeaderEpoch(); to < 40 && epoch != int32(to/10) {
			t.Fatalf("cut at %d: epoch %d", to, epoch)
		}
		b := makeBatch(1, 20, 1, batch.None)
		appendTest(t, l, b, nil)
		check(l, b)
		again := filepath.Join(tmp, "again")
		copyDir(t, d.path, again)
		d2 := openTest(t, again, o)
		check(d2.Logs()[0], b)
		checkAfterClose(t, d2)
		checkAfterClose(t, d)
	}
}

// TestTruncateFully: the log begins anew below, within and above what it had.
func TestTruncateFully(t *testing.T) {
	for _, to := range []int64{0, 7, 39, 40, 1000} {
		tmp := tempDir(t)
		d := openTest(t, filepath.Join(tmp, "live"), small())
		l, _ := numberedLog(t, d)
		if err := errors.Join(l.Flush(), l.TruncateFullyAndStartAt(to)); err != nil {
			t.Fatal(err)
		}
		b := makeBatch(2, 20, 1, batch.None)
		if info := appendTest(t, l, b, nil); info.Base != to || l.StartOffset() != to || len(l.producers.byID) != 0 {
			t.Fatalf("begun anew at %d: append at %d, start %d, %d producers", to, info.Base, l.StartOffset(), len(l.producers.byID))
		}
		copyDir(t, d.path, filepath.Join(tmp, "again"))
		l = openTest(t, filepath.Join(tmp, "again"), small()).Logs()[0]
		if got := readAll(t, l, 1000); len(got) != 1 || !bytes.Equal(got[0], b) || l.StartOffset() != to {
			t.Fatalf("begun anew at %d: %d batches from %d after a kill", to, len(got), l.StartOffset())
		}
	}
}

// TestTruncateUnderReaders: a span that was read before a truncation ends early or has its bytes, whatever is appended
// afterwards.
func TestTruncateUnderReaders(t *testing.T) {
	for to := range int64(40) {
		o := small()
		o.TailBytes = -1
		d := openTest(t, tempDir(t), o)
		l, all := numberedLog(t, d)
		spans, _, err := l.Read(nil, 0, 40, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.TruncateTo(to); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			appendTest(t, l, makeBatch(1, 300, 1, batch.None), nil)
		}
		want := bytes.Join(batchBytes(all), nil)
		for _, s := range spans {
			got := make([]byte, s.Len)
			n, err := sys.Pread(s.FD, got, s.Off)
			if err != nil || !bytes.Equal(got[:n], want[:n]) {
				t.Fatalf("cut at %d: a span has other bytes, %v", to, err)
			}
			want = want[s.Len:]
			s.Release()
		}
		d.Close()
	}
}

// TestTruncateWaiting: who waits for what is cut is told so, others are told when they may be, and appends go on.
func TestTruncateWaiting(t *testing.T) {
	g := newGate()
	d := openTest(t, tempDir(t), withSync(small(), g.sync))
	l := createTest(t, d, "t")
	l.Configure(fsyncClass())
	var waiters []waiter
	for range 4 {
		w := newWaiter()
		l.AwaitSync(appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil).Last+1, w)
		waiters = append(waiters, w)
	}
	go func() {
		for range g.entered {
			g.leave <- nil
		}
	}()
	if err := l.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	for i, w := range waiters {
		if err := <-w; err != nil && (i < 2 || !errors.Is(err, ErrTruncated)) {
			t.Errorf("waiter %d is told %v", i, err)
		}
	}
	w := newWaiter()
	info := appendTest(t, l, makeBatch(1, 50, 1, batch.None), nil)
	l.AwaitSync(info.Last+1, w)
	if err := <-w; err != nil || info.Base != 2 || l.StableEnd() != 3 {
		t.Errorf("append at %d, told %v, shown up to %d", info.Base, err, l.StableEnd())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	close(g.entered)
}

// TestTruncateTransactions: a transaction whose marker is cut is open again, and its entry is gone.
func TestTruncateTransactions(t *testing.T) {
	for i, want := range []string{"0 []", "0 []", "0 []", "4 [{7 0 3 4}]"} {
		to := int64(i + 1)
		o := small()
		o.ProducerExpiration = 1 << 62
		d := openTest(t, tempDir(t), o)
		l := createTest(t, d, "t")
		for i := range 3 {
			var bd batch.Builder
			bd.Reset(batch.None)
			bd.SetProducer(7, 0, int32(i), true)
			bd.Append(1, nil, []byte("x"))
			appendTest(t, l, batch.Batch(bytes.Clone(bd.Finish())), nil)
		}
		appendTest(t, l, abortMarker(7), nil)
		appendTest(t, l, makeBatch(1, 1, 1, batch.None), nil)
		if err := l.TruncateTo(to); err != nil {
			t.Fatal(err)
		}
		list, err := l.AbortedTxns(0, l.EndOffset())
		if got := fmt.Sprint(l.LastStableOffset(), " ", list); err != nil || got != want {
			t.Errorf("cut at %d: %s, %v, want %s", to, got, err, want)
		}
		d.Close()
	}
}

// TestTruncateCompacted cuts a segment that compaction has put in place since the start.
func TestTruncateCompacted(t *testing.T) {
	r := newRuleLog(t, nil, always)
	r.add(1, "a=1")
	r.add(2, "b=1")
	r.add(3, "a=2")
	r.add(4, "c=1")
	r.want(r.clean(), "1:b=1 2:a=2 3:c=1")
	if err := r.l.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	r.add(5, "d=1")
	r.want(r.state(), "1:b=1 2:d=1")
	if off, _, ok, err := r.l.OffsetForTime(3); off != 2 || !ok || err != nil {
		t.Errorf("time 3 is at %d, %v %v", off, ok, err)
	}
	checkIndexes(t, r.l.dir)
}

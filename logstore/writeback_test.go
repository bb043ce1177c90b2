package logstore

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

type asked struct {
	fd     int
	off, n int64
}

// watchWriteBack makes o tell of each call, from the pacer.
func watchWriteBack(o *Options) chan asked {
	calls := make(chan asked, 1000)
	o.startWriteback = func(fd int, off, n int64) error {
		calls <- asked{fd, off, n}
		return nil
	}
	return calls
}

// TestWriteBackFollowsTheAppends: pieces are asked for one behind the other, up to below the page that the next append
// goes on in, and nothing is taken for durable.
func TestWriteBackFollowsTheAppends(t *testing.T) {
	const piece = 256 << 10
	o := Options{WriteBackBytes: piece}
	calls := watchWriteBack(&o)
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	m := makeBatch(1, 10_000, 1, batch.None)
	next := int64(0)
	for next < 8*piece {
		for l.Size()-next < piece {
			appendTest(t, l, m, nil)
		}
		appendTest(t, l, m, nil)
		c := <-calls
		if c.fd != l.active.fd || c.off != next || c.n < piece-backGrain || (c.off+c.n)%backGrain != 0 || c.off+c.n > l.Size() {
			t.Fatalf("asked for %d bytes at %d, %d were due at %d", c.n, c.off, piece, next)
		}
		next = c.off + c.n
	}
	if l.RecoveryPoint() != 0 || l.durable.synced.Load() != 0 {
		t.Errorf("recovery point %d, synced %d: nothing was synced", l.RecoveryPoint(), l.durable.synced.Load())
	}
	d.pacer.close() // the counters are complete
	defer d.pacer.start(d)
	if w := d.WriteBack(); w.Bytes != next || w.Calls == 0 || w.Failures != 0 {
		t.Errorf("%+v, %d bytes were asked for", w, next)
	}
}

// TestWriteBackOfManySmallLogs: logs that never have a piece of their own are looked at together.
func TestWriteBackOfManySmallLogs(t *testing.T) {
	const piece = 64 << 10
	o := Options{WriteBackBytes: piece}
	calls := watchWriteBack(&o)
	d := openTest(t, tempDir(t), o)
	m := makeBatch(1, 16_000, 1, batch.None)
	logs := make([]*Log, 100)
	sum := 0
	for i := range logs {
		logs[i] = createTest(t, d, fmt.Sprint("t", i))
	}
	for sum < sweepFactor*piece {
		for _, l := range logs {
			appendTest(t, l, m, nil)
			sum += len(m)
		}
	}
	seen := map[int]bool{}
	for len(seen) < len(logs)/2 { // the first half had two batches by then
		c := <-calls
		if c.off%4096 != 0 || c.n <= 0 || c.n%4096 != 0 {
			t.Fatal("asked for", c)
		}
		seen[c.fd] = true
	}
}

// TestWriteBackLeavesOutWhatWasSynced: the committer has brought it to the device.
func TestWriteBackLeavesOutWhatWasSynced(t *testing.T) {
	o := Options{WriteBackBytes: 100 << 10}
	calls := watchWriteBack(&o)
	o.fdatasync = func(int) error { return nil }
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	m := makeBatch(1, 99_000, 1, batch.None)
	for range 20 {
		appendTest(t, l, m, nil)
		if _, err := l.commit(&d.committer.syncs, nil); err != nil {
			t.Fatal(err)
		}
	}
	d.pacer.close()
	defer d.pacer.start(d)
	var got []asked
	for len(calls) > 0 {
		got = append(got, <-calls)
	}
	if slices.ContainsFunc(got, func(a asked) bool { return a.n > backGrain+int64(len(m)) }) {
		t.Errorf("asked for %v, although all but the last batch was synced", got)
	}
}

// TestWriteBackFails: that is counted, appends go on, and it is left to the sync to say what is wrong.
func TestWriteBackFails(t *testing.T) {
	called := make(chan bool, 1000)
	o := Options{WriteBackBytes: 64 << 10, startWriteback: func(int, int64, int64) error {
		called <- true
		return errors.New("input/output error")
	}}
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	m := makeBatch(1, 40_000, 1, batch.None)
	for range 2 {
		appendTest(t, l, m, nil)
		appendTest(t, l, m, nil)
		<-called
	}
	if l.Err() != nil || d.Err() != nil {
		t.Error(l.Err(), d.Err())
	}
}

// TestWriteBackOff: a negative size turns it off.
func TestWriteBackOff(t *testing.T) {
	o := Options{WriteBackBytes: -1}
	calls := watchWriteBack(&o)
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	m := makeBatch(1, 1<<20, 1, batch.None)
	for range 20 {
		appendTest(t, l, m, nil)
	}
	d.pacer.close()
	defer d.pacer.start(d)
	if len(calls) > 0 {
		t.Error("asked for", <-calls)
	}
}

package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// numbered is a batch of n small records of a producer.
func numbered(id int64, epoch int16, seq int32, n int, ts int64) batch.Batch {
	var bd batch.Builder
	bd.Reset(batch.None)
	bd.SetProducer(id, epoch, seq, false)
	for i := range n {
		bd.Append(ts+int64(i), nil, []byte("value"))
	}
	return bd.Finish()
}

// attributes sets attribute bits of b.
func attributes(b batch.Batch, bits byte) batch.Batch {
	b[batch.OffsetAttributes+1] |= bits
	binary.BigEndian.PutUint32(b[batch.OffsetCRC:], crc32.Checksum(b[batch.OffsetAttributes:], castagnoli))
	return b
}

const (
	transactionalBit = 0x10
	controlBit       = 0x20
)

// endMarker is the control batch that ends a transaction: kind 0 abort, 1 commit.
func endMarker(id int64, epoch int16, kind byte, coordinator byte, ts int64) batch.Batch {
	var bd batch.Builder
	bd.Reset(batch.None)
	bd.SetProducer(id, epoch, batch.NoSequence, true)
	bd.Append(ts, []byte{0, 0, 0, kind}, []byte{0, 0, 0, 0, 0, coordinator})
	return attributes(bd.Finish(), transactionalBit|controlBit)
}

// step is an append of one producer and what must come of it: a new base offset, the old one, or an error.
type step struct {
	epoch int16
	seq   int32
	n     int
	base  int64
	again bool
	err   error
}

const maxSeq = math.MaxInt32

// TestSequenceRules has the rules one by one. What Kafka 4.3 answers to the same is in test/differential.
func TestSequenceRules(t *testing.T) {
	order, fenced := ErrOutOfOrderSequence, ErrProducerEpoch
	for name, steps := range map[string][]step{
		"in order":       {{0, 0, 2, 0, false, nil}, {0, 2, 1, 2, false, nil}, {0, 3, 4, 3, false, nil}},
		"the last again": {{0, 0, 2, 0, false, nil}, {0, 2, 3, 2, false, nil}, {0, 2, 3, 2, true, nil}, {0, 5, 1, 5, false, nil}},
		"five are remembered": {{0, 0, 1, 0, false, nil}, {0, 1, 2, 1, false, nil}, {0, 3, 1, 3, false, nil}, {0, 4, 1, 4, false, nil},
			{0, 5, 2, 5, false, nil}, {0, 0, 1, 0, true, nil}, {0, 1, 2, 1, true, nil}, {0, 5, 2, 5, true, nil}, {0, 7, 1, 7, false, nil},
			{0, 0, 1, 0, false, order}, {0, 1, 2, 1, true, nil}, {0, 8, 1, 8, false, nil}},
		"shorter or longer is not the same": {{0, 0, 3, 0, false, nil}, {0, 0, 2, 0, false, order}, {0, 0, 4, 0, false, order}, {0, 1, 2, 0, false, order}},
		"gap":                               {{0, 0, 2, 0, false, nil}, {0, 3, 1, 0, false, order}, {0, 2, 1, 2, false, nil}},
		"back to 0":                         {{0, 0, 2, 0, false, nil}, {0, 2, 2, 2, false, nil}, {0, 0, 1, 0, false, order}},
		"unknown, any sequence":             {{0, 77, 2, 0, false, nil}, {0, 79, 1, 2, false, nil}, {0, 77, 2, 0, true, nil}},
		"unknown, any epoch":                {{9, 77, 2, 0, false, nil}, {9, 79, 1, 2, false, nil}, {8, 0, 1, 0, false, fenced}},
		"wrap between":                      {{0, maxSeq, 1, 0, false, nil}, {0, 0, 2, 1, false, nil}, {0, maxSeq, 1, 0, true, nil}, {0, 2, 1, 3, false, nil}},
		"wrap within": {{0, maxSeq - 1, 4, 0, false, nil}, {0, maxSeq - 1, 4, 0, true, nil}, {0, 1, 1, 0, false, order},
			{0, 2, 1, 4, false, nil}, {0, maxSeq - 1, 4, 0, true, nil}},
		"wrap to 1": {{0, maxSeq, 1, 0, false, nil}, {0, 1, 1, 0, false, order}},
		"new epoch": {{0, 0, 2, 0, false, nil}, {1, 2, 1, 0, false, order}, {0, 2, 1, 2, false, nil}, {1, 0, 1, 3, false, nil},
			{0, 3, 1, 0, false, fenced}, {0, 2, 1, 0, false, fenced}, {1, 0, 1, 3, true, nil}, {1, 1, 1, 4, false, nil}},
		"epoch -1 is none": {{-1, 0, 1, 0, false, nil}, {-1, 0, 1, 0, true, nil}, {-1, 9, 1, 1, false, nil}, {0, 5, 1, 2, false, nil},
			{-1, 9, 1, 0, false, fenced}},
		"epoch below -1": {{-2, 0, 1, 0, false, fenced}},
	} {
		t.Run(name, func(t *testing.T) {
			l := createTest(t, openTest(t, tempDir(t), Options{}), "t")
			for i, s := range steps {
				end := l.EndOffset()
				info, err := l.Append(numbered(5, s.epoch, s.seq, s.n, 1000), 0, nil)
				if !errors.Is(err, s.err) || (s.err == nil) != (err == nil) {
					t.Fatalf("step %d: error %v, want %v", i, err, s.err)
				}
				if err != nil || s.again {
					if l.EndOffset() != end {
						t.Fatalf("step %d appended", i)
					}
				}
				if err == nil && (info.Base != s.base || info.Last != s.base+int64(s.n)-1 || info.Duplicate != s.again) {
					t.Fatalf("step %d: %+v", i, info)
				}
			}
		})
	}
}

func TestDuplicateHasTheStoredTime(t *testing.T) {
	l := createTest(t, openTest(t, tempDir(t), Options{}), "t")
	appendTest(t, l, numbered(5, 0, 0, 3, 1000), nil)
	if info := appendTest(t, l, numbered(5, 0, 0, 3, 9000), nil); !info.Duplicate || info.MaxTimestamp != 1002 {
		t.Errorf("%+v", info)
	}
}

func TestProducersAreApart(t *testing.T) {
	d := openTest(t, tempDir(t), Options{})
	l, other := createTest(t, d, "t"), createTest(t, d, "other")
	for _, x := range []*Log{l, other} {
		for _, id := range []int64{0, 1, math.MaxInt64} {
			if info := appendTest(t, x, numbered(id, 0, 0, 1, 1), nil); info.Duplicate {
				t.Errorf("producer %d's first batch is a duplicate", id)
			}
		}
	}
	for _, id := range []int64{-1, -2} { // not producers
		for range 2 {
			if info := appendTest(t, l, numbered(id, 0, 0, 1, 1), nil); info.Duplicate {
				t.Errorf("a batch of producer %d is a duplicate", id)
			}
		}
	}
	if n := d.Producers(); n != 6 {
		t.Errorf("%d producers, want 6", n)
	}
	if err := d.Delete(other); err != nil {
		t.Fatal(err)
	}
	if n := d.Producers(); n != 3 {
		t.Errorf("%d producers after a log was deleted, want 3", n)
	}
}

func TestTransactionsAreNoted(t *testing.T) {
	d := openTest(t, tempDir(t), Options{})
	l := createTest(t, d, "t")
	const id = 9
	appendTest(t, l, attributes(numbered(id, 0, 0, 2, 10), transactionalBit), nil)
	appendTest(t, l, attributes(numbered(id, 0, 2, 1, 20), transactionalBit), nil)
	if _, err := l.Append(numbered(id, 0, 3, 1, 30), 0, nil); !errors.Is(err, ErrTransaction) {
		t.Errorf("a batch beside the transaction: %v", err)
	}
	p := l.producers.byID[id]
	if p.txnFirst != 0 || p.expired(time.UnixMilli(1<<50), time.Second) {
		t.Errorf("transaction begins at %d", p.txnFirst)
	}
	appendTest(t, l, endMarker(id, 1, 1, 7, 40), nil)
	if p.txnFirst != noOffset || p.coordinator != 7 || p.epoch != 1 || p.n != 0 || p.lastTime != 40 {
		t.Errorf("after the marker: %+v", p)
	}
	if _, err := l.Append(endMarker(id, 0, 1, 7, 40), 0, nil); !errors.Is(err, ErrProducerEpoch) {
		t.Errorf("a marker of an old epoch: %v", err)
	}
	if _, err := l.Append(numbered(id, 1, 3, 1, 30), 0, nil); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Errorf("the marker's epoch begins with 3: %v", err)
	}
	want := l.producers.encode()
	path := tempDir(t)
	copyDir(t, d.Path(), path)
	if got := openTest(t, path, Options{now: func() time.Time { return time.UnixMilli(50) }}).Logs()[0].producers.encode(); string(got) != string(want) {
		t.Errorf("rebuilt\n%x, was\n%x", got, want)
	}
	appendTest(t, l, numbered(id, 1, 0, 1, 30), nil)
}

func TestProducersExpire(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	o := Options{ProducerExpiration: time.Second, ProducerExpirationCheck: time.Hour, now: func() time.Time { return now }}
	d := openTest(t, tempDir(t), o)
	l := createTest(t, d, "t")
	for id := range int64(3000) { // more than one chunk
		appendTest(t, l, numbered(id, 0, 0, 1, 1_000_000+id%3), nil)
	}
	now = now.Add(time.Second - time.Millisecond)
	d.expireProducers()
	if n := d.Producers(); n != 3000 {
		t.Fatalf("%d producers before their time, want 3000", n)
	}
	now = now.Add(time.Millisecond)
	d.expireProducers()
	if n := d.Producers(); n != 2000 || len(l.producers.byID) != 2000 {
		t.Fatalf("%d producers, want 2000", n)
	}
	if info := appendTest(t, l, numbered(0, 0, 44, 1, now.UnixMilli()), nil); info.Base != 3000 {
		t.Errorf("an expired producer's batch: %+v", info)
	}
	if _, err := l.Append(numbered(1, 0, 44, 1, now.UnixMilli()), 0, nil); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Errorf("a batch of one that is not expired: %v", err)
	}
	now = now.Add(time.Hour)
	d.expireProducers()
	if d.Producers() != 0 || l.producers.byID != nil || l.producers.oldest != nil || l.producers.newest != nil {
		t.Errorf("%d producers are left", d.Producers())
	}
}

// TestExpiryAndDelete: a log that is deleted while its producers are looked at leaves the count right.
func TestExpiryAndDelete(t *testing.T) {
	d := openTest(t, tempDir(t), Options{ProducerExpiration: time.Second, now: func() time.Time { return time.UnixMilli(1 << 40) }})
	for range 5 {
		l := createTest(t, d, "t")
		for id := range int64(4 * expireChunk) {
			appendTest(t, l, numbered(id, 0, 0, 1, 1), nil)
		}
		var both sync.WaitGroup
		both.Go(d.expireProducers)
		if err := d.Delete(l); err != nil {
			t.Fatal(err)
		}
		both.Wait()
		if n := d.Producers(); n != 0 || l.producers.oldest != nil {
			t.Fatalf("%d producers are left", n)
		}
	}
}

// TestBackgroundExpires: the Dir's goroutine does it.
func TestBackgroundExpires(t *testing.T) {
	asked := make(chan struct{}, 1)
	d := openTest(t, tempDir(t), Options{ProducerExpirationCheck: time.Millisecond, now: func() time.Time {
		select {
		case asked <- struct{}{}:
		default:
		}
		return time.UnixMilli(0)
	}})
	appendTest(t, createTest(t, d, "t"), numbered(1, 0, 0, 1, 0), nil)
	<-asked
}

// TestProducersAreBounded: at the bound the one that has been silent for the longest time goes.
func TestProducersAreBounded(t *testing.T) {
	d := openTest(t, tempDir(t), Options{MaxProducers: 10})
	l, other := createTest(t, d, "t"), createTest(t, d, "other")
	for id := range int64(10) {
		appendTest(t, l, numbered(id, 0, 0, 1, 1), nil)
	}
	appendTest(t, l, numbered(0, 0, 1, 1, 1), nil) // now 1 is the oldest
	appendTest(t, l, numbered(10, 0, 0, 1, 1), nil)
	if info := appendTest(t, l, numbered(0, 0, 1, 1, 1), nil); !info.Duplicate {
		t.Error("0 was forgotten")
	}
	if l.producers.byID[1] != nil || d.Producers() != 10 {
		t.Errorf("1 is remembered: %v; %d producers", l.producers.byID[1] != nil, d.Producers())
	}
	appendTest(t, other, numbered(77, 0, 0, 1, 1), nil) // it has none of its own to forget
	if d.Producers() != 11 || len(other.producers.byID) != 1 {
		t.Errorf("%d producers", d.Producers())
	}
	for id := range int64(100) {
		appendTest(t, other, numbered(100+id, 0, 0, 1, 1), nil)
	}
	if d.Producers() != 11 || len(other.producers.byID) != 1 {
		t.Errorf("%d producers, %d of the second log", d.Producers(), len(other.producers.byID))
	}
}

func ExampleLog_Append_duplicate() {
	p := producer{epoch: batch.NoProducerEpoch}
	p.enter(0)
	p.push(producerBatch{lastSeq: 1, delta: 3, last: 3}) // sequences 2147483646, 2147483647, 0, 1
	fmt.Println(p.newest().firstSeq(), p.lastSeq())
	// Output: 2147483646 1
}

// noteAppend is what an append does to the table.
func noteAppend(t *producers, b batch.Batch) { t.appended(nil, b, markerOf(b)) }

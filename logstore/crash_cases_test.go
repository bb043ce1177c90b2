//go:build invariants

package logstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/sluice-mq/sluice/internal/crashdisk"
	"github.com/sluice-mq/sluice/wire/batch"
)

// TestDeletedStaysDeleted: the checkpoint of starts leaves out a start that is the first segment's base, and a power cut
// then brings no older segment back. So too when a load has removed what a crash left below the start.
func TestDeletedStaysDeleted(t *testing.T) {
	tmp := tempDir(t)
	k := crashdisk.Start(filepath.Join(tmp, "live"), crashdisk.Tree{})
	defer k.End()
	d := openTest(t, k.Dir(), small())
	l := createTest(t, d, "t")
	for i := range 40 {
		appendTest(t, l, makeBatch(1, 200, int64(i), batch.None), nil)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	start := l.segs.Load().s[2].base
	if _, err := l.DeleteBefore(start, 40); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Trim(); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 40 {
		dir := filepath.Join(tmp, fmt.Sprint(i))
		left := k.Crash(rnd, k.Calls(), true)
		if err := left.WriteTo(dir); err != nil {
			t.Fatal(err)
		}
		again := crashdisk.Start(dir, left)
		d := openTest(t, dir, small())
		if l := d.Logs()[0]; l.StartOffset() != start || l.EndOffset() != 40 {
			t.Fatalf("after power cut %d the log has %d to %d", i, l.StartOffset(), l.EndOffset())
		}
		if err := d.Trim(); err != nil {
			t.Fatal(err)
		}
		left = again.Crash(rnd, again.Calls(), true)
		again.End()
		d.Close()
		if err := left.WriteTo(dir + "-again"); err != nil {
			t.Fatal(err)
		}
		if l := openTest(t, dir+"-again", small()).Logs()[0]; l.StartOffset() != start {
			t.Fatalf("after the second power cut %d the log starts at %d", i, l.StartOffset())
		}
	}
}

// TestBegunAnewTwice: a log that begins anew at its start has all its files at once; the next start makes none.
func TestBegunAnewTwice(t *testing.T) {
	dir, _ := crashed(t, 10, 0)
	mustWrite(t, filepath.Join(dir, logStartFile), []byte("0\n1\nt 0 5000\n"))
	var trees [2]crashdisk.Tree
	for i := range trees {
		openTest(t, dir, small())
		left, err := crashdisk.ReadTree(dir)
		if err != nil {
			t.Fatal(err)
		}
		trees[i], dir = left, dir+"x"
		if err := left.WriteTo(dir); err != nil {
			t.Fatal(err)
		}
	}
	for name := range mergedKeys(trees[0], trees[1]) {
		if a, b := trees[0][name], trees[1][name]; (a == nil) != (b == nil) {
			t.Errorf("%s is only there after one of two starts", name)
		}
	}
}

// TestOverlappingSegments: also where offsets may have gaps, none comes twice. The last batch of a segment has a wrong
// base offset, which no checksum covers.
func TestOverlappingSegments(t *testing.T) {
	dir, batches := crashed(t, 40, 0)
	names, _ := filepath.Glob(filepath.Join(dir, "t-0", "*"+logSuffix))
	next, _, _ := parseSegmentFile(filepath.Base(names[1]))
	i := 0
	for batches[i].LastOffset()+1 != next {
		i++
	}
	flip(t, dir, batches, i, 6, 0x10) // 4096 above
	o := small()
	o.GapsAllowed = func(string) bool { return true }
	l := openTest(t, dir, o).Logs()[0]
	from := int64(0)
	for _, b := range readAllGaps(t, l) {
		if b.BaseOffset() < from {
			t.Fatalf("batch at %d after offset %d", b.BaseOffset(), from-1)
		}
		from = b.LastOffset() + 1
	}
}

func readAllGaps(t *testing.T, l *Log) (out []batch.Batch) {
	rest := readTest(t, l, l.StartOffset(), l.EndOffset(), 1<<20, true)
	for len(rest) > 0 {
		b, next, err := batch.First(rest)
		if err != nil {
			t.Fatal(err)
		}
		out, rest = append(out, b), next
	}
	return out
}

// TestManyCreatedLast: logs that are made with one sync of the file system for all outlive a power cut.
func TestManyCreatedLast(t *testing.T) {
	tmp := tempDir(t)
	k := crashdisk.Start(filepath.Join(tmp, "live"), crashdisk.Tree{})
	defer k.End()
	d := openTest(t, k.Dir(), small())
	list := make([]NewLog, syncAllAbove+1)
	for i := range list {
		list[i] = NewLog{Topic: "t", Partition: int32(i), TopicID: [16]byte{1}, Epoch: -1}
	}
	if _, err := d.CreateAll(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 3))
	for i := range 5 {
		dir := filepath.Join(tmp, fmt.Sprint(i))
		if err := k.Crash(rnd, k.Calls(), true).WriteTo(dir); err != nil {
			t.Fatal(err)
		}
		logs := openTest(t, dir, small()).Logs()
		if len(logs) != len(list) {
			t.Fatalf("after power cut %d there are %d logs", i, len(logs))
		}
		for _, l := range logs {
			if l.id != list[0].TopicID || l.Err() != nil {
				t.Fatalf("after power cut %d %s has id %x, %v", i, l.name, l.id, l.Err())
			}
		}
	}
}

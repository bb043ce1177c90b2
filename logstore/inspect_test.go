package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// stopped writes n batches of all codecs, with three leader epochs and small segments, and stops cleanly.
func stopped(t *testing.T, n int) (dir string, batches []batch.Batch) {
	t.Helper()
	dir = filepath.Join(tempDir(t), "logs")
	d := openTest(t, dir, small())
	l := createTest(t, d, "t")
	for i := range n {
		b := makeBatch(1+i%3, 60+i%7, int64(1000+10*i), batch.Codec(i%5))
		if i%(n/3+1) == 0 {
			if err := l.BeginEpoch(l.LeaderEpoch() + 1); err != nil {
				t.Fatal(err)
			}
		}
		appendTest(t, l, b, nil)
		batches = append(batches, b)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, batches
}

// verifyAll checks the directory and its partitions and returns all findings.
func verifyAll(t *testing.T, dir string, o VerifyOptions) (f Findings) {
	t.Helper()
	d, err := VerifyDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	f = d.Oddities
	for _, p := range d.Partitions {
		r, err := VerifyPartition(t.Context(), filepath.Join(dir, p.Name), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range r.List {
			f.add(x)
		}
	}
	return f
}

// placed finds batch i in the files: segment base and position.
func placed(batches []batch.Batch, i int, bases []int64) (base, pos int64) {
	for _, b := range bases {
		if b <= batches[i].BaseOffset() {
			base = b
		}
	}
	for j := range i {
		if batches[j].BaseOffset() >= base {
			pos += int64(len(batches[j]))
		}
	}
	return base, pos
}

func basesOf(t *testing.T, dir string) []int64 {
	t.Helper()
	files, err := listPartition(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files.bases
}

func TestInspectDir(t *testing.T) {
	dir, batches := stopped(t, 60)
	for name, content := range map[string]string{"x.txt": "", "t-1.00112233445566778899aabbccddeeff-delete/00000000000000000000.log": "",
		"t-2.00112233445566778899aabbccddeeff-stray/x": "", "lost+found/x": ""} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, path, []byte(content))
	}
	before := snapshot(t, dir)
	d, err := InspectDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.ClusterID != testID.ClusterID || d.NodeID != 1 || d.MetaVersion != 1 || d.InUse || !d.CleanStop || len(d.Partitions) != 1 {
		t.Errorf("%+v", d)
	}
	last := batches[len(batches)-1]
	end := last.LastOffset() + 1
	p := d.Partitions[0]
	if p.Topic != "t" || p.Partition != 0 || p.TopicID != testTopicID || p.Start != 0 || p.End != end || p.FirstTime != 1000 ||
		p.LastTime != last.MaxTimestamp() || p.RecoveryPoint != end || p.HighWatermark != end || p.Segments != len(basesOf(t, filepath.Join(dir, "t-0"))) || p.Err != "" {
		t.Errorf("%+v", p)
	}
	if got := fmt.Sprint(d.Oddities.List); d.Oddities.Warnings != 4 || d.Oddities.Damaged != 0 || !strings.Contains(got, "stray") {
		t.Errorf("%+v", d.Oddities)
	}
	for path, content := range before {
		if string(mustRead(t, path)) != content {
			t.Errorf("%s was changed", path)
		}
	}
}

// TestInspectInUse looks at a directory that this process has open: its state is told, nothing of it is damage.
func TestInspectInUse(t *testing.T) {
	d := openTest(t, filepath.Join(tempDir(t), "logs"), small())
	l := createTest(t, d, "t")
	for i := range 50 {
		appendTest(t, l, makeBatch(2, 50, int64(i), batch.LZ4), nil)
	}
	// An append that is under way, and an index block that Kafka has preallocated.
	name := lastSegment(t, d.path)
	mustWrite(t, name, append(mustRead(t, name), makeBatch(2, 50, 1, batch.None)[:70]...))
	info, err := InspectDir(d.path)
	if err != nil || !info.InUse || info.PID != os.Getpid() || info.CleanStop || info.Partitions[0].End != 100 {
		t.Fatalf("%+v, %v", info, err)
	}
	if f := verifyAll(t, d.path, VerifyOptions{}); f.Damaged > 0 || f.Warnings > 0 {
		t.Errorf("%+v", f)
	}
	if err := RecoverDir(d.path, RecoverOptions{}, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("recover: %v", err)
	}
	if err := RecoverDir(d.path, RecoverOptions{DryRun: true}, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("dry run: %v", err)
	}
}

func TestVerifyFindsNothingWhereNothingIs(t *testing.T) {
	dir, batches := stopped(t, 90)
	for _, o := range []VerifyOptions{{}, {HeadersOnly: true}, {ReadOptions: ReadOptions{PageCache: true}}} {
		var read int
		o.Progress = func(n int) { read += n }
		r, err := VerifyPartition(t.Context(), filepath.Join(dir, "t-0"), o)
		if err != nil || r.Damaged+r.Warnings > 0 || r.Batches != 90 || r.Start != 0 || r.End != batches[89].LastOffset()+1 || r.Records != r.End {
			t.Errorf("%+v, %v", r, err)
		}
		if int64(read) != r.Bytes {
			t.Errorf("%d bytes were read, of %d", read, r.Bytes)
		}
	}
	if f := verifyAll(t, dir, VerifyOptions{}); f.Damaged+f.Warnings > 0 {
		t.Errorf("%+v", f)
	}
}

// TestVerifyFindsFlippedBytes flips every byte of a batch's header, and some of its records, in a batch in the middle
// of a segment, in the first one and in the last one of the log: it is found there, once, and nothing else is.
func TestVerifyFindsFlippedBytes(t *testing.T) {
	dir, batches := stopped(t, 45)
	part := filepath.Join(dir, "t-0")
	bases := basesOf(t, part)
	kinds := map[Kind]int{}
	for _, victim := range []int{0, 20, 21, 22, 44} {
		base, pos := placed(batches, victim, bases)
		path := filepath.Join(part, segmentName(base)+logSuffix)
		data := mustRead(t, path)
		for at := range len(batches[victim]) {
			if at > batch.HeaderSize && at%17 != 0 {
				continue
			}
			for _, mask := range []byte{0x01, 0x80} {
				data[pos+int64(at)] ^= mask
				mustWrite(t, path, data)
				r, err := VerifyPartition(t.Context(), part, VerifyOptions{})
				data[pos+int64(at)] ^= mask
				if err != nil {
					t.Fatal(err)
				}
				first := r.First()
				// Damage at the very end is also a log that ends below its recovery point and high watermark.
				if n := r.Damaged; n != 1 && !(victim == 44 && n == 3 && r.List[len(r.List)-1].Kind == KindCheckpoint) || first.Pos != pos || first.File != filepath.Base(path) {
					t.Errorf("batch %d (%s at %d) byte %d ^ %#x: %d findings: %+v", victim, path, pos, at, mask, r.Damaged, r.List)
					continue
				}
				kinds[first.Kind]++
				if at >= batch.OffsetCRC && first.Kind != KindCRC || at == batch.OffsetMagic && first.Kind != KindMagic ||
					at < batch.OffsetLength && first.Kind != KindOffset {
					t.Errorf("byte %d: %s", at, first.Kind)
				}
			}
		}
		mustWrite(t, path, data)
	}
	for _, k := range []Kind{KindOffset, KindEpoch, KindMagic, KindCRC, KindSize, KindCut} {
		if kinds[k] == 0 {
			t.Errorf("nothing was %q: %v", k, kinds)
		}
	}
}

// TestVerifyFindsAllDamage: reading goes on behind damage, the list is bounded, the count is not.
func TestVerifyFindsAllDamage(t *testing.T) {
	dir, batches := stopped(t, 60)
	part := filepath.Join(dir, "t-0")
	bases := basesOf(t, part)
	for _, victim := range []int{3, 4, 17, 40} {
		base, pos := placed(batches, victim, bases)
		path := filepath.Join(part, segmentName(base)+logSuffix)
		data := mustRead(t, path)
		data[pos+batch.HeaderSize+5] ^= 4
		mustWrite(t, path, data)
	}
	r, err := VerifyPartition(t.Context(), part, VerifyOptions{Findings: 2})
	if err != nil || r.Damaged != 4 || len(r.List) != 2 || r.Batches != 56 || r.First().Offset != batches[3].BaseOffset() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestVerifyFindsCutsAndTails(t *testing.T) {
	dir, batches := stopped(t, 30)
	part := filepath.Join(dir, "t-0")
	path := lastSegment(t, dir)
	data := mustRead(t, path)
	n := len(batches[29])
	for name, c := range map[string]struct {
		data []byte
		pos  int
		kind Kind
	}{
		"half a header": {data[:len(data)-n+30], len(data) - n, KindCut},
		"half a batch":  {data[:len(data)-3], len(data) - n, KindCut},
		"ten zeros":     {append(data[:len(data):len(data)], make([]byte, 10)...), len(data), KindCut},
		"zeros":         {append(data[:len(data):len(data)], make([]byte, 5000)...), len(data), KindCut},
		"rubbish":       {append(data[:len(data):len(data)], strings.Repeat("rubbish", 100)...), len(data), KindMagic},
	} {
		mustWrite(t, path, c.data)
		r, err := VerifyPartition(t.Context(), part, VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		found := r.First()
		if found == nil || found.Kind != c.kind || found.Pos != int64(c.pos) || found.File != filepath.Base(path) {
			t.Errorf("%s: %+v", name, r.List)
		}
	}
	// A batch that is not there at all, in the middle: only the offsets tell.
	mustWrite(t, path, data)
	first := filepath.Join(part, segmentName(0)+logSuffix)
	data = mustRead(t, first)
	a, b := len(batches[0]), len(batches[0])+len(batches[1])
	mustWrite(t, first, append(data[:a:a], data[b:]...))
	r, err := VerifyPartition(t.Context(), part, VerifyOptions{HeadersOnly: true})
	if err != nil || r.First() == nil || r.First().Kind != KindOffset || r.First().Pos != int64(a) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestVerifyFindsMissingSegments(t *testing.T) {
	dir, _ := stopped(t, 60)
	part := filepath.Join(dir, "t-0")
	bases := basesOf(t, part)
	if err := os.Remove(filepath.Join(part, segmentName(bases[1])+logSuffix)); err != nil {
		t.Fatal(err)
	}
	r, err := VerifyPartition(t.Context(), part, VerifyOptions{})
	if err != nil || r.Damaged != 1 || r.First().Kind != KindSegment || r.First().Offset != bases[2] {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = VerifyPartition(t.Context(), part, VerifyOptions{Gaps: func(topic string) bool { return topic == "t" }})
	if err != nil || r.Damaged != 0 || r.Warnings != 2 { // the indexes of the segment that is not there
		t.Errorf("%+v, %v", r, err)
	}
}

// TestVerifyFindsWrongIndexes changes each entry of both indexes, their sizes, and removes them.
func TestVerifyFindsWrongIndexes(t *testing.T) {
	dir, _ := stopped(t, 60)
	part := filepath.Join(dir, "t-0")
	base := basesOf(t, part)[1]
	for suffix, size := range map[string]int{indexSuffix: offsetEntrySize, timeIndexSuffix: timeEntrySize} {
		kind := map[string]Kind{indexSuffix: KindIndex, timeIndexSuffix: KindTimeIndex}[suffix]
		path := filepath.Join(part, segmentName(base)+suffix)
		whole := mustRead(t, path)
		if len(whole) < 3*size {
			t.Fatalf("%s has %d bytes", path, len(whole))
		}
		check := func(what string, pos int64, damaged bool) {
			t.Helper()
			r, err := VerifyPartition(t.Context(), part, VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			// An entry that does not rise makes its neighbour suspect, and one that leads the search too far ahead of the
			// batches it is for does no harm, so that it is a warning.
			harmless := len(r.List) == 1 && strings.HasPrefix(r.List[0].What, "offset ")
			there := slices.ContainsFunc(r.List, func(f Finding) bool {
				return f.Kind == kind && f.Pos == pos && f.File == filepath.Base(path)
			})
			if n := len(r.List); n < 1 || n > 2 || n == 2 && r.Damaged != 2 || !there || !harmless && r.Damaged > 0 != damaged {
				t.Errorf("%s, %s: %+v", suffix, what, r.List)
			}
		}
		for at := range whole {
			for _, mask := range []byte{1, 0x80} {
				b := append([]byte{}, whole...)
				b[at] ^= mask
				mustWrite(t, path, b)
				check(fmt.Sprintf("byte %d ^ %#x", at, mask), int64(at/size*size), true)
			}
		}
		mustWrite(t, path, append(append([]byte{}, whole...), 0))
		check("a byte more", int64(len(whole)), true)
		mustWrite(t, path, append(append([]byte{}, whole...), make([]byte, 100*size)...))
		check("zeros behind", int64(len(whole)), false)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		check("missing", -1, true)
		mustWrite(t, path, whole)
	}
}

func TestVerifyFindsBadCompanions(t *testing.T) {
	dir, batches := stopped(t, 30)
	end := batches[29].LastOffset() + 1
	part := filepath.Join(dir, "t-0")
	snap := binary.BigEndian.AppendUint32([]byte{0, 1, 0, 0, 0, 0}, 1)
	snap = append(snap, make([]byte, snapshotEntrySize)...)
	binary.BigEndian.PutUint32(snap[2:], crc32.Checksum(snap[6:], castagnoli))
	txn := make([]byte, 2*txnEntrySize)
	binary.BigEndian.PutUint64(txn[18:], 3)
	binary.BigEndian.PutUint64(txn[txnEntrySize+18:], uint64(end+5))
	for name, c := range map[string]struct {
		file, content string
		kind          Kind
		damaged       bool
	}{
		"recovery point":     {recoveryPointFile, fmt.Sprintf("0\n1\nt 0 %d\n", end+1), KindCheckpoint, true},
		"high watermark":     {highWatermarkFile, fmt.Sprintf("0\n1\nt 0 %d\n", end+1), KindCheckpoint, true},
		"log start":          {logStartFile, fmt.Sprintf("0\n1\nt 0 %d\n", end+1), KindCheckpoint, true},
		"count":              {recoveryPointFile, "0\n2\nt 0 5\n", KindCheckpoint, true},
		"rubbish":            {highWatermarkFile, "\x00\x00\x00", KindCheckpoint, true},
		"unknown partition":  {highWatermarkFile, "0\n1\nu 0 5\n", KindCheckpoint, false},
		"meta":               {metaFile, "version=7\n", KindMetadata, true},
		"epochs":             {"t-0/" + epochFile, "0\n2\n1 5\n0 6\n", KindEpochs, true},
		"metadata":           {"t-0/" + partitionFile, "version: 0\ntopic_id: x", KindMetadata, true},
		"snapshot":           {"t-0/" + segmentName(7) + snapshotSuffix, string(snap[:len(snap)-1]) + "x", KindSnapshot, true},
		"torn snapshot":      {"t-0/" + segmentName(7) + snapshotSuffix, string(snap[:9]), KindSnapshot, true},
		"snapshot of later":  {"t-0/" + segmentName(end+1) + snapshotSuffix, string(snap), KindSnapshot, false},
		"txnindex":           {"t-0/" + segmentName(0) + txnIndexSuffix, string(txn[:20]), KindTxnIndex, true},
		"txnindex of later":  {"t-0/" + segmentName(0) + txnIndexSuffix, string(txn), KindTxnIndex, true},
		"index of nothing":   {"t-0/" + segmentName(1) + indexSuffix, "", KindIndex, false},
		"unfinished cleaner": {"t-0/" + segmentName(0) + logSuffix + cleanedFileSuffix, "", KindFile, false},
	} {
		path := filepath.Join(dir, c.file)
		old, err := os.ReadFile(path)
		mustWrite(t, path, []byte(c.content))
		f := verifyAll(t, dir, VerifyOptions{})
		if f.Damaged+f.Warnings != 1 || f.Damaged == 1 != c.damaged || f.List[0].Kind != c.kind || filepath.Base(f.List[0].File) != filepath.Base(path) {
			t.Errorf("%s: %+v", name, f)
		}
		if err != nil {
			os.Remove(path)
		} else {
			mustWrite(t, path, old)
		}
	}
	mustWrite(t, filepath.Join(part, segmentName(end)+snapshotSuffix), snap)
	mustWrite(t, filepath.Join(part, segmentName(0)+txnIndexSuffix), txn[:txnEntrySize])
	if f := verifyAll(t, dir, VerifyOptions{}); f.Damaged+f.Warnings > 0 {
		t.Errorf("%+v", f)
	}
}

// TestVerifyFindsBrokenRecords stores batches whose checksum is right and whose records are not: what a broker that
// trusted its clients may have.
func TestVerifyFindsBrokenRecords(t *testing.T) {
	for name, c := range map[string]struct {
		codec   batch.Codec
		spoil   func(b batch.Batch)
		kind    Kind
		damaged bool
	}{
		"count":     {batch.None, func(b batch.Batch) { binary.BigEndian.PutUint32(b[batch.OffsetCount:], 2) }, KindRecords, true},
		"delta":     {batch.None, func(b batch.Batch) { binary.BigEndian.PutUint32(b[batch.OffsetLastOffsetDelta:], 5) }, KindRecords, true},
		"zstd":      {batch.Zstd, func(b batch.Batch) { b[batch.HeaderSize] ^= 1 }, KindRecords, true},
		"gzip":      {batch.Gzip, func(b batch.Batch) { b[len(b)-10] ^= 1 }, KindRecords, true},
		"codec":     {batch.None, func(b batch.Batch) { b[batch.OffsetAttributes+1] |= 7 }, KindRecords, true},
		"timestamp": {batch.LZ4, func(b batch.Batch) { b[batch.OffsetMaxTimestamp+7]++ }, KindTimestamp, false},
	} {
		d := openTest(t, filepath.Join(tempDir(t), "logs"), small())
		l := createTest(t, d, "t")
		appendTest(t, l, makeBatch(2, 50, 1, batch.None), nil)
		b := makeBatch(3, 50, 10, c.codec)
		c.spoil(b)
		binary.BigEndian.PutUint32(b[batch.OffsetCRC:], crc32.Checksum(b[batch.OffsetAttributes:], castagnoli))
		info := appendTest(t, l, b, nil)
		d.Close()
		f := verifyAll(t, d.path, VerifyOptions{})
		if f.Damaged+f.Warnings != 1 || f.Damaged == 1 != c.damaged || f.List[0].Kind != c.kind || f.List[0].Offset != info.Base {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestSegmentSeeksAndReadsIndexes(t *testing.T) {
	dir, batches := stopped(t, 60)
	part := filepath.Join(dir, "t-0")
	entries := 0
	for _, base := range basesOf(t, part) {
		stem := filepath.Join(part, segmentName(base))
		s, err := OpenSegment(stem+logSuffix, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int64]int64{} // last offset by position
		var p Piece
		for err = s.Next(&p); err == nil; err = s.Next(&p) {
			seen[p.Pos] = p.Batch.LastOffset()
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		tail, err := ReadIndex(stem+indexSuffix, func(e IndexEntry) bool {
			entries++
			if seen[e.Position] != e.Offset || e.Timestamp != -1 {
				t.Errorf("%s: %+v", stem, e)
			}
			return true
		})
		if err != nil || tail != 0 {
			t.Error(tail, err)
		}
		for _, b := range batches {
			if off := b.LastOffset(); off >= base && b.BaseOffset() < base+int64(len(seen)) {
				if err := s.SeekOffset(off); err != nil {
					t.Fatal(err)
				}
				if err := s.Next(&p); err != nil || p.Batch.BaseOffset() > off || p.Kind != "" {
					t.Errorf("seek %d: %+v, %v", off, p, err)
				}
			}
		}
		s.Close()
	}
	if entries < 5 {
		t.Errorf("%d index entries", entries)
	}
}

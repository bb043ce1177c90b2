package logstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/sluice-mq/sluice/internal/span"
	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

var testID = Identity{ClusterID: "abcdefghijklmnopqrstuv", NodeID: 1}

var testTopicID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// small makes segments and indexes small enough for a few batches to use all of it.
func small() Options {
	return Options{SegmentBytes: 2000, IndexIntervalBytes: 200, TailBytes: 4 << 10, Logger: quiet()}
}

// envInt is the number that an environment variable has, by which a test does more.
func envInt(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

// tempDir is a directory in memory where the system has one: what these tests check does not depend on a device,
// and syncing to one takes most of their time.
func tempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "logstore-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func openTest(t testing.TB, path string, o Options) *Dir {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	d, err := OpenDir(path, testID, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func createTest(t testing.TB, d *Dir, topic string) *Log {
	t.Helper()
	l, err := d.Create(topic, 0, testTopicID)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// makeBatch builds a batch of n records whose values take size bytes each, with timestamps ts, ts+1, ...
func makeBatch(n, size int, ts int64, codec batch.Codec) batch.Batch {
	var bd batch.Builder
	bd.Reset(codec)
	for i := range n {
		bd.Append(ts+int64(i), fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{byte('a' + i%26)}, size))
	}
	return batch.Batch(bytes.Clone(bd.Finish()))
}

func appendTest(t testing.TB, l *Log, b batch.Batch, ref span.Ref) AppendInfo {
	t.Helper()
	info, err := l.Append(b, max(0, l.LeaderEpoch()), ref)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// spanBytes reads what the spans refer to and releases them.
func spanBytes(t testing.TB, spans []span.Span) []byte {
	t.Helper()
	var out []byte
	for i := range spans {
		s := &spans[i]
		if s.Mem != nil {
			if int64(len(s.Mem)) != s.Len {
				t.Fatalf("span of %d bytes has %d in memory", s.Len, len(s.Mem))
			}
			out = append(out, s.Mem...)
		} else {
			b := make([]byte, s.Len)
			if err := sys.PreadFull(s.FD, b, s.Off); err != nil {
				t.Fatalf("span %+v: %v", *s, err)
			}
			out = append(out, b...)
		}
		s.Release()
	}
	return out
}

func readTest(t testing.TB, l *Log, from, upper, max int64, minOne bool) []byte {
	t.Helper()
	spans, n, err := l.Read(nil, from, upper, max, minOne)
	if err != nil {
		t.Fatalf("read %d: %v", from, err)
	}
	b := spanBytes(t, spans)
	if int64(len(b)) != n {
		t.Fatalf("read says %d bytes, spans have %d", n, len(b))
	}
	return b
}

// readAll reads the log from its start to its end, max bytes at a time, and checks that what comes is whole
// batches, in order and with right checksums.
func readAll(t testing.TB, l *Log, max int64) []batch.Batch {
	t.Helper()
	var out []batch.Batch
	for from := l.StartOffset(); from < l.EndOffset(); {
		rest := readTest(t, l, from, l.EndOffset(), max, true)
		if len(rest) == 0 {
			t.Fatalf("nothing at offset %d of %d", from, l.EndOffset())
		}
		for len(rest) > 0 {
			b, next, err := batch.First(rest)
			if err != nil {
				t.Fatalf("at offset %d: %v", from, err)
			}
			due := b.BaseOffset() == from || len(out) == 0 && b.BaseOffset() < from && from <= b.LastOffset()
			if !due || !b.CRCOK() {
				t.Fatalf("batch at %d where %d is due, checksum ok: %v", b.BaseOffset(), from, b.CRCOK())
			}
			out, rest, from = append(out, b), next, b.LastOffset()+1
		}
	}
	return out
}

// copyDir copies a log directory as a crash would leave it: whatever the files hold now.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func segmentFile(d *Dir, l *Log, base int64, suffix string) string {
	return filepath.Join(d.Path(), l.Name(), segmentName(base)+suffix)
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkIndexes does what Kafka's DumpLogSegments does with --index-sanity-check and --verify-index-only, and
// besides that the file sizes are those of the entries.
func checkIndexes(t testing.TB, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+logSuffix))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	for _, name := range names {
		base, _, ok := parseSegmentFile(filepath.Base(name))
		if !ok {
			t.Fatalf("%s is no segment name", name)
		}
		stem := name[:len(name)-len(logSuffix)]
		data := mustRead(t, name)
		checkOffsetIndex(t, stem, base, data)
		checkTimeIndex(t, stem, base, data)
	}
}

func checkOffsetIndex(t testing.TB, stem string, base int64, data []byte) {
	t.Helper()
	index := mustRead(t, stem+indexSuffix)
	if len(index)%offsetEntrySize != 0 {
		t.Fatalf("%s%s has %d bytes", stem, indexSuffix, len(index))
	}
	last := int64(-1)
	for ; len(index) > 0; index = index[offsetEntrySize:] {
		off := base + int64(int32(binary.BigEndian.Uint32(index)))
		pos := int(binary.BigEndian.Uint32(index[4:]))
		if off <= last || pos >= len(data) {
			t.Fatalf("%s%s: entry (%d, %d) after offset %d, log has %d bytes", stem, indexSuffix, off, pos, last, len(data))
		}
		b, _, err := batch.First(data[pos:])
		if err != nil || b.LastOffset() != off {
			t.Fatalf("%s%s: entry (%d, %d) names a batch with last offset %d, %v", stem, indexSuffix, off, pos, b.LastOffset(), err)
		}
		last = off
	}
}

func checkTimeIndex(t testing.TB, stem string, base int64, data []byte) {
	t.Helper()
	index := mustRead(t, stem+timeIndexSuffix)
	if len(index)%timeEntrySize != 0 {
		t.Fatalf("%s%s has %d bytes", stem, timeIndexSuffix, len(index))
	}
	lastTime := int64(-1)
	for ; len(index) > 0; index = index[timeEntrySize:] {
		ts := int64(binary.BigEndian.Uint64(index))
		off := base + int64(int32(binary.BigEndian.Uint32(index[8:])))
		if ts <= lastTime {
			t.Fatalf("%s%s: timestamp %d after %d", stem, timeIndexSuffix, ts, lastTime)
		}
		lastTime = ts
		for rest := data; ; {
			b, next, err := batch.First(rest)
			if err != nil {
				t.Fatalf("%s%s: no batch ends with offset %d", stem, timeIndexSuffix, off)
			}
			if b.LastOffset() == off {
				if b.MaxTimestamp() != ts {
					t.Fatalf("%s%s: entry (%d, %d), batch has %d", stem, timeIndexSuffix, ts, off, b.MaxTimestamp())
				}
				break
			}
			rest = next
		}
	}
}

// testRef is memory whose holds are counted.
type testRef struct {
	holds atomic.Int64
	size  int
}

func (r *testRef) Retain()   { r.holds.Add(1) }
func (r *testRef) Release()  { r.holds.Add(-1) }
func (r *testRef) Size() int { return r.size }

func crcIEEE(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

package logstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-mq/sluice/internal/span"
)

// TestRemovalWaitsForReaders: what a span refers to is neither shortened nor removed, so that not the reader who lets
// go last has to free it; it goes at the next look.
func TestRemovalWaitsForReaders(t *testing.T) {
	read := func(t *testing.T, l *Log) []span.Span {
		t.Helper()
		spans, n, err := l.Read(nil, l.StartOffset(), l.EndOffset(), 500, true)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		return spans
	}
	t.Run("segment", func(t *testing.T) {
		d := openTest(t, tempDir(t), small())
		l := coldLog(t, d, "t")
		spans := read(t, l)
		s, next := l.segs.Load().s[0], l.segs.Load().s[1]
		if _, err := l.DeleteBefore(next.base, l.EndOffset()); err != nil {
			t.Fatal(err)
		}
		if err := d.Trim(); err != nil {
			t.Fatal(err)
		}
		gone := s.stem + logSuffix + deletedFileSuffix
		if info, err := os.Stat(gone); err != nil || info.Size() != s.size.Load() {
			t.Error("removed under a reader:", info, err)
		}
		spanBytes(t, spans)
		d.removeDue()
		if left, _ := filepath.Glob(s.stem + "*"); len(left) > 0 {
			t.Error("left:", left)
		}
	})
	t.Run("log", func(t *testing.T) {
		path := tempDir(t)
		d := openTest(t, path, small())
		l := coldLog(t, d, "t")
		spans := read(t, l)
		d.flusher.close() // its part is ours now
		defer func() { d.flusher = startFlusher(d) }()
		if err := d.Delete(l); err != nil {
			t.Fatal(err)
		}
		d.flusher.drain(false)
		dirs, _ := filepath.Glob(filepath.Join(path, "*"+deleteDirSuffix))
		if len(dirs) != 1 {
			t.Error("removed under a reader:", dirs)
		}
		spanBytes(t, spans)
		d.flusher.drain(false)
		if dirs, _ = filepath.Glob(filepath.Join(path, "*"+deleteDirSuffix)); len(dirs) > 0 {
			t.Error("left:", dirs)
		}
	})
}

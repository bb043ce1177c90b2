package logstore

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// leftovers are the files of a compaction that a crash has interrupted.
type leftovers struct {
	cleaned []string // .cleaned: not complete
	swap    []string // .swap: complete
	lowest  int64    // base offset of the first .cleaned
}

func (f *leftovers) add(path string) {
	if f.cleaned == nil && f.swap == nil {
		f.lowest = math.MaxInt64
	}
	if strings.HasSuffix(path, cleanedFileSuffix) {
		f.cleaned = append(f.cleaned, path)
		f.lowest = min(f.lowest, baseOf(path))
	} else {
		f.swap = append(f.swap, path)
	}
}

// baseOf is the offset that a file's name begins with, -1 if it does not.
func baseOf(path string) int64 {
	base, _, ok := parseSegmentFile(filepath.Base(path))
	if !ok {
		return -1
	}
	return base
}

// finishSwaps undoes or completes what is left of a compaction, by Kafka's rules (LogLoader):
//
//   - a .swap file at or above the first .cleaned one belongs to a step that was not complete: it goes, and then the
//     .cleaned ones;
//   - what is left of .swap is complete. Segments that begin within its offsets were to be deleted;
//   - .swap files get their final names. In Kafka they replace whatever has that name; here an index replaces none unless
//     its .log is new as well.
//
// Each step is synced before the next: any of them may be interrupted again.
func (x *loading) finishSwaps(f *leftovers) error {
	var valid, invalid []string
	for _, path := range f.swap {
		switch base := baseOf(path); {
		case base < 0 || base >= f.lowest:
			invalid = append(invalid, path)
		default:
			valid = append(valid, path)
		}
	}
	if len(valid) > 0 {
		// Whoever began it may not have said so yet, and there will be no other trace.
		if err := x.noteGaps(); err != nil {
			return err
		}
	}
	for _, paths := range [][]string{invalid, f.cleaned} {
		if err := x.removeFiles(paths); err != nil {
			return err
		}
	}
	if len(valid) == 0 {
		return nil
	}
	w, err := swapWindow(valid)
	if err != nil {
		return err
	}
	if err := x.dropReplaced(&w); err != nil {
		return err
	}
	for _, path := range valid {
		final := strings.TrimSuffix(path, swapFileSuffix)
		x.l.d.opts.Logger.Warn("finishing an interrupted compaction", "file", final)
		_, err := os.Lstat(final)
		if err == nil && !w.bases[baseOf(path)] {
			err = sys.Remove(path)
		} else {
			err = sys.Rename(path, final)
		}
		if err != nil {
			return err
		}
	}
	return syncDir(x.l.dir)
}

// removeFiles blocks until they are gone.
func (x *loading) removeFiles(paths []string) error {
	for _, path := range paths {
		if err := removeIfThere(sys.Remove, path); err != nil {
			return err
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return syncDir(x.l.dir)
}

// replaced are the offsets that .swap segments have, from the first one's base to behind the last batch, and their
// base offsets.
type replaced struct {
	from, to int64
	bases    map[int64]bool
}

func (w *replaced) has(base int64) bool { return base >= w.from && base < w.to || w.bases[base] }

func swapWindow(paths []string) (replaced, error) {
	w := replaced{from: math.MaxInt64, bases: map[int64]bool{}}
	for _, path := range paths {
		if !strings.HasSuffix(path, logSuffix+swapFileSuffix) {
			continue
		}
		end, err := lastOffsetOf(path)
		if err != nil {
			return w, err
		}
		w.from, w.to = min(w.from, baseOf(path)), max(w.to, end)
		w.bases[baseOf(path)] = true
	}
	return w, nil
}

// lastOffsetOf walks a file of batches by its headers and returns the offset behind the last one; its base if it is
// empty.
func lastOffsetOf(path string) (int64, error) {
	w, err := openWindow(path, ReadOptions{PageCache: true, chunk: scratchSize})
	if err != nil {
		return 0, err
	}
	defer w.close()
	end := baseOf(path)
	s := Segment{w: w, base: end}
	for pos := int64(0); pos < w.size; {
		h, ok, err := s.headAt(pos)
		if err != nil {
			return 0, err
		}
		if !ok {
			break // complete when it got its name: damaged since, which its recovery sees
		}
		end, pos = h.last+1, pos+h.size
	}
	return end, nil
}

// dropReplaced removes the segments that w takes the place of. Snapshots of producers at their bases go, but for those
// where a segment still begins.
func (x *loading) dropReplaced(w *replaced) error {
	entries, err := os.ReadDir(x.l.dir)
	if err != nil {
		return err
	}
	var gone []string
	for _, e := range entries {
		base, suffix, ok := parseSegmentFile(e.Name())
		own := suffix == snapshotSuffix && !w.bases[base] || slices.Contains(segmentSuffixes[:], suffix)
		if ok && own && w.has(base) {
			gone = append(gone, filepath.Join(x.l.dir, e.Name()))
		}
	}
	return x.removeFiles(gone)
}

// noteGaps has cleaner-offset-checkpoint name the log, on the device, unless it does so.
func (x *loading) noteGaps() error {
	if x.listed {
		return nil
	}
	d := x.l.d
	d.checkMu.Lock()
	defer d.checkMu.Unlock()
	path := filepath.Join(d.path, cleanerFile)
	m, err := readOffsets(path)
	if err != nil && !errors.Is(err, errCheckpoint) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if m == nil {
		m = map[string]int64{}
	}
	m[x.l.name] = x.logStart
	if err := WriteFileAtomic(path, renderOffsets(m)); err != nil {
		return err
	}
	x.listed, x.gaps, x.dirty = true, true, x.logStart
	return nil
}

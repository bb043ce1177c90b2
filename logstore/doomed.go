package logstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// doomed are files that are out of their logs and wait to be removed (file.delete.delay.ms): a path and a time for
// each, so its memory is bounded by the segments that retention deletes within the longest delay. What waits at a
// stop is removed by the next start, like everything that bears the mark of deleted files.
//
// A segment is not removed before the last reader has let go of it. Otherwise the one who does would be who frees its
// blocks, which takes up to a second for a large file: a loop that has sent the last bytes of it. And it is freed in
// steps, because what waits for the file system's journal meanwhile, a roll or a sync, waits for one step only.
type doomed struct {
	mu    sync.Mutex
	files []doomedFile
}

type doomedFile struct {
	path string
	due  time.Duration // on Dir.now
	s    *segment      // whose .log it is; nil for other files
}

// removeStep is how much of a file is freed at once: some 20 ms on a slow day.
const removeStep = 16 << 20

func (x *doomed) add(f doomedFile) {
	x.mu.Lock()
	x.files = append(x.files, f)
	x.mu.Unlock()
}

// removeDue removes the files whose time has come, or all of them where space is short. A log that was deleted meanwhile has taken its files along.
func (d *Dir) removeDue() {
	now := d.now()
	var due []doomedFile
	x := &d.doomed
	short := d.short()
	x.mu.Lock()
	kept := x.files[:0]
	for _, f := range x.files {
		if (f.due <= now || short) && !f.held() {
			due = append(due, f)
		} else {
			kept = append(kept, f)
		}
	}
	clear(x.files[len(kept):])
	x.files = kept
	x.mu.Unlock()
	for _, f := range due {
		err := f.remove()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.opts.Logger.Error("removing a deleted segment failed, the next start does it", "path", f.path, "err", err)
		}
	}
}

func (f *doomedFile) held() bool { return f.s != nil && f.s.inUse() }

// inUse tells whether somebody has the file open; for a segment that is, or is about to be, out of its log.
func (s *segment) inUse() bool { return s.state.Load() != segGone }

func (f *doomedFile) remove() error {
	if f.s != nil {
		if err := sys.Shrink(f.path, removeStep); err != nil {
			return err
		}
	}
	return sys.Remove(f.path)
}

// shrinkAll frees what the segments in a deleted log's directory take, in steps. Errors are the removal's to find.
func (d *Dir) shrinkAll(path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return
	}
	for _, e := range entries {
		if _, suffix, ok := parseSegmentFile(e.Name()); ok && suffix == logSuffix {
			_ = sys.Shrink(filepath.Join(path, e.Name()), removeStep)
		}
	}
}

// now is the time since some moment, which never jumps.
func (d *Dir) now() time.Duration {
	_, mono := d.opts.clock()
	return mono
}

package logstore

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// doomed are files that are out of their logs and wait to be removed (file.delete.delay.ms): a path and a time for
// each, so its memory is bounded by the segments that retention deletes within the longest delay. What waits at a
// stop is removed by the next start, like everything that bears the mark of deleted files.
type doomed struct {
	mu    sync.Mutex
	files []doomedFile
}

type doomedFile struct {
	path string
	due  time.Duration // on Dir.now
}

func (x *doomed) add(path string, due time.Duration) {
	x.mu.Lock()
	x.files = append(x.files, doomedFile{path, due})
	x.mu.Unlock()
}

// removeDue removes the files whose time has come, or all of them where space is short. A log that was deleted meanwhile has taken its files along.
func (d *Dir) removeDue() {
	now := d.now()
	var due []string
	x := &d.doomed
	short := d.short()
	x.mu.Lock()
	kept := x.files[:0]
	for _, f := range x.files {
		if f.due <= now || short {
			due = append(due, f.path)
		} else {
			kept = append(kept, f)
		}
	}
	clear(x.files[len(kept):])
	x.files = kept
	x.mu.Unlock()
	for _, path := range due {
		if err := sys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.opts.Logger.Error("removing a deleted segment failed, the next start does it", "path", path, "err", err)
		}
	}
}

// now is the time since some moment, which never jumps.
func (d *Dir) now() time.Duration {
	_, mono := d.opts.clock()
	return mono
}

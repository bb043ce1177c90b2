//go:build invariants

package sys

import (
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const tracing = true

// Trace sees the changes of files and names below a directory, and may prevent them: for tests of crashes and of
// devices that fail. Calls of one Trace come one at a time, with the change itself in between: changes below its
// directory are made one after the other, in the order in which they are reported.
type Trace struct {
	// Before is called before a change. With an error the change is not made and fails so; shortening c.Data makes a
	// short write. May be nil.
	Before func(c *Change) error
	// After is called after a change, or after Before prevented it. n as ChangeKind says. May be nil.
	After func(c *Change, n int, err error)

	root string
	mu   sync.Mutex
}

var tracer struct {
	any atomic.Int32 // number of traces

	mu    sync.RWMutex // guards the maps; never held over a call of a Trace
	roots map[string]*Trace
	files map[int]openFile
}

type openFile struct {
	t    *Trace
	path string
}

// Start begins to report the changes below root, of descriptors that are opened from now on. No other Trace may have
// a directory above or below it. End ends it.
func (t *Trace) Start(root string) {
	t.root = filepath.Clean(root)
	tracer.mu.Lock()
	defer tracer.mu.Unlock()
	if tracer.roots == nil {
		tracer.roots, tracer.files = map[string]*Trace{}, map[int]openFile{}
	}
	tracer.roots[t.root] = t
	tracer.any.Add(1)
}

// End waits for a change that is under way; nothing is reported afterwards.
func (t *Trace) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	tracer.mu.Lock()
	defer tracer.mu.Unlock()
	delete(tracer.roots, t.root)
	for fd, f := range tracer.files {
		if f.t == t {
			delete(tracer.files, fd)
		}
	}
	tracer.any.Add(-1)
}

// traced makes the change c by do, and reports it to whom it concerns.
func traced(c Change, do func(c *Change) (int, error)) (n int, err error) {
	if tracer.any.Load() == 0 {
		return do(&c)
	}
	t := find(&c)
	if t == nil {
		return do(&c)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Before != nil {
		err = t.Before(&c)
	}
	if c.Kind == ChangeClose {
		t.note(&c, -1) // before the number can be another file's
	}
	switch {
	case err == nil:
		n, err = do(&c)
	case c.Kind == ChangeOpen:
		n = -1
	case c.Kind == ChangeClose: // happens all the same
		do(&c)
	}
	if c.Kind == ChangeOpen && err == nil {
		t.note(&c, n)
	}
	if t.After != nil {
		t.After(&c, n, err)
	}
	return n, err
}

// find returns the trace that c is for, and fills in c.Path.
func find(c *Change) *Trace {
	tracer.mu.RLock()
	defer tracer.mu.RUnlock()
	if c.Path == "" {
		f := tracer.files[c.FD]
		c.Path = f.path
		return f.t
	}
	path := filepath.Clean(c.Path)
	for root, t := range tracer.roots {
		if path == root || strings.HasPrefix(path, root+"/") {
			return t
		}
	}
	return nil
}

// note keeps the map from descriptors to files.
func (t *Trace) note(c *Change, opened int) {
	tracer.mu.Lock()
	defer tracer.mu.Unlock()
	switch {
	case c.Kind == ChangeClose:
		delete(tracer.files, c.FD)
	case c.Flags&unix.O_DIRECTORY == 0:
		tracer.files[opened] = openFile{t, c.Path}
	}
}

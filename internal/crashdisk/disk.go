//go:build invariants

package crashdisk

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Tree is what lies below a directory: content by path, nil for a directory. A file that is empty has an empty content.
type Tree map[string][]byte

// ReadTree reads what lies below dir.
func ReadTree(dir string) (Tree, error) {
	t := Tree{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		switch {
		case err != nil || path == dir:
			return err
		case e.IsDir():
			t[path[len(dir)+1:]] = nil
			return nil
		}
		b, err := os.ReadFile(path)
		t[path[len(dir)+1:]] = append([]byte{}, b...)
		return err
	})
	return t, err
}

// WriteTo makes dir and in it what the tree says.
func (t Tree) WriteTo(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(t)) {
		var err error
		if content := t[path]; content == nil {
			err = os.Mkdir(filepath.Join(dir, path), 0o755)
		} else {
			err = os.WriteFile(filepath.Join(dir, path), content, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A Disk records what is done to the files below a directory, and makes from the record what a crash between any two
// system calls, or in the middle of one, may leave there.
//
// A kill leaves all that was done. A power cut leaves what the last sync of each file and directory made sure of, and
// of what came later anything: each piece of a write, each truncation, and each change of names may be there or not,
// whatever the others are. What is not there of a file that became longer reads as zeros or as anything. Only these hold
// together: a sector of a write, and the two names of a rename. logstore/FORMAT.md has the same in words.
type Disk struct {
	dir   string
	trace sys.Trace

	mu     sync.Mutex
	base   Tree // what was on the device at the beginning
	events []event
}

// event is a system call that succeeded. A write has a copy of what it wrote.
type event struct {
	sys.Change
	opened int
}

// Start records what is done below dir, which has what base says, all of it on the device.
func Start(dir string, base Tree) *Disk {
	d := &Disk{dir: dir, base: base}
	d.trace.After = d.note
	d.trace.Start(dir)
	return d
}

// Base is what was there at the beginning.
func (d *Disk) Base() Tree { return d.base }

// Dir is the directory.
func (d *Disk) Dir() string { return d.dir }

// End ends the record.
func (d *Disk) End() { d.trace.End() }

func (d *Disk) note(c *sys.Change, n int, err error) {
	if err != nil {
		return
	}
	e := event{*c, n}
	if c.Kind == sys.ChangeWrite {
		e.Data = bytes.Clone(c.Data[:n])
	}
	d.mu.Lock()
	d.events = append(d.events, e)
	d.mu.Unlock()
}

// Calls is how many system calls there were.
func (d *Disk) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.events)
}

// Crash is what may be on the device after n of the calls, the next one being under way.
func (d *Disk) Crash(rnd *rand.Rand, n int, power bool) Tree {
	d.mu.Lock()
	events := d.events[:min(n+1, len(d.events))]
	d.mu.Unlock()
	s := newSim(d.base, d.dir)
	for i := range events {
		e := events[i]
		if i == n && !e.partly(rnd, power) {
			break
		}
		s.do(&e)
	}
	t := Tree{}
	c := chooser{rnd: rnd, power: power}
	c.dir(s.root, "", t)
	return t
}

// partly makes of e what there may be of it in the middle; false: nothing.
func (e *event) partly(rnd *rand.Rand, power bool) bool {
	switch e.Kind {
	case sys.ChangeWrite: // the kernel takes a page after the other
		if !power {
			e.Data = e.Data[:rnd.IntN(len(e.Data)+1)]
		}
	case sys.ChangeSync, sys.ChangeSyncDir, sys.ChangeSyncFS, sys.ChangeClose:
		return false
	}
	return true
}

// Describe lists the calls from n on, for a person.
func (d *Disk) Describe(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := map[sys.ChangeKind]string{sys.ChangeOpen: "open", sys.ChangeClose: "close", sys.ChangeWrite: "write",
		sys.ChangeTruncate: "truncate", sys.ChangeReserve: "reserve", sys.ChangeSync: "sync", sys.ChangeSyncFS: "sync all", sys.ChangeSyncDir: "sync dir",
		sys.ChangeRename: "rename", sys.ChangeRemove: "remove", sys.ChangeMkdir: "mkdir"}
	var b strings.Builder
	for i := n; i < len(d.events); i++ {
		e := &d.events[i]
		if e.Kind == sys.ChangeClose || e.Kind == sys.ChangeOpen && e.Flags&(os.O_CREATE|os.O_TRUNC) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%5d %s %s", i, names[e.Kind], strings.TrimPrefix(e.Path, d.dir))
		switch e.Kind {
		case sys.ChangeWrite:
			fmt.Fprintf(&b, " at %d, %d bytes", e.Off, len(e.Data))
		case sys.ChangeTruncate:
			fmt.Fprintf(&b, " to %d", e.Size)
		case sys.ChangeRename:
			fmt.Fprintf(&b, " to %s", strings.TrimPrefix(e.To, d.dir))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// sim is a file system with its device, as the calls leave it.
type sim struct {
	prefix string
	root   *node
	open   map[int]*node
}

// node is a file or a directory.
type node struct {
	// of a file: what is on the device, and what was done since
	data    []byte
	pending []event

	// of a directory: what is on the device, what a process sees, and what was done since
	onDevice, names map[string]*node
	changes         []map[string]*node // names that change together; nil: removed
}

func newDirNode() *node { return &node{onDevice: map[string]*node{}, names: map[string]*node{}} }

func newSim(base Tree, dir string) *sim {
	s := &sim{prefix: dir, root: newDirNode(), open: map[int]*node{}}
	for _, path := range slices.Sorted(maps.Keys(base)) {
		n := newDirNode()
		if content := base[path]; content != nil {
			n = &node{data: content}
		}
		parent, name := s.find(filepath.Join(dir, path))
		parent.names[name], parent.onDevice[name] = n, n
	}
	return s
}

// find returns the directory of what has the path, and the name in it.
func (s *sim) find(path string) (parent *node, name string) {
	at := s.root
	parts := strings.Split(strings.TrimPrefix(path[len(s.prefix):], "/"), "/")
	for _, p := range parts[:len(parts)-1] {
		at = at.names[p]
	}
	return at, parts[len(parts)-1]
}

func (n *node) change(names map[string]*node) {
	for name, to := range names {
		if to == nil {
			delete(n.names, name)
		} else {
			n.names[name] = to
		}
	}
	n.changes = append(n.changes, names)
}

func (s *sim) do(e *event) {
	switch e.Kind {
	case sys.ChangeOpen:
		s.openFile(e)
	case sys.ChangeClose:
		delete(s.open, e.FD)
	case sys.ChangeReserve: // nobody sees the blocks
	case sys.ChangeWrite, sys.ChangeTruncate:
		n := s.open[e.FD]
		n.pending = append(n.pending, *e)
	case sys.ChangeSync:
		n := s.open[e.FD]
		n.data, n.pending = n.now(), nil
	case sys.ChangeSyncDir:
		n := s.root
		if e.Path != s.prefix {
			parent, name := s.find(e.Path)
			n = parent.names[name]
		}
		n.onDevice, n.changes = maps.Clone(n.names), nil
	case sys.ChangeSyncFS:
		s.root.sync()
		for _, n := range s.open { // removed ones too, which no name leads to
			n.sync()
		}
	case sys.ChangeRename:
		from, name := s.find(e.Path)
		to, as := s.find(e.To)
		if from != to {
			panic("a rename to another directory, which is not known here")
		}
		from.change(map[string]*node{name: nil, as: from.names[name]})
	case sys.ChangeRemove:
		parent, name := s.find(e.Path)
		parent.change(map[string]*node{name: nil})
	case sys.ChangeMkdir:
		parent, name := s.find(e.Path)
		parent.change(map[string]*node{name: newDirNode()})
	default:
		panic(fmt.Sprint("a change that is not known here: ", e.Kind))
	}
}

// sync brings a file, or a directory with all that is in it, to the device.
func (n *node) sync() {
	if n.names == nil {
		n.data, n.pending = n.now(), nil
		return
	}
	n.onDevice, n.changes = maps.Clone(n.names), nil
	for _, below := range n.names {
		below.sync()
	}
}

func (s *sim) openFile(e *event) {
	if filepath.Clean(e.Path) == s.prefix { // the directory itself
		s.open[e.opened] = s.root
		return
	}
	parent, name := s.find(e.Path)
	n := parent.names[name]
	if n == nil {
		n = &node{data: []byte{}}
		parent.change(map[string]*node{name: n})
	} else if e.Flags&os.O_TRUNC != 0 {
		n.pending = append(n.pending, event{Change: sys.Change{Kind: sys.ChangeTruncate}})
	}
	s.open[e.opened] = n
}

// now is the file's content as a process sees it.
func (n *node) now() []byte {
	b := bytes.Clone(n.data)
	for i := range n.pending {
		b = n.pending[i].apply(b)
	}
	return b
}

func (e *event) apply(b []byte) []byte {
	switch e.Kind {
	case sys.ChangeTruncate:
		return resize(b, e.Size)
	}
	b = resize(b, max(int64(len(b)), e.Off+int64(len(e.Data))))
	copy(b[e.Off:], e.Data)
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// chooser makes one of the states that a crash may leave.
type chooser struct {
	rnd   *rand.Rand
	power bool
}

// dir puts what is left of a directory into t.
func (c *chooser) dir(n *node, path string, t Tree) {
	names := n.names
	if c.power {
		names = maps.Clone(n.onDevice)
		keep := c.keep()
		for _, change := range n.changes {
			if !keep() {
				continue
			}
			for name, to := range change {
				if to == nil {
					delete(names, name)
				} else {
					names[name] = to
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at := filepath.Join(path, name)
		if to := names[name]; to.names != nil {
			t[at] = nil
			c.dir(to, at, t)
		} else {
			t[at] = append([]byte{}, c.file(to)...)
		}
	}
}

// keep returns what decides of each change of a file or directory whether it reached the device: all did, none, those
// up to some moment, or some.
func (c *chooser) keep() func() bool {
	switch c.rnd.IntN(5) {
	case 0:
		return func() bool { return true }
	case 1:
		return func() bool { return false }
	case 2:
		left := c.rnd.IntN(12)
		return func() bool { left--; return left >= 0 }
	}
	p := c.rnd.Float64()
	return func() bool { return c.rnd.Float64() < p }
}

// file is what is left of a file's content.
func (c *chooser) file(n *node) []byte {
	if !c.power {
		return n.now()
	}
	b := bytes.Clone(n.data)
	keep := c.keep()
	sector := int64(512)
	if c.rnd.IntN(2) == 0 {
		sector = 4096
	}
	longest := int64(len(b))
	for i := range n.pending {
		e := &n.pending[i]
		if e.Kind != sys.ChangeWrite {
			if keep() {
				b = e.apply(b)
			}
			continue
		}
		for off, end := e.Off, e.Off+int64(len(e.Data)); off < end; {
			next := min(end, (off/sector+1)*sector)
			if keep() {
				was := int64(len(b))
				b = (&event{Change: sys.Change{Kind: sys.ChangeWrite, Off: off, Data: e.Data[off-e.Off : next-e.Off]}}).apply(b)
				if was < off {
					c.hole(b[was:off])
				}
			}
			off = next
			longest = max(longest, end)
		}
	}
	if size := int64(len(b)); size < longest && c.rnd.IntN(4) == 0 { // the size got there, the data did not
		b = resize(b, size+c.rnd.Int64N(longest-size+1))
		c.hole(b[size:])
	}
	return b
}

// hole fills in what was never written: zeros, or whatever was there before.
func (c *chooser) hole(b []byte) {
	if c.rnd.IntN(3) == 0 {
		for i := range b {
			b[i] = byte(c.rnd.Uint32())
		}
	}
}

package registry

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// tree is a coordinator in memory, as far as this package needs one: one lock, no persistence, sessions that end when
// they are told to.
type tree struct {
	mu    sync.Mutex
	nodes map[string]*node
	zxid  int64
	now   time.Time
	// awaited has the watches for nodes that are not there.
	awaited map[string][]chan zk.Event
	calls   int // of all sessions
	// fault is asked for each call, by its number: whether it is executed, and whether its reply is lost.
	fault func(call int) (executed, lost bool)
	// before is called ahead of each call, without the lock.
	before func(call int)
}

type node struct {
	data    []byte
	stat    zk.Stat
	acl     []zk.ACL
	created int32 // children, ever
	watches []watch
}

type watch struct {
	c        chan zk.Event
	children bool
}

func newTree() *tree {
	t := &tree{nodes: map[string]*node{}, awaited: map[string][]chan zk.Event{}, now: time.UnixMilli(1_700_000_000_000)}
	t.nodes["/"] = &node{}
	return t
}

// open is a registry on a session of its own.
func (t *tree) open(id int64) *Registry {
	return newOn(&fakeSession{t, id}, Options{Now: func() time.Time { return t.now }})
}

// dump has the data of all nodes, by path.
func (t *tree) dump() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string]string{}
	for p, n := range t.nodes {
		all[p] = string(n.data)
	}
	return all
}

// expire ends a session.
func (t *tree) expire(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.zxid++
	for p, n := range t.nodes {
		if n.stat.EphemeralOwner == id {
			t.deleteNode(p)
		}
	}
}

func (t *tree) children(path string) (names []string) {
	for p := range t.nodes {
		if p != "/" && zk.Parent(p) == path {
			names = append(names, zk.Base(p))
		}
	}
	return names
}

func (t *tree) fire(path string, e zk.EventType, children bool) {
	n := t.nodes[path]
	if n == nil {
		return
	}
	n.watches = slices.DeleteFunc(n.watches, func(w watch) bool {
		if w.children == children || e == zk.EventDeleted {
			w.c <- zk.Event{Type: e, Path: path}
			return true
		}
		return false
	})
}

func (t *tree) deleteNode(path string) {
	t.fire(path, zk.EventDeleted, false)
	delete(t.nodes, path)
	t.fire(zk.Parent(path), zk.EventChildrenChanged, true)
}

// apply does a write, or says why it cannot be done.
func (t *tree) apply(session int64, o op) (created string, stat zk.Stat, err error) {
	n := t.nodes[o.path]
	if o.kind != zk.OpCreate {
		switch {
		case n == nil:
			return "", stat, zk.NoNode
		case o.version != -1 && o.version != n.stat.Version:
			return "", stat, zk.BadVersion
		}
	}
	switch o.kind {
	case zk.OpCreate:
		parent := t.nodes[zk.Parent(o.path)]
		if parent == nil {
			return "", stat, zk.NoNode
		}
		if o.mode.Sequential() {
			o.path += zk.SequenceSuffix(parent.created)
		}
		if t.nodes[o.path] != nil {
			return "", stat, zk.NodeExists
		}
		parent.created++
		n = &node{data: o.data, acl: o.acl, stat: zk.Stat{Czxid: t.zxid, Mzxid: t.zxid, Ctime: t.now.UnixMilli(), DataLength: int32(len(o.data))}}
		if o.mode.Ephemeral() {
			n.stat.EphemeralOwner = session
		}
		t.nodes[o.path] = n
		for _, c := range t.awaited[o.path] {
			c <- zk.Event{Type: zk.EventCreated, Path: o.path}
		}
		delete(t.awaited, o.path)
		t.fire(zk.Parent(o.path), zk.EventChildrenChanged, true)
	case zk.OpSetData:
		n.data = o.data
		n.stat.Version++
		n.stat.Mzxid = t.zxid
		t.fire(o.path, zk.EventDataChanged, false)
	case zk.OpDelete:
		if len(t.children(o.path)) > 0 {
			return "", stat, zk.NotEmpty
		}
		t.deleteNode(o.path)
	}
	return o.path, n.stat, nil
}

type fakeSession struct {
	*tree
	id int64
}

func (s *fakeSession) ID() int64 { return s.id }

// call runs f under the lock, or not, and loses its answer, or not.
func (s *fakeSession) call(ctx context.Context, f func() error) error {
	s.mu.Lock()
	call := s.calls
	s.calls++
	s.mu.Unlock()
	if s.before != nil {
		s.before(call)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	executed, lost := true, false
	if s.fault != nil {
		executed, lost = s.fault(call)
	}
	var err error
	if executed {
		s.mu.Lock()
		s.zxid++
		err = f()
		s.mu.Unlock()
	}
	if lost {
		return zk.ConnectionLoss
	}
	return err
}

func (s *fakeSession) Create(ctx context.Context, path string, data []byte, acl []zk.ACL, mode zk.CreateMode) (created string, stat zk.Stat, err error) {
	err = s.call(ctx, func() (err error) {
		created, stat, err = s.apply(s.id, op{kind: zk.OpCreate, path: path, data: data, acl: acl, mode: mode})
		return err
	})
	return created, stat, err
}

func (s *fakeSession) Delete(ctx context.Context, path string, version int32) error {
	return s.call(ctx, func() error {
		_, _, err := s.apply(s.id, op{kind: zk.OpDelete, path: path, version: version})
		return err
	})
}

func (s *fakeSession) Set(ctx context.Context, path string, data []byte, version int32) (stat zk.Stat, err error) {
	err = s.call(ctx, func() (err error) {
		_, stat, err = s.apply(s.id, opSet(path, data, version))
		return err
	})
	return stat, err
}

// read calls f with the node, and watches it if c is not nil.
func (s *fakeSession) read(ctx context.Context, path string, children bool, c chan zk.Event, f func(n *node)) error {
	return s.call(ctx, func() error {
		n := s.nodes[path]
		if n == nil {
			return zk.NoNode
		}
		if c != nil {
			n.watches = append(n.watches, watch{c, children})
		}
		f(n)
		return nil
	})
}

func (s *fakeSession) exists(ctx context.Context, path string, c chan zk.Event) (stat zk.Stat, found bool, err error) {
	err = s.call(ctx, func() error {
		n := s.nodes[path]
		switch {
		case n == nil && c != nil:
			s.awaited[path] = append(s.awaited[path], c)
		case n != nil && c != nil:
			n.watches = append(n.watches, watch{c, false})
		}
		if n != nil {
			stat, found = n.stat, true
		}
		return nil
	})
	return stat, found, err
}

func (s *fakeSession) Exists(ctx context.Context, path string) (zk.Stat, bool, error) {
	return s.exists(ctx, path, nil)
}

func (s *fakeSession) ExistsW(ctx context.Context, path string) (zk.Stat, bool, <-chan zk.Event, error) {
	c := make(chan zk.Event, 1)
	stat, found, err := s.exists(ctx, path, c)
	return stat, found, c, err
}

func (s *fakeSession) get(ctx context.Context, path string, c chan zk.Event) (data []byte, stat zk.Stat, err error) {
	err = s.read(ctx, path, false, c, func(n *node) { data, stat = slices.Clone(n.data), n.stat })
	return data, stat, err
}

func (s *fakeSession) Get(ctx context.Context, path string) ([]byte, zk.Stat, error) {
	return s.get(ctx, path, nil)
}

func (s *fakeSession) GetW(ctx context.Context, path string) ([]byte, zk.Stat, <-chan zk.Event, error) {
	c := make(chan zk.Event, 1)
	data, stat, err := s.get(ctx, path, c)
	return data, stat, c, err
}

func (s *fakeSession) list(ctx context.Context, path string, c chan zk.Event) (names []string, stat zk.Stat, err error) {
	err = s.read(ctx, path, true, c, func(n *node) { names, stat = s.children(path), n.stat })
	return names, stat, err
}

func (s *fakeSession) Children(ctx context.Context, path string) ([]string, zk.Stat, error) {
	return s.list(ctx, path, nil)
}

func (s *fakeSession) ChildrenW(ctx context.Context, path string) ([]string, zk.Stat, <-chan zk.Event, error) {
	c := make(chan zk.Event, 1)
	names, stat, err := s.list(ctx, path, c)
	return names, stat, c, err
}

func (s *fakeSession) Unwatch(<-chan zk.Event) {}

func (s *fakeSession) Sync(ctx context.Context, _ string) error {
	return s.call(ctx, func() error { return nil })
}

func (s *fakeSession) transact(ctx context.Context, ops []op) (results []result, err error) {
	err = s.call(ctx, func() error {
		results = make([]result, len(ops))
		saved := s.save()
		for i := range ops {
			_, stat, err := s.apply(s.id, ops[i])
			results[i] = result{stat, err}
			if err != nil {
				s.nodes = saved
				for j := range ops {
					switch {
					case j < i:
						results[j] = result{}
					case j > i:
						results[j] = result{err: zk.RuntimeInconsistency}
					}
				}
				return err
			}
		}
		return nil
	})
	if err == zk.ConnectionLoss {
		return nil, err
	}
	return results, err
}

// save copies the nodes, for a transaction that fails. Its watches have fired then, which does no harm here.
func (t *tree) save() map[string]*node {
	nodes := make(map[string]*node, len(t.nodes))
	for p, n := range t.nodes {
		c := *n
		nodes[p] = &c
	}
	return nodes
}

// everyFault runs a scenario once without faults, and then once for each of its calls and each way in which the call
// can get lost: executed or not. check is called after each run.
func everyFault(t *testing.T, prepare func(*tree), scenario func(*tree) error, check func(t *testing.T, tr *tree)) {
	t.Helper()
	run := func(fault func(call int) (bool, bool)) int {
		t.Helper()
		tr := newTree()
		if prepare != nil {
			prepare(tr)
		}
		tr.calls, tr.fault = 0, fault
		if err := scenario(tr); err != nil {
			t.Fatal(err)
		}
		tr.fault = nil
		calls := tr.calls
		check(t, tr)
		return calls
	}
	calls := run(nil)
	for lose := range calls {
		for _, executed := range []bool{true, false} {
			run(func(call int) (bool, bool) {
				if call == lose {
					return executed, true
				}
				return true, false
			})
			if t.Failed() {
				t.Fatalf("with the answer to call %d of %d lost, executed %v", lose, calls, executed)
			}
		}
	}
}

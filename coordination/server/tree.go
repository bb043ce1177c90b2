package server

import (
	"fmt"
	"math"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// tree is the namespace: nodes by path. Every change is a transaction whose outcome was decided before (final name,
// versions, time), so that applying the log again gives the same tree.
//
// One goroutine owns it. A snapshot is written meanwhile from the nodes as they were: see freeze.
type tree struct {
	nodes map[string]*node
	// owned has the ephemerals of each session that has any; ending has the containers and nodes with a time to live.
	owned  map[int64]map[string]struct{}
	ending map[string]struct{}
	bytes  int64 // of paths and data (ZooKeeper's approximate_data_size)
	zxid   int64 // of the last transaction
	// gen is the generation of the last freeze. A node of an older one may be read by a snapshot: it is not changed
	// but replaced by a copy.
	gen int32
}

// kind is what ends a node besides a delete.
type kind int8

const (
	persistent kind = iota
	ephemeral       // its session
	container       // the last child's end
	timed           // no change for a time, and no children
)

type node struct {
	data                []byte
	acl                 []zk.ACL // never changed in place
	children            map[string]struct{}
	czxid, mzxid, pzxid int64
	ctime, mtime        int64
	limit               int64 // session of an ephemeral, milliseconds to live of a timed one
	version, aversion   int32
	created             int32 // children created so far: sequential names, and with those removed the cversion
	gen                 int32
	kind                kind
}

// fixed are the nodes that are always there and cannot be removed.
var fixed = [...]string{"/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"}

func newTree() *tree {
	t := &tree{nodes: map[string]*node{}, owned: map[int64]map[string]struct{}{}, ending: map[string]struct{}{}}
	for _, path := range fixed {
		t.nodes[path] = &node{acl: zk.OpenACL, data: []byte{}}
		t.bytes += int64(len(path))
		if path != "/" {
			t.nodes[zk.Parent(path)].addChild(zk.Base(path))
		}
	}
	config := t.nodes["/zookeeper/config"]
	config.acl, config.aversion = []zk.ACL{{Perms: zk.PermRead, ID: zk.Anyone}}, -1
	return t
}

func isFixed(path string) bool {
	return path == "/" || path == "/zookeeper" || path == "/zookeeper/config" || path == "/zookeeper/quota"
}

func (n *node) addChild(name string) {
	if n.children == nil {
		n.children = map[string]struct{}{}
	}
	n.children[name] = struct{}{}
}

// stat is what clients see. The cversion counts creations and removals of children; a node that no session owns has
// the owner 0, containers too.
func (n *node) stat() zk.Stat {
	s := zk.Stat{Czxid: n.czxid, Mzxid: n.mzxid, Ctime: n.ctime, Mtime: n.mtime, Version: n.version,
		Cversion: 2*n.created - int32(len(n.children)), Aversion: n.aversion, DataLength: int32(len(n.data)),
		NumChildren: int32(len(n.children)), Pzxid: n.pzxid}
	if n.kind == ephemeral {
		s.EphemeralOwner = n.limit
	}
	return s
}

// writable returns the node at path for changing it: itself, or a copy in its place if a snapshot may be reading it.
// What a snapshot does not read, the set of children, stays shared.
func (t *tree) writable(path string) *node {
	n := t.nodes[path]
	if n != nil && n.gen != t.gen {
		c := *n
		c.gen = t.gen
		n = &c
		t.nodes[path] = n
	}
	return n
}

// frozen is the tree at one time, to be read from another goroutine.
type frozen struct {
	zxid  int64
	paths []string
	nodes []*node
}

// freeze takes the tree as it is. It costs a pointer and a string header for each node; from then on changes copy.
func (t *tree) freeze() frozen {
	t.gen++
	f := frozen{zxid: t.zxid, paths: make([]string, 0, len(t.nodes)), nodes: make([]*node, 0, len(t.nodes))}
	for path, n := range t.nodes {
		f.paths, f.nodes = append(f.paths, path), append(f.nodes, n)
	}
	return f
}

// nextVersion of a node or an ACL. After the largest comes 0: the negative ones would look like "any".
func nextVersion(v int32) int32 {
	if v == math.MaxInt32 {
		return 0
	}
	return v + 1
}

// event is a change that may be watched. acl is that of the node concerned: of one that was removed, the last.
type event struct {
	kind zk.EventType
	path string
	acl  []zk.ACL
}

// apply makes one change of a transaction. It returns an error, and has done nothing, if the change does not fit the
// tree: for a change that was checked by this tree before, that is a mistake of ours; in a log, damage. The events it
// causes are appended to events.
func (t *tree) apply(x *txn, c *change, events []event) ([]event, error) {
	switch c.op {
	case opCreate:
		return t.create(x, c, events)
	case opRemove:
		return t.remove(x, c, events)
	case opSetData:
		n := t.writable(c.path)
		if n == nil {
			return events, misfit(x, c)
		}
		t.bytes += int64(len(c.data) - len(n.data))
		n.data, n.version, n.mzxid, n.mtime = c.data, c.version, x.zxid, x.millis
		return append(events, event{zk.EventDataChanged, c.path, n.acl}), nil
	case opSetACL:
		n := t.writable(c.path)
		if n == nil {
			return events, misfit(x, c)
		}
		n.acl, n.aversion = c.acl, c.version
		return events, nil
	case opOpenSession, opCloseSession, opNothing:
		return events, nil // not the tree's
	}
	return events, misfit(x, c)
}

func misfit(x *txn, c *change) error {
	return fmt.Errorf("transaction %#x: %s %q does not fit the tree", x.zxid, c.op, c.path)
}

func (t *tree) create(x *txn, c *change, events []event) ([]event, error) {
	up := zk.Parent(c.path)
	parent := t.nodes[up]
	if parent == nil || t.nodes[c.path] != nil {
		return events, misfit(x, c)
	}
	parent = t.writable(up)
	path := c.path
	n := &node{data: c.data, acl: c.acl, czxid: x.zxid, mzxid: x.zxid, pzxid: x.zxid, ctime: x.millis, mtime: x.millis,
		kind: c.kind, limit: c.limit, gen: t.gen}
	t.nodes[path] = n
	parent.addChild(zk.Base(path))
	parent.created, parent.pzxid = c.version, x.zxid
	t.bytes += int64(len(path) + len(c.data))
	t.enlist(path, n)
	return append(events, event{zk.EventCreated, path, c.acl}, event{zk.EventChildrenChanged, up, parent.acl}), nil
}

// enlist notes what will end the node.
func (t *tree) enlist(path string, n *node) {
	switch n.kind {
	case ephemeral:
		own := t.owned[n.limit]
		if own == nil {
			own = map[string]struct{}{}
			t.owned[n.limit] = own
		}
		own[path] = struct{}{}
	case container, timed:
		t.ending[path] = struct{}{}
	}
}

func (t *tree) remove(x *txn, c *change, events []event) ([]event, error) {
	n := t.nodes[c.path]
	if n == nil || len(n.children) > 0 || isFixed(c.path) {
		return events, misfit(x, c)
	}
	up := zk.Parent(c.path)
	parent := t.writable(up)
	delete(t.nodes, c.path)
	delete(parent.children, zk.Base(c.path))
	parent.pzxid = x.zxid
	t.bytes -= int64(len(c.path) + len(n.data))
	t.delist(c.path, n)
	return append(events, event{zk.EventDeleted, c.path, n.acl}, event{zk.EventChildrenChanged, up, parent.acl}), nil
}

func (t *tree) delist(path string, n *node) {
	switch n.kind {
	case ephemeral:
		own := t.owned[n.limit]
		if delete(own, path); len(own) == 0 {
			delete(t.owned, n.limit)
		}
	case container, timed:
		delete(t.ending, path)
	}
}

// undo is a change that was made and may have to be taken back: the multi it is part of has failed.
type undo struct {
	op     changeOp
	path   string
	node   node // as it was
	parent node // of a create or remove, as it was
}

// before remembers what c is about to change.
func (t *tree) before(c *change) undo {
	u := undo{op: c.op, path: c.path}
	if n := t.nodes[c.path]; n != nil {
		u.node = *n
	}
	if c.op == opCreate || c.op == opRemove {
		u.parent = *t.nodes[zk.Parent(c.path)]
	}
	return u
}

// takeBack restores what was before, in the reverse order of the changes.
func (t *tree) takeBack(list []undo) {
	for i := len(list) - 1; i >= 0; i-- {
		u := &list[i]
		switch u.op {
		case opCreate:
			n := t.nodes[u.path]
			delete(t.nodes, u.path)
			t.delist(u.path, n)
			t.bytes -= int64(len(u.path) + len(n.data))
			p := t.restore(zk.Parent(u.path), &u.parent)
			delete(p.children, zk.Base(u.path))
		case opRemove:
			n := u.node
			n.gen = t.gen
			t.nodes[u.path] = &n
			t.enlist(u.path, &n)
			t.bytes += int64(len(u.path) + len(n.data))
			p := t.restore(zk.Parent(u.path), &u.parent)
			p.addChild(zk.Base(u.path))
		case opSetData, opSetACL:
			t.bytes += int64(len(u.node.data) - len(t.nodes[u.path].data))
			t.restore(u.path, &u.node)
		}
	}
}

// restore gives the node at path the fields of was, but for the set of children.
func (t *tree) restore(path string, was *node) *node {
	n := t.writable(path)
	children := n.children
	*n = *was
	n.gen, n.children = t.gen, children
	return n
}

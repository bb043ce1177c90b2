package server

import (
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// request executes one packet of a connection that has a session.
func (c *Core) request(p *Peer, b []byte) {
	d := zk.NewDecoder(b)
	var h zk.RequestHeader
	if h.Decode(d); d.Err() != nil {
		p.hangUp()
		return
	}
	switch h.Op {
	case zk.OpPing:
		p.reply(h.Xid, nil, zk.OK)
	case zk.OpCloseSession:
		id := p.session.id
		c.endSession(id)
		p.reply(h.Xid, nil, zk.OK)
		p.session = nil
		p.hangUp()
	case zk.OpAuth:
		c.auth(p, &h, d)
	default:
		serve := operations[h.Op]
		if serve == nil {
			p.answer(&zk.ReplyHeader{Xid: h.Xid, Zxid: -1, Err: zk.Unimplemented}, nil)
			p.hangUp()
			return
		}
		body, err := serve(c, p, d)
		p.reply(h.Xid, body, err)
	}
}

// operation executes a request whose body is in d. The answer's body is nil if there is none.
type operation func(c *Core, p *Peer, d *zk.Decoder) (answer, zk.Error)

// answer appends the body of a reply.
type answer func(dst []byte) []byte

// operations are the requests that are answered by a header and perhaps a body. They are filled once and never change.
var operations = map[zk.Op]operation{
	zk.OpCreate:               create(zk.OpCreate),
	zk.OpCreate2:              create(zk.OpCreate2),
	zk.OpCreateContainer:      create(zk.OpCreateContainer),
	zk.OpCreateTTL:            create(zk.OpCreateTTL),
	zk.OpDelete:               write(&zk.VersionRequest{}, (*Core).planDelete),
	zk.OpSetData:              write(&zk.SetDataRequest{}, (*Core).planSetData),
	zk.OpSetACL:               write(&zk.SetACLRequest{}, (*Core).planSetACL),
	zk.OpMulti:                (*Core).multi,
	zk.OpMultiRead:            (*Core).multiRead,
	zk.OpExists:               (*Core).exists,
	zk.OpGetData:              (*Core).getData,
	zk.OpGetACL:               (*Core).getACL,
	zk.OpGetChildren:          (*Core).getChildren,
	zk.OpGetChildren2:         (*Core).getChildren2,
	zk.OpSync:                 (*Core).sync,
	zk.OpSetWatches:           setWatches(false),
	zk.OpSetWatches2:          setWatches(true),
	zk.OpAddWatch:             (*Core).addWatch,
	zk.OpCheckWatches:         (*Core).checkWatches,
	zk.OpRemoveWatches:        (*Core).removeWatches,
	zk.OpGetEphemerals:        (*Core).getEphemerals,
	zk.OpGetAllChildrenNumber: (*Core).getAllChildrenNumber,
	zk.OpWhoAmI:               (*Core).whoAmI,
	zk.OpReconfig:             func(*Core, *Peer, *zk.Decoder) (answer, zk.Error) { return nil, zk.ReconfigDisabled },
}

// reply answers a request: body only if err is OK.
func (p *Peer) reply(xid int32, body answer, err zk.Error) {
	p.answer(&zk.ReplyHeader{Xid: xid, Zxid: p.core.tree.zxid, Err: err}, body)
}

func (p *Peer) answer(h *zk.ReplyHeader, body answer) {
	start := p.begin()
	p.out = h.Append(p.out)
	if body != nil && h.Err == zk.OK {
		p.out = body(p.out)
	}
	p.end(start)
}

// auth adds an identity to the connection. A failure ends it.
func (c *Core) auth(p *Peer, h *zk.RequestHeader, d *zk.Decoder) {
	var r zk.AuthRequest
	r.Decode(d)
	err := zk.AuthFailed
	switch {
	case d.Err() != nil:
	case r.Scheme == "ip":
		err = zk.OK // every connection has its address's
	case r.Scheme == "digest":
		user, password, _ := strings.Cut(string(r.Auth), ":")
		id := zk.DigestID(user, password)
		if c.limits.SuperDigest != "" && id.ID == c.limits.SuperDigest {
			p.addID(zk.ID{Scheme: superScheme})
		}
		p.addID(id)
		err = zk.OK
	}
	p.answer(&zk.ReplyHeader{Xid: h.Xid, Err: err}, nil)
	if err != zk.OK {
		c.Stats.AuthFailures++
		p.hangUp()
	}
}

// maxIDs bounds what a connection can show to be: each is looked at with every check.
const maxIDs = 64

func (p *Peer) addID(id zk.ID) {
	for _, x := range p.ids {
		if x == id {
			return
		}
	}
	if len(p.ids) < maxIDs {
		p.ids = append(p.ids[:len(p.ids):len(p.ids)], id)
	}
}

// get is the node at a path; the empty one is the root's, as in ZooKeeper.
func (t *tree) get(path string) *node {
	if path == "" {
		path = "/"
	}
	return t.nodes[path]
}

// read is what all reads of one node have in common.
func (c *Core) read(p *Peer, path string, perm zk.Perms) (*node, zk.Error) {
	c.Stats.Reads++
	n := c.tree.get(path)
	switch {
	case n == nil:
		return nil, zk.NoNode
	case !allowed(n.acl, perm, p.ids):
		return nil, zk.NoAuth
	}
	return n, zk.OK
}

// watch sets a watch if that was asked for.
func (c *Core) watch(p *Peer, r *zk.ReadRequest, bits watchBits) zk.Error {
	if r.Watch && !c.watches.add(p, r.Path, bits) {
		return zk.QuotaExceeded
	}
	return zk.OK
}

func (c *Core) exists(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.ReadRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	if strings.IndexByte(r.Path, 0) >= 0 {
		return nil, zk.BadArguments
	}
	n, err := c.read(p, r.Path, zk.PermRead)
	if err == zk.NoAuth {
		return nil, err
	}
	if werr := c.watch(p, &r, watchData); werr != zk.OK {
		return nil, werr
	}
	if err != zk.OK {
		return nil, err
	}
	s := n.stat()
	return s.Append, zk.OK
}

func (c *Core) getData(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.ReadRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	n, err := c.read(p, r.Path, zk.PermRead)
	if err == zk.OK {
		err = c.watch(p, &r, watchData)
	}
	if err != zk.OK {
		return nil, err
	}
	s := n.stat()
	return func(dst []byte) []byte { return s.Append(zk.AppendBuffer(dst, n.data)) }, zk.OK
}

func (c *Core) getChildren(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	n, err := c.children(p, d)
	if err != zk.OK {
		return nil, err
	}
	return n.appendChildren, zk.OK
}

func (c *Core) getChildren2(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	n, err := c.children(p, d)
	if err != zk.OK {
		return nil, err
	}
	s := n.stat()
	return func(dst []byte) []byte { return s.Append(n.appendChildren(dst)) }, zk.OK
}

func (c *Core) children(p *Peer, d *zk.Decoder) (*node, zk.Error) {
	var r zk.ReadRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	n, err := c.read(p, r.Path, zk.PermRead)
	if err == zk.OK {
		err = c.watch(p, &r, watchChild)
	}
	return n, err
}

// appendChildren appends the names, in no order, as ZooKeeper.
func (n *node) appendChildren(dst []byte) []byte {
	dst = zk.AppendInt(dst, int32(len(n.children)))
	for name := range n.children {
		dst = zk.AppendString(dst, name)
	}
	return dst
}

func (c *Core) getACL(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.PathRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	n, err := c.read(p, r.Path, zk.PermRead|zk.PermAdmin)
	if err != zk.OK {
		return nil, err
	}
	acl := n.acl
	if !allowed(acl, zk.PermAdmin, p.ids) {
		acl = masked(acl)
	}
	s := n.stat()
	return func(dst []byte) []byte { return s.Append(zk.AppendACLs(dst, acl)) }, zk.OK
}

// sync needs no more than its place in the order: every read sees all that was written before.
func (c *Core) sync(_ *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.PathRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	return r.Append, zk.OK
}

func (c *Core) getEphemerals(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.PathRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	c.Stats.Reads++
	prefix := strings.TrimSpace(r.Path)
	var list []string
	for path := range c.tree.owned[p.session.id] {
		if prefix == "" || prefix == "/" || strings.HasPrefix(path, r.Path) {
			list = append(list, path)
		}
	}
	return func(dst []byte) []byte { return zk.AppendStrings(dst, list) }, zk.OK
}

// getAllChildrenNumber counts all nodes below a path.
func (c *Core) getAllChildrenNumber(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.PathRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	n, err := c.read(p, r.Path, zk.PermRead)
	if err != zk.OK {
		return nil, err
	}
	count := len(c.tree.nodes) - 1
	if r.Path != "/" && r.Path != "" {
		count = c.tree.below(r.Path, n)
	}
	return func(dst []byte) []byte { return zk.AppendInt(dst, int32(count)) }, zk.OK
}

func (t *tree) below(path string, n *node) int {
	count := len(n.children)
	for name := range n.children {
		at := zk.Join(path, name)
		count += t.below(at, t.nodes[at])
	}
	return count
}

// whoAmI tells names without what proves them.
func (c *Core) whoAmI(p *Peer, _ *zk.Decoder) (answer, zk.Error) {
	ids := make([]zk.ID, len(p.ids))
	for i, id := range p.ids {
		if id.Scheme == "digest" {
			id.ID, _, _ = strings.Cut(id.ID, ":")
		}
		ids[i] = id
	}
	return func(dst []byte) []byte { return zk.AppendIDs(dst, ids) }, zk.OK
}

func (c *Core) addWatch(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.WatchRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	bits := watchPersistent
	switch zk.WatchMode(r.Kind) {
	case zk.WatchPersistent:
	case zk.WatchPersistentRecursive:
		bits = watchRecursive
	default:
		return nil, zk.MarshallingError
	}
	if !c.watches.add(p, r.Path, bits) {
		return nil, zk.QuotaExceeded
	}
	// The body is an error code of its own, for no reason that anybody remembers.
	return func(dst []byte) []byte { return zk.AppendInt(dst, int32(zk.OK)) }, zk.OK
}

var watcherBits = map[zk.WatcherType]watchBits{
	zk.WatcherChildren: watchChild, zk.WatcherData: watchData, zk.WatcherAny: watchAll,
	zk.WatcherPersistent: watchPersistent, zk.WatcherPersistentRecursive: watchRecursive,
}

func (c *Core) checkWatches(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.WatchRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	if p.watches[r.Path]&watcherBits[zk.WatcherType(r.Kind)] == 0 {
		return nil, zk.NoWatcher
	}
	return nil, zk.OK
}

func (c *Core) removeWatches(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.WatchRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	if c.watches.remove(p, r.Path, watcherBits[zk.WatcherType(r.Kind)]) == 0 {
		return nil, zk.NoWatcher
	}
	return nil, zk.OK
}

// setWatches sets the watches of a client that was away. What has happened meanwhile is told at once, as far as the
// nodes show it (DataTree.setWatches).
func setWatches(withPersistent bool) operation {
	return func(c *Core, p *Peer, d *zk.Decoder) (answer, zk.Error) {
		r := zk.SetWatchesRequest{WithPersistent: withPersistent}
		if r.Decode(d); d.Err() != nil {
			return nil, zk.MarshallingError
		}
		ok := c.again(p, r.Data, watchData, func(n *node) zk.EventType {
			return missed(n, n != nil && n.mzxid > r.RelativeZxid, zk.EventDataChanged)
		})
		ok = ok && c.again(p, r.Exist, watchData, func(n *node) zk.EventType {
			if n != nil {
				return zk.EventCreated
			}
			return 0
		})
		ok = ok && c.again(p, r.Child, watchChild, func(n *node) zk.EventType {
			return missed(n, n != nil && n.pzxid > r.RelativeZxid, zk.EventChildrenChanged)
		})
		none := func(*node) zk.EventType { return 0 }
		ok = ok && c.again(p, r.Persistent, watchPersistent, none)
		ok = ok && c.again(p, r.PersistentRecursive, watchRecursive, none)
		if !ok {
			return nil, zk.QuotaExceeded
		}
		return nil, zk.OK
	}
}

func missed(n *node, changed bool, kind zk.EventType) zk.EventType {
	switch {
	case n == nil:
		return zk.EventDeleted
	case changed:
		return kind
	}
	return 0
}

// again sets the watches, or tells at once what happened (0: nothing did).
func (c *Core) again(p *Peer, paths []string, bits watchBits, happened func(*node) zk.EventType) bool {
	for _, path := range paths {
		n := c.tree.get(path)
		kind := happened(n)
		if kind == 0 {
			if !c.watches.add(p, path, bits) {
				return false
			}
			continue
		}
		e := event{kind: kind, path: path}
		if n != nil {
			e.acl = n.acl
		}
		p.notify(&e, c.tree.zxid)
	}
	return true
}

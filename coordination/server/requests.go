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
		p.reply(zk.XidPing, nil, zk.OK) // whatever came
	case zk.OpCloseSession:
		id := p.session.id
		c.endSession(id)
		p.reply(h.Xid, nil, zk.OK)
		p.session = nil
		p.hangUp()
	case zk.OpAuth:
		c.auth(p, &h, d)
	case zk.OpSASL:
		c.sasl(p, &h, d)
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
	zk.OpDelete:               (*Core).delete,
	zk.OpSetData:              write((*Core).planSetData),
	zk.OpSetACL:               write((*Core).planSetACL),
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
	zk.OpReconfig:             (*Core).reconfig,
}

// decode reads a request that names one node.
func decode(d *zk.Decoder, r zk.Record) bool {
	r.Decode(d)
	return d.Err() == nil && !d.NullPath()
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
	if !decode(d, &r) {
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
	if !decode(d, &r) {
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
	if !decode(d, &r) {
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
	if !decode(d, &r) {
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
	if !decode(d, &r) {
		return nil, zk.MarshallingError
	}
	n, err := c.read(p, r.Path, zk.PermRead)
	if err != zk.OK {
		return nil, err
	}
	var count int
	switch r.Path {
	case "/":
		count = len(c.tree.nodes) - 1
	case "": // DataTree has the root under both names, and looks for what begins with a slash
		count = len(c.tree.nodes)
	default:
		count = c.tree.below(r.Path, n)
	}
	return func(dst []byte) []byte { return zk.AppendInt(dst, int32(count)) }, zk.OK
}

// reconfig is answered as by a ZooKeeper that is alone.
func (c *Core) reconfig(_ *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.ReconfigRequest
	if r.Decode(d); d.Err() != nil {
		return nil, zk.MarshallingError
	}
	return nil, zk.ReconfigDisabled
}

func (t *tree) below(path string, n *node) int {
	count := len(n.children)
	for name := range n.children {
		at := zk.Join(path, name)
		count += t.below(at, t.nodes[at])
	}
	return count
}

package server

import (
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// A write is planned, which checks it in ZooKeeper's order and decides everything, and then made. The plan's error is
// the client's. Nothing changes, and no transaction id is used, if there is one.

// outcome is what a write's answer has.
type outcome struct {
	path string  // a create's
	stat zk.Stat // of the node afterwards; zero if it is gone
}

// write makes an operation of a plan for a request that is one change.
func write[R any, P interface {
	*R
	zk.Record
}](plan func(*Core, *Peer, P) (change, zk.Error)) operation {
	return func(c *Core, p *Peer, d *zk.Decoder) (answer, zk.Error) {
		r := P(new(R))
		if r.Decode(d); d.Err() != nil {
			return nil, zk.MarshallingError
		}
		ch, err := plan(c, p, r)
		if err != zk.OK {
			return nil, err
		}
		o := c.do(ch)
		return o.stat.Append, zk.OK
	}
}

func (c *Core) delete(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.VersionRequest
	if !decode(d, &r) {
		return nil, zk.MarshallingError
	}
	ch, err := c.planDelete(p, &r)
	if err == zk.OK {
		c.do(ch)
	}
	return nil, err
}

// create makes the operation for one of the creates. The oldest is answered with the path alone.
func create(op zk.Op) operation {
	return func(c *Core, p *Peer, d *zk.Decoder) (answer, zk.Error) {
		r := zk.CreateRequest{WithTTL: op == zk.OpCreateTTL}
		if r.Decode(d); d.Err() != nil {
			return nil, zk.MarshallingError
		}
		ch, err := c.planCreate(p, op, &r)
		if d.NullPath() && c.checkMode(&r) == zk.OK {
			err = zk.MarshallingError
		}
		if err != zk.OK {
			return nil, err
		}
		o := c.do(ch)
		return func(dst []byte) []byte {
			dst = zk.AppendString(dst, o.path)
			if op != zk.OpCreate {
				dst = o.stat.Append(dst)
			}
			return dst
		}, zk.OK
	}
}

// do makes a change by a transaction of its own.
func (c *Core) do(ch change) outcome {
	c.Stats.Writes++
	x := c.begin()
	x.changes = append(x.changes, ch)
	c.commit(x)
	return c.outcome(&x.changes[0])
}

func (c *Core) outcome(ch *change) outcome {
	o := outcome{path: ch.path}
	if n := c.tree.nodes[ch.path]; n != nil {
		o.stat = n.stat()
	}
	return o
}

// planCreate has the order of PrepRequestProcessor.pRequest2TxnCreate. What makes a container is the operation, not the
// mode.
func (c *Core) planCreate(p *Peer, op zk.Op, r *zk.CreateRequest) (ch change, err zk.Error) {
	if err := c.checkMode(r); err != zk.OK {
		return ch, err
	}
	slash := strings.LastIndexByte(r.Path, '/')
	if slash < 0 || strings.IndexByte(r.Path, 0) >= 0 {
		return ch, zk.BadArguments
	}
	acl, ok := resolve(r.ACL, p.ids)
	if !ok {
		return ch, zk.InvalidACL
	}
	parent := c.tree.get(r.Path[:slash])
	if parent == nil {
		return ch, zk.NoNode
	}
	if !allowed(parent.acl, zk.PermCreate, p.ids) {
		return ch, zk.NoAuth
	}
	path := r.Path
	if r.Mode.Sequential() {
		path += zk.SequenceSuffix(parent.created)
	}
	switch {
	case zk.CheckPath(path) != nil || strings.Count(path, "/") > c.limits.Depth:
		return ch, zk.BadArguments
	case c.tree.nodes[path] != nil:
		return ch, zk.NodeExists
	case parent.kind == ephemeral:
		return ch, zk.NoChildrenForEphemerals
	case len(c.tree.nodes) >= c.limits.Nodes || !c.fits(len(path)+len(r.Data)):
		return ch, zk.QuotaExceeded
	}
	ch = change{op: opCreate, path: path, data: r.Data, acl: acl, version: parent.created + 1}
	switch {
	case op == zk.OpCreateContainer:
		ch.kind = container
	case r.Mode.Ephemeral():
		ch.kind, ch.limit = ephemeral, p.session.id
	case r.Mode.HasTTL():
		ch.kind, ch.limit = timed, r.TTLMillis
	}
	return ch, zk.OK
}

// maxTTLMillis is EphemeralType.TTL's: 40 bits.
const maxTTLMillis = 1<<40 - 1

func (c *Core) checkMode(r *zk.CreateRequest) zk.Error {
	switch {
	case !r.Mode.Valid():
		return zk.BadArguments
	case r.Mode.HasTTL() && !c.limits.TTLNodes:
		return zk.Unimplemented
	case r.Mode.HasTTL() != r.WithTTL, r.WithTTL && (r.TTLMillis <= 0 || r.TTLMillis > maxTTLMillis):
		return zk.BadArguments
	}
	return zk.OK
}

// planDelete has the order of PrepRequestProcessor.pRequest2Txn for delete.
func (c *Core) planDelete(p *Peer, r *zk.VersionRequest) (ch change, err zk.Error) {
	slash := strings.LastIndexByte(r.Path, '/')
	if slash < 0 || strings.IndexByte(r.Path, 0) >= 0 || isFixed(r.Path) {
		return ch, zk.BadArguments
	}
	parent := c.tree.get(r.Path[:slash])
	if parent == nil {
		return ch, zk.NoNode
	}
	if !allowed(parent.acl, zk.PermDelete, p.ids) {
		return ch, zk.NoAuth
	}
	n := c.tree.nodes[r.Path]
	switch {
	case n == nil:
		return ch, zk.NoNode
	case r.Version != -1 && r.Version != n.version:
		return ch, zk.BadVersion
	case len(n.children) > 0:
		return ch, zk.NotEmpty
	}
	return change{op: opRemove, path: r.Path}, zk.OK
}

// target is the node that a write changes, if it may.
func (c *Core) target(p *Peer, path string, perm zk.Perms) (*node, zk.Error) {
	n := c.tree.nodes[path]
	switch {
	case zk.CheckPath(path) != nil:
		return nil, zk.BadArguments
	case n == nil:
		return nil, zk.NoNode
	case !allowed(n.acl, perm, p.ids):
		return nil, zk.NoAuth
	}
	return n, zk.OK
}

// fits tells whether the tree may grow by so many bytes.
func (c *Core) fits(n int) bool {
	return n <= 0 || c.limits.Bytes == 0 || c.tree.bytes+int64(n) <= c.limits.Bytes
}

func (c *Core) planSetData(p *Peer, r *zk.SetDataRequest) (ch change, err zk.Error) {
	n, err := c.target(p, r.Path, zk.PermWrite)
	if err != zk.OK {
		return ch, err
	}
	if r.Version != -1 && r.Version != n.version {
		return ch, zk.BadVersion
	}
	if !c.fits(len(r.Data) - len(n.data)) {
		return ch, zk.QuotaExceeded
	}
	return change{op: opSetData, path: r.Path, data: r.Data, version: nextVersion(n.version)}, zk.OK
}

func (c *Core) planSetACL(p *Peer, r *zk.SetACLRequest) (ch change, err zk.Error) {
	if zk.CheckPath(r.Path) != nil {
		return ch, zk.BadArguments
	}
	acl, ok := resolve(r.ACL, p.ids)
	if !ok {
		return ch, zk.InvalidACL
	}
	n, err := c.target(p, r.Path, zk.PermAdmin)
	if err != zk.OK {
		return ch, err
	}
	if r.Version != -1 && r.Version != n.aversion {
		return ch, zk.BadVersion
	}
	return change{op: opSetACL, path: r.Path, acl: acl, version: nextVersion(n.aversion)}, zk.OK
}

// check is a multi's: the version as it is at that point.
func (c *Core) check(p *Peer, r *zk.VersionRequest) zk.Error {
	n, err := c.target(p, r.Path, zk.PermRead)
	if err != zk.OK {
		return err
	}
	if r.Version != -1 && r.Version != n.version {
		return zk.BadVersion
	}
	return zk.OK
}

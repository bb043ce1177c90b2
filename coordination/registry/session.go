package registry

import (
	"context"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// session is what a Registry needs of a *client.Session.
//
// A call returns zk.ConnectionLoss if its outcome is unknown; one that was not sent waits for the next connection.
type session interface {
	ID() int64
	Create(ctx context.Context, path string, data []byte, acl []zk.ACL, mode zk.CreateMode) (string, zk.Stat, error)
	Delete(ctx context.Context, path string, version int32) error
	Exists(ctx context.Context, path string) (zk.Stat, bool, error)
	ExistsW(ctx context.Context, path string) (zk.Stat, bool, <-chan zk.Event, error)
	Get(ctx context.Context, path string) ([]byte, zk.Stat, error)
	GetW(ctx context.Context, path string) ([]byte, zk.Stat, <-chan zk.Event, error)
	Set(ctx context.Context, path string, data []byte, version int32) (zk.Stat, error)
	Children(ctx context.Context, path string) ([]string, zk.Stat, error)
	ChildrenW(ctx context.Context, path string) ([]string, zk.Stat, <-chan zk.Event, error)
	Unwatch(changed <-chan zk.Event)
	Sync(ctx context.Context, path string) error
	// transact does all of ops or none. If one fails, the error is its, and the results tell which it is: those before
	// it have none, those behind it have zk.RuntimeInconsistency.
	transact(ctx context.Context, ops []op) ([]result, error)
}

// op is a part of a transaction.
type op struct {
	kind    zk.Op // OpCreate, OpSetData, OpDelete, OpCheck
	path    string
	data    []byte
	acl     []zk.ACL
	mode    zk.CreateMode
	version int32
}

// result is what became of it.
type result struct {
	stat zk.Stat // of a set
	err  error
}

// size is how many bytes it has in a packet, or a few more.
func (o *op) size() int {
	n := 40 + len(o.path) + len(o.data)
	for _, a := range o.acl {
		n += 12 + len(a.ID.Scheme) + len(a.ID.ID)
	}
	return n
}

func (r *Registry) opCreate(path string, data []byte, mode zk.CreateMode) op {
	return op{kind: zk.OpCreate, path: path, data: data, acl: r.acl(path), mode: mode}
}

func opSet(path string, data []byte, version int32) op {
	return op{kind: zk.OpSetData, path: path, data: data, version: version}
}

func opDelete(path string) op { return op{kind: zk.OpDelete, path: path, version: -1} }

func opCheck(path string, version int32) op {
	return op{kind: zk.OpCheck, path: path, version: version}
}

// clientSession is a *client.Session as this package sees it.
type clientSession struct{ *client.Session }

func (c clientSession) transact(ctx context.Context, ops []op) ([]result, error) {
	list := make([]client.Op, len(ops))
	for i := range ops {
		list[i] = ops[i].forClient()
	}
	done, err := c.Multi(ctx, list...)
	results := make([]result, len(done))
	for i := range done {
		results[i] = result{done[i].Stat, done[i].Err}
	}
	return results, err
}

func (o *op) forClient() client.Op {
	switch o.kind {
	case zk.OpCreate:
		return client.CreateOp(o.path, o.data, o.acl, o.mode)
	case zk.OpSetData:
		return client.SetOp(o.path, o.data, o.version)
	case zk.OpDelete:
		return client.DeleteOp(o.path, o.version)
	case zk.OpCheck:
		return client.CheckOp(o.path, o.version)
	}
	panic("BUG: a part of a transaction of type " + o.kind.String())
}

package client

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// The requests. Versions of -1 mean any. Slices that are passed in are not kept, those returned are the caller's. An
// error is an *OpError, for errors.Is with the codes of package zk.

func decodePath(r *result, d *zk.Decoder)     { r.path = d.String() }
func decodeStat(r *result, d *zk.Decoder)     { r.stat.Decode(d) }
func decodeNames(r *result, d *zk.Decoder)    { r.names = d.Strings() }
func decodePathStat(r *result, d *zk.Decoder) { r.path = d.String(); r.stat.Decode(d) }
func decodeData(r *result, d *zk.Decoder)     { r.data = d.Buffer(); r.stat.Decode(d) }
func decodeChildren(r *result, d *zk.Decoder) { r.names = d.Strings(); r.stat.Decode(d) }
func decodeACL(r *result, d *zk.Decoder)      { r.acl = d.ACLs(); r.stat.Decode(d) }

// Create makes a node and returns its path, which differs from the one asked for if it is sequential, and its stat; for
// TTL modes see CreateTTL. acl nil is zk.OpenACL.
func (s *Session) Create(ctx context.Context, path string, data []byte, acl []zk.ACL, mode zk.CreateMode) (created string, stat zk.Stat, err error) {
	return s.create(ctx, path, data, acl, mode, 0)
}

// CreateTTL makes a node that the server deletes when it has no children and was not changed for ttl. Servers do that
// if they are set up for it (extendedTypesEnabled), others answer zk.Unimplemented.
func (s *Session) CreateTTL(ctx context.Context, path string, data []byte, acl []zk.ACL, mode zk.CreateMode, ttl time.Duration) (created string, stat zk.Stat, err error) {
	return s.create(ctx, path, data, acl, mode, ttl)
}

func (s *Session) create(ctx context.Context, path string, data []byte, acl []zk.ACL, mode zk.CreateMode, ttl time.Duration) (string, zk.Stat, error) {
	op, r, err := s.createRequest(path, data, acl, mode, ttl)
	if err != nil {
		return "", zk.Stat{}, err
	}
	c := newCall(op, path, r, decodePathStat)
	if err := s.do(ctx, c); err != nil {
		return "", zk.Stat{}, err
	}
	return s.strip(c.res.path), c.res.stat, nil
}

func (s *Session) createRequest(path string, data []byte, acl []zk.ACL, mode zk.CreateMode, ttl time.Duration) (zk.Op, *zk.CreateRequest, error) {
	op := zk.OpCreate2
	switch {
	case mode == zk.Container:
		op = zk.OpCreateContainer
	case mode.HasTTL():
		op = zk.OpCreateTTL
	}
	check := path
	if mode.Sequential() {
		check += "1" // a name may be digits only
	}
	if _, err := s.full(check, op); err != nil {
		return 0, nil, err
	}
	if acl == nil {
		acl = zk.OpenACL
	}
	return op, &zk.CreateRequest{Path: s.below(path), Data: data, ACL: acl, Mode: mode, TTLMillis: ttl.Milliseconds(),
		WithTTL: mode.HasTTL()}, nil
}

// Delete removes a node.
func (s *Session) Delete(ctx context.Context, path string, version int32) error {
	at, err := s.full(path, zk.OpDelete)
	if err != nil {
		return err
	}
	return s.do(ctx, newCall(zk.OpDelete, path, &zk.VersionRequest{Path: at, Version: version}, nil))
}

// Set replaces a node's data; nil and empty data differ.
func (s *Session) Set(ctx context.Context, path string, data []byte, version int32) (zk.Stat, error) {
	at, err := s.full(path, zk.OpSetData)
	if err != nil {
		return zk.Stat{}, err
	}
	c := newCall(zk.OpSetData, path, &zk.SetDataRequest{Path: at, Data: data, Version: version}, decodeStat)
	if err := s.do(ctx, c); err != nil {
		return zk.Stat{}, err
	}
	return c.res.stat, nil
}

// read sends exists, getData or getChildren2, with a watch of that kind if it has one.
func (s *Session) read(ctx context.Context, op zk.Op, path string, decode func(*result, *zk.Decoder), o *once) (*result, error) {
	at, err := s.full(path, op)
	if err != nil {
		return nil, err
	}
	c := newCall(op, path, &zk.ReadRequest{Path: at, Watch: o != nil}, decode)
	if o != nil {
		o.path, o.named, o.c = at, path, make(chan zk.Event, 1)
		c.watch = o
	}
	if err := s.do(ctx, c); err != nil {
		return nil, err
	}
	return &c.res, nil
}

// Exists tells whether there is a node. It needs the right to read it.
func (s *Session) Exists(ctx context.Context, path string) (stat zk.Stat, found bool, err error) {
	return s.exists(ctx, path, nil)
}

// ExistsW is Exists with a watch that fires when the node is created, deleted, or its data set. See GetW.
func (s *Session) ExistsW(ctx context.Context, path string) (stat zk.Stat, found bool, changed <-chan zk.Event, err error) {
	o := &once{kind: watchData, absent: true}
	stat, found, err = s.exists(ctx, path, o)
	if err != nil {
		return zk.Stat{}, false, nil, err
	}
	return stat, found, o.c, nil
}

func (s *Session) exists(ctx context.Context, path string, o *once) (zk.Stat, bool, error) {
	r, err := s.read(ctx, zk.OpExists, path, decodeStat, o)
	switch {
	case errors.Is(err, zk.NoNode):
		return zk.Stat{}, false, nil
	case err != nil:
		return zk.Stat{}, false, err
	}
	return r.stat, true, nil
}

// Get returns a node's data.
func (s *Session) Get(ctx context.Context, path string) (data []byte, stat zk.Stat, err error) {
	return s.get(ctx, path, nil)
}

// GetW is Get with a watch: the channel, of capacity 1, has one event when the data is set or the node is deleted. Of
// type zk.EventNone it says that the server has lost the watch and changes may have been missed. The channel is closed
// when the session is over. No watch is set if there is no node, or another error: the channel is nil then.
func (s *Session) GetW(ctx context.Context, path string) (data []byte, stat zk.Stat, changed <-chan zk.Event, err error) {
	o := &once{kind: watchData}
	if data, stat, err = s.get(ctx, path, o); err != nil {
		return nil, zk.Stat{}, nil, err
	}
	return data, stat, o.c, nil
}

func (s *Session) get(ctx context.Context, path string, o *once) ([]byte, zk.Stat, error) {
	r, err := s.read(ctx, zk.OpGetData, path, decodeData, o)
	if err != nil {
		return nil, zk.Stat{}, err
	}
	return r.data, r.stat, nil
}

// Children returns the names of a node's children, in no order.
func (s *Session) Children(ctx context.Context, path string) (names []string, stat zk.Stat, err error) {
	return s.children(ctx, path, nil)
}

// ChildrenW is Children with a watch that fires when a child is created or deleted, or the node deleted. See GetW.
func (s *Session) ChildrenW(ctx context.Context, path string) (names []string, stat zk.Stat, changed <-chan zk.Event, err error) {
	o := &once{kind: watchChild}
	if names, stat, err = s.children(ctx, path, o); err != nil {
		return nil, zk.Stat{}, nil, err
	}
	return names, stat, o.c, nil
}

func (s *Session) children(ctx context.Context, path string, o *once) ([]string, zk.Stat, error) {
	r, err := s.read(ctx, zk.OpGetChildren2, path, decodeChildren, o)
	if err != nil {
		return nil, zk.Stat{}, err
	}
	return r.names, r.stat, nil
}

// ACL returns who may do what with a node. The version of a change is stat.Aversion.
func (s *Session) ACL(ctx context.Context, path string) (acl []zk.ACL, stat zk.Stat, err error) {
	r, err := s.onPath(ctx, zk.OpGetACL, path, decodeACL)
	if err != nil {
		return nil, zk.Stat{}, err
	}
	return r.acl, r.stat, nil
}

// SetACL replaces it. version is that of the ACL.
func (s *Session) SetACL(ctx context.Context, path string, acl []zk.ACL, version int32) (zk.Stat, error) {
	at, err := s.full(path, zk.OpSetACL)
	if err != nil {
		return zk.Stat{}, err
	}
	c := newCall(zk.OpSetACL, path, &zk.SetACLRequest{Path: at, ACL: acl, Version: version}, decodeStat)
	if err := s.do(ctx, c); err != nil {
		return zk.Stat{}, err
	}
	return c.res.stat, nil
}

// onPath is a request that has a path alone.
func (s *Session) onPath(ctx context.Context, op zk.Op, path string, decode func(*result, *zk.Decoder)) (*result, error) {
	at, err := s.full(path, op)
	if err != nil {
		return nil, err
	}
	c := newCall(op, path, &zk.PathRequest{Path: at}, decode)
	if err := s.do(ctx, c); err != nil {
		return nil, err
	}
	return &c.res, nil
}

// Sync waits until the server that is connected to has all that was written before anywhere in the ensemble.
func (s *Session) Sync(ctx context.Context, path string) error {
	_, err := s.onPath(ctx, zk.OpSync, path, decodePath)
	return err
}

// Ephemerals returns the paths of the session's own ephemeral nodes that begin with prefix.
func (s *Session) Ephemerals(ctx context.Context, prefix string) ([]string, error) {
	r, err := s.onPath(ctx, zk.OpGetEphemerals, prefix, decodeNames)
	if err != nil {
		return nil, err
	}
	names := r.names[:0]
	for _, n := range r.names {
		if p, ok := s.stripped(n); ok {
			names = append(names, p)
		}
	}
	return names, nil
}

// AllChildrenNumber counts the nodes below a path.
func (s *Session) AllChildrenNumber(ctx context.Context, path string) (int, error) {
	r, err := s.onPath(ctx, zk.OpGetAllChildrenNumber, path, func(r *result, d *zk.Decoder) { r.count = d.Int() })
	if err != nil {
		return 0, err
	}
	return int(r.count), nil
}

// WhoAmI returns what the connection has shown to be.
func (s *Session) WhoAmI(ctx context.Context) ([]zk.ID, error) {
	c := newCall(zk.OpWhoAmI, "", nil, func(r *result, d *zk.Decoder) { r.ids = d.IDs() })
	if err := s.do(ctx, c); err != nil {
		return nil, err
	}
	return c.res.ids, nil
}

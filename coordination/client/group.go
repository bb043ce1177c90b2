package client

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Group is a set of members, each an ephemeral node below Dir that goes with its session.
type Group struct {
	Session *Session
	Dir     string   // made if it is not there
	ACL     []zk.ACL // of the nodes; nil is zk.OpenACL
}

// Join makes the session a member by that name, or replaces its data if it is one. zk.NodeExists: the name belongs to
// another session, which may be an earlier one of the same process that has not ended yet.
func (g *Group) Join(ctx context.Context, name string, data []byte) (zk.Stat, error) {
	path := zk.Join(g.Dir, name)
	var stat zk.Stat
	err := Retry(ctx, func() (err error) {
		_, stat, err = g.Session.Create(ctx, path, data, g.ACL, zk.Ephemeral)
		switch {
		case errors.Is(err, zk.NoNode):
			if err := g.Session.MakePath(ctx, g.Dir, g.ACL); err != nil {
				return err
			}
			return ErrConnectionLoss // so it is tried again
		case errors.Is(err, zk.NodeExists):
			stat, err = g.rejoin(ctx, path, data, err)
		}
		return err
	})
	return stat, err
}

// rejoin looks whose node it is that exists: the answer to our create may have been lost.
func (g *Group) rejoin(ctx context.Context, path string, data []byte, exists error) (zk.Stat, error) {
	stat, found, err := g.Session.Exists(ctx, path)
	switch {
	case err != nil:
		return zk.Stat{}, err
	case !found:
		return zk.Stat{}, ErrConnectionLoss // it has just gone: tried again
	case stat.EphemeralOwner != g.Session.ID():
		return zk.Stat{}, exists
	}
	return g.Session.Set(ctx, path, data, -1)
}

// Leave ends the membership of a name that this session has.
func (g *Group) Leave(ctx context.Context, name string) error {
	err := Retry(ctx, func() error { return g.Session.Delete(ctx, zk.Join(g.Dir, name), -1) })
	if errors.Is(err, zk.NoNode) {
		return nil
	}
	return err
}

// Members returns the names in order, and when to ask again.
func (g *Group) Members(ctx context.Context) (names []string, changed <-chan zk.Event, err error) {
	err = Retry(ctx, func() (err error) {
		names, _, changed, err = g.Session.ChildrenW(ctx, g.Dir)
		if errors.Is(err, zk.NoNode) {
			var found bool
			if _, found, changed, err = g.Session.ExistsW(ctx, g.Dir); found {
				return ErrConnectionLoss // it has just come: tried again
			}
		}
		return err
	})
	slices.Sort(names)
	return names, changed, err
}

// Get returns what a member has told of itself.
func (g *Group) Get(ctx context.Context, name string) (data []byte, stat zk.Stat, err error) {
	err = Retry(ctx, func() (err error) {
		data, stat, err = g.Session.Get(ctx, zk.Join(g.Dir, name))
		return err
	})
	return data, stat, err
}

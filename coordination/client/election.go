package client

import (
	"context"
	"errors"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Election is ZooKeeper's recipe: each candidate makes a sequential ephemeral node below Dir, and the one with the
// smallest number leads: master0000000001, and when it goes, master0000000002. A leader that returns is a candidate like
// any other and gets a new number.
type Election struct {
	Session *Session
	Dir     string   // made if it is not there
	Prefix  string   // of the nodes; "" is "master"
	ACL     []zk.ACL // of the nodes; nil is zk.OpenACL
}

func (e *Election) prefix() string {
	if e.Prefix == "" {
		return "master"
	}
	return e.Prefix
}

// Campaign waits until this candidate leads. data is what others see of it. When ctx ends it is no candidate any more.
func (e *Election) Campaign(ctx context.Context, data []byte) (*Held, error) {
	t, err := e.Session.draw(ctx, e.Dir, e.prefix(), data, e.ACL)
	if err != nil {
		return nil, err
	}
	return hold(ctx, t)
}

// Leader is who leads.
type Leader struct {
	Path string
	Data []byte
	Zxid int64 // larger for each later leader
	// Session is whose node it is.
	Session int64
}

// Leader tells who leads, nil for nobody, and when to ask again.
func (e *Election) Leader(ctx context.Context) (leader *Leader, changed <-chan zk.Event, err error) {
	err = Retry(ctx, func() (err error) {
		leader, changed, err = e.leader(ctx)
		return err
	})
	return leader, changed, err
}

func (e *Election) leader(ctx context.Context) (*Leader, <-chan zk.Event, error) {
	for {
		names, _, joined, err := e.Session.ChildrenW(ctx, e.Dir)
		if errors.Is(err, zk.NoNode) {
			_, found, made, err := e.Session.ExistsW(ctx, e.Dir)
			if err != nil || !found {
				return nil, made, err
			}
			e.Session.Unwatch(made)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		line := places(names, e.prefix())
		if len(line) == 0 {
			return nil, joined, nil
		}
		e.Session.Unwatch(joined) // nobody gets in before the first
		path := zk.Join(e.Dir, line[0].name)
		data, stat, gone, err := e.Session.GetW(ctx, path)
		if errors.Is(err, zk.NoNode) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		return &Leader{Path: path, Data: data, Zxid: stat.Czxid, Session: stat.EphemeralOwner}, gone, nil
	}
}

package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Counter is a number that many add to: the decimal text of a node, changed by compare-and-set.
type Counter struct {
	Session *Session
	Path    string   // made if it is not there
	ACL     []zk.ACL // nil is zk.OpenACL
}

// Get returns the number, 0 if there is no node, and the node's version, -1 for none.
func (c *Counter) Get(ctx context.Context) (n int64, version int32, err error) {
	var data []byte
	var stat zk.Stat
	err = Retry(ctx, func() (err error) {
		data, stat, err = c.Session.Get(ctx, c.Path)
		return err
	})
	switch {
	case errors.Is(err, zk.NoNode):
		return 0, -1, nil
	case err != nil:
		return 0, 0, err
	}
	if n, err = strconv.ParseInt(string(data), 10, 64); err != nil {
		return 0, 0, fmt.Errorf("counter %s: %q is no number", c.Path, data)
	}
	return n, stat.Version, nil
}

// Add adds d and returns the sum. ErrConnectionLoss says that it may have been added or not; who wants numbers of which
// none is ever given twice, and does not mind if some are never given, just calls again.
func (c *Counter) Add(ctx context.Context, d int64) (int64, error) {
	for {
		n, version, err := c.Get(ctx)
		if err != nil {
			return 0, err
		}
		n += d
		switch err = c.put(ctx, n, version); {
		case err == nil:
			return n, nil
		case errors.Is(err, zk.NoNode):
			if err := c.Session.MakePath(ctx, zk.Parent(c.Path), c.ACL); err != nil {
				return 0, err
			}
		case errors.Is(err, zk.BadVersion), errors.Is(err, zk.NodeExists): // somebody was faster
		default:
			return 0, err
		}
	}
}

func (c *Counter) put(ctx context.Context, n int64, version int32) error {
	data := strconv.AppendInt(nil, n, 10)
	if version < 0 {
		_, _, err := c.Session.Create(ctx, c.Path, data, c.ACL, zk.Persistent)
		return err
	}
	_, err := c.Session.Set(ctx, c.Path, data, version)
	return err
}

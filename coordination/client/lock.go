package client

import (
	"context"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Lock is ZooKeeper's recipe for a lock, which those who wait get in the order in which they came.
type Lock struct {
	Session *Session
	Dir     string   // of the nodes of those who hold it or wait; made if it is not there
	ACL     []zk.ACL // nil is zk.OpenACL
}

const lockPrefix = "lock-"

// Lock waits until it is held. data is what others see of the holder.
func (l *Lock) Lock(ctx context.Context, data []byte) (*Held, error) {
	t, err := l.Session.draw(ctx, l.Dir, lockPrefix, data, l.ACL)
	if err != nil {
		return nil, err
	}
	return hold(ctx, t)
}

// TryLock does not wait for others: nil if somebody holds it or waits.
func (l *Lock) TryLock(ctx context.Context, data []byte) (*Held, error) {
	t, err := l.Session.draw(ctx, l.Dir, lockPrefix, data, l.ACL)
	if err != nil {
		return nil, err
	}
	var path string
	err = Retry(ctx, func() (err error) {
		var changed <-chan zk.Event
		path, changed, err = t.before(ctx)
		l.Session.Unwatch(changed)
		return err
	})
	if err == nil && path == "" {
		return newHeld(t), nil
	}
	if errBack := t.giveBack(ctx); errBack != nil {
		t.giveUp()
	}
	return nil, err
}

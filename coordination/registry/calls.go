package registry

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// again calls f until its outcome is known. lost tells that a try before the last one may have been executed, so that
// an answer like "node exists" may be about our own doing.
func again(ctx context.Context, f func() error) (lost bool, err error) {
	for {
		err = f()
		if !errors.Is(err, zk.ConnectionLoss) {
			return lost, err
		}
		if ctx.Err() != nil {
			return true, context.Cause(ctx)
		}
		lost = true
	}
}

func (r *Registry) get(ctx context.Context, path string) (data []byte, stat zk.Stat, err error) {
	_, err = again(ctx, func() (err error) {
		data, stat, err = r.s.Get(ctx, path)
		return err
	})
	return data, stat, err
}

func (r *Registry) getW(ctx context.Context, path string) (data []byte, stat zk.Stat, stale <-chan zk.Event, err error) {
	_, err = again(ctx, func() (err error) {
		data, stat, stale, err = r.s.GetW(ctx, path)
		return err
	})
	return data, stat, stale, err
}

// existsW is for nodes that may not be there yet: it watches for them, too.
func (r *Registry) existsW(ctx context.Context, path string) (found bool, stale <-chan zk.Event, err error) {
	_, err = again(ctx, func() (err error) {
		_, found, stale, err = r.s.ExistsW(ctx, path)
		return err
	})
	return found, stale, err
}

func (r *Registry) exists(ctx context.Context, path string) (stat zk.Stat, found bool, err error) {
	_, err = again(ctx, func() (err error) {
		stat, found, err = r.s.Exists(ctx, path)
		return err
	})
	return stat, found, err
}

// children are the names of a node's children; none if the node is not there.
func (r *Registry) children(ctx context.Context, path string) (names []string, err error) {
	_, err = again(ctx, func() (err error) {
		names, _, err = r.s.Children(ctx, path)
		return err
	})
	if errors.Is(err, zk.NoNode) {
		return nil, nil
	}
	return names, at(path, err)
}

// childrenW is children with a watch. A node that is not there is made, since else nothing could be watched.
func (r *Registry) childrenW(ctx context.Context, path string) (names []string, stale <-chan zk.Event, err error) {
	for {
		_, err = again(ctx, func() (err error) {
			names, _, stale, err = r.s.ChildrenW(ctx, path)
			return err
		})
		if !errors.Is(err, zk.NoNode) {
			return names, stale, at(path, err)
		}
		if err := r.ensure(ctx, path); err != nil {
			return nil, nil, err
		}
	}
}

// set repeats a lost write. With a version that is a compare-and-set: an answer of zk.BadVersion may be about our own
// first try, which the caller has to find out.
func (r *Registry) set(ctx context.Context, path string, data []byte, version int32) (stat zk.Stat, err error) {
	_, err = again(ctx, func() (err error) {
		stat, err = r.s.Set(ctx, path, data, version)
		return err
	})
	return stat, err
}

// swap replaces a node's data by what change makes of it; without a node, of nil. It is a compare-and-set: change is
// called again if somebody else was quicker. An error of change is returned, and nothing is written then. With adopt, a
// node that says in the expected version what a try was to write counts as written by it: so a lost reply is found out.
// Without it the change is made once more.
func (r *Registry) swap(ctx context.Context, path string, adopt bool, change func(old []byte) ([]byte, error)) error {
	var wrote []byte       // by a try that may have been executed
	var becomes int32 = -1 // the version that it would have made
	for {
		old, stat, err := r.get(ctx, path)
		found := !errors.Is(err, zk.NoNode)
		if found && err != nil {
			return at(path, err)
		}
		if adopt && found && stat.Version == becomes && bytes.Equal(old, wrote) {
			return nil
		}
		if wrote, err = change(old); err != nil {
			return err
		}
		if found {
			becomes = stat.Version + 1
			_, err = r.set(ctx, path, wrote, stat.Version)
		} else {
			becomes = 0
			err = r.createDeep(ctx, path, wrote)
		}
		if !ownFault(err) {
			return at(path, err)
		}
	}
}

// create makes a persistent node.
func (r *Registry) create(ctx context.Context, path string, data []byte) (lost bool, err error) {
	return again(ctx, func() error {
		_, _, err := r.s.Create(ctx, path, data, r.acl(path), zk.Persistent)
		return err
	})
}

// append makes a node whose name the server completes with a number. If a reply was lost there are two of it, which
// does no harm to a notification.
func (r *Registry) append(ctx context.Context, prefix string, data []byte) error {
	_, err := again(ctx, func() error {
		_, _, err := r.s.Create(ctx, prefix, data, r.acl(prefix), zk.PersistentSequential)
		return err
	})
	if errors.Is(err, zk.NoNode) {
		if err := r.ensure(ctx, zk.Parent(prefix)); err != nil {
			return err
		}
		return r.append(ctx, prefix, data)
	}
	return at(prefix, err)
}

// createDeep makes a node and its parents.
func (r *Registry) createDeep(ctx context.Context, path string, data []byte) error {
	_, err := r.create(ctx, path, data)
	if !errors.Is(err, zk.NoNode) {
		return err
	}
	if err := r.ensure(ctx, zk.Parent(path)); err != nil {
		return err
	}
	_, err = r.create(ctx, path, data)
	return err
}

// ensure makes a node without data, and its parents, if it is not there.
func (r *Registry) ensure(ctx context.Context, path string) error {
	if path == "/" || path == "" {
		return nil
	}
	_, err := r.create(ctx, path, nil)
	if errors.Is(err, zk.NoNode) {
		if err := r.ensure(ctx, zk.Parent(path)); err != nil {
			return err
		}
		_, err = r.create(ctx, path, nil)
	}
	if err == nil || errors.Is(err, zk.NodeExists) {
		return nil
	}
	return at(path, err)
}

// remove deletes a node, if it is there and has that version; -1: any.
func (r *Registry) remove(ctx context.Context, path string, version int32) error {
	_, err := again(ctx, func() error { return r.s.Delete(ctx, path, version) })
	if errors.Is(err, zk.NoNode) {
		return nil
	}
	return at(path, err)
}

// dropEmpty removes a node if nothing is in it, by empty, and nothing below it. It tells whether the node is gone. Who
// puts something into it meanwhile finds it there.
func (r *Registry) dropEmpty(ctx context.Context, path string, empty func(data []byte) (bool, error)) (gone bool, err error) {
	data, stat, err := r.get(ctx, path)
	if errors.Is(err, zk.NoNode) {
		return true, nil
	}
	if err != nil {
		return false, at(path, err)
	}
	if is, err := empty(data); err != nil || !is {
		return false, err
	}
	switch err := r.remove(ctx, path, stat.Version); {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrChanged) || errors.Is(err, zk.NotEmpty):
		return false, nil
	default:
		return false, err
	}
}

// inFlight is how many requests are under way at the same time when there are many to be made: enough to fill a
// coordinator's batches, few enough to leave room for others on the session.
const inFlight = 256

// each calls f for 0 to n-1, several at the same time, and returns when all have. After an error, which it returns,
// it begins no more.
func each(n, width int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range min(n, width) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

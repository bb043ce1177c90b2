package server

import "github.com/sluice-mq/sluice/coordination/zk"

func (c *Core) addWatch(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.WatchRequest
	if !decode(d, &r) {
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
	if !decode(d, &r) {
		return nil, zk.MarshallingError
	}
	bits, ok := watcherBits[zk.WatcherType(r.Kind)]
	switch {
	case !ok:
		return nil, zk.MarshallingError
	case p.watches[r.Path]&bits == 0:
		return nil, zk.NoWatcher
	}
	return nil, zk.OK
}

func (c *Core) removeWatches(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.WatchRequest
	if !decode(d, &r) {
		return nil, zk.MarshallingError
	}
	bits, ok := watcherBits[zk.WatcherType(r.Kind)]
	switch {
	case !ok:
		return nil, zk.MarshallingError
	case c.watches.remove(p, r.Path, bits) == 0:
		return nil, zk.NoWatcher
	}
	return nil, zk.OK
}

// setWatches sets the watches of a client that was away. What has happened meanwhile is told at once, as far as the
// nodes show it (DataTree.setWatches).
func setWatches(withPersistent bool) operation {
	return func(c *Core, p *Peer, d *zk.Decoder) (answer, zk.Error) {
		r := zk.SetWatchesRequest{WithPersistent: withPersistent}
		if !decode(d, &r) {
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

// noZxid is what events have that tell of no transaction (WatchedEvent.NO_ZXID).
const noZxid = -1

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
		// Of no transaction, and to whoever asks, as ZooKeeper's.
		p.notify(&event{kind: kind, path: path}, noZxid)
	}
	return true
}

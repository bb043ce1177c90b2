package server

import "github.com/sluice-mq/sluice/coordination/zk"

// watchBits are the kinds of watches that a connection has on a path.
type watchBits uint8

const (
	watchData       watchBits = 1 << iota // set by exists and getData, gone when it fires
	watchChild                            // set by getChildren, gone when it fires
	watchPersistent                       // fires for both and stays
	watchRecursive                        // fires for data events on the path and below it, and stays
	watchOnce       = watchData | watchChild
	watchAll        = watchOnce | watchPersistent | watchRecursive
)

// watches are those of all connections: one table by path, and in each connection the way back.
type watches struct {
	at        map[string]map[*Peer]watchBits
	count     int // pairs of connection, path and kind
	bytes     int // what pairs of connection and path take, some; see maxWatchBytes
	recursive int // how many of them are recursive: without any, no ancestors are looked at
	told      uint64
}

// maxWatchBytes bounds the memory of all connections' watches, whose paths can be as long as a packet; watchSize is what
// one takes besides its path.
const (
	maxWatchBytes = 512 << 20
	watchSize     = 200
)

func newWatches() watches { return watches{at: map[string]map[*Peer]watchBits{}} }

// add sets watches of a connection. It tells whether the connection may have as many.
func (w *watches) add(p *Peer, path string, bits watchBits) bool {
	old := p.watches[path]
	added := bits &^ old
	if added == 0 {
		return true
	}
	if p.watchCount >= p.core.limits.Watches || w.bytes > maxWatchBytes {
		return false
	}
	if old == 0 {
		w.bytes += len(path) + watchSize
	}
	peers := w.at[path]
	if peers == nil {
		peers = map[*Peer]watchBits{}
		w.at[path] = peers
	}
	if p.watches == nil {
		p.watches = map[string]watchBits{}
	}
	peers[p], p.watches[path] = old|bits, old|bits
	w.counted(p, added, 1)
	return true
}

func (w *watches) counted(p *Peer, bits watchBits, by int) {
	for b := watchData; b <= watchRecursive; b <<= 1 {
		if bits&b != 0 {
			w.count += by
			p.watchCount += by
		}
	}
	if bits&watchRecursive != 0 {
		w.recursive += by
	}
}

// remove takes watches away and tells which of them there were.
func (w *watches) remove(p *Peer, path string, bits watchBits) watchBits {
	old := p.watches[path]
	gone := old & bits
	if gone == 0 {
		return 0
	}
	w.counted(p, gone, -1)
	left := old &^ bits
	if left != 0 {
		p.watches[path], w.at[path][p] = left, left
		return gone
	}
	w.bytes -= len(path) + watchSize
	delete(p.watches, path)
	peers := w.at[path]
	if delete(peers, p); len(peers) == 0 {
		delete(w.at, path)
	}
	return gone
}

// forget takes away all that a connection has.
func (w *watches) forget(p *Peer) {
	for path := range p.watches {
		w.remove(p, path, watchAll)
	}
}

// tell sends e to every connection that watches it and may read the node, once each. zxid is that of the change.
func (w *watches) tell(e *event, zxid int64) {
	fires := watchData | watchPersistent | watchRecursive
	switch e.kind {
	case zk.EventDeleted:
		fires |= watchChild
	case zk.EventChildrenChanged:
		fires = watchChild | watchPersistent
	}
	w.told++
	for p, bits := range w.at[e.path] {
		if bits&fires != 0 {
			w.remove(p, e.path, bits&fires&watchOnce)
			w.notify(p, e, zxid)
		}
	}
	if w.recursive == 0 || e.kind == zk.EventChildrenChanged {
		return
	}
	for up := zk.Parent(e.path); up != ""; up = zk.Parent(up) {
		for p, bits := range w.at[up] {
			if bits&watchRecursive != 0 {
				w.notify(p, e, zxid)
			}
		}
	}
}

func (w *watches) notify(p *Peer, e *event, zxid int64) {
	if p.told != w.told {
		p.told = w.told
		p.notify(e, zxid)
	}
}

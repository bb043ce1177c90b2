package client

import (
	"context"
	"errors"
	"sync"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// watchQueue is how many events a persistent watch keeps for a receiver that is slow. At the bound they are all dropped
// and replaced by one of type zk.EventNone.
const watchQueue = 1024

// Watch is a persistent watch: it stays until Close or the end of the session. C has the events in order, and is closed
// at the end. An event of type zk.EventNone says that some may be missing, since the connection was lost in between or
// the receiver was slow: look at the nodes again.
type Watch struct {
	C <-chan zk.Event

	s    *Session
	mode zk.WatchMode
	path string // the server's
	name string // the caller's
	stop chan struct{}

	mu    sync.Mutex
	queue []zk.Event
	wake  chan struct{} // capacity 1
	over  bool
}

// AddWatch watches the data and children of a node, which need not exist; if recursive, creations, deletions and data
// of all nodes from there down. Servers have this since ZooKeeper 3.6.
func (s *Session) AddWatch(ctx context.Context, path string, recursive bool) (*Watch, error) {
	at, err := s.full(path, zk.OpAddWatch)
	if err != nil {
		return nil, err
	}
	c := make(chan zk.Event)
	w := &Watch{C: c, s: s, path: at, name: path, stop: make(chan struct{}), wake: make(chan struct{}, 1)}
	if recursive {
		w.mode = zk.WatchPersistentRecursive
	}
	x := newCall(zk.OpAddWatch, path, &zk.WatchRequest{Path: at, Kind: int32(w.mode)}, nil)
	x.watch = w
	if err := s.do(ctx, x); err != nil {
		return nil, err
	}
	if !s.spawn(func() { w.pump(c) }) {
		close(c)
	}
	return w, nil
}

func (w *Watch) set(t *watches, err zk.Error) {
	if err == zk.OK {
		t.stay[w.mode][w.path] = append(t.stay[w.mode][w.path], w)
	}
}

// tell gives an event to the persistent watches that it is for.
func (t *watches) tell(at string, e zk.Event) {
	for _, w := range t.stay[zk.WatchPersistent][at] {
		w.add(e)
	}
	if e.Type == zk.EventChildrenChanged || len(t.stay[zk.WatchPersistentRecursive]) == 0 {
		return
	}
	for up := at; up != ""; up = zk.Parent(up) {
		for _, w := range t.stay[zk.WatchPersistentRecursive][up] {
			w.add(e)
		}
	}
}

// tellMissed says that the connection was another one until now.
func (t *watches) tellMissed() {
	for _, m := range t.stay {
		for _, list := range m {
			for _, w := range list {
				w.add(zk.Event{Type: zk.EventNone, Path: w.name})
			}
		}
	}
}

func (w *Watch) add(e zk.Event) {
	w.mu.Lock()
	if len(w.queue) == watchQueue {
		w.queue = append(w.queue[:0], zk.Event{Type: zk.EventNone, Path: w.name})
	} else {
		w.queue = append(w.queue, e)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// pump hands events to the receiver.
func (w *Watch) pump(c chan<- zk.Event) {
	defer close(c)
	for {
		w.mu.Lock()
		var next zk.Event
		some := len(w.queue) > 0
		if some {
			next = w.queue[0]
			w.queue = w.queue[1:]
		}
		w.mu.Unlock()
		if !some {
			select {
			case <-w.wake:
			case <-w.stop:
				return
			case <-w.s.done:
				return
			}
			continue
		}
		select {
		case c <- next:
		case <-w.stop:
			return
		case <-w.s.done:
			return
		}
	}
}

// Close ends the watch. If it is the last one of its kind at the path, the server is told; servers before ZooKeeper 3.9
// cannot remove just this kind, and go on sending events, which are dropped.
func (w *Watch) Close(ctx context.Context) error {
	w.mu.Lock()
	again := w.over
	w.over = true
	w.mu.Unlock()
	if again {
		return nil
	}
	close(w.stop)
	s := w.s
	s.mu.Lock()
	remove(s.watches.stay[w.mode], w.path, w)
	last := len(s.watches.stay[w.mode][w.path]) == 0
	s.mu.Unlock()
	if !last {
		return nil
	}
	kind := zk.WatcherPersistent
	if w.mode == zk.WatchPersistentRecursive {
		kind = zk.WatcherPersistentRecursive
	}
	err := s.do(ctx, newCall(zk.OpRemoveWatches, w.name, &zk.WatchRequest{Path: w.path, Kind: int32(kind)}, nil))
	if errors.Is(err, zk.NoWatcher) || errors.Is(err, zk.MarshallingError) || errors.Is(err, ErrConnectionLoss) {
		return nil // not there, a server that does not know the kind, or a connection whose watches are gone with it
	}
	return err
}

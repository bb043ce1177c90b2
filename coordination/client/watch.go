package client

import (
	"fmt"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Watches. The server tells a connection of a change before any answer that could show it, and the reading goroutine
// handles both in order. So an event is in its channel before the answer to a request that was under way is seen.
//
// The server knows paths only, so the session keeps who waits for what. After a connection was lost the server is given
// all watches again, with the newest transaction that was seen while they were all set (watchZxid); it tells at once of
// what has changed since.

// watcher is something that an answer sets: a watch that fires once, or one that stays.
type watcher interface {
	// set is called with the error of the answer.
	set(w *watches, err zk.Error)
}

// watchKind is in which of the server's lists a watch is that fires once.
type watchKind uint8

const (
	watchData  watchKind = iota // of a node that exists
	watchExist                  // of one that does not
	watchChild
	watchKinds
)

// once is a watch that fires once.
type once struct {
	kind   watchKind
	absent bool   // set by exists, also if there is no node
	path   string // the server's
	named  string // the caller's
	c      chan zk.Event
}

// watches are those of a session, by the server's paths. Guarded by the session's mutex.
type watches struct {
	once [watchKinds]map[string][]*once
	of   map[<-chan zk.Event]*once
	stay [2]map[string][]*Watch // by zk.WatchMode
}

func newWatches() watches {
	w := watches{of: map[<-chan zk.Event]*once{}}
	for i := range w.once {
		w.once[i] = map[string][]*once{}
	}
	for i := range w.stay {
		w.stay[i] = map[string][]*Watch{}
	}
	return w
}

func (o *once) set(w *watches, err zk.Error) {
	switch {
	case err == zk.OK:
	case err == zk.NoNode && o.absent:
		o.kind = watchExist
	default:
		return // reads of what is not there set none
	}
	w.once[o.kind][o.path] = append(w.once[o.kind][o.path], o)
	w.of[o.c] = o
}

// fire tells those who wait for a path, and forgets them.
func (w *watches) fire(kind watchKind, path string, e zk.Event) {
	for _, o := range w.once[kind][path] {
		delete(w.of, o.c)
		o.c <- e // has room: it fires once
	}
	delete(w.once[kind], path)
}

// forget takes one away that nobody waits for any more.
func (w *watches) forget(c <-chan zk.Event) {
	o := w.of[c]
	if o == nil {
		return
	}
	delete(w.of, c)
	remove(w.once[o.kind], o.path, o)
}

func remove[T comparable](m map[string][]T, path string, x T) {
	list := m[path]
	for i, y := range list {
		if x == y {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if m[path] = list; len(list) == 0 {
		delete(m, path)
	}
}

// close is the end of the session.
func (w *watches) close() {
	for c, o := range w.of {
		delete(w.of, c)
		close(o.c)
	}
	for i := range w.once {
		clear(w.once[i])
	}
}

// Unwatch says that nobody will receive from the channel of a GetW, ExistsW or ChildrenW that has not fired. Otherwise
// the session remembers it, which matters to who sets watches on one path again and again.
func (s *Session) Unwatch(c <-chan zk.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches.forget(c)
}

// notified handles an event.
func (s *Session) notified(d *zk.Decoder) error {
	var e zk.Event
	if e.Decode(d); d.Err() != nil {
		return fmt.Errorf("%w: event: %w", errProtocol, d.Err())
	}
	at := e.Path
	var ok bool
	if e.Path, ok = s.stripped(at); !ok {
		s.log.Warn("zookeeper server tells of a path outside the chroot", "path", at)
		return nil
	}
	w := &s.watches
	switch e.Type {
	case zk.EventCreated, zk.EventDataChanged:
		w.fire(watchData, at, e)
		w.fire(watchExist, at, e)
	case zk.EventDeleted:
		w.fire(watchData, at, e)
		w.fire(watchExist, at, e)
		w.fire(watchChild, at, e)
	case zk.EventChildrenChanged:
		w.fire(watchChild, at, e)
	}
	w.tell(at, e)
	return nil
}

// resetSize is about how large a packet gets that gives the server watches again, as Java's client has it.
const resetSize = 128 << 10

// resetPackets appends the packets that give the server all watches again, and counts them.
func (w *watches) resetPackets(dst []byte, since int64) (packets []byte, n int) {
	r, size := zk.SetWatchesRequest{RelativeZxid: since}, 0
	flush := func() {
		op := zk.OpSetWatches
		if r.WithPersistent = len(r.Persistent)+len(r.PersistentRecursive) > 0; r.WithPersistent {
			op = zk.OpSetWatches2
		}
		start := len(dst)
		dst = (&zk.RequestHeader{Xid: zk.XidSetWatches, Op: op}).Append(zk.BeginPacket(dst))
		dst = zk.EndPacket(r.Append(dst), start)
		r, size = zk.SetWatchesRequest{RelativeZxid: since}, 0
		n++
	}
	add := func(to *[]string, path string) {
		*to = append(*to, path)
		if size += 4 + len(path); size >= resetSize {
			flush()
		}
	}
	for path := range w.once[watchData] {
		add(&r.Data, path)
	}
	for path := range w.once[watchExist] {
		add(&r.Exist, path)
	}
	for path := range w.once[watchChild] {
		add(&r.Child, path)
	}
	for path := range w.stay[zk.WatchPersistent] {
		add(&r.Persistent, path)
	}
	for path := range w.stay[zk.WatchPersistentRecursive] {
		add(&r.PersistentRecursive, path)
	}
	if size > 0 {
		flush()
	}
	return dst, n
}

// watchesSet is the answer to one of those packets.
func (c *conn) watchesSet(err zk.Error) error {
	s := c.s
	if c.resets == 0 {
		return fmt.Errorf("%w: answer to no setWatches", errProtocol)
	}
	s.answeredLocked(c.begun)
	if c.resets--; err != zk.OK {
		// Which of them are set is not known. Who waits looks again, and sets new ones.
		s.log.Error("zookeeper server does not take the watches of the session again", "server", c.address, "err", err)
		s.watches.missed()
	}
	if c.resets == 0 {
		s.watches.tellMissed()
	}
	return nil
}

// missed fires all watches that fire once, as what happened to their nodes is not known.
func (w *watches) missed() {
	for kind := range w.once {
		for path, list := range w.once[kind] {
			for _, o := range list {
				delete(w.of, o.c)
				o.c <- zk.Event{Type: zk.EventNone, Path: o.named}
			}
			delete(w.once[kind], path)
		}
	}
}

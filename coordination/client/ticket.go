package client

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// A ticket is a place in a line: a sequential ephemeral node. Whose number is the smallest is first; each other one
// watches just the one before it, so that no crowd wakes when one goes.
//
// The answer to the create may be lost with its connection. Then the line is searched for a node of the own session that
// no other ticket of this session has claimed. For that to be unambiguous one ticket at a time is drawn in a session. If
// the caller gives up before it is known, the search goes on behind its back and gives the node back: it would hold up
// the line for as long as the session lives.
type ticket struct {
	s      *Session
	dir    string
	prefix string
	path   string
	number int32
	zxid   int64 // of its creation: larger for each place further behind
}

// tickets are those of a session.
type tickets struct {
	drawing chan struct{}       // capacity 1: has an item while one is drawn
	claimed map[string]struct{} // paths; guarded by the session's mutex
}

func newTickets() tickets {
	return tickets{drawing: make(chan struct{}, 1), claimed: map[string]struct{}{}}
}

// draw joins the line below dir, which is made if need be.
func (s *Session) draw(ctx context.Context, dir, prefix string, data []byte, acl []zk.ACL) (*ticket, error) {
	select {
	case s.tickets.drawing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.done:
		return nil, s.Err()
	}
	t := &ticket{s: s, dir: dir, prefix: prefix}
	drawn := func() { <-s.tickets.drawing }
	sure, err := t.create(ctx, data, acl)
	if err == nil {
		drawn()
		return t, nil
	}
	if sure || !s.spawn(func() {
		defer drawn()
		if found, err := t.find(s.ctx); found && err == nil {
			_ = t.giveBack(s.ctx) // fails with the session alone
		}
	}) {
		drawn()
	}
	return nil, err
}

// create makes the node. Not sure: there may be one although there is an error.
func (t *ticket) create(ctx context.Context, data []byte, acl []zk.ACL) (sure bool, err error) {
	for {
		path, stat, err := t.s.Create(ctx, zk.Join(t.dir, t.prefix), data, acl, zk.EphemeralSequential)
		switch {
		case err == nil:
			return true, t.claim(path, stat)
		case errors.Is(err, zk.NoNode):
			if err := t.s.MakePath(ctx, t.dir, acl); err != nil {
				return true, err
			}
		case errors.Is(err, ErrConnectionLoss):
			if found, err := t.find(ctx); found || err != nil {
				return err == nil, err
			}
		default:
			return true, err
		}
	}
}

// claim makes a node the ticket's.
func (t *ticket) claim(path string, stat zk.Stat) error {
	n, ok := number(path, zk.Join(t.dir, t.prefix))
	if !ok {
		return &OpError{Op: zk.OpCreate, Path: path, Err: errProtocol}
	}
	t.path, t.number, t.zxid = path, n, stat.Czxid
	t.s.mu.Lock()
	t.s.tickets.claimed[path] = struct{}{}
	t.s.mu.Unlock()
	return nil
}

// find looks for a node of the session that nobody has claimed, and claims it.
func (t *ticket) find(ctx context.Context) (found bool, err error) {
	err = Retry(ctx, func() error {
		if err := t.s.Sync(ctx, t.dir); err != nil { // another server may not have it yet
			return err
		}
		line, err := t.s.line(ctx, t.dir, t.prefix)
		if err != nil {
			return err
		}
		for _, p := range line {
			path := zk.Join(t.dir, p.name)
			stat, there, err := t.s.Exists(ctx, path)
			if err != nil {
				return err
			}
			if there && stat.EphemeralOwner == t.s.ID() && !t.s.hasClaimed(path) {
				found = true
				return t.claim(path, stat)
			}
		}
		return nil
	})
	if errors.Is(err, zk.NoNode) { // not even the line
		return false, nil
	}
	return found, err
}

func (s *Session) hasClaimed(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.tickets.claimed[path]
	return ok
}

// place is a node in a line.
type place struct {
	name   string
	number int32
}

// line returns the places below dir whose names begin with prefix, the first one first.
func (s *Session) line(ctx context.Context, dir, prefix string) ([]place, error) {
	names, _, err := s.Children(ctx, dir)
	if err != nil {
		return nil, err
	}
	return places(names, prefix), nil
}

// Place is a node in the line of an election or a lock.
type Place struct {
	Path string
	Data []byte
	Stat zk.Stat
}

// Line returns who is in the line below dir, the first one first: the holder. prefix is an Election's or "lock-".
func (s *Session) Line(ctx context.Context, dir, prefix string) ([]Place, error) {
	var list []Place
	err := Retry(ctx, func() error {
		list = nil
		line, err := s.line(ctx, dir, prefix)
		if err != nil {
			return err
		}
		for _, p := range line {
			path := zk.Join(dir, p.name)
			data, stat, err := s.Get(ctx, path)
			if errors.Is(err, zk.NoNode) {
				continue // it has just gone
			}
			if err != nil {
				return err
			}
			list = append(list, Place{path, data, stat})
		}
		return nil
	})
	return list, err
}

func places(names []string, prefix string) []place {
	var line []place
	for _, name := range names {
		if n, ok := number(name, prefix); ok {
			line = append(line, place{name, n})
		}
	}
	slices.SortFunc(line, func(a, b place) int { return cmp.Compare(a.number, b.number) })
	return line
}

// number is what the server has put behind a name: ten digits, or a minus sign and ten digits after 2^31 children.
func number(name, prefix string) (int32, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || len(digits) < 10 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	return int32(n), err == nil
}

// errGone: somebody else has deleted the node.
var errGone = errors.New("zookeeper: the node that holds the place was deleted")

// before returns the path of the place before the ticket's and a watch on it; "" if the ticket is first.
func (t *ticket) before(ctx context.Context) (path string, changed <-chan zk.Event, err error) {
	for {
		line, err := t.s.line(ctx, t.dir, t.prefix)
		if err != nil {
			return "", nil, err
		}
		i := slices.IndexFunc(line, func(p place) bool { return p.number == t.number })
		switch {
		case i < 0:
			return "", nil, errGone
		case i == 0:
			return "", nil, nil
		}
		path = zk.Join(t.dir, line[i-1].name)
		_, _, changed, err = t.s.GetW(ctx, path) // sets no watch if it has gone meanwhile
		if !errors.Is(err, zk.NoNode) {
			return path, changed, err
		}
	}
}

// wait waits until the ticket is first.
func (t *ticket) wait(ctx context.Context) error {
	for {
		var path string
		var changed <-chan zk.Event
		err := Retry(ctx, func() (err error) {
			path, changed, err = t.before(ctx)
			return err
		})
		if err != nil || path == "" {
			return err
		}
		select {
		case <-changed:
		case <-t.s.done:
			return t.s.Err()
		case <-ctx.Done():
			t.s.Unwatch(changed)
			return ctx.Err()
		}
	}
}

// giveUp gives it back behind the caller's back.
func (t *ticket) giveUp() {
	t.s.spawn(func() { _ = t.giveBack(t.s.ctx) }) // fails with the session alone, and the node is gone then
}

// giveBack deletes the node, as soon as that is possible; nil also if it has gone with the session.
func (t *ticket) giveBack(ctx context.Context) error {
	err := Retry(ctx, func() error { return t.s.Delete(ctx, t.path, -1) })
	if err == nil || errors.Is(err, zk.NoNode) || t.s.Err() != nil {
		t.s.mu.Lock()
		delete(t.s.tickets.claimed, t.path)
		t.s.mu.Unlock()
		return nil
	}
	return err
}

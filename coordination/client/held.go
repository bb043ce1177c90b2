package client

import (
	"context"
	"errors"
	"sync"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Held is a lock that was acquired, or an election that was won.
//
// It is lost when the lease lapses or the session ends, or somebody deletes its node. Then the server may give it to
// somebody else at any time, so what it protects has to stop. A process can be stopped at any place for any time: what
// must not happen twice has to be checked where it takes effect, by a number that grows, such as Zxid.
type Held struct {
	t    *ticket
	lost chan struct{}
	stop context.CancelFunc
	over sync.WaitGroup

	mu  sync.Mutex
	err error
}

// ErrReleased is what Err says after Release.
var ErrReleased = errors.New("zookeeper: released")

// hold waits for the ticket's turn. Without success the node is given back.
func hold(ctx context.Context, t *ticket) (*Held, error) {
	if err := t.wait(ctx); err != nil {
		t.giveUp()
		return nil, err
	}
	return newHeld(t), nil
}

func newHeld(t *ticket) *Held {
	ctx, cancel := context.WithCancel(t.s.ctx)
	h := &Held{t: t, lost: make(chan struct{}), stop: cancel}
	changes, unsubscribe := t.s.Subscribe()
	h.over.Go(func() {
		defer unsubscribe()
		h.watch(ctx, changes)
	})
	return h
}

// Path is that of the node.
func (h *Held) Path() string { return h.t.path }

// Number is the node's in the line: 1 is the second that was ever made, and so on.
func (h *Held) Number() int32 { return h.t.number }

// Zxid is the transaction that created the node: larger for each later holder.
func (h *Held) Zxid() int64 { return h.t.zxid }

// Lost is closed when it is lost or released.
func (h *Held) Lost() <-chan struct{} { return h.lost }

// Err says why: ErrReleased, ErrExpired, ErrClosed, that the lease has lapsed or the node was deleted; nil before.
func (h *Held) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// ErrLapsed: the session may have ended on the server.
var ErrLapsed = errors.New("zookeeper: no answer for so long that the session may have ended")

func (h *Held) lose(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
		close(h.lost)
	}
}

// watch notices the end: of the lease, of the session, or of the node.
func (h *Held) watch(ctx context.Context, changes <-chan State) {
	s := h.t.s
	deleted := make(chan error, 1)
	h.over.Go(func() { deleted <- s.untilDeleted(ctx, h.t.path) })
	for state := s.State(); ; {
		switch {
		case state.Over():
			h.lose(s.Err())
			return
		case state == Lapsed:
			h.lose(ErrLapsed)
			h.t.giveUp() // the session may live on, and the node with it
			return
		}
		select {
		case state = <-changes:
		case err := <-deleted:
			h.lose(err)
			return
		case <-ctx.Done():
			h.lose(s.Err()) // nothing after Release, which has said why
			return
		}
	}
}

// untilDeleted waits until there is no such node, or something is in the way of knowing.
func (s *Session) untilDeleted(ctx context.Context, path string) error {
	for {
		var changed <-chan zk.Event
		err := Retry(ctx, func() (err error) {
			_, _, changed, err = s.GetW(ctx, path)
			return err
		})
		switch {
		case errors.Is(err, zk.NoNode):
			return errGone
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-s.done:
			return s.Err()
		case <-ctx.Done():
			s.Unwatch(changed)
			return ctx.Err()
		}
	}
}

// Release gives it up: the next in line has it when this returns nil. If ctx ends before, the node is deleted as soon as
// that is possible.
func (h *Held) Release(ctx context.Context) error {
	h.lose(ErrReleased)
	h.stop()
	h.over.Wait()
	err := h.t.giveBack(ctx)
	if err != nil {
		h.t.giveUp()
	}
	return err
}

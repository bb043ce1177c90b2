package broker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	zkclient "github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/wire"
)

// link is one session with the coordinator and what is bound to it.
type link struct {
	session *zkclient.Session
	reg     *registry.Registry
	tasks   sync.WaitGroup // two goroutines that end with the session
	events  chan struct{}  // capacity 1: something that is watched is stale; which, says stale

	watching bool        // the watches that last are set; of whoever holds the catalogue's mu
	controls atomic.Bool // this broker is the controller by this session

	mu     sync.Mutex // guards what follows
	ctx    context.Context
	cancel context.CancelFunc
	late   *time.Timer // ends ctx, while there is no connection
	stale  staleParts
	waits  [partKinds]<-chan zk.Event
}

// The parts of the tree that have a watch of their own.
const (
	partBrokers = iota
	partController
	partMarks
	partChanges
	partKinds
)

// await has the part read again when the channel says so. One watch for each part is enough: an older one is forgotten.
func (l *link) await(part int, stale <-chan zk.Event) {
	if stale == nil {
		return
	}
	l.mu.Lock()
	old := l.waits[part]
	l.waits[part] = stale
	l.mu.Unlock()
	if old != nil {
		l.session.Unwatch(old)
	}
	l.nudge()
}

// waiting are the watches that have not fired.
func (l *link) waiting() [partKinds]<-chan zk.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waits
}

// fired is a watch that has. With ok false the session is over.
func (l *link) fired(part int, stale <-chan zk.Event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waits[part] == stale {
		l.waits[part] = nil
	}
	l.stale.parts[part] = l.stale.parts[part] || ok
}

// patience is how long a request that is under way waits for a connection that was lost; one that comes later is refused
// at once. An ensemble elects another leader within a second or two.
const patience = 3 * time.Second

// errAway is why a request that needs the coordinator is not done. NOT_CONTROLLER has admin clients look for the
// controller and try again, for as long as they have time.
var errAway = refuse(wire.NotController, "The coordinator cannot be reached.")

// errNoController is for changes of topics while another broker, or none, is the controller.
var errNoController = refuse(wire.NotController, "%s", wire.NotController.Message())

func newLink(parent context.Context, s *zkclient.Session) *link {
	l := &link{session: s, reg: registry.New(s, registry.Options{}), events: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(parent)
	states, stop := s.Subscribe()
	l.tasks.Go(func() {
		defer stop()
		for {
			select {
			case state := <-states:
				l.connected(parent, state == zkclient.Connected)
			case <-s.Done():
				return
			}
		}
	})
	return l
}

// calls is the context of requests to the coordinator. It ends with the link, and when the connection has been gone for
// patience.
func (l *link) calls() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx
}

// connected follows the session's state. parent is what a new context descends from.
func (l *link) connected(parent context.Context, yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late != nil {
		l.late.Stop()
		l.late = nil
	}
	switch {
	case !yes:
		l.late = time.AfterFunc(patience, l.cancel)
	case l.ctx.Err() != nil:
		l.ctx, l.cancel = context.WithCancel(parent)
	}
}

func (l *link) close(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.session.Close(ctx); err != nil {
		log.Warn("the coordinator was not told that this broker stops, and will take it for dead later", "error", err)
	}
	l.tasks.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
	if l.late != nil {
		l.late.Stop()
	}
}

// staleParts are the parts of the tree that a watch has told of.
type staleParts struct {
	parts     [partKinds]bool
	allTopics bool
	topics    map[string]bool
}

func (l *link) mark(f func(*staleParts)) {
	l.mu.Lock()
	f(&l.stale)
	l.mu.Unlock()
	l.nudge()
}

// nudge has the catalogue look.
func (l *link) nudge() {
	select {
	case l.events <- struct{}{}:
	default:
	}
}

func (l *link) takeStale() staleParts {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stale
	l.stale = staleParts{}
	return s
}

// any tells whether something is.
func (s *staleParts) any() bool {
	return s.parts != [partKinds]bool{} || s.allTopics || len(s.topics) > 0
}

func (l *link) isStale() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stale.any()
}

// coordErr is what a client is told of an error of the coordinator.
func coordErr(err error) error {
	var r *Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &r):
		return err
	case errors.Is(err, registry.ErrFenced):
		return errNoController
	case errors.Is(err, registry.ErrTopicExists):
		return refuse(wire.TopicAlreadyExists, "%v", err)
	case errors.Is(err, registry.ErrTopicDeleting):
		return refuse(wire.TopicAlreadyExists, "%v", err)
	case errors.Is(err, registry.ErrNotFound):
		return refuse(wire.UnknownTopicOrPartition, "%v", err)
	case errors.Is(err, zkclient.ErrTooLarge):
		return refuse(wire.InvalidRequest, "%v", err)
	case errors.Is(err, context.Canceled), errors.Is(err, zkclient.ErrExpired), errors.Is(err, zkclient.ErrClosed):
		return errAway
	}
	return refuse(wire.UnknownServerError, "%v", err)
}

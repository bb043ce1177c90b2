package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Session is one session with a server or an ensemble. See the package's description.
type Session struct {
	cfg   Config
	log   *slog.Logger
	hosts hosts // the connecting goroutine's

	ctx     context.Context // ends with the session, and all goroutines with it
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	ready   chan struct{} // closed once there is a session, and the first server has taken Config.Auth
	done    chan struct{}
	wake    chan struct{} // capacity 1: there is something to send
	changes chan State

	mu          sync.Mutex // guards all that follows, and what conn and call say
	state       State
	subscribers map[chan State]struct{}
	err         error // why it is over
	trouble     error // why there is no connection
	conn        *conn // nil while there is none

	granted   bool // by a server: the five below are set
	id        int64
	password  []byte
	timeout   time.Duration
	lease     time.Duration // by cfg.Now: until then it is surely held
	lastZxid  int64
	watchZxid int64 // like lastZxid, when all watches were last known to be set

	calls   calls
	watches watches
	tickets tickets
}

// Open opens a session. It waits until a server has granted one and taken all of Config.Auth, or ctx ends; it tries on
// until then whatever happens, but for ErrAuthFailed. ctx has no meaning afterwards.
func Open(ctx context.Context, cfg Config) (*Session, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := newSession(cfg)
	s.wg.Go(s.run)
	s.wg.Go(s.watchLease)
	select {
	case <-s.ready:
		return s, nil
	case <-s.done:
		err = s.Err()
	case <-ctx.Done():
		err = ctx.Err()
		s.mu.Lock()
		if s.trouble != nil {
			err = fmt.Errorf("%w; %w", err, s.trouble)
		}
		s.mu.Unlock()
		s.end(Closed, ErrClosed)
	}
	s.wg.Wait()
	return nil, fmt.Errorf("opening a session: %w", err)
}

func newSession(cfg Config) *Session {
	s := &Session{cfg: cfg, log: cfg.Logger, hosts: newHosts(cfg.Servers), ready: make(chan struct{}), done: make(chan struct{}),
		wake: make(chan struct{}, 1), changes: make(chan State, 1), subscribers: map[chan State]struct{}{},
		timeout: cfg.Timeout, lastZxid: cfg.LastZxid, watches: newWatches(), tickets: newTickets()}
	s.subscribers[s.changes] = struct{}{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// ID is the session's number, which is the EphemeralOwner of its ephemeral nodes.
func (s *Session) ID() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

func (s *Session) hexID() string { return "0x" + strconv.FormatUint(uint64(s.id), 16) }

// Timeout is what was agreed with the server that was connected to last.
func (s *Session) Timeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timeout
}

// LastZxid is the newest transaction that a server has told of.
func (s *Session) LastZxid() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastZxid
}

// Server is the address of the server that is connected to, "" for none.
func (s *Session) Server() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return ""
	}
	return s.conn.address
}

// Trouble is why there is no connection, nil if there is one: ErrBehind, or what the last attempt met.
func (s *Session) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// Done is closed when the session is over.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is why the session is over: ErrExpired, ErrClosed, ErrAuthFailed; nil before.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session on the server too, with all its ephemeral nodes, behind the requests that are under way. While
// there is no connection it waits for one until ctx ends; then the error says that the server ends the session later,
// by its time-out. Whatever it returns, the session is over and its goroutines have ended. A second Close is nothing.
func (s *Session) Close(ctx context.Context) error {
	defer s.wg.Wait()
	var err error
	for {
		err = s.do(ctx, newCall(zk.OpCloseSession, "", nil, nil))
		if !errors.Is(err, ErrConnectionLoss) || ctx.Err() != nil {
			break
		}
		// It was sent and the connection broke. The next connection tells whether there still is a session.
	}
	first := s.end(Closed, ErrClosed)
	if over := errors.Is(err, ErrExpired) || errors.Is(err, ErrClosed) || errors.Is(err, ErrAuthFailed); over || !first {
		return nil
	}
	return err
}

// spawn runs f in a goroutine that Close waits for, unless the session is over. f has to end when s.ctx does.
func (s *Session) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false
	}
	s.wg.Go(f) // run has not ended, so nobody has waited in vain
	return true
}

// end ends the session here: what is under way or waiting fails. Only the first call does something.
func (s *Session) end(state State, err error) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endLocked(state, err)
}

func (s *Session) endLocked(state State, err error) (first bool) {
	if s.err != nil {
		return false
	}
	s.err = err
	s.setLocked(state)
	s.calls.failLocked(err)
	if s.conn != nil {
		s.conn.failLocked(err)
		s.conn.breakOff(err)
	}
	s.watches.close()
	close(s.done)
	s.cancel()
	return true
}

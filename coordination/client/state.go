package client

import "strconv"

// State is what a session knows of itself.
type State int32

// The states. A session goes between the first three, and ends in one of the last two.
const (
	Disconnected State = iota // no connection; the lease is still held for sure
	Connected
	Lapsed  // the own deadline has passed without an answer: the server may have ended the session, or not
	Expired // the server has ended it
	Closed  // by Close, or because of Err
)

var stateNames = [...]string{"disconnected", "connected", "lapsed", "expired", "closed"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "state " + strconv.Itoa(int(s))
	}
	return stateNames[s]
}

// Over tells whether the session has ended.
func (s State) Over() bool { return s >= Expired }

// State is the state now: Lapsed from the deadline on, to the nanosecond.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
	return s.state
}

// Changes has the newest state after each change; older ones that nobody has taken are dropped. There is one channel
// for the session, and so one receiver; others use Subscribe.
func (s *Session) Changes() <-chan State { return s.changes }

// Subscribe returns a channel like that of Changes and a function that ends it.
func (s *Session) Subscribe() (changes <-chan State, stop func()) {
	c := make(chan State, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers[c] = struct{}{}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subscribers, c)
	}
}

// setLocked changes the state and tells those who listen.
func (s *Session) setLocked(state State) {
	if s.state == state {
		return
	}
	s.state = state
	for c := range s.subscribers {
		select {
		case <-c: // the older one; nobody else sends
		default:
		}
		c <- state
	}
}

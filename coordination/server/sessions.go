package server

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// session is a client's lease. It lives in the log; which connection holds it and when it was last heard of do not.
type session struct {
	id      int64
	timeout time.Duration
	peer    *Peer // nil while no connection holds it
	// end is the tick at which it is over unless something is heard before; see sessions.
	end int64
}

// sessions are all that are alive, and when each is over.
//
// Time is counted in ticks. Deadlines are rounded up to the next one, so a session is never over early and at most
// one tick late. Hearing from a session moves only its end; the list of the tick in which it was to be over finds out
// and moves it along. So a ping costs no more than a store, and nothing is sorted.
type sessions struct {
	byID map[int64]*session
	due  map[int64][]*session // by tick
	tick time.Duration
	done int64 // the last tick that was looked at
	last int64 // newest id ever given
	key  []byte
}

func newSessions(tick time.Duration, key []byte) sessions {
	return sessions{byID: map[int64]*session{}, due: map[int64][]*session{}, tick: tick, key: key}
}

// tickAfter is the first tick not before now + d.
func (s *sessions) tickAfter(now, d time.Duration) int64 {
	return int64((now + d + s.tick - 1) / s.tick)
}

// add makes a session known, or gives it another time-out; with that in full from now on.
func (s *sessions) add(id int64, timeout, now time.Duration) *session {
	if x := s.byID[id]; x != nil {
		x.timeout = timeout
		s.heard(x, now)
		return x
	}
	x := &session{id: id, timeout: timeout}
	x.end = max(s.tickAfter(now, timeout), s.done+1)
	s.byID[id] = x
	s.due[x.end] = append(s.due[x.end], x)
	s.last = max(s.last, id)
	return x
}

// heard moves the session's end.
func (s *sessions) heard(x *session, now time.Duration) {
	x.end = max(x.end, s.tickAfter(now, x.timeout))
}

// remove ends a session. Its place in a list is found empty later.
func (s *sessions) remove(id int64) {
	if x := s.byID[id]; x != nil {
		delete(s.byID, id)
		x.end = -1
	}
}

// over returns the sessions whose time is up at now, in order of ids. They stay until they are removed.
func (s *sessions) over(now time.Duration) (list []*session) {
	for upTo := int64(now / s.tick); s.done < upTo; {
		s.done++
		for _, x := range s.due[s.done] {
			switch {
			case x.end < 0: // ended
			case x.end > s.done:
				s.due[x.end] = append(s.due[x.end], x)
			default:
				list = append(list, x)
			}
		}
		delete(s.due, s.done)
	}
	slices.SortFunc(list, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	return list
}

// nextID gives an id that no session has had: the server's number, the time when the process began, and a counter, as
// ZooKeeper's look. It is above all that the log knows, whatever the clock says. The top byte is never 0xff, by which
// ZooKeeper tells nodes that live for a time from ephemerals.
func (s *sessions) nextID() int64 {
	s.last++
	return s.last
}

// beginIDs sets the range that new ids come from.
func (s *sessions) beginIDs(server uint8, wallMillis int64) {
	id := int64(uint64(wallMillis)<<24>>8 | uint64(server)<<56)
	s.last = max(s.last, id)
}

// password proves that who resumes a session is who opened it. It depends on the id and the directory's key alone, so
// that none has to be kept.
func (s *sessions) password(id int64) []byte {
	m := hmac.New(sha256.New, s.key)
	_ = binary.Write(m, binary.BigEndian, id) // a hash takes everything
	return m.Sum(nil)[:zk.PasswordSize]
}

func (s *sessions) isPassword(id int64, b []byte) bool { return hmac.Equal(s.password(id), b) }

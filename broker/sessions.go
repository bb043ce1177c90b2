package broker

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/wire"
)

// fetchSessions remembers what clients fetch, so that their requests and our answers need to name only what
// changed (KIP-227). A session belongs to whoever knows its id, on any connection.
//
// Bound: limit sessions (max.incremental.fetch.session.cache.slots) and maxBytes in all. At the bound a new one takes
// the place of the longest unused, if that one rested for sessionRest or if it has lived that long and is smaller;
// otherwise the client is answered without a session (id 0), which is always legal. A session that outgrows maxBytes
// is forgotten: its client begins with a new one.
type fetchSessions struct {
	limit    int
	maxBytes int64

	mu    sync.Mutex
	byID  map[int32]*fetchSession // guarded by mu
	bytes int64                   // of all in byID; guarded by mu
}

// maxSessionBytes is room for 200,000 partitions: 1000 sessions, the default, of 200 each.
const maxSessionBytes = 32 << 20

// What a session's entries take besides the name of the topic, with their places in maps.
const (
	partBytes  = 160
	topicBytes = 320
)

// sessionRest is Kafka's min.incremental.fetch.session.eviction.ms, which it does not let be changed either.
const sessionRest = 2 * time.Minute

const (
	noSession    int32 = 0
	initialEpoch int32 = 0
	finalEpoch   int32 = -1
)

// fetchSession is one client's set of partitions. Requests of a session come one after another, as its epoch
// demands; mu is for clients that break that rule.
type fetchSession struct {
	id int32

	created, used time.Time // guarded by fetchSessions.mu
	size          int       // entries; guarded by fetchSessions.mu
	charged       int64     // bytes, as counted in fetchSessions.bytes; guarded by fetchSessions.mu

	mu     sync.Mutex
	epoch  int32 // that the next request must carry
	byName map[string]*sessionTopic
	bytes  int64       // that the entries take
	root   sessionPart // ring in the order in which partitions are served
}

// sessionTopic has the entries of one topic, which share its name: it may be as long as 32 KiB.
type sessionTopic struct {
	name  []byte
	parts map[int32]*sessionPart
}

func topicCost(name []byte) int64 { return topicBytes + 2*int64(len(name)) }

// sessionPart is a partition of a session: what to fetch and what the client was last told.
type sessionPart struct {
	next, prev *sessionPart

	topic    []byte
	index    int32
	offset   int64
	maxBytes int32
	epoch    int32

	highWatermark int64
	logStart      int64
}

func newFetchSessions(limit int) *fetchSessions {
	return &fetchSessions{limit: limit, maxBytes: maxSessionBytes, byID: make(map[int32]*fetchSession)}
}

func (s *fetchSessions) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

// remove forgets a session; an unknown id is none of our concern.
func (s *fetchSessions) remove(id int32) {
	s.mu.Lock()
	s.drop(s.byID[id])
	s.mu.Unlock()
}

// drop forgets fs, which may be nil or forgotten already. Caller holds mu.
func (s *fetchSessions) drop(fs *fetchSession) {
	if fs != nil && s.byID[fs.id] == fs {
		delete(s.byID, fs.id)
		s.bytes -= fs.charged
	}
}

// resume returns the session that continues with epoch.
func (s *fetchSessions) resume(id, epoch int32, now time.Time) (*fetchSession, wire.ErrorCode) {
	s.mu.Lock()
	fs := s.byID[id]
	if fs != nil {
		fs.used = now
	}
	s.mu.Unlock()
	if fs == nil {
		return nil, wire.FetchSessionIDNotFound
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.epoch != epoch {
		return nil, wire.InvalidFetchSessionEpoch
	}
	fs.epoch = nextEpoch(epoch)
	return fs, wire.None
}

// create makes a session for size partitions, or returns nil when there is no room.
func (s *fetchSessions) create(size int, now time.Time) *fetchSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= s.limit && !s.evict(size, now) {
		return nil
	}
	fs := &fetchSession{created: now, used: now, size: size, epoch: nextEpoch(initialEpoch)}
	fs.byName = make(map[string]*sessionTopic)
	fs.root.next, fs.root.prev = &fs.root, &fs.root
	for fs.id == noSession || s.byID[fs.id] != nil {
		fs.id = rand.Int32()
	}
	s.byID[fs.id] = fs
	return fs
}

func (s *fetchSessions) evict(size int, now time.Time) bool {
	var oldest, smallest *fetchSession
	for _, fs := range s.byID {
		if oldest == nil || fs.used.Before(oldest.used) {
			oldest = fs
		}
		if now.Sub(fs.created) >= sessionRest && (smallest == nil || fs.size < smallest.size) {
			smallest = fs
		}
	}
	switch {
	case oldest != nil && now.Sub(oldest.used) >= sessionRest:
		s.drop(oldest)
	case smallest != nil && smallest.size < size:
		s.drop(smallest)
	default:
		return false
	}
	return true
}

// resized notes how large fs has become. It reports false, and forgets fs, when there is no room for that. Caller
// holds fs.mu.
func (s *fetchSessions) resized(fs *fetchSession, size int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[fs.id] != fs { // evicted meanwhile: it lives as long as this request
		return true
	}
	s.bytes += fs.bytes - fs.charged
	fs.size, fs.charged = size, fs.bytes
	for s.bytes > s.maxBytes {
		if !s.evict(size, now) {
			s.drop(fs)
			return false
		}
	}
	return true
}

// nextEpoch wraps to 1: 0 and -1 have meanings of their own.
func nextEpoch(e int32) int32 {
	if e == 1<<31-1 {
		return 1
	}
	return e + 1
}

// set adds a partition at the end of the ring or changes what is asked of it. Caller holds mu.
func (fs *fetchSession) set(topic []byte, index int32, offset int64, maxBytes, epoch int32) *sessionPart {
	of := fs.byName[string(topic)]
	if of == nil {
		of = &sessionTopic{name: []byte(string(topic)), parts: make(map[int32]*sessionPart)}
		fs.byName[string(topic)] = of
		fs.bytes += topicCost(topic)
	}
	p := of.parts[index]
	if p == nil {
		p = &sessionPart{topic: of.name, index: index, highWatermark: -1, logStart: -1}
		of.parts[index] = p
		fs.bytes += partBytes
		fs.link(p)
	}
	p.offset, p.maxBytes, p.epoch = offset, maxBytes, epoch
	return p
}

// forget takes a partition out. Caller holds mu.
func (fs *fetchSession) forget(topic []byte, index int32) {
	of := fs.byName[string(topic)]
	if of == nil || of.parts[index] == nil {
		return
	}
	of.parts[index].unlink()
	delete(of.parts, index)
	fs.bytes -= partBytes
	if len(of.parts) == 0 {
		delete(fs.byName, string(topic))
		fs.bytes -= topicCost(topic)
	}
}

func (fs *fetchSession) link(p *sessionPart) {
	p.prev, p.next = fs.root.prev, &fs.root
	p.prev.next, fs.root.prev = p, p
}

func (p *sessionPart) unlink() {
	p.prev.next, p.next.prev = p.next, p.prev
	p.next, p.prev = nil, nil
}

// moveToEnd makes p the last to be served: it was just given records, the others come first next time. A
// partition that was forgotten meanwhile stays out. Caller holds mu.
func (fs *fetchSession) moveToEnd(p *sessionPart) {
	if p.next != nil {
		p.unlink()
		fs.link(p)
	}
}

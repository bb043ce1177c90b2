package netpoll

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"

	"github.com/sluice-mq/sluice/internal/sys"
)

// resumeRounds bounds how often the end of one turn goes on with bytes held back. A client that has sent thousands
// of small requests ahead would otherwise have the loop for itself, one reply at a time.
const resumeRounds = 16

// Loop is one event loop: a goroutine of gnet's that owns its connections. Except for Index and Post everything
// belongs to that goroutine.
type Loop struct {
	// User is the handler's.
	User any

	server *Server
	index  int
	client *gnet.Client
	events gnet.EventLoop
	bell   gnet.Conn // the loop's end of the task queue's socket pair
	watch  sys.Watch // gnet's epoll
	conns  atomic.Int64

	tasks    taskQueue
	writable writable
	counts   counts
	tick     uint32 // coarse time
	inTurn   bool
	busy     bool // frames were handed over or tasks ran since the last TurnEnd

	slots []slot
	free  []uint32 // indexes of empty slots

	touched       []*Conn // with something to flush
	resumable     []*Conn // no longer blocked
	starving      []*Conn // wait for frame memory, in order
	spareStarving []*Conn
	failed        []*Conn // to be closed

	freeRequests *Request
	freeCount    int
	freeOut      int // bytes

	spill      []byte
	fileBuffer []byte // made when first needed
	fileError  error  // why the last copy to it failed
	readIovecs [2]sys.Iovec
	sendIovecs [sys.MaxIovecs]sys.Iovec
}

// slot is a connection's place in the loop's table; the generation changes with each tenant.
type slot struct {
	conn       *Conn
	generation uint32
}

func newLoop(s *Server, index int) *Loop {
	l := &Loop{server: s, index: index, spill: make([]byte, spillSize)}
	l.tasks.bell = -1
	l.writable.loop = l
	return l
}

// Index is the loop's place in Server.Loops.
func (l *Loop) Index() int { return l.index }

// Post has t run on the loop, in the order of the posts, and then TurnEnd called and replies sent. Any goroutine may
// post, also the loop's own; a loop that is asleep is woken once, however many tasks are posted before it wakes. It
// reports false when the server was closed, and then t never runs; requests that it was to finish may be finished on
// any goroutine then, or forgotten if they hold nothing. The queue has no bound of its own: what is in it is bounded by
// whatever bounds the poster's outstanding work.
func (l *Loop) Post(t Task) bool { return l.tasks.post(t) }

// endTurn does what belongs to the end of a turn: TurnEnd, sending, closing.
func (l *Loop) endTurn() {
	l.inTurn = true
	l.counts.add(cTurns, 1)
	for {
		l.settle()
		if len(l.failed) == 0 {
			break
		}
		l.reap()
	}
	l.counts.publish()
	l.inTurn = false
}

// settle calls TurnEnd, sends, and goes on with connections that this has unblocked, until nothing is left to do.
func (l *Loop) settle() {
	for round := 0; ; round++ {
		if l.busy {
			l.busy = false
			l.server.handler.TurnEnd(l)
		}
		for i := 0; i < len(l.touched); i++ {
			c := l.touched[i]
			l.touched[i] = nil
			c.touched = false
			c.flush()
		}
		l.touched = l.touched[:0]
		if len(l.resumable) == 0 {
			return
		}
		if round == resumeRounds {
			l.counts.add(cOverRounds, 1)
			l.Post(continueLater{})
			return
		}
		n := len(l.resumable) // those that are added meanwhile belong to the next round
		for _, c := range l.resumable[:n] {
			c.queued = false
			c.resume()
		}
		left := copy(l.resumable, l.resumable[n:])
		clear(l.resumable[left:])
		l.resumable = l.resumable[:left]
	}
}

// continueLater is posted to come back to what settle has left; the end of its turn does it.
type continueLater struct{}

func (continueLater) Run() {}

// reap closes failed connections. gnet calls back closed for each that is its.
func (l *Loop) reap() {
	for i := 0; i < len(l.failed); i++ {
		c := l.failed[i]
		l.failed[i] = nil
		switch {
		case c.g != nil:
			l.events.Close(c.g)
		case c.state != connClosed:
			l.bury(c)
		}
	}
	l.failed = l.failed[:0]
}

// touch has c flushed at the end of the turn.
func (l *Loop) touch(c *Conn) {
	if !c.touched {
		c.touched = true
		l.touched = append(l.touched, c)
	}
}

func (l *Loop) resumeLater(c *Conn) {
	if !c.queued {
		c.queued = true
		l.resumable = append(l.resumable, c)
	}
}

// request calls the handler and turns a panic of it into the end of the connection.
func (l *Loop) request(r *Request) {
	c := r.conn
	defer func() {
		if v := recover(); v != nil {
			l.panicked(c, v)
			c.abandon(r)
		}
	}()
	l.server.handler.Request(r)
}

// guarded is request's like for Opened and Closed.
func (l *Loop) guarded(c *Conn, f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked(c, v)
		}
	}()
	f()
}

func (l *Loop) panicked(c *Conn, v any) {
	if isProgrammersFault(v) {
		panic(v)
	}
	l.counts.add(cHandlerPanics, 1)
	l.server.cfg.Logger.Error("handler panicked; its connection is closed", "peer", c.remote, "panic", fmt.Sprint(v),
		"stack", string(debug.Stack()))
	c.Close(ErrPanic)
}

// opened takes a connection over.
func (l *Loop) opened(c *Conn, g gnet.Conn) {
	c.reached.Store(true)
	c.g, c.fd = g, g.Fd()
	l.takeSlot(c)
	l.counts.add(cAccepted, 1)
	c.active = l.tick
	c.state = connOpen
	l.guarded(c, func() { l.server.handler.Opened(c) })
	l.endTurn()
}

// closed is called by gnet before it closes the descriptor, for whatever reason, or by bury.
func (l *Loop) closed(c *Conn, err error) {
	if c.lingering && c.err == nil {
		c.err = ErrDrained
	}
	err = closeCause(c.err, err)
	c.teardown()
	l.counts.add(cClosed, 1)
	l.conns.Add(-1)
	l.guarded(c, func() { l.server.handler.Closed(c, err) })
	l.server.limits.leave(c.ip)
	if !l.inTurn {
		l.endTurn()
	}
}

func (l *Loop) takeSlot(c *Conn) {
	if n := len(l.free); n > 0 {
		c.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		c.slot = uint32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[c.slot]
	s.generation++
	s.conn, c.generation = c, s.generation
}

func (l *Loop) freeSlot(c *Conn) {
	l.slots[c.slot].conn = nil
	l.free = append(l.free, c.slot)
}

// gnetEvents is what gnet calls for one loop.
type gnetEvents struct {
	gnet.BuiltinEventEngine
	loop *Loop
}

func (e *gnetEvents) OnOpen(g gnet.Conn) ([]byte, gnet.Action) {
	if c, ok := g.Context().(*Conn); ok {
		e.loop.opened(c, g)
	}
	return nil, gnet.None
}

func (e *gnetEvents) OnTraffic(g gnet.Conn) gnet.Action {
	b, _ := g.Next(-1)
	l := e.loop
	if c, ok := g.Context().(*Conn); ok {
		c.readable(b)
	} else if l.tasks.run() > 0 {
		l.busy = true
	}
	l.endTurn()
	return gnet.None
}

func (e *gnetEvents) OnClose(g gnet.Conn, err error) gnet.Action {
	c, ok := g.Context().(*Conn)
	switch {
	case !ok:
	case c.outlive(err):
		e.loop.endTurn()
	default:
		e.loop.closed(c, err)
	}
	return gnet.None
}

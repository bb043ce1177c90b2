package broker

import (
	"time"

	"github.com/sluice-mq/sluice/netpoll"
	"github.com/sluice-mq/sluice/wire"
)

// loop is what the broker keeps for each event loop. Only code that runs on that loop touches it.
type loop struct {
	net *netpoll.Loop
	b   *Broker

	now     time.Time // taken at the first request of a turn; zero outside turns
	woken   []*fetch  // fetches woken by appends of this turn
	running []*fetch  // scratch: the set of woken being run

	freeCalls   []*call
	freeFetches []*fetch

	freeSyncs []*syncing

	producing producePlace // what is being appended to
	unsynced  *syncing     // what of the request at hand waits for the disk; nil: nothing does

	produce      wire.ProduceRequest
	produceReply wire.ProduceResponse
	fetchRequest wire.FetchRequest
	fetchPart    wire.FetchPartitionResponse

	meters []apiMeter // by index of the API in Broker.apis
	topics loopMeters
}

// Free lists keep at most this many of each kind: enough for the requests that a loop has open in a usual turn.
// More are left to the garbage collector.
const maxFree = 256

func (lp *loop) newCall() *call {
	if n := len(lp.freeCalls); n > 0 {
		c := lp.freeCalls[n-1]
		lp.freeCalls = lp.freeCalls[:n-1]
		return c
	}
	return &call{}
}

func (lp *loop) freeCall(c *call) {
	*c = call{}
	if len(lp.freeCalls) < maxFree {
		lp.freeCalls = append(lp.freeCalls, c)
	}
}

// Opened, Request, TurnEnd and Closed are netpoll's calls, each on the connection's loop.

// Opened greets a connection.
func (b *Broker) Opened(c *netpoll.Conn) {
	c.User = &conn{}
}

// Request dispatches one frame.
func (b *Broker) Request(r *netpoll.Request) {
	lp := b.loopOf(r.Conn().Loop())
	if lp.now.IsZero() {
		lp.now = time.Now()
	}
	c := lp.newCall()
	c.b, c.loop, c.net, c.start = b, lp, r, lp.now
	h, body, err := wire.ParseRequestHeader(r.Bytes())
	c.header, c.body = h, body
	a := b.apiFor(h.Key)
	switch {
	case a == nil:
		c.hangUp("unknown API key")
		return
	case h.Key == wire.KeyApiVersions && (h.Version < a.min || h.Version > a.max):
		c.api = a
		c.apiVersionsUnsupported()
		return
	case h.Version < a.lowest() || h.Version > a.max:
		c.hangUp("unsupported version")
		return
	case err != nil:
		c.hangUp("malformed request header")
		return
	case len(body) > a.maxBody:
		c.hangUp("request larger than its kind may be")
		return
	}
	c.api = a
	a.handle(c)
}

// TurnEnd runs the fetches that this turn's appends woke, so that each is answered once with all that came.
func (b *Broker) TurnEnd(l *netpoll.Loop) {
	lp := b.loopOf(l)
	for len(lp.woken) > 0 {
		lp.running, lp.woken = lp.woken, lp.running[:0]
		for i, f := range lp.running {
			lp.running[i] = nil
			f.Run()
		}
	}
	lp.now = time.Time{}
}

// Closed ends what the connection still waits for.
func (b *Broker) Closed(nc *netpoll.Conn, _ error) {
	c, ok := nc.User.(*conn)
	if !ok {
		return
	}
	c.closed = true
	for f := c.parked; f != nil; {
		next := f.connNext
		if f.state.CompareAndSwap(fetchParked, fetchWoken) {
			f.Run()
		}
		f = next
	}
}

// loopOf returns the broker's half of l, made at its first use.
func (b *Broker) loopOf(l *netpoll.Loop) *loop {
	if lp, ok := l.User.(*loop); ok {
		return lp
	}
	lp := &loop{net: l, b: b, meters: make([]apiMeter, len(b.apis))}
	l.User = lp
	b.addLoop(lp)
	return lp
}

// conn is what the broker keeps for each connection; only its loop touches it.
type conn struct {
	parked *fetch // list of parked fetches, threaded through connNext and connPrev
	closed bool
}

package broker

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// api is one Kafka API: what ApiVersions says of it and how it is served.
type api struct {
	key      wire.Key
	min, max int16 // advertised; KIP-896 minimums
	served   int16 // lowest version served where that is more than min; see lowest
	maxBody  int   // bytes; a longer body closes the connection, before anything is decoded
	handle   func(*call)
	index    int // in Broker.apis
}

// lowest is the lowest version that is served. It differs from min only for Produce (KAFKA-18659: librdkafka
// wants version 0 advertised before it compresses, though nobody may send it).
func (a *api) lowest() int16 { return max(a.min, a.served) }

// Bodies other than Produce's decode into structures of up to about 30 times their size (an empty string of one
// byte becomes a header of 16): 2 MiB bounds that at some 60 MB for one request.
const maxMessageBody = 2 << 20

// message is the handler of an API whose messages kmsg decodes and that never blocks.
func message[R any, PR interface {
	*R
	kmsg.Request
}](serve func(*call, PR) kmsg.Response) func(*call) {
	return func(c *call) {
		req := PR(new(R))
		if decode(c, req) {
			c.reply(serve(c, req))
		}
	}
}

// blocking is message for an API that may block: serve runs on a worker. It may read the call, but only the loop
// may end it.
func blocking[R any, PR interface {
	*R
	kmsg.Request
}](serve func(*call, PR) kmsg.Response) func(*call) {
	return func(c *call) {
		req := PR(new(R))
		if !decode(c, req) {
			return
		}
		c.b.workers.do(func() {
			var m kmsg.Response
			end := func() { c.hangUp("the request made a handler panic") }
			defer func() { c.loop.net.Post(task(end)) }()
			defer c.b.survive()
			m = serve(c, req)
			end = func() { c.reply(m) }
		})
	}
}

// survive stops a panic on a worker, as the network layer does on a loop: it costs the connection, unless it says
// that our own state is broken.
func (b *Broker) survive() {
	r := recover()
	if r == nil {
		return
	}
	if text := fmt.Sprint(r); strings.HasPrefix(text, "BUG:") || strings.HasPrefix(text, "FATAL:") {
		panic(r)
	}
	b.log.Error("panic in a worker", "panic", r, "stack", string(debug.Stack()))
}

// task lets a function be posted to a loop.
type task func()

// Run calls the function.
func (t task) Run() { t() }

func decode(c *call, req kmsg.Request) bool {
	req.SetVersion(c.header.Version)
	if err := req.ReadFrom(c.body); err != nil {
		c.hangUp("malformed request")
		return false
	}
	return true
}

func (b *Broker) apiFor(k wire.Key) *api {
	if k < 0 || int(k) >= len(b.byKey) {
		return nil
	}
	return b.byKey[k]
}

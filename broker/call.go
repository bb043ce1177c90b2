package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/netpoll"
	"github.com/sluice-mq/sluice/wire"
)

// call is one request being answered. Its handler ends it with exactly one of reply, send, drop or hangUp, on the
// loop that read it; the call must not be used afterwards.
type call struct {
	b      *Broker
	loop   *loop
	net    *netpoll.Request
	api    *api
	header wire.RequestHeader
	body   []byte // lives until the call ends
	start  time.Time
}

func (c *call) version() int16 { return c.header.Version }

// begin starts the reply: the response header.
func (c *call) begin() *netpoll.Out {
	out := &c.net.Out
	out.Buf = wire.AppendResponseHeader(out.Buf, c.header.Key, c.header.Version, c.header.CorrelationID)
	return out
}

// send ends the call with what was put into net.Out.
func (c *call) send() {
	c.observe()
	c.net.Send()
	c.loop.freeCall(c)
}

// drop ends the call without an answer.
func (c *call) drop() {
	c.observe()
	c.net.Drop()
	c.loop.freeCall(c)
}

// reply ends the call with a message; nil is no answer.
func (c *call) reply(m kmsg.Response) {
	if m == nil {
		c.drop()
		return
	}
	m.SetVersion(c.header.Version)
	out := c.begin()
	out.Buf = m.AppendTo(out.Buf)
	c.send()
}

// hangUp ends the call and its connection, as Kafka does where no answer is defined.
func (c *call) hangUp(why string) {
	nc, loop := c.net.Conn(), c.loop
	loop.b.hungUp.Add(1)
	err := fmt.Errorf("%w: %s (API key %d version %d)", errBadRequest, why, c.header.Key, c.header.Version)
	c.net.Drop()
	loop.freeCall(c)
	nc.Close(err)
}

var errBadRequest = errors.New("bad request")

// observe counts the call; before its memory goes back.
func (c *call) observe() {
	if c.api == nil {
		return
	}
	m := &c.loop.meters[c.api.index]
	m.requests.Inc()
	m.total.Observe(int64(time.Since(c.start)))
}

package coordination

import (
	"bufio"
	"encoding/binary"
	"net"
	"sync"
	"testing"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// proxy stands between clients and the coordinator, and breaks connections where it hurts.
type proxy struct {
	t    *testing.T
	l    net.Listener
	to   string
	wg   sync.WaitGroup
	mu   sync.Mutex
	all  map[net.Conn]struct{}
	cut  func(op zk.Op) bool // true: the connection breaks instead of the answer to such a request
	deaf bool                // nothing goes through any more, and nobody is told
	over bool
}

func through(t *testing.T, k *coordinator) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{t: t, l: l, to: k.addr, all: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// via has a session opened through the proxy.
func (p *proxy) via(c *client.Config) { c.Servers = []string{p.l.Addr().String()} }

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			in.Close()
			continue
		}
		if !p.add(in, out) {
			return
		}
		doomed := &xids{}
		p.wg.Go(func() { p.pump(in, out, doomed, true) })
		p.wg.Go(func() { p.pump(out, in, doomed, false) })
	}
}

func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.all[c] = struct{}{}
		if p.over {
			c.Close()
		}
	}
	return !p.over
}

// xids are the requests whose answers must not arrive.
type xids struct {
	mu  sync.Mutex
	set map[int32]bool
}

func (x *xids) add(xid int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.set == nil {
		x.set = map[int32]bool{}
	}
	x.set[xid] = true
}

func (x *xids) has(xid int32) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.set[xid]
}

// pump passes on packets of one direction.
func (p *proxy) pump(from, to net.Conn, doomed *xids, requests bool) {
	defer from.Close()
	defer to.Close()
	in := bufio.NewReader(from)
	for first := true; ; first = false {
		b, err := zk.ReadPacket(in, nil, 8<<20)
		if err != nil {
			return
		}
		p.mu.Lock()
		cut, deaf := p.cut, p.deaf
		p.mu.Unlock()
		if deaf {
			continue
		}
		if xid := int32(binary.BigEndian.Uint32(b)); !first && xid > 0 {
			if !requests && doomed.has(xid) {
				return
			}
			if requests && cut != nil && cut(zk.Op(binary.BigEndian.Uint32(b[4:]))) {
				doomed.add(xid)
			}
		}
		if _, err := to.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
			return
		}
	}
}

// cutOnce breaks the connection of the next request of that kind, behind its back: it is executed, and not answered.
func (p *proxy) cutOnce(op zk.Op) (done <-chan struct{}) {
	c := make(chan struct{})
	var once sync.Once
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = func(o zk.Op) (cut bool) {
		if o == op {
			once.Do(func() { cut = true; close(c) })
		}
		return cut
	}
	return c
}

func (p *proxy) setCut(f func(op zk.Op) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = f
}

func (p *proxy) setDeaf() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

// hold breaks all connections and has new ones hear nothing.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
	p.breakLocked()
}

func (p *proxy) breakLocked() {
	for c := range p.all {
		c.Close()
	}
	clear(p.all)
}

// hear ends that; the connections that were deaf break.
func (p *proxy) hear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = false
	p.breakLocked()
}

func (p *proxy) close() {
	p.l.Close()
	p.mu.Lock()
	p.over = true
	for c := range p.all {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

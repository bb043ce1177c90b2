package server

import (
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// auth adds an identity to the connection. A failure ends it; a request that cannot be read ends it without an answer.
func (c *Core) auth(p *Peer, h *zk.RequestHeader, d *zk.Decoder) {
	var r zk.AuthRequest
	if r.Decode(d); d.Err() != nil {
		p.hangUp()
		return
	}
	err := zk.AuthFailed
	switch {
	case r.Scheme == "ip":
		err = zk.OK // every connection has its address's
	case r.Scheme == "digest" && r.Auth != nil:
		id := zk.DigestOf(string(r.Auth))
		if c.limits.SuperDigest != "" && id.ID == c.limits.SuperDigest {
			p.addID(zk.ID{Scheme: superScheme})
		}
		p.addID(id)
		err = zk.OK
	}
	p.answer(&zk.ReplyHeader{Xid: h.Xid, Err: err}, nil)
	if err != zk.OK {
		c.Stats.AuthFailures++
		p.hangUp()
	}
}

// sasl is answered as by a ZooKeeper that was not told how to do it: with no token, and nobody is anybody by it.
func (c *Core) sasl(p *Peer, h *zk.RequestHeader, d *zk.Decoder) {
	if d.Buffer(); d.Err() != nil {
		p.hangUp()
		return
	}
	p.answer(&zk.ReplyHeader{Xid: h.Xid}, func(dst []byte) []byte { return zk.AppendBuffer(dst, nil) })
}

// maxIDs bounds what a connection can show to be: each is looked at with every check.
const maxIDs = 64

func (p *Peer) addID(id zk.ID) {
	for _, x := range p.ids {
		if x == id {
			return
		}
	}
	if len(p.ids) < maxIDs {
		p.ids = append(p.ids[:len(p.ids):len(p.ids)], id)
	}
}

// whoAmI tells names without what proves them.
func (c *Core) whoAmI(p *Peer, _ *zk.Decoder) (answer, zk.Error) {
	ids := make([]zk.ID, len(p.ids))
	for i, id := range p.ids {
		if id.Scheme == "digest" {
			id.ID, _, _ = strings.Cut(id.ID, ":")
		}
		ids[i] = id
	}
	return func(dst []byte) []byte { return zk.AppendIDs(dst, ids) }, zk.OK
}

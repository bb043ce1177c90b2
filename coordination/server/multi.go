package server

import "github.com/sluice-mq/sluice/coordination/zk"

// multi makes all of several changes, or none: each is planned with those before it made. When one fails, what was
// made is taken back.
func (c *Core) multi(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.MultiRequest
	if !decode(d, &r) || !wellFormed(&r) {
		return nil, zk.MarshallingError
	}
	c.Stats.Writes++
	x := c.begin()
	c.events, c.undone = c.events[:0], c.undone[:0]
	resp := zk.MultiResponse{Results: make([]zk.PartResult, len(r.Parts))}
	for i := range r.Parts {
		if err := c.part(p, x, &r.Parts[i], &resp.Results[i]); err != zk.OK {
			c.tree.takeBack(c.undone)
			failed(resp.Results, i, err)
			return resp.Append, zk.OK
		}
	}
	if len(x.changes) > 0 {
		c.committed(x)
	}
	return resp.Append, zk.OK
}

// wellFormed brings the parts of a multi into the form of MultiOperationRecord, which is not in all that of the same
// operations alone. It tells whether there is one.
func wellFormed(r *zk.MultiRequest) bool {
	for i := range r.Parts {
		part := &r.Parts[i]
		switch q := part.Request.(type) {
		case *zk.ReadRequest: // reads belong into a multiRead
			return false
		case *zk.CreateRequest:
			switch {
			case !q.WithTTL && (q.ACL == nil || !q.Mode.Valid() || q.Mode.HasTTL()):
				return false
			case q.Mode == zk.Container:
				part.Op, q.WithTTL = zk.OpCreateContainer, false
			case q.WithTTL && !q.Mode.HasTTL():
				part.Op, q.WithTTL = zk.OpCreate, false
			}
		}
	}
	return true
}

// failed fills the results of a multi whose part i has failed.
func failed(results []zk.PartResult, i int, err zk.Error) {
	for j := range results {
		results[j] = zk.PartResult{Op: zk.OpError}
		switch {
		case j == i:
			results[j].Err = err
		case j > i:
			results[j].Err = zk.RuntimeInconsistency
		}
	}
}

func (c *Core) part(p *Peer, x *txn, part *zk.Part, res *zk.PartResult) zk.Error {
	var ch change
	err := zk.OK
	res.Op = part.Op
	switch r := part.Request.(type) {
	case *zk.CreateRequest:
		if part.Op != zk.OpCreate {
			res.Op = zk.OpCreate2
		}
		ch, err = c.planCreate(p, part.Op, r)
	case *zk.VersionRequest:
		if part.Op == zk.OpCheck {
			return c.check(p, r)
		}
		ch, err = c.planDelete(p, r)
	case *zk.SetDataRequest:
		ch, err = c.planSetData(p, r)
	}
	if err != zk.OK {
		return err
	}
	x.changes = append(x.changes, ch)
	last := &x.changes[len(x.changes)-1]
	c.undone = append(c.undone, c.tree.before(last))
	var misfit error
	if c.events, misfit = c.tree.apply(x, last, c.events); misfit != nil {
		panic("BUG: " + misfit.Error())
	}
	o := c.outcome(last)
	res.Path, res.Stat = o.path, o.stat
	return zk.OK
}

// multiRead reads several nodes at one time. Each has an error of its own.
func (c *Core) multiRead(p *Peer, d *zk.Decoder) (answer, zk.Error) {
	var r zk.MultiRequest
	if !decode(d, &r) {
		return nil, zk.MarshallingError
	}
	resp := zk.MultiResponse{Results: make([]zk.PartResult, len(r.Parts))}
	size := 0
	for i, part := range r.Parts {
		q, ok := part.Request.(*zk.ReadRequest)
		if !ok {
			return nil, zk.MarshallingError
		}
		if size > maxMultiRead {
			resp.Results[i] = zk.PartResult{Op: zk.OpError, Err: zk.QuotaExceeded}
			continue
		}
		res := c.readPart(p, part.Op, q)
		size += len(res.Data)
		for _, name := range res.Children {
			size += len(name)
		}
		resp.Results[i] = res
	}
	return resp.Append, zk.OK
}

// maxMultiRead bounds the answer: a packet has room for thousands of reads, and each may be of a megabyte.
const maxMultiRead = 16 << 20

func (c *Core) readPart(p *Peer, op zk.Op, r *zk.ReadRequest) zk.PartResult {
	n, err := c.read(p, r.Path, zk.PermRead)
	if err != zk.OK {
		return zk.PartResult{Op: zk.OpError, Err: err}
	}
	res := zk.PartResult{Op: op}
	if op == zk.OpGetData {
		res.Data, res.Stat = n.data, n.stat()
		return res
	}
	for name := range n.children {
		res.Children = append(res.Children, name)
	}
	return res
}

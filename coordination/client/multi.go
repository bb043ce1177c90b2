package client

import (
	"context"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Op is a part of a Multi. Make one with CreateOp, CreateTTLOp, DeleteOp, SetOp or CheckOp.
type Op struct {
	op      zk.Op
	path    string
	data    []byte
	acl     []zk.ACL
	mode    zk.CreateMode
	ttl     time.Duration
	version int32
}

// CreateOp is Create; nil for acl is zk.OpenACL.
func CreateOp(path string, data []byte, acl []zk.ACL, mode zk.CreateMode) Op {
	return Op{op: zk.OpCreate2, path: path, data: data, acl: acl, mode: mode}
}

// CreateTTLOp is CreateTTL.
func CreateTTLOp(path string, data []byte, acl []zk.ACL, mode zk.CreateMode, ttl time.Duration) Op {
	return Op{op: zk.OpCreate2, path: path, data: data, acl: acl, mode: mode, ttl: ttl}
}

// DeleteOp is Delete.
func DeleteOp(path string, version int32) Op {
	return Op{op: zk.OpDelete, path: path, version: version}
}

// SetOp is Set.
func SetOp(path string, data []byte, version int32) Op {
	return Op{op: zk.OpSetData, path: path, data: data, version: version}
}

// CheckOp fails the whole if the node does not have that version.
func CheckOp(path string, version int32) Op { return Op{op: zk.OpCheck, path: path, version: version} }

// Result is what became of a part.
type Result struct {
	Path string  // of a create
	Stat zk.Stat // of a create or set
	// Err is nil if all parts were done. Otherwise none was: that of the part which failed is its error, of those before
	// it nil, of those behind it zk.RuntimeInconsistency.
	Err error
}

// Multi does all of the parts in order as one transaction, or none of them. If one fails, the error is that part's, and
// the results tell which it is.
func (s *Session) Multi(ctx context.Context, ops ...Op) ([]Result, error) {
	var r zk.MultiRequest
	for _, o := range ops {
		p, err := s.part(&o)
		if err != nil {
			return nil, err
		}
		r.Parts = append(r.Parts, p)
	}
	c := newCall(zk.OpMulti, "", &r, decodeMulti)
	if err := s.do(ctx, c); err != nil {
		return nil, err
	}
	return s.results(ops, c.res.parts)
}

func decodeMulti(r *result, d *zk.Decoder) {
	var m zk.MultiResponse
	m.Decode(d)
	r.parts = m.Results
}

func (s *Session) part(o *Op) (zk.Part, error) {
	if o.op == zk.OpCreate2 {
		op, r, err := s.createRequest(o.path, o.data, o.acl, o.mode, o.ttl)
		return zk.Part{Op: op, Request: r}, err
	}
	at, err := s.full(o.path, o.op)
	if err != nil {
		return zk.Part{}, err
	}
	if o.op == zk.OpSetData {
		return zk.Part{Op: o.op, Request: &zk.SetDataRequest{Path: at, Data: o.data, Version: o.version}}, nil
	}
	return zk.Part{Op: o.op, Request: &zk.VersionRequest{Path: at, Version: o.version}}, nil
}

func (s *Session) results(ops []Op, parts []zk.PartResult) ([]Result, error) {
	if len(parts) != len(ops) {
		return nil, &OpError{Op: zk.OpMulti, Err: errProtocol}
	}
	results := make([]Result, len(parts))
	var err error
	for i := range parts {
		p := &parts[i]
		results[i] = Result{Path: s.strip(p.Path), Stat: p.Stat}
		if p.Err == zk.OK {
			continue
		}
		results[i].Err = p.Err
		if err == nil {
			err = &OpError{Op: ops[i].op, Path: ops[i].path, Err: p.Err}
		}
	}
	return results, err
}

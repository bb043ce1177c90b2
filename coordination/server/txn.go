package server

import (
	"fmt"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// txn is a transaction: changes that happen together, with everything decided. It is what the log holds.
type txn struct {
	zxid    int64
	millis  int64 // wall clock, for people and for nodes that live for a time
	changes []change
}

type changeOp int32

// The numbers are in the log.
const (
	opCreate       changeOp = 1
	opRemove       changeOp = 2
	opSetData      changeOp = 3
	opSetACL       changeOp = 4
	opOpenSession  changeOp = 5 // or its new time-out
	opCloseSession changeOp = 6
	opNothing      changeOp = 7 // takes a transaction id and changes nothing
)

func (o changeOp) String() string {
	switch o {
	case opCreate:
		return "create"
	case opRemove:
		return "remove"
	case opSetData:
		return "setData"
	case opSetACL:
		return "setACL"
	case opOpenSession:
		return "open session"
	case opCloseSession:
		return "close session"
	case opNothing:
		return "nothing"
	}
	return fmt.Sprintf("change %d", int32(o))
}

// change is one part of a transaction.
type change struct {
	op   changeOp
	path string
	data []byte   // create, setData
	acl  []zk.ACL // create, setACL
	kind kind     // create
	// limit is the session of an ephemeral, or the milliseconds a timed node lives; of an opened session its time-out.
	limit int64
	// version is that of data or ACL afterwards; of a create, how many children the parent has had.
	version int32
	session int64 // open and close
}

func (x *txn) append(dst []byte) []byte {
	dst = zk.AppendLong(zk.AppendLong(dst, x.zxid), x.millis)
	dst = zk.AppendInt(dst, int32(len(x.changes)))
	for i := range x.changes {
		dst = x.changes[i].append(dst)
	}
	return dst
}

func (c *change) append(dst []byte) []byte {
	dst = zk.AppendInt(dst, int32(c.op))
	switch c.op {
	case opCreate:
		dst = zk.AppendACLs(zk.AppendBuffer(zk.AppendString(dst, c.path), c.data), c.acl)
		dst = zk.AppendLong(zk.AppendInt(dst, int32(c.kind)), c.limit)
		return zk.AppendInt(dst, c.version)
	case opRemove:
		return zk.AppendString(dst, c.path)
	case opSetData:
		return zk.AppendInt(zk.AppendBuffer(zk.AppendString(dst, c.path), c.data), c.version)
	case opSetACL:
		return zk.AppendInt(zk.AppendACLs(zk.AppendString(dst, c.path), c.acl), c.version)
	case opOpenSession:
		return zk.AppendLong(zk.AppendLong(dst, c.session), c.limit)
	case opCloseSession:
		return zk.AppendLong(dst, c.session)
	}
	return dst
}

// minChange is the size of the smallest change, which bounds what a count can make us allocate.
const minChange = 4

// decode reads one transaction.
func (x *txn) decode(d *zk.Decoder) error {
	x.zxid, x.millis = d.Long(), d.Long()
	n := d.Int()
	if n < 0 || int(n) > len(d.Left())/minChange {
		return fmt.Errorf("transaction %#x announces %d changes in %d bytes", x.zxid, n, len(d.Left()))
	}
	x.changes = make([]change, n)
	for i := range x.changes {
		if err := x.changes[i].decode(d); err != nil {
			return fmt.Errorf("transaction %#x: %w", x.zxid, err)
		}
	}
	return d.Err()
}

func (c *change) decode(d *zk.Decoder) error {
	c.op = changeOp(d.Int())
	switch c.op {
	case opCreate:
		c.path, c.data, c.acl = d.String(), d.Buffer(), d.ACLs()
		c.kind, c.limit, c.version = kind(d.Int()), d.Long(), d.Int()
	case opRemove:
		c.path = d.String()
	case opSetData:
		c.path, c.data, c.version = d.String(), d.Buffer(), d.Int()
	case opSetACL:
		c.path, c.acl, c.version = d.String(), d.ACLs(), d.Int()
	case opOpenSession:
		c.session, c.limit = d.Long(), d.Long()
	case opCloseSession:
		c.session = d.Long()
	case opNothing:
	default:
		return fmt.Errorf("unknown change %d", int32(c.op))
	}
	return d.Err()
}

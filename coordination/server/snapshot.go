package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/sys"
)

// A snapshot, snapshot.<zxid>, is the state after that transaction:
//
//	magic, zxid, newest session id ever given, sessions (id, time-out in ms), nodes (path, then what a node has), CRC-32C of all before it
//
// with counts before sessions and nodes, in jute's encoding. Nodes come in any order. It is written to a .tmp sibling,
// synced and renamed.
const (
	snapshotPrefix = "snapshot."
	snapshotMagic  = "SLZKSNP1"
)

// errStopped says that a snapshot was given up, since the server ends.
var errStopped = errors.New("stopped")

// lease is a session in a snapshot.
type lease struct {
	id      int64
	timeout time.Duration
}

// leased is what a snapshot has of sessions.
type leased struct {
	last int64 // newest id ever given
	all  []lease
}

// leases are the sessions that are alive.
func (s *sessions) leases() leased {
	l := leased{s.last, make([]lease, 0, len(s.byID))}
	for _, x := range s.byID {
		l.all = append(l.all, lease{x.id, x.timeout})
	}
	return l
}

// writeSnapshot blocks until the snapshot is on the device. It only reads f, whose nodes no longer change.
func writeSnapshot(dir string, f *frozen, leases leased, stop <-chan struct{}) (err error) {
	path := filepath.Join(dir, zxidName(snapshotPrefix, f.zxid))
	tmp := path + tmpSuffix
	fd, err := sys.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: tmp, Err: err}
	}
	w := &summingWriter{fd: fd}
	buf := bufio.NewWriterSize(w, 256<<10)
	if err = encodeSnapshot(buf, f, leases, stop); err == nil {
		err = buf.Flush()
	}
	if err == nil {
		_, err = w.Write(binary.BigEndian.AppendUint32(nil, w.sum))
	}
	if err == nil {
		err = sys.Fdatasync(fd)
	}
	if e := sys.CloseFile(fd); err == nil {
		err = e
	}
	if err == nil {
		err = sys.Rename(tmp, path)
	}
	if err != nil {
		_ = sys.Remove(tmp) // the first error is what counts; the next start removes it otherwise
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return sys.SyncDir(dir)
}

// summingWriter writes to a file, one piece behind the other, and sums up.
type summingWriter struct {
	fd  int
	at  int64
	sum uint32
}

func (w *summingWriter) Write(b []byte) (int, error) {
	if err := sys.PwriteFull(w.fd, b, w.at); err != nil {
		return 0, err
	}
	w.at += int64(len(b))
	w.sum = crc32.Update(w.sum, castagnoli, b)
	return len(b), nil
}

func encodeSnapshot(w io.Writer, f *frozen, leases leased, stop <-chan struct{}) error {
	b := zk.AppendLong(zk.AppendLong([]byte(snapshotMagic), f.zxid), leases.last)
	b = zk.AppendInt(b, int32(len(leases.all)))
	for _, l := range leases.all {
		b = zk.AppendLong(zk.AppendLong(b, l.id), l.timeout.Milliseconds())
	}
	b = zk.AppendInt(b, int32(len(f.nodes)))
	if _, err := w.Write(b); err != nil {
		return err
	}
	for i, n := range f.nodes {
		select {
		case <-stop:
			return errStopped
		default:
		}
		b = n.append(zk.AppendString(b[:0], f.paths[i]))
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) append(b []byte) []byte {
	b = zk.AppendACLs(zk.AppendBuffer(b, n.data), n.acl)
	for _, v := range [...]int64{n.czxid, n.mzxid, n.pzxid, n.ctime, n.mtime, n.limit} {
		b = zk.AppendLong(b, v)
	}
	for _, v := range [...]int32{n.version, n.aversion, n.created, int32(n.kind)} {
		b = zk.AppendInt(b, v)
	}
	return b
}

func (n *node) decode(d *zk.Decoder) {
	n.data, n.acl = d.Buffer(), d.ACLs()
	if len(n.acl) == 1 && n.acl[0] == zk.OpenACL[0] {
		n.acl = zk.OpenACL
	}
	for _, v := range [...]*int64{&n.czxid, &n.mzxid, &n.pzxid, &n.ctime, &n.mtime, &n.limit} {
		*v = d.Long()
	}
	n.version, n.aversion, n.created, n.kind = d.Int(), d.Int(), d.Int(), kind(d.Int())
}

// minNode is the size of a node without path, data and ACL.
const minNode = 3*4 + 6*8 + 4*4

// loadSnapshot reads a state. An error is ErrDamaged, or what reading gave.
func loadSnapshot(path string) (t *tree, leases leased, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, leases, err
	}
	return decodeSnapshot(b, path)
}

// decodeSnapshot reads what the file at path has.
func decodeSnapshot(b []byte, path string) (t *tree, leases leased, err error) {
	const sum = 4
	if len(b) < len(snapshotMagic)+sum || string(b[:len(snapshotMagic)]) != snapshotMagic ||
		crc32.Checksum(b[:len(b)-sum], castagnoli) != binary.BigEndian.Uint32(b[len(b)-sum:]) {
		return nil, leases, fmt.Errorf("%w: %s has a wrong checksum", ErrDamaged, path)
	}
	d := zk.NewDecoder(b[len(snapshotMagic) : len(b)-sum])
	t = &tree{owned: map[int64]map[string]struct{}{}, ending: map[string]struct{}{}, zxid: d.Long()}
	leases.last = d.Long()
	for range d.Int() {
		leases.all = append(leases.all, lease{d.Long(), millis(d.Long())})
		if d.Err() != nil {
			break
		}
	}
	n := int(d.Int())
	fit := max(0, min(n, len(d.Left())/minNode))
	t.nodes = make(map[string]*node, fit)
	all := make([]node, fit) // one allocation in place of a hundred thousand
	for i := range all {
		path := d.String()
		all[i].decode(d)
		if d.Err() != nil {
			break
		}
		t.nodes[path] = &all[i]
		t.bytes += int64(len(path) + len(all[i].data))
		t.enlist(path, &all[i])
	}
	if d.Err() != nil || len(d.Left()) > 0 || len(t.nodes) != n {
		return nil, leases, fmt.Errorf("%w: %s does not have what it announces", ErrDamaged, path)
	}
	return t, leases, t.link(path)
}

// link gives all nodes their children.
func (t *tree) link(from string) error {
	for path := range t.nodes {
		if path == "/" {
			continue
		}
		up := t.nodes[zk.Parent(path)]
		if up == nil {
			return fmt.Errorf("%w: %s has %s without its parent", ErrDamaged, from, path)
		}
		up.addChild(zk.Base(path))
	}
	for _, path := range fixed {
		if t.nodes[path] == nil {
			return fmt.Errorf("%w: %s lacks %s", ErrDamaged, from, path)
		}
	}
	return nil
}

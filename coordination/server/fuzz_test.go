package server

import (
	"bufio"
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// FuzzLog: transactions with anything in them are replayed or refused, and what was read is written the same again.
func FuzzLog(f *testing.F) {
	f.Add((&txn{zxid: 1, changes: []change{{op: opOpenSession, session: 7, limit: 4000},
		{op: opCreate, path: "/a", data: []byte("x"), acl: zk.OpenACL, kind: ephemeral, limit: 7, version: 1}}}).append(nil))
	f.Add((&txn{zxid: 1, changes: []change{{op: opRemove, path: "/"}, {op: opCloseSession, session: 7}}}).append(nil))
	f.Add((&txn{zxid: 1, changes: []change{{op: opSetACL, path: "/", acl: zk.OpenACL}, {op: opSetData, path: "/"}, {op: opNothing}}}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newCore(testConfig("").Limits, nil)
		_ = eachTxn(b, func(x *txn) error { // refusing is fine
			var again txn
			d := zk.NewDecoder(x.append(nil))
			if err := again.decode(d); err != nil || len(d.Left()) > 0 {
				t.Fatal(err)
			}
			return c.replay(x)
		})
		whole(t, c.tree)
	})
}

// FuzzRecords: a log file with anything in it ends somewhere.
func FuzzRecords(f *testing.F) {
	b := append(beginRecord(nil), (&txn{zxid: 1}).append(nil)...)
	finishRecord(b)
	f.Add(append([]byte(walMagic), b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := recordReader{r: bufio.NewReader(bytes.NewReader(b))}
		err := r.magic()
		for err == nil {
			var body []byte
			if body, err = r.next(); err == nil && len(body) == 0 {
				t.Fatal("an empty record")
			}
		}
		_ = followed(b)
	})
}

// FuzzSnapshot: a snapshot with anything in it is read or refused.
func FuzzSnapshot(f *testing.F) {
	c := testCore()
	frozen := c.tree.freeze()
	var buf bytes.Buffer
	if err := encodeSnapshot(&buf, &frozen, leased{7, []lease{{1, 4e9}}}, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		b = zk.AppendInt(bytes.Clone(b), int32(crc32.Checksum(b, castagnoli)))
		if tree, _, err := decodeSnapshot(b, "snapshot"); err == nil {
			whole(t, tree)
		}
	})
}

// whole looks whether every node has its parent, which knows it.
func whole(t *testing.T, tree *tree) {
	for path, n := range tree.nodes {
		if path == "/" {
			continue
		}
		up := tree.nodes[zk.Parent(path)]
		if up == nil {
			t.Fatalf("%q has no parent", path)
		}
		if _, ok := up.children[zk.Base(path)]; !ok {
			t.Fatalf("%q is no child of its parent", path)
		}
		_ = n.stat()
	}
}

package server

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// machine is a core with its store, without sockets.
type machine struct {
	t  testing.TB
	c  *Core
	s  *store
	to *Peer // a session
}

var quietLog = slog.New(slog.DiscardHandler)

// openMachine opens dir.
func openMachine(t testing.TB, dir string) (*machine, error) {
	m := &machine{t: t, c: newCore(testConfig("").Limits, nil)}
	m.c.sessions.beginIDs(1, 1_700_000_000_000)
	var err error
	m.s, err = openStore(dir, m.c, quietLog)
	return m, err
}

// look opens dir and changes no more than a start has to before it begins a new log file.
func look(dir string) (*Core, error) {
	c := newCore(testConfig("").Limits, nil)
	s, err := lockStore(dir, quietLog)
	if err != nil {
		return c, err
	}
	defer s.abandon()
	if err = s.read(c); err == nil {
		err = s.compare(c.tree.zxid)
	}
	return c, err
}

func mustOpen(t testing.TB, dir string) *machine {
	t.Helper()
	m, err := openMachine(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// session begins a session.
func (m *machine) session() {
	m.to = m.c.Open(nil)
	m.c.Packet(m.to, (&zk.ConnectRequest{TimeoutMillis: 10_000}).Append(nil))
}

// do executes a request and commits.
func (m *machine) do(op zk.Op, r zk.Record) error {
	if m.to == nil {
		m.session()
	}
	m.c.Packet(m.to, r.Append((&zk.RequestHeader{Xid: 1, Op: op}).Append(nil)))
	return m.commit()
}

func (m *machine) commit() error {
	log, _, _ := m.c.Take()
	if len(log) == 0 {
		return nil
	}
	return m.s.append(log)
}

func (m *machine) create(path string) error {
	return m.do(zk.OpCreate, &zk.CreateRequest{Path: path, Data: []byte(strings.Repeat(path, 3)), ACL: zk.OpenACL})
}

// snapshot is Server.snapshot, waited for.
func (m *machine) snapshot() error {
	f, leases := m.c.tree.freeze(), m.c.sessions.leases()
	if err := m.s.roll(f.zxid + 1); err != nil {
		return err
	}
	return m.s.save(&f, leases, 3, nil)
}

func (m *machine) close() {
	m.t.Helper()
	if err := m.s.close(m.c.tree.zxid); err != nil {
		m.t.Fatal(err)
	}
}

// state is all that has to be there again, as text.
func (c *Core) state() string {
	var lines []string
	for path, n := range c.tree.nodes {
		lines = append(lines, fmt.Sprintf("%s %x %+v %v", path, n.data, n.stat(), n.acl))
	}
	for id, x := range c.sessions.byID {
		lines = append(lines, fmt.Sprintf("session %x %v", id, x.timeout))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%x\n", c.tree.zxid) + strings.Join(lines, "\n")
}

// lastLog is the newest log file.
func lastLog(t testing.TB, dir string) string {
	t.Helper()
	logs, err := numbered(dir, walPrefix)
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	return filepath.Join(dir, zxidName(walPrefix, logs[len(logs)-1]))
}

// copyDir copies a directory and its marker.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	os.RemoveAll(to)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	copyFile(t, from+markerSuffix, to+markerSuffix)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTornTail cuts the log, and fills it up with zeros or with anything, at every byte: whole records are there, the one that is
// cut is not, and nothing is refused that a crash could leave.
func TestTornTail(t *testing.T) {
	dir, cut := t.TempDir()+"/a", t.TempDir()+"/b"
	m := mustOpen(t, dir)
	ends, states := []int64{m.s.wal.at}, []string{m.c.state()}
	for i := range 4 {
		if err := m.create(fmt.Sprint("/n", i)); err != nil {
			t.Fatal(err)
		}
		ends, states = append(ends, m.s.wal.at), append(states, m.c.state())
	}
	m.s.abandon() // as a kill leaves it
	name := filepath.Base(lastLog(t, dir))
	log, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	log = log[:ends[len(ends)-1]+100]
	os.Truncate(filepath.Join(dir, name), 0) // less to copy
	garbage := bytes.Repeat([]byte("garbage!"), 20)
	for n := len(walMagic); n < len(log); n++ { // a file gets its name with that
		whole := 0
		for whole+1 < len(ends) && ends[whole+1] <= int64(n) {
			whole++
		}
		for _, behind := range [][]byte{nil, make([]byte, 200), garbage} {
			if len(behind) > 0 && n%7 > 0 {
				continue // to save time
			}
			copyDir(t, dir, cut)
			if err := os.WriteFile(filepath.Join(cut, name), slices.Concat(log[:n], behind), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := look(cut)
			if err != nil {
				t.Fatalf("cut at %d, then %q: %v", n, behind, err)
			}
			if got := c.state(); got != states[whole] {
				t.Fatalf("cut at %d, then %q: %s\nwant %s", n, behind, got, states[whole])
			}
		}
	}
}

// TestFlippedByte changes every byte of every file, one at a time: the start is refused, or the state is what it was.
// After a close nothing may be missing; after a kill the last record may, which is what a torn one looks like.
func TestFlippedByte(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed=", killed), func(t *testing.T) {
			dir, bad := t.TempDir()+"/a", t.TempDir()+"/b"
			m := mustOpen(t, dir)
			for i := range 6 {
				if err := m.create(fmt.Sprint("/n", i)); err != nil {
					t.Fatal(err)
				}
				if i == 2 {
					if err := m.snapshot(); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := m.c.state()
			if err := m.create("/last"); err != nil {
				t.Fatal(err)
			}
			after := m.c.state()
			end := m.s.wal.at
			if killed {
				m.s.abandon()
			} else {
				m.close()
			}
			last := lastLog(t, dir)
			os.Truncate(last, end) // less to copy
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			paths := []string{dir + markerSuffix}
			for _, e := range entries {
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
			refused := 0
			for _, path := range paths {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if path == last {
					b = b[:end]
				}
				copyDir(t, dir, bad)
				step := 1
				if path != last { // the log is what crashes meet; the others have one checksum or form for all of it
					step = 5
				}
				for i := 0; i < len(b); i += step {
					b[i] ^= 0x40
					if err := os.WriteFile(strings.Replace(path, dir, bad, 1), b, 0o600); err != nil {
						t.Fatal(err)
					}
					b[i] ^= 0x40
					c, err := look(bad)
					if err != nil {
						refused++
						if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrLost) {
							t.Fatalf("%s at %d: %v", path, i, err)
						}
						continue
					}
					if path == last { // something may have been cut
						copyDir(t, dir, bad)
					}
					got := c.state()
					if got != after && !(killed && path == last && got == before) {
						t.Fatalf("%s at %d: %s\nwant %s", path, i, got, after)
					}
				}
			}
			if refused == 0 {
				t.Error("nothing was refused")
			}
		})
	}
}

// TestFallBack: without the newest snapshot a start takes the one before, and the log behind it.
func TestFallBack(t *testing.T) {
	dir := t.TempDir() + "/a"
	m := mustOpen(t, dir)
	for i := range 20 {
		if err := m.create(fmt.Sprint("/n", i)); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if err := m.snapshot(); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := m.c.state()
	m.close()
	snapshots, _ := numbered(dir, snapshotPrefix)
	if len(snapshots) != 3 {
		t.Fatal(snapshots)
	}
	for i := range snapshots { // the newest, then the one before, …
		path := filepath.Join(dir, zxidName(snapshotPrefix, snapshots[len(snapshots)-1-i]))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b[:len(b)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openMachine(t, dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		m, err := openMachine(t, dir)
		if i == len(snapshots)-1 { // the log does not begin at the beginning
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "missing") {
				t.Fatal(err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := m.c.state(); got != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
		m.s.abandon()
	}
}

// TestPurge: what no start needs goes, the rest stays.
func TestPurge(t *testing.T) {
	dir := t.TempDir() + "/a"
	m := mustOpen(t, dir)
	for i := range 12 {
		if err := m.create(fmt.Sprint("/n", i)); err != nil {
			t.Fatal(err)
		}
		if err := m.snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	snapshots, _ := numbered(dir, snapshotPrefix)
	logs, _ := numbered(dir, walPrefix)
	if fmt.Sprint(snapshots) != "[11 12 13]" || fmt.Sprint(logs) != "[12 13 14]" {
		t.Error(snapshots, logs)
	}
	m.close()
}

// TestLeftovers: a start removes what a crash has left half written, and nothing else.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir() + "/with [brackets]"
	mustOpen(t, dir).close()
	for _, name := range []string{"snapshot.0000000000000001.tmp", "identity.tmp", "notes"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, dir).close()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 4 || left[3].Name() != "notes" {
		t.Error(left, err)
	}
}

// TestLost: a directory that is empty, older or another's is refused next to its marker; restore accepts all but
// the empty one, in a new epoch, above everything that was given out.
func TestLost(t *testing.T) {
	dir := t.TempDir() + "/deep/er/a"
	m := mustOpen(t, dir)
	if err := m.create("/old"); err != nil {
		t.Fatal(err)
	}
	m.close()
	old := t.TempDir() + "/old"
	copyDir(t, dir, old)
	m = mustOpen(t, dir)
	if err := m.create("/new"); err != nil {
		t.Fatal(err)
	}
	m.close()

	put := func(from string) {
		t.Helper()
		os.RemoveAll(dir)
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(text string) {
		t.Helper()
		if _, err := openMachine(t, dir); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), text) {
			t.Fatal(err)
		}
	}
	put(t.TempDir())
	refused("has no data")
	if _, err := Restore(dir); !errors.Is(err, ErrLost) {
		t.Fatal(err)
	}
	put(old)
	refused("older data")
	for epoch := int64(1); epoch <= 2; epoch++ { // restored twice from the same copy
		r, err := Restore(dir)
		if err != nil || r.Zxid != epoch<<32 || r.Nodes != 5 || r.Was>>32 != 0 {
			t.Fatalf("%+v %v", r, err)
		}
		m = mustOpen(t, dir)
		if err := m.create("/again"); err != nil || m.c.tree.nodes["/new"] != nil || m.c.tree.nodes["/again"].czxid < r.Zxid {
			t.Fatal(err)
		}
		want := m.c.state()
		m.close()
		m = mustOpen(t, dir)
		if got := m.c.state(); got != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
		if err := m.snapshot(); err != nil {
			t.Fatal(err)
		}
		m.close()
		mustOpen(t, dir).close()
		put(old)
		refused("other data")
	}
	if err := os.Remove(dir + markerSuffix); err != nil { // moved to another machine
		t.Fatal(err)
	}
	mustOpen(t, dir).close()
	if err := os.Remove(filepath.Join(dir, identityFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir + markerSuffix); err != nil {
		t.Fatal(err)
	}
	if _, err := openMachine(t, dir); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

// TestSnapshotByServer: a server writes snapshots under load by itself, and a start takes them.
func TestSnapshotByServer(t *testing.T) {
	cfg := testConfig(t.TempDir() + "/c")
	cfg.SnapshotEvery = 50
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000})
	for i := range 500 {
		w.create(fmt.Sprint("/n", i), zk.CreateMode(i%2))
	}
	eventually(t, "three snapshots", func() bool { return s.snapshots.Load() >= 3 })
	var want string
	s.Do(func(c *Core) { want = c.state() })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	snapshots, err := numbered(cfg.Dir, snapshotPrefix)
	if err != nil || len(snapshots) == 0 || len(snapshots) > cfg.SnapshotsKept {
		t.Error(snapshots, err)
	}
	s = start(t, cfg)
	var got string
	s.Do(func(c *Core) { got = c.state() })
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	x := dialRaw(t, s.Addrs()[0]).join(zk.ConnectRequest{TimeoutMillis: 40_000, SessionID: w.resp.SessionID, Password: w.resp.Password})
	if x.resp.SessionID != w.resp.SessionID {
		t.Error("session lost")
	}
}

// TestSessionsInStore: the time-out that a client was told last is the one after a restart, from the log and from a
// snapshot; ids never come again, whatever the clock says.
func TestSessionsInStore(t *testing.T) {
	dir := t.TempDir() + "/a"
	m := mustOpen(t, dir)
	m.session()
	id := m.to.session.id
	again := m.c.Open(nil)
	m.c.Packet(again, (&zk.ConnectRequest{TimeoutMillis: 30_000, SessionID: id, Password: m.c.sessions.password(id)}).Append(nil))
	gone := m.c.Open(nil)
	m.c.Packet(gone, (&zk.ConnectRequest{TimeoutMillis: 10_000}).Append(nil))
	last := gone.session.id
	m.c.endSession(last)
	if err := m.commit(); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		m.close()
		m = mustOpen(t, dir)
		x := m.c.sessions.byID[id]
		if x == nil || x.timeout != 30*time.Second || m.c.sessions.nextID() <= last || len(m.c.sessions.byID) != 1 {
			t.Fatalf("%+v, %x", x, m.c.sessions.last)
		}
		m.c.Advance(0, 0)
		for range 14 {
			m.c.Advance(2*time.Second, 0)
			m.c.Expire()
		}
		if m.c.sessions.byID[id] == nil {
			t.Fatal("ended early")
		}
		m.c.Take() // what was executed does not count
	}
	check()
	if err := m.snapshot(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, zxidName(walPrefix, 1))); err != nil { // no help from the log
		t.Fatal(err)
	}
	check()
	m.close()
}

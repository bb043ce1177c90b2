package coordinator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestRestore: a backup that is put back is refused until somebody accepts it; then clients that have seen
// later changes are served again, and new transactions are above all that they know.
func TestRestore(t *testing.T) {
	dir := t.TempDir()
	data, backup := filepath.Join(dir, "coordinator"), filepath.Join(dir, "backup")
	c := testkit.StartCoordinator(t, dir)
	s := mustDial(t, c.Coordinator, killTimeout, nil)
	s.must(t, zk.OpCreate, create("/old", nil, zk.Persistent))
	if code, out := testkit.StartCoordinatorFailing(t, dir); code != 1 || !strings.Contains(out, "in use") {
		t.Errorf("a second one: %d, %s", code, out)
	}
	c.Terminate()
	if err := os.CopyFS(backup, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	c = testkit.StartCoordinator(t, dir)
	s = mustDial(t, c.Coordinator, killTimeout, s)
	s.must(t, zk.OpCreate, create("/new", nil, zk.Persistent))
	c.Terminate()

	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if code, out := testkit.StartCoordinatorFailing(t, dir); code != 1 || !strings.Contains(out, "has no data") {
		t.Errorf("on nothing: %d, %s", code, out)
	}
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(data, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	if code, out := testkit.StartCoordinatorFailing(t, dir); code != 1 || !strings.Contains(out, "sluice coordinator restore") {
		t.Errorf("on the backup: %d, %s", code, out)
	}
	if code, out := testkit.RestoreCoordinator(t, dir); code != 0 || !strings.Contains(out, "5 nodes and 1 sessions as of transaction 0x2; the next one is 0x100000001") {
		t.Errorf("restore: %d, %s", code, out)
	}
	c = testkit.StartCoordinator(t, dir)
	seen := s.zxid
	s = mustDial(t, c.Coordinator, killTimeout, s)
	if _, code, err := s.call(zk.OpExists, &zk.ReadRequest{Path: "/new"}); err != nil || code != zk.NoNode {
		t.Error(code, err)
	}
	s.must(t, zk.OpCreate, create("/newer", nil, zk.Persistent))
	if s.zxid>>32 != 1 || s.zxid <= seen {
		t.Errorf("zxid %#x, %#x had been seen", s.zxid, seen)
	}
	c.Terminate()
}

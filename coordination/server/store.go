package server

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// store is the coordinator's directory: identity, snapshots and the log. FORMAT.md says what lies there, and what a crash
// leaves.
type store struct {
	dir        string
	lockFD     int
	id         identity
	mark       marker // what it is, or empty; the snapshot's while one is written, else the owner's
	wal        *wal
	snapshotAt int64 // size of a log file at which a snapshot is due, however few transactions it has
	replayed   int   // transactions behind the snapshot at the start
	log        *slog.Logger
}

const (
	lockName  = ".lock"
	tmpSuffix = ".tmp"
	// walMost bounds what a start has to read behind a snapshot.
	walMost = 256 << 20
)

// ErrLocked says that another process has the directory.
var ErrLocked = errors.New("the coordinator's directory is in use")

// openStore locks dir, creating it if need be, gives what is in it to c and begins a new log file. It blocks for as long as
// reading takes.
func openStore(dir string, c *Core, log *slog.Logger) (*store, error) {
	s, err := lockStore(dir, log)
	if err != nil {
		return nil, err
	}
	if err = s.read(c); err == nil {
		err = s.compare(c.tree.zxid)
	}
	if err == nil {
		err = s.roll(c.tree.zxid + 1)
	}
	if err == nil {
		err = s.remark(c.tree.zxid)
	}
	if err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// lockStore locks dir, creating it if need be.
func lockStore(dir string, log *slog.Logger) (*store, error) {
	if err := makeDir(filepath.Clean(dir)); err != nil {
		return nil, err
	}
	s := &store{dir: dir, log: log, snapshotAt: walMost}
	path := filepath.Join(dir, lockName)
	var err error
	if s.lockFD, err = sys.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := sys.LockFile(s.lockFD); err != nil {
		sys.CloseFile(s.lockFD)
		if errors.Is(err, sys.ErrLockHeld) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return s, nil
}

// makeDir makes a directory and those above it, each with its name on the device.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	up := filepath.Dir(dir)
	if err := makeDir(up); err != nil {
		return err
	}
	if err := sys.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return sys.SyncDir(up)
}

// read brings c to the state of the last commit.
func (s *store) read(c *Core) (err error) {
	if err := s.tidy(); err != nil {
		return err
	}
	if err := s.identify(); err != nil {
		return err
	}
	if c.sessions.key, err = hex.DecodeString(s.id.SessionKey); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, s.identityPath(), err)
	}
	if err := s.readSnapshot(c); err != nil {
		return err
	}
	return s.readLogs(c)
}

// tidy removes what a crash has left half written.
func (s *store) tidy() error {
	left, err := filepath.Glob(filepath.Join(escape(s.dir), "*"+tmpSuffix))
	for _, path := range append(left, s.markerPath()+tmpSuffix) {
		if e := sys.Remove(path); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// escape makes a path a pattern that matches it alone.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (s *store) readSnapshot(c *Core) error {
	snapshots, err := numbered(s.dir, snapshotPrefix)
	if err != nil || len(snapshots) == 0 {
		return err
	}
	t, leases, err := loadSnapshot(s.path(snapshotPrefix, snapshots[len(snapshots)-1]))
	if err != nil {
		// It was whole when it got its name: no crash does that.
		return fmt.Errorf("%w; if the device is to blame, moving the file away makes a start use the one before", err)
	}
	c.tree = t
	for _, l := range leases.all {
		c.sessions.add(l.id, l.timeout, c.now)
	}
	c.sessions.last = max(c.sessions.last, leases.last)
	return nil
}

// readLogs replays the log files that may have transactions behind the snapshot.
func (s *store) readLogs(c *Core) error {
	logs, err := numbered(s.dir, walPrefix)
	if err != nil {
		return err
	}
	for len(logs) > 1 && logs[1] <= c.tree.zxid+1 {
		logs = logs[1:]
	}
	for i, first := range logs {
		path, last := s.path(walPrefix, first), i == len(logs)-1
		if first > c.tree.zxid+1 && !beginsEpoch(first, c.tree.zxid) {
			return fmt.Errorf("%w: %s: the state before it ends with transaction %#x, so something is missing",
				ErrDamaged, path, c.tree.zxid)
		}
		end, err := readWAL(path, last, func(x *txn) error {
			if x.zxid <= c.tree.zxid {
				return nil // in the snapshot
			}
			s.replayed++
			return c.replay(x)
		})
		if err == nil && last {
			err = s.cut(path, end)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// beginsEpoch tells whether zxid may come behind last because a restored state was accepted.
func beginsEpoch(zxid, last int64) bool { return zxid&0xffffffff == 0 && zxid>>32 > last>>32 }

// cut ends a log file behind its last record, so that it is whole when it is no longer the last.
func (s *store) cut(path string, end int64) error {
	fd, err := sys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	size, err := sys.FileSize(fd)
	if err == nil && size > end {
		if err = sys.Truncate(fd, end); err == nil {
			err = sys.Fdatasync(fd)
		}
	}
	if err != nil {
		return &os.PathError{Op: "truncate", Path: path, Err: err}
	}
	return nil
}

// roll begins a new log file, for transactions from first on. A file of that name has nothing that counts: whole records in
// it would be in the state, and first above them.
func (s *store) roll(first int64) error {
	w, err := createWAL(s.dir, first)
	if err != nil {
		return err
	}
	old := s.wal
	if s.wal = w; old != nil {
		return old.close()
	}
	return nil
}

// append blocks until the transactions are on the device. An error is final.
func (s *store) append(txns []byte) error { return s.wal.append(txns) }

// save writes a snapshot and removes what no start needs then, on a goroutine beside the owner's.
func (s *store) save(f *frozen, leases leased, keep int, stop <-chan struct{}) error {
	if err := writeSnapshot(s.dir, f, leases, stop); err != nil {
		return err
	}
	if err := s.remark(f.zxid); err != nil {
		return err
	}
	return s.purge(max(keep, 1))
}

// purge removes all but the newest snapshots, and then the log files before the oldest of these: who has to do without
// the newest can take an older one, with the log behind it.
func (s *store) purge(keep int) error {
	snapshots, err := numbered(s.dir, snapshotPrefix)
	if err != nil || len(snapshots) < keep {
		return err
	}
	old := snapshots[:len(snapshots)-keep]
	for _, zxid := range old {
		if err := sys.Remove(s.path(snapshotPrefix, zxid)); err != nil {
			return err
		}
	}
	logs, err := numbered(s.dir, walPrefix)
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(logs) && logs[i+1] <= snapshots[len(old)]+1; i++ { // the next file begins where the snapshot ends
		if err := sys.Remove(s.path(walPrefix, logs[i])); err != nil {
			return err
		}
	}
	return nil
}

// close ends the log behind its last record, the transaction zxid, and gives the directory up.
func (s *store) close(zxid int64) error {
	err := s.wal.close()
	if err == nil {
		err = s.remark(zxid)
	}
	sys.CloseFile(s.lockFD)
	return err
}

// abandon gives the directory up as it is, after an error.
func (s *store) abandon() {
	if s.wal != nil {
		s.wal.abandon()
	}
	sys.CloseFile(s.lockFD)
}

// sizes are those of the log and of the snapshots, in bytes.
func (s *store) sizes() (log, snapshots int64) {
	entries, _ := os.ReadDir(s.dir) // what cannot be read has no size
	for _, e := range entries {
		i, err := e.Info()
		switch {
		case err != nil:
		case strings.HasPrefix(e.Name(), walPrefix):
			log += i.Size()
		case strings.HasPrefix(e.Name(), snapshotPrefix):
			snapshots += i.Size()
		}
	}
	return log, snapshots
}

func (s *store) path(prefix string, zxid int64) string {
	return filepath.Join(s.dir, zxidName(prefix, zxid))
}

func zxidName(prefix string, zxid int64) string { return fmt.Sprintf("%s%016x", prefix, uint64(zxid)) }

// numbered returns the files of dir with that prefix, by the number in their names, lowest first.
func numbered(dir, prefix string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []int64
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), prefix)
		if n, err := strconv.ParseUint(digits, 16, 64); ok && err == nil && len(digits) == 16 {
			list = append(list, int64(n))
		}
	}
	slices.Sort(list)
	return list, nil
}

package server

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// store is the coordinator's directory: identity, snapshots and the log.
type store struct {
	dir    string
	lockFD int
	id     identity
	wal    *wal
	log    *slog.Logger
}

// identity is the directory's, in the file of that name. The incarnation stands in a marker beside the directory too:
// when the data are gone, or are those of another time, a start must not go on as if nothing had been promised.
type identity struct {
	Version     int    `json:"version"`
	Incarnation string `json:"incarnation"` // 32 hexadecimal digits
	SessionKey  string `json:"session_key"` // what passwords of sessions are made with, hexadecimal
}

const (
	identityFile = "identity"
	markerSuffix = ".incarnation"
	lockName     = ".lock"
	snapshotKeep = 3
)

// Errors of Open that a person has to decide about.
var (
	ErrLocked = errors.New("the coordinator's directory is in use")
	ErrLost   = errors.New("the coordinator's data is gone")
)

// openStore locks dir, creating it if need be, and gives what is in it to c. It blocks for as long as reading takes.
func openStore(dir string, c *Core, log *slog.Logger) (s *store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s = &store{dir: dir, log: log}
	path := filepath.Join(dir, lockName)
	if s.lockFD, err = sys.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() {
		if err != nil {
			sys.CloseFile(s.lockFD)
		}
	}()
	if err := sys.LockFile(s.lockFD); errors.Is(err, sys.ErrLockHeld) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
	} else if err != nil {
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	if err := s.identify(); err != nil {
		return nil, err
	}
	if c.sessions.key, err = hex.DecodeString(s.id.SessionKey); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, filepath.Join(dir, identityFile), err)
	}
	if err := s.load(c); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *store) marker() string { return filepath.Clean(s.dir) + markerSuffix }

// identify reads who the directory is, or makes it somebody, if it is empty and nothing says that it was not.
func (s *store) identify() error {
	path := filepath.Join(s.dir, identityFile)
	marked, err := os.ReadFile(s.marker())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mark := strings.TrimSpace(string(marked))
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.found(path, mark)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.id); err != nil || s.id.Version != 1 || s.id.Incarnation == "" {
		return fmt.Errorf("%w: %s: %v", ErrDamaged, path, err)
	}
	if mark != "" && mark != s.id.Incarnation {
		return fmt.Errorf("%w: %s is of incarnation %s, %s names %s: somebody has put other data there. "+
			"If these are to count, run the restore command", ErrLost, s.dir, s.id.Incarnation, s.marker(), mark)
	}
	return s.mark()
}

// found makes an empty directory a coordinator's.
func (s *store) found(path, mark string) error {
	if mark != "" {
		return fmt.Errorf("%w: %s has no data, but %s says that there were some, of incarnation %s. "+
			"Put them back; or, to begin anew and have all brokers register again, remove that file", ErrLost, s.dir, s.marker(), mark)
	}
	for _, prefix := range []string{walPrefix, snapshotPrefix} {
		if list, err := numbered(s.dir, prefix); err != nil || len(list) > 0 {
			return errors.Join(err, fmt.Errorf("%w: %s has data but no %s", ErrDamaged, s.dir, identityFile))
		}
	}
	s.id = identity{Version: 1, Incarnation: randomHex(16), SessionKey: randomHex(32)}
	text, err := json.Marshal(s.id)
	if err != nil {
		return err
	}
	if err := replaceFile(path, append(text, '\n')); err != nil {
		return err
	}
	return s.mark()
}

// mark writes the marker; after the identity, so that a crash in between leaves a directory that opens.
func (s *store) mark() error {
	text := s.id.Incarnation + "\n"
	if old, err := os.ReadFile(s.marker()); err == nil && string(old) == text {
		return nil
	}
	return replaceFile(s.marker(), []byte(text))
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// replaceFile blocks until path has the new content on the device, or, after a crash, still the old one.
func replaceFile(path string, content []byte) error {
	tmp := path + tmpSuffix
	fd, err := sys.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: tmp, Err: err}
	}
	err = sys.PwriteFull(fd, content, 0)
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
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return sys.SyncDir(filepath.Dir(path))
}

// load brings c to the state of the last commit: the newest snapshot, then the log behind it.
func (s *store) load(c *Core) error {
	snapshots, err := numbered(s.dir, snapshotPrefix)
	if err != nil {
		return err
	}
	if len(snapshots) > 0 {
		t, leases, err := loadSnapshot(filepath.Join(s.dir, zxidName(snapshotPrefix, snapshots[len(snapshots)-1])))
		if err != nil {
			// It was whole when it got its name: no crash does that.
			return fmt.Errorf("%w; if the device has failed, moving it away makes the next start use the one before", err)
		}
		c.tree = t
		for _, l := range leases {
			c.sessions.add(l.id, l.timeout, c.now)
		}
	}
	logs, err := numbered(s.dir, walPrefix)
	if err != nil {
		return err
	}
	if len(logs) > 0 && logs[0] > c.tree.zxid+1 {
		return fmt.Errorf("%w: %s: the log begins with transaction %#x, the state before it ends with %#x",
			ErrDamaged, s.dir, logs[0], c.tree.zxid)
	}
	for i, first := range logs {
		path, last := filepath.Join(s.dir, zxidName(walPrefix, first)), i == len(logs)-1
		end, err := readWAL(path, last, func(x *txn) error {
			if x.zxid <= c.tree.zxid {
				return nil // in the snapshot
			}
			return c.replay(x)
		})
		if err == nil && last {
			err = s.cut(path, end)
		}
		if err != nil {
			return err
		}
	}
	return s.roll(c.tree.zxid)
}

// cut ends a log file behind its last record, so that it is whole when it is no longer the last.
func (s *store) cut(path string, end int64) error {
	fd, err := sys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	if err = sys.Truncate(fd, end); err == nil {
		err = sys.Fdatasync(fd)
	}
	if err != nil {
		return &os.PathError{Op: "truncate", Path: path, Err: err}
	}
	return nil
}

// roll begins a new log file behind the transaction last. A file of that name has nothing that counts: whole records
// in it would have moved last.
func (s *store) roll(last int64) error {
	w, err := createWAL(s.dir, last+1)
	if err != nil {
		return err
	}
	if s.wal != nil {
		if err := s.wal.close(); err != nil {
			return err
		}
	}
	s.wal = w
	return nil
}

// purge removes what no start needs: all but the newest snapshots, and the log files before the oldest of them.
func (s *store) purge() error {
	snapshots, err := numbered(s.dir, snapshotPrefix)
	if err != nil || len(snapshots) <= snapshotKeep {
		return err
	}
	old := snapshots[:len(snapshots)-snapshotKeep]
	oldest := snapshots[len(old)]
	logs, err := numbered(s.dir, walPrefix)
	if err != nil {
		return err
	}
	var errs []error
	for i := 0; i+1 < len(logs) && logs[i+1] <= oldest+1; i++ { // the next file begins where the snapshot ends
		errs = append(errs, sys.Remove(filepath.Join(s.dir, zxidName(walPrefix, logs[i]))))
	}
	for _, zxid := range old {
		errs = append(errs, sys.Remove(filepath.Join(s.dir, zxidName(snapshotPrefix, zxid))))
	}
	return errors.Join(errs...)
}

func (s *store) close() error {
	err := s.wal.close()
	sys.CloseFile(s.lockFD)
	return err
}

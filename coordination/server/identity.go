package server

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-mq/sluice/internal/sys"
)

// identity is who a directory is, in the file of that name.
type identity struct {
	Version     int    `json:"version"`
	Incarnation string `json:"incarnation"` // 32 hexadecimal digits
	SessionKey  string `json:"session_key"` // what passwords of sessions are made with, hexadecimal
}

// marker stands beside the directory: which incarnation belongs there, and a transaction that was on the device when it was
// written. When the data are gone, or are those of another time, a start must not go on as if nothing had been promised.
type marker struct {
	Version     int    `json:"version"`
	Incarnation string `json:"incarnation"`
	Zxid        int64  `json:"zxid"`
}

const (
	identityFile = "identity"
	markerSuffix = ".incarnation"
)

// ErrLost says that data that were acknowledged are not there. A person has to decide.
var ErrLost = errors.New("the coordinator's data is gone")

func (s *store) markerPath() string { return filepath.Clean(s.dir) + markerSuffix }

func (s *store) identityPath() string { return filepath.Join(s.dir, identityFile) }

// readJSON tells whether there is such a file.
func readJSON(path string, v any) (there bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return true, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return true, nil
}

// identify reads who the directory is and what the marker says, or makes it somebody, if it is empty and nothing says that it
// was not.
func (s *store) identify() error {
	marked, err := readJSON(s.markerPath(), &s.mark)
	if err == nil && marked && (s.mark.Version != 1 || s.mark.Incarnation == "") {
		err = fmt.Errorf("%w: %s is no marker of this release", ErrDamaged, s.markerPath())
	}
	if err != nil {
		return err
	}
	there, err := readJSON(s.identityPath(), &s.id)
	if err != nil {
		return err
	}
	if !there {
		return s.found()
	}
	key, err := hex.DecodeString(s.id.SessionKey)
	if err != nil || s.id.Version != 1 || s.id.Incarnation == "" || len(key) == 0 {
		return fmt.Errorf("%w: %s is not what was written there", ErrDamaged, s.identityPath())
	}
	return nil
}

// found makes an empty directory a coordinator's.
func (s *store) found() error {
	if s.mark.Incarnation != "" {
		return fmt.Errorf("%w: %s has no data, but %s says that there were some, of incarnation %s, up to transaction %#x. "+
			"Put them back; or, to begin anew, with no session, node or topic, remove that file",
			ErrLost, s.dir, s.markerPath(), s.mark.Incarnation, s.mark.Zxid)
	}
	for _, prefix := range []string{walPrefix, snapshotPrefix} {
		if list, err := numbered(s.dir, prefix); err != nil || len(list) > 0 {
			return errors.Join(err, fmt.Errorf("%w: %s has data but no %s", ErrDamaged, s.dir, identityFile))
		}
	}
	s.id = identity{Version: 1, Incarnation: randomHex(16), SessionKey: randomHex(32)}
	return replaceJSON(s.identityPath(), s.id)
}

// compare looks whether what was loaded, up to zxid, is what the marker expects.
func (s *store) compare(zxid int64) error {
	const accept = "If these are to count, accept them with `sluice coordinator restore`"
	switch {
	case s.mark.Incarnation == "": // moved here, or a crash while it was founded
		return nil
	case s.mark.Incarnation != s.id.Incarnation:
		return fmt.Errorf("%w: %s is of incarnation %s, %s expects %s: other data were put there. "+accept,
			ErrLost, s.dir, s.id.Incarnation, s.markerPath(), s.mark.Incarnation)
	case zxid < s.mark.Zxid:
		return fmt.Errorf("%w: %s ends with transaction %#x, and %s says that %#x was acknowledged: older data were put there. "+accept,
			ErrLost, s.dir, zxid, s.markerPath(), s.mark.Zxid)
	}
	return nil
}

// remark writes the marker: what is up to zxid is on the device. It comes after the identity, so that a crash in between
// leaves a directory that opens.
func (s *store) remark(zxid int64) error {
	m := marker{Version: 1, Incarnation: s.id.Incarnation, Zxid: zxid}
	if m == s.mark {
		return nil
	}
	s.mark = m
	return replaceJSON(s.markerPath(), m)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// replaceJSON blocks until path has the new content on the device, or, after a crash, still the old one.
func replaceJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + tmpSuffix
	fd, err := sys.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: tmp, Err: err}
	}
	err = sys.PwriteFull(fd, append(text, '\n'), 0)
	if err == nil {
		err = sys.Fdatasync(fd)
	}
	if e := sys.CloseFile(fd); err == nil {
		err = e
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: tmp, Err: err}
	}
	if err := sys.Rename(tmp, path); err != nil {
		return err
	}
	return sys.SyncDir(filepath.Dir(path))
}

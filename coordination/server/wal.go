package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// The log is a row of files, log.<zxid>, named by the first transaction that may be in them. Each begins with a magic
// number and then has records, and behind them zeros, written ahead: overwriting them costs the device less than making
// a file longer with each commit.
const (
	walPrefix = "log."
	walMagic  = "SLZKLOG1"
	walAhead  = 1 << 20
)

// wal is the log's last file, open for appending.
type wal struct {
	dir  string
	fd   int
	path string
	at   int64 // end of the records
	size int64 // of the file: zeros up to here
}

func zxidName(prefix string, zxid int64) string { return fmt.Sprintf("%s%016x", prefix, uint64(zxid)) }

// createWAL begins a new file. It blocks until its name is on the device.
func createWAL(dir string, first int64) (*wal, error) {
	w := &wal{dir: dir, path: filepath.Join(dir, zxidName(walPrefix, first)), at: int64(len(walMagic))}
	var err error
	if w.fd, err = sys.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, &os.PathError{Op: "create", Path: w.path, Err: err}
	}
	err = sys.PwriteFull(w.fd, []byte(walMagic), 0)
	if err == nil {
		err = w.ahead()
	}
	if err == nil {
		err = sys.Fdatasync(w.fd)
	}
	if err == nil {
		err = sys.SyncDir(dir)
	}
	if err != nil {
		sys.CloseFile(w.fd)
		return nil, &os.PathError{Op: "write", Path: w.path, Err: err}
	}
	return w, nil
}

var zeros [64 << 10]byte

// ahead writes zeros behind the records, if few are left. One commit in so many megabytes takes longer for it.
func (w *wal) ahead() error {
	w.size = max(w.size, w.at)
	if w.size-w.at >= int64(len(zeros)) {
		return nil
	}
	for to := w.at + walAhead; w.size < to; w.size += int64(len(zeros)) {
		if err := sys.PwriteFull(w.fd, zeros[:], w.size); err != nil {
			return err
		}
	}
	return nil
}

// append blocks until the record is on the device. An error is final: nothing may be appended afterwards, since what
// the device has is not known.
func (w *wal) append(record []byte) error {
	if err := sys.PwriteFull(w.fd, record, w.at); err != nil {
		return &os.PathError{Op: "write", Path: w.path, Err: err}
	}
	w.at += int64(len(record))
	if err := w.ahead(); err != nil {
		return &os.PathError{Op: "write", Path: w.path, Err: err}
	}
	if err := sys.Fdatasync(w.fd); err != nil {
		return &os.PathError{Op: "fdatasync", Path: w.path, Err: err}
	}
	return nil
}

// close cuts off the zeros.
func (w *wal) close() error {
	err := sys.Truncate(w.fd, w.at)
	if err == nil {
		err = sys.Fdatasync(w.fd)
	}
	if e := sys.CloseFile(w.fd); err == nil {
		err = e
	}
	if err != nil {
		return &os.PathError{Op: "close", Path: w.path, Err: err}
	}
	return nil
}

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

// ErrDamaged says that files of the coordinator are not what it wrote, in a place where no crash leaves them so.
var ErrDamaged = errors.New("coordinator's data is damaged")

// readWAL gives the transactions of a log file to f. In the last file the end may be torn, and is where the records
// end; anywhere else that is damage. end is the position behind the last record.
func readWAL(path string, last bool, f func(*txn) error) (end int64, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if len(b) < len(walMagic) || string(b[:len(walMagic)]) != walMagic {
		if last && len(bytes.Trim(b, "\x00")) < len(walMagic) {
			return 0, nil // a crash while it was made
		}
		return 0, fmt.Errorf("%w: %s is no log file", ErrDamaged, path)
	}
	at := len(walMagic)
	for {
		body, size, err := recordBody(b[at:])
		if err != nil {
			break
		}
		if err := eachTxn(body, f); err != nil {
			return 0, fmt.Errorf("%w: %s at %d: %w", ErrDamaged, path, at, err)
		}
		at += size
	}
	if off := followed(b[at:]); off >= 0 {
		return 0, fmt.Errorf("%w: %s at %d: what is there is no record, but behind it, at %d, is one", ErrDamaged, path, at, at+off)
	}
	if !last && len(bytes.Trim(b[at:], "\x00")) > 0 {
		return 0, fmt.Errorf("%w: %s at %d: no record, and later files follow", ErrDamaged, path, at)
	}
	return int64(at), nil
}

// followed looks for a whole record behind one that is not. A crash tears only the last one, so that is damage; it
// returns where, or -1. Zeros, most of what is there, are passed quickly.
func followed(b []byte) int {
	for i := 1; i+recordHeader < len(b); i++ {
		if b[i] == 0 && binary.BigEndian.Uint32(b[i:]) == 0 {
			continue
		}
		if n := binary.BigEndian.Uint32(b[i:]); n > maxRecord || int(n) > len(b)-i-recordHeader || n < minTxn {
			continue
		}
		if _, _, err := recordBody(b[i:]); err == nil {
			return i
		}
	}
	return -1
}

// minTxn is the size of a transaction without changes.
const minTxn = 20

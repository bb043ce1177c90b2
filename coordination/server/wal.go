package server

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sluice-mq/sluice/internal/sys"
)

// The log is a row of files, log.<zxid>, named by the first transaction that may be in them. Each begins with a magic
// number and then has records, and behind them zeros, written ahead: overwriting them costs the device less than making
// a file longer with each commit. See FORMAT.md.
const (
	walPrefix = "log."
	walMagic  = "SLZKLOG1"
	walAhead  = 1 << 20
)

// wal is the log's last file, open for appending.
type wal struct {
	fd     int
	path   string
	at     int64 // end of the records
	size   int64 // of the file: zeros up to here
	record []byte
}

// createWAL begins a new file. It blocks until its name is on the device; a crash before leaves a .tmp at most, since a name
// may get there before what the file has.
func createWAL(dir string, first int64) (*wal, error) {
	w := &wal{path: filepath.Join(dir, zxidName(walPrefix, first)), at: int64(len(walMagic))}
	tmp := w.path + tmpSuffix
	var err error
	if w.fd, err = sys.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, &os.PathError{Op: "create", Path: tmp, Err: err}
	}
	err = sys.PwriteFull(w.fd, []byte(walMagic), 0)
	if err == nil {
		err = w.ahead()
	}
	if err == nil {
		err = sys.Fdatasync(w.fd)
	}
	if err == nil {
		err = sys.Rename(tmp, w.path)
	}
	if err == nil {
		err = sys.SyncDir(dir)
	}
	if err != nil {
		w.abandon()
		return nil, &os.PathError{Op: "write", Path: w.path, Err: err}
	}
	return w, nil
}

var zeros [64 << 10]byte

// ahead writes zeros behind the records, if few are left. One commit in so many megabytes takes longer for it. A full disk is no
// error here: half of what it still took stays for records, and half is left to the other files of a start.
func (w *wal) ahead() error {
	w.size = max(w.size, w.at)
	if w.size-w.at >= int64(len(zeros)) {
		return nil
	}
	for to := w.at + walAhead; w.size < to; w.size += int64(len(zeros)) {
		err := sys.PwriteFull(w.fd, zeros[:], w.size)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			w.size = w.at + (w.size-w.at)/2
			return sys.Truncate(w.fd, w.size)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// append blocks until the transactions are on the device, in a record. An error is final: nothing may be appended afterwards,
// since what the device has is not known.
func (w *wal) append(txns []byte) error {
	w.record = append(beginRecord(w.record[:0]), txns...)
	finishRecord(w.record)
	if err := sys.PwriteFull(w.fd, w.record, w.at); err != nil {
		return &os.PathError{Op: "write", Path: w.path, Err: err}
	}
	w.at += int64(len(w.record))
	if cap(w.record) > maxTurn {
		w.record = nil
	}
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

// abandon gives up the file as it is, after an error.
func (w *wal) abandon() { sys.CloseFile(w.fd) }

// ErrDamaged says that files of the coordinator are not what it wrote, in a place where no crash leaves them so.
var ErrDamaged = errors.New("the coordinator's data is damaged")

// readWAL gives the transactions of a log file to f. In the last file the end may be torn, and is where the records
// end; anywhere else that is damage. end is the position behind the last record.
func readWAL(path string, last bool, f func(*txn) error) (end int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	r := recordReader{r: bufio.NewReaderSize(file, 1<<20)}
	if err := r.magic(); errors.Is(err, errTorn) {
		return 0, fmt.Errorf("%w: %s is no log file", ErrDamaged, path)
	} else if err != nil {
		return 0, err
	}
	for {
		body, err := r.next()
		if errors.Is(err, errTorn) {
			break
		}
		if err != nil {
			return 0, err
		}
		if err := eachTxn(body, f); err != nil {
			return 0, fmt.Errorf("%w: %s at %d: %w", ErrDamaged, path, r.at, err)
		}
		r.at += int64(recordHeader + len(body))
	}
	return r.at, judgeEnd(file, r.at, last)
}

// judgeEnd tells whether what lies behind the records, from at on, may be there.
func judgeEnd(file *os.File, at int64, last bool) error {
	rest, err := io.ReadAll(io.NewSectionReader(file, at, 1<<62-at))
	if err != nil {
		return err
	}
	if off := followed(rest); off >= 0 {
		return fmt.Errorf("%w: %s at %d: what is there is no record, but behind it, at %d, is one",
			ErrDamaged, file.Name(), at, at+int64(off))
	}
	if !last && len(bytes.Trim(rest, "\x00")) > 0 {
		return fmt.Errorf("%w: %s at %d: no record, and later files follow", ErrDamaged, file.Name(), at)
	}
	return nil
}

// followed looks for a whole record behind one that is not. A crash tears only the last one, so that is damage; it
// returns where, or -1.
func followed(b []byte) int {
	for i := 1; i+recordHeader+minTxn <= len(b); i++ {
		if b[i] == 0 && binary.BigEndian.Uint32(b[i:]) == 0 { // most of what is there
			continue
		}
		// Most places are told by the length or by the count of changes, without a look at the checksum.
		n := int(binary.BigEndian.Uint32(b[i:]))
		if n < minTxn || n > len(b)-i-recordHeader || int64(binary.BigEndian.Uint32(b[i+recordHeader+16:]))*minChange > int64(n) {
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

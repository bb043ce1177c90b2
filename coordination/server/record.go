package server

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// A record is what was brought to the device at once: the transactions of one group commit.
//
//	 0        4        8
//	+--------+--------+---- - - ---- - -
//	| length | CRC-   | transaction, transaction, …
//	| uint32 | 32C    |
//	+--------+--------+---- - - ---- - -
//	          of the transactions; length counts their bytes
//
// The next record is written when the one before is on the device. So only the last one of a log can be torn.
const recordHeader = 8

// maxRecord bounds a record: a turn's transactions, and the largest that a packet can make besides.
const maxRecord = 256 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginRecord appends room for the header; finishRecord fills it in, for a record that is all of b.
func beginRecord(dst []byte) []byte { return append(dst, make([]byte, recordHeader)...) }

func finishRecord(b []byte) {
	if len(b) > maxRecord {
		panic(fmt.Sprintf("BUG: a record of %d bytes", len(b)))
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-recordHeader))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[recordHeader:], castagnoli))
}

// errTorn says that no whole record is there.
var errTorn = errors.New("no whole record")

// recordBody returns the transactions of the record that b begins with, and its size. errTorn: it is not whole.
func recordBody(b []byte) (body []byte, size int, err error) {
	if len(b) < recordHeader {
		return nil, 0, errTorn
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > maxRecord || int(n) > len(b)-recordHeader {
		return nil, 0, errTorn
	}
	size = recordHeader + int(n)
	body = b[recordHeader:size]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0, errTorn
	}
	return body, size, nil
}

// recordReader reads records one behind the other.
type recordReader struct {
	r   *bufio.Reader
	at  int64
	buf []byte
}

// magic reads what a file begins with.
func (r *recordReader) magic() error {
	b := make([]byte, len(walMagic))
	if _, err := io.ReadFull(r.r, b); err != nil {
		return torn(err)
	}
	if string(b) != walMagic {
		return errTorn
	}
	r.at = int64(len(b))
	return nil
}

// next is the body of the next record, until the next call. errTorn: it is not whole, or there is none.
func (r *recordReader) next() ([]byte, error) {
	r.buf = slices.Grow(r.buf[:0], recordHeader)[:recordHeader]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		return nil, torn(err)
	}
	n := binary.BigEndian.Uint32(r.buf)
	if n == 0 || n > maxRecord {
		return nil, errTorn
	}
	for left := int(n); left > 0; { // room grows as bytes come, not to what a damaged length says
		at, step := len(r.buf), min(left, 1<<20)
		r.buf = slices.Grow(r.buf, step)[:at+step]
		if _, err := io.ReadFull(r.r, r.buf[at:]); err != nil {
			return nil, torn(err)
		}
		left -= step
	}
	body, _, err := recordBody(r.buf)
	return body, err
}

// torn is errTorn for the end of a file.
func torn(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errTorn
	}
	return err
}

// eachTxn calls f with each transaction of a record.
func eachTxn(body []byte, f func(*txn) error) error {
	for d := zk.NewDecoder(body); len(d.Left()) > 0; {
		var x txn
		if err := x.decode(d); err != nil {
			return fmt.Errorf("a record with a right checksum: %w", err)
		}
		if err := f(&x); err != nil {
			return err
		}
	}
	return nil
}

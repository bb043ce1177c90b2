package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

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

// maxRecord bounds a record. The server commits at least that often; see maxCommit.
const maxRecord = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginRecord appends room for the header; finishRecord fills it in, for a record that is all of b.
func beginRecord(dst []byte) []byte { return append(dst, make([]byte, recordHeader)...) }

func finishRecord(b []byte) {
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

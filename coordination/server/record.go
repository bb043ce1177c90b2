package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A record is a transaction in the log:
//
//	 0        4        8
//	+--------+--------+---- - -
//	| length | CRC-   | transaction (txn.append)
//	| uint32 | 32C    |
//	+--------+--------+---- - -
//	          of the transaction; length counts its bytes
const recordHeader = 8

// maxRecord bounds what a length can make us read: the largest packet, with a path and an ACL for each change.
const maxRecord = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendRecord(dst []byte, x *txn) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, recordHeader)...)
	dst = x.append(dst)
	body := dst[start+recordHeader:]
	binary.BigEndian.PutUint32(dst[start:], uint32(len(body)))
	binary.BigEndian.PutUint32(dst[start+4:], crc32.Checksum(body, castagnoli))
	return dst
}

// errTorn says that the bytes end within a record, or that the last one is not what was written: what a crash leaves.
var errTorn = errors.New("torn record")

// firstRecord reads the record that b begins with. errTorn: it is not whole. Any other error is damage.
func firstRecord(b []byte) (x *txn, rest []byte, err error) {
	if len(b) < recordHeader {
		return nil, nil, errTorn
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > maxRecord || int(n) > len(b)-recordHeader {
		return nil, nil, errTorn
	}
	body := b[recordHeader : recordHeader+int(n)]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return nil, nil, errTorn
	}
	if x, err = decodeTxn(body); err != nil {
		return nil, nil, fmt.Errorf("record with a right checksum: %w", err)
	}
	return x, b[recordHeader+int(n):], nil
}

package loadgen

import (
	"encoding/binary"
	"hash/crc32"
)

// The value of every record, big-endian:
//
//	 0  magic      4  "SLG1"
//	 4  run        8  random, tells runs on one topic apart
//	12  series     2  number of the series in its run, from 0
//	14  producer   2
//	16  partition  4
//	20  sequence   8  per series, producer and partition, from 0
//	28  intended   8  ns since the series began, negative never
//	36  checksum   4  CRC-32C of the filler followed by bytes 0 to 35
//	40  filler     …  random, differs between records in flight together
//
// The filler comes first in the checksum so that its part is computed once per
// buffer, not once per record.
const (
	payloadMagic = 0x534c4731

	atRun, atSeries, atProducer, atPartition       = 4, 12, 14, 16
	atSequence, atIntended, atChecksum, fillerFrom = 20, 28, 36, 40
)

// MinSize is the smallest value that can be verified.
const MinSize = fillerFrom

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp is what the header of a value says.
type stamp struct {
	run       uint64
	series    uint16
	producer  uint16
	partition int32
	sequence  int64
	intended  int64
}

// fillerSum is the part of the checksum that stays with a buffer.
func fillerSum(value []byte) uint32 { return crc32.Checksum(value[fillerFrom:], castagnoli) }

// put writes the header into value, whose filler has the given sum.
func (s *stamp) put(value []byte, filler uint32) {
	h := value[:fillerFrom]
	binary.BigEndian.PutUint32(h, payloadMagic)
	binary.BigEndian.PutUint64(h[atRun:], s.run)
	binary.BigEndian.PutUint16(h[atSeries:], s.series)
	binary.BigEndian.PutUint16(h[atProducer:], s.producer)
	binary.BigEndian.PutUint32(h[atPartition:], uint32(s.partition))
	binary.BigEndian.PutUint64(h[atSequence:], uint64(s.sequence))
	binary.BigEndian.PutUint64(h[atIntended:], uint64(s.intended))
	binary.BigEndian.PutUint32(h[atChecksum:], crc32.Update(filler, castagnoli, h[:atChecksum]))
}

// read takes the header apart; ours is false where the magic is missing, intact
// where the checksum does not hold.
func (s *stamp) read(value []byte) (ours, intact bool) {
	if len(value) < MinSize || binary.BigEndian.Uint32(value) != payloadMagic {
		return false, false
	}
	h := value[:fillerFrom]
	s.run = binary.BigEndian.Uint64(h[atRun:])
	s.series = binary.BigEndian.Uint16(h[atSeries:])
	s.producer = binary.BigEndian.Uint16(h[atProducer:])
	s.partition = int32(binary.BigEndian.Uint32(h[atPartition:]))
	s.sequence = int64(binary.BigEndian.Uint64(h[atSequence:]))
	s.intended = int64(binary.BigEndian.Uint64(h[atIntended:]))
	sum := crc32.Update(fillerSum(value), castagnoli, h[:atChecksum])
	return true, sum == binary.BigEndian.Uint32(h[atChecksum:])
}

//go:build peers

package differential

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// clock is the time of all records of a run: recent, so that no retention rule deletes them.
var clock = time.Now().UnixMilli()

// idZero stands for the producer id 0 in a batchOf.
const idZero = -1 << 60

// batchOf describes a record batch; its zero value with n set is a correct one.
type batchOf struct {
	n     int    // records
	size  int    // bytes of each value
	fill  byte   // of the values
	step  int64  // ms between records
	at    int64  // ms after clock of the first record
	codec uint16 // 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd

	producer int64 // id; 0: none, idZero: 0
	epoch    int16
	sequence int32
	edit     func(b *kmsg.RecordBatch) // before the CRC is computed
}

func (o batchOf) bytes() []byte {
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(o.codec), LastOffsetDelta: int32(o.n - 1),
		FirstTimestamp: clock + o.at, MaxTimestamp: clock + o.at + int64(max(o.n-1, 0))*o.step,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(o.n),
	}
	if o.producer != 0 {
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = o.producer, o.epoch, o.sequence
	}
	if o.producer == idZero {
		b.ProducerID = 0
	}
	for i := range o.n {
		b.Records = append(b.Records, o.record(i)...)
	}
	b.Records = compress(o.codec, b.Records)
	if o.edit != nil {
		o.edit(&b)
	}
	b.Length = int32(49 + len(b.Records))
	raw := b.AppendTo(nil)
	seal(raw)
	return raw
}

func (o batchOf) record(i int) []byte {
	r := kmsg.Record{
		TimestampDelta64: int64(i) * o.step, OffsetDelta: int32(i), Key: []byte(fmt.Sprintf("k%d", i)),
		Value:   bytes.Repeat([]byte{'a' + o.fill + byte(i)}, max(o.size, 10)),
		Headers: []kmsg.Header{{Key: "h", Value: []byte{byte(i)}}},
	}
	r.Length = int32(len(r.AppendTo(nil)) - 1) // a zero length is one byte
	return r.AppendTo(nil)
}

// seal writes the CRC that fits the batch's bytes.
func seal(batch []byte) {
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], castagnoli))
}

func compress(codec uint16, src []byte) []byte {
	var c kgo.CompressionCodec
	switch codec {
	case 1:
		c = kgo.GzipCompression()
	case 2:
		c = kgo.SnappyCompression()
	case 3:
		c = kgo.Lz4Compression()
	case 4:
		c = kgo.ZstdCompression()
	default:
		return src
	}
	z, err := kgo.DefaultCompressor(c)
	if err != nil {
		panic(err)
	}
	out, _ := z.Compress(new(bytes.Buffer), src)
	return append([]byte(nil), out...)
}

// oldMessage is a message set of one message in format 0 or 1.
func oldMessage(magic int8) []byte {
	if magic == 0 {
		m := kmsg.MessageV0{Key: []byte("k"), Value: []byte("v")}
		m.MessageSize = int32(len(m.AppendTo(nil)) - 12)
		raw := m.AppendTo(nil)
		binary.BigEndian.PutUint32(raw[12:], crc32.ChecksumIEEE(raw[16:]))
		return raw
	}
	m := kmsg.MessageV1{Magic: 1, Timestamp: clock, Key: []byte("k"), Value: []byte("v")}
	m.MessageSize = int32(len(m.AppendTo(nil)) - 12)
	raw := m.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[12:], crc32.ChecksumIEEE(raw[16:]))
	return raw
}

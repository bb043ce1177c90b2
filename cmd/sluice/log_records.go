package main

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire/batch"
)

// batchJSON is a batch as 'log dump' shows it, or bytes that are none: then damage says why, and of the rest only
// segment, position and size can be relied on. The names are stable.
type batchJSON struct {
	Segment        string `json:"segment"`
	Position       int64  `json:"position"`
	Size           int64  `json:"size"`
	BaseOffset     int64  `json:"base_offset"`
	LastOffset     int64  `json:"last_offset"`
	Count          int32  `json:"count"`
	LeaderEpoch    int32  `json:"leader_epoch"`
	Magic          int8   `json:"magic"`
	CRC            uint32 `json:"crc"`
	CRCOK          bool   `json:"crc_ok"`
	Codec          string `json:"codec"`
	BaseTimestamp  int64  `json:"base_timestamp"`
	MaxTimestamp   int64  `json:"max_timestamp"`
	LogAppendTime  bool   `json:"log_append_time"`
	ProducerID     int64  `json:"producer_id"`
	ProducerEpoch  int16  `json:"producer_epoch"`
	BaseSequence   int32  `json:"base_sequence"`
	Transactional  bool   `json:"transactional"`
	Control        bool   `json:"control"`
	ControlType    string `json:"control_type,omitempty"`
	DeleteHorizon  bool   `json:"delete_horizon"`
	Damage         string `json:"damage,omitempty"`
	DamageWhat     string `json:"damage_what,omitempty"`
	hasHeader      bool
	controlDetails string
}

func newBatchJSON(path string, p *logstore.Piece) *batchJSON {
	j := &batchJSON{Segment: filepath.Base(path), Position: p.Pos, Size: p.Size, CRCOK: p.CRCOK, Damage: string(p.Kind), DamageWhat: p.What,
		BaseOffset: -1, LastOffset: -1, LeaderEpoch: -1, BaseTimestamp: -1, MaxTimestamp: -1, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	b := p.Batch
	if b == nil {
		return j
	}
	j.hasHeader = true
	j.BaseOffset, j.LastOffset, j.Count, j.LeaderEpoch, j.Magic = b.BaseOffset(), b.LastOffset(), b.Count(), b.LeaderEpoch(), b.Magic()
	j.CRC, j.Codec, j.BaseTimestamp, j.MaxTimestamp, j.LogAppendTime = b.CRC(), b.Codec().String(), b.BaseTimestamp(), b.MaxTimestamp(), b.LogAppendTime()
	j.ProducerID, j.ProducerEpoch, j.BaseSequence = b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()
	j.Transactional, j.Control, j.DeleteHorizon = b.IsTransactional(), b.IsControl(), b.HasDeleteHorizon()
	if j.Control && p.Whole {
		var w batch.Walker
		var r batch.Record
		if w.Reset(b, 0) == nil && w.Next(&r) {
			j.ControlType, j.controlDetails = controlText(&r)
		}
	}
	return j
}

func batchColumns(several bool) []column {
	return []column{{name: "segment", wide: !several}, {name: "position", right: true}, {name: "size", right: true},
		{name: "base_offset", right: true}, {name: "last_offset", right: true}, {name: "count", right: true}, {name: "leader_epoch", right: true},
		{name: "codec"}, {name: "max_timestamp", right: true}, {name: "base_timestamp", right: true, wide: true},
		{name: "producer_id", right: true}, {name: "producer_epoch", right: true, wide: true}, {name: "base_sequence", right: true},
		{name: "crc", right: true, wide: true}, {name: "flags"}, {name: "damage"}}
}

func (j *batchJSON) cells() []any {
	damage := ""
	if j.Damage != "" {
		damage = j.Damage + ": " + j.DamageWhat
	}
	if !j.hasHeader {
		return []any{j.Segment, j.Position, j.Size, "", "", "", "", "", "", "", "", "", "", "", "", damage}
	}
	return []any{j.Segment, j.Position, j.Size, j.BaseOffset, j.LastOffset, j.Count, j.LeaderEpoch, j.Codec, j.MaxTimestamp, j.BaseTimestamp,
		j.ProducerID, j.ProducerEpoch, j.BaseSequence, j.CRC, j.flags(), damage}
}

// flags are the batch's special properties in words.
func (j *batchJSON) flags() string {
	var f []string
	if j.Transactional {
		f = append(f, "transactional")
	}
	if j.Control {
		f = append(f, strings.TrimSpace("control "+j.ControlType+j.controlDetails))
	}
	if j.LogAppendTime {
		f = append(f, "log-append-time")
	}
	if j.DeleteHorizon {
		f = append(f, "delete-horizon")
	}
	return strings.Join(f, ",")
}

// controlTypes are the types of control records (Kafka's ControlRecordType).
var controlTypes = []string{"abort", "commit", "leader-change", "snapshot-header", "snapshot-footer", "kraft-version", "kraft-voters"}

// controlText explains a control record: its type, and, of a transaction's end, the coordinator's epoch.
func controlText(r *batch.Record) (kind, details string) {
	if len(r.Key) < 4 {
		return "unknown", ""
	}
	n := int(binary.BigEndian.Uint16(r.Key[2:]))
	if n >= len(controlTypes) {
		return fmt.Sprintf("type-%d", n), ""
	}
	if n <= 1 && len(r.Value) >= 6 {
		details = fmt.Sprintf(" by coordinator epoch %d", int32(binary.BigEndian.Uint32(r.Value[2:])))
	}
	return controlTypes[n], details
}

// dumpedRecord is a record as 'log dump --records -o json' shows it: what consume shows, and where it is.
type dumpedRecord struct {
	recordJSON
	Segment     string `json:"segment"`
	Position    int64  `json:"batch_position"`
	Sequence    int32  `json:"sequence"` // -1: none
	ControlType string `json:"control_type,omitempty"`
}

func recordColumns(several bool) []column {
	return []column{{name: "segment", wide: !several}, {name: "batch_position", right: true, wide: true}, {name: "offset", right: true},
		{name: "timestamp", right: true}, {name: "sequence", right: true, wide: true}, {name: "key"}, {name: "value"}, {name: "headers"}, {name: "control"}}
}

// batchRecords shows the records of a batch.
func (d *dumper) batchRecords(path string, p *logstore.Piece) error {
	var w batch.Walker
	if err := w.Reset(p.Batch, 0); err != nil {
		return d.undecoded(path, p, err)
	}
	topic, partition := partitionOfSegment(path)
	var r batch.Record
	for w.Next(&r) {
		rec := kgo.Record{Topic: topic, Partition: partition, Offset: p.Batch.BaseOffset() + int64(r.OffsetDelta), Key: r.Key, Value: r.Value}
		if rec.Offset < d.from || rec.Offset >= d.to {
			continue
		}
		rec.Timestamp = time.UnixMilli(p.Batch.BaseTimestamp() + r.TimestampDelta)
		if p.Batch.LogAppendTime() {
			rec.Timestamp = time.UnixMilli(p.Batch.MaxTimestamp())
		}
		for k, v := range r.Headers {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: string(k), Value: v})
		}
		if err := d.record(path, p, &rec, &r); err != nil {
			return err
		}
	}
	if err := w.Err(); err != nil {
		return d.undecoded(path, p, err)
	}
	return nil
}

func (d *dumper) undecoded(path string, p *logstore.Piece, err error) error {
	d.damaged++
	p.Kind, p.What = logstore.KindRecords, err.Error()
	return d.flaw(path, p)
}

func (d *dumper) record(path string, p *logstore.Piece, rec *kgo.Record, r *batch.Record) error {
	if d.line != nil {
		if p.Batch.IsControl() {
			return nil
		}
		if d.left == 0 {
			return errEnough
		}
		d.left--
		d.buf = d.line.appendRecord(d.buf[:0], rec)
		_, err := d.w.Write(d.buf)
		return err
	}
	j := dumpedRecord{Segment: filepath.Base(path), Position: p.Pos, Sequence: -1}
	if s := p.Batch.BaseSequence(); s >= 0 {
		j.Sequence = int32((int64(s) + int64(r.OffsetDelta)) & 0x7fffffff)
	}
	control := ""
	if p.Batch.IsControl() {
		var details string
		j.ControlType, details = controlText(r)
		control = j.ControlType + details
	}
	if d.output == "json" || d.output == "yaml" {
		j.recordJSON = newRecordJSON(rec)
		return d.add(&j)
	}
	short := 60
	if d.output != "table" {
		short = 0
	}
	var headers []string
	for _, h := range rec.Headers {
		headers = append(headers, h.Key+"="+quoted(h.Value, short))
	}
	return d.add(nil, j.Segment, p.Pos, rec.Offset, rec.Timestamp.UnixMilli(), j.Sequence, quoted(rec.Key, short), quoted(rec.Value, short),
		strings.Join(headers, ","), control)
}

// quoted shows bytes as text with escapes, cut to short bytes unless that is 0; null is a word without quotes.
func quoted(b []byte, short int) string {
	switch {
	case b == nil:
		return "null"
	case short > 0 && len(b) > short:
		return fmt.Sprintf("%s... (%d bytes)", strconv.QuoteToASCII(string(b[:short])), len(b))
	}
	return strconv.Quote(string(b))
}

// partitionOfSegment takes topic and partition from the name of the directory that a segment is in.
func partitionOfSegment(path string) (topic string, partition int32) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", -1
	}
	name := filepath.Base(filepath.Dir(abs))
	i := strings.LastIndexByte(name, '-')
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	if i < 0 || err != nil {
		return name, -1
	}
	return name[:i], int32(n)
}

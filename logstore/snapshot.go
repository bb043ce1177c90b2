package logstore

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// A snapshot file holds the producers as of the offset in its name (Kafka's ProducerStateManager). FORMAT.md has the
// bytes.
const (
	snapshotVersion    = 1
	snapshotCRCAt      = 2
	snapshotCRCFrom    = 6
	snapshotHeaderSize = 10
	snapshotEntrySize  = 46
)

// snapshotFile is a snapshot that is to be written.
type snapshotFile struct {
	offset int64
	bytes  []byte
}

// maxPendingSnapshots bounds what waits for the flusher: when rolls come faster than the device takes them, the
// oldest is dropped. A snapshot that is missing is made up for by reading more of the log at the next start.
const maxPendingSnapshots = 4

// snapshot queues the table, as it is at offset end, for the flusher, unless that has been done. It takes 46 bytes
// and some nanoseconds for each producer; the caller holds mu.
func (t *producers) snapshot(end int64) {
	if end <= t.snapAt {
		return
	}
	if len(t.pending) == maxPendingSnapshots {
		t.pending = slices.Delete(t.pending, 0, 1)
	}
	t.pending = append(t.pending, snapshotFile{end, t.encode()})
	t.snapAt = end
}

// encode writes the producers in order of their last appends; decode and replay keep that order.
func (t *producers) encode() []byte {
	b := make([]byte, snapshotHeaderSize, snapshotHeaderSize+len(t.byID)*snapshotEntrySize)
	for p := t.oldest; p != nil; p = p.newer {
		b = p.appendTo(b)
	}
	binary.BigEndian.PutUint16(b, snapshotVersion)
	binary.BigEndian.PutUint32(b[snapshotCRCFrom:], uint32(len(t.byID)))
	binary.BigEndian.PutUint32(b[snapshotCRCAt:], crc32.Checksum(b[snapshotCRCFrom:], castagnoli))
	return b
}

func (p *producer) appendTo(b []byte) []byte {
	last := producerBatch{lastSeq: batch.NoSequence, last: noOffset}
	if n := p.newest(); n != nil {
		last = *n
	}
	b = binary.BigEndian.AppendUint64(b, uint64(p.id))
	b = binary.BigEndian.AppendUint16(b, uint16(p.epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(last.lastSeq))
	b = binary.BigEndian.AppendUint64(b, uint64(last.last))
	b = binary.BigEndian.AppendUint32(b, uint32(last.delta))
	b = binary.BigEndian.AppendUint64(b, uint64(p.lastTime))
	b = binary.BigEndian.AppendUint32(b, uint32(p.coordinator))
	return binary.BigEndian.AppendUint64(b, uint64(p.txnFirst))
}

// ProducerEntry is one producer of a .snapshot file.
type ProducerEntry struct {
	ID               int64
	Epoch            int16
	LastSequence     int32
	LastOffset       int64
	OffsetDelta      int32
	Timestamp        int64
	CoordinatorEpoch int32
	TxnFirstOffset   int64 // -1: no open transaction
}

// parseSnapshot checks and reads the bytes of a .snapshot file, all or nothing: ErrCorrupt.
func parseSnapshot(b []byte) ([]ProducerEntry, error) {
	if len(b) < snapshotHeaderSize {
		return nil, fmt.Errorf("%w: %d bytes are no snapshot", ErrCorrupt, len(b))
	}
	if v := binary.BigEndian.Uint16(b); v != snapshotVersion {
		return nil, fmt.Errorf("%w: snapshot of version %d", ErrCorrupt, v)
	}
	if crc32.Checksum(b[snapshotCRCFrom:], castagnoli) != binary.BigEndian.Uint32(b[snapshotCRCAt:]) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrCorrupt)
	}
	n := int64(int32(binary.BigEndian.Uint32(b[snapshotCRCFrom:])))
	if b = b[snapshotHeaderSize:]; n*snapshotEntrySize != int64(len(b)) {
		return nil, fmt.Errorf("%w: %d producers in %d bytes", ErrCorrupt, n, len(b))
	}
	list := make([]ProducerEntry, 0, n)
	for ; len(b) > 0; b = b[snapshotEntrySize:] {
		i32 := func(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
		i64 := func(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }
		list = append(list, ProducerEntry{ID: i64(0), Epoch: int16(binary.BigEndian.Uint16(b[8:])), LastSequence: i32(10),
			LastOffset: i64(14), OffsetDelta: i32(22), Timestamp: i64(26), CoordinatorEpoch: i32(34), TxnFirstOffset: i64(38)})
	}
	return list, nil
}

// decode puts what a snapshot holds into the empty table; with ErrCorrupt that stays empty.
func (t *producers) decode(b []byte) error {
	list, err := parseSnapshot(b)
	for _, e := range list {
		p := t.byID[e.ID]
		if p == nil {
			p = t.add(e.ID)
		}
		p.epoch, p.lastTime, p.coordinator = e.Epoch, e.Timestamp, e.CoordinatorEpoch
		if e.LastOffset >= 0 {
			p.push(producerBatch{lastSeq: e.LastSequence, last: e.LastOffset, delta: e.OffsetDelta, maxTime: e.Timestamp})
		}
	}
	slices.SortFunc(list, func(a, b ProducerEntry) int { return cmp.Compare(a.TxnFirstOffset, b.TxnFirstOffset) })
	for _, e := range list {
		if p := t.byID[e.ID]; e.TxnFirstOffset >= 0 && p.txnFirst == noOffset {
			t.open.add(p, e.TxnFirstOffset)
		}
	}
	return err
}

// writeSnapshots writes what is pending; the caller holds flushMu and syncs the directory. A failure costs
// no more than time at the next start, so it is only logged, unless it says that the device is broken.
func (l *Log) writeSnapshots() (wrote bool, err error) {
	if l.closed.Load() {
		return false, nil
	}
	l.mu.Lock()
	pending := l.producers.pending
	l.producers.pending = nil
	l.mu.Unlock()
	for _, s := range pending {
		path := filepath.Join(l.dir, segmentName(s.offset)+snapshotSuffix)
		if err := writeSnapshot(path, s.bytes); err != nil {
			l.d.opts.Logger.Warn("writing a snapshot of producers failed", "log", l.name, "err", err)
			sys.Remove(path)
			if isDeviceError(err) {
				return wrote, err
			}
			continue
		}
		wrote = true
	}
	return wrote, nil
}

// writeSnapshot syncs the file unless it names no producer: that one only saves reading, and most logs may be so.
func writeSnapshot(path string, b []byte) error {
	fd, err := sys.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return &os.PathError{Op: "create", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	if err := sys.PwriteFull(fd, b, 0); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	if len(b) == snapshotHeaderSize {
		return nil
	}
	if err := sys.Fdatasync(fd); err != nil {
		return &os.PathError{Op: "fdatasync", Path: path, Err: err}
	}
	return nil
}

// loadProducers fills the log's table: from the newest whole snapshot that is not above end, and from the batches
// behind it. Snapshots that nothing needs are removed: torn ones, those above the end (of a tail that was cut), and
// all but those at a segment's base and the newest; with keep none is.
//
// Where a segment that was walked has markers of transactions, the snapshot is one below it, since its .txnindex is made
// from what happened on the way.
func (x *loading) loadProducers(end int64, keepAll bool) error {
	t := &x.l.producers
	from, newest := noOffset, noOffset
	removed := false
	slices.Sort(x.snapshots)
	for i := len(x.snapshots) - 1; i >= 0; i-- {
		offset := x.snapshots[i]
		path := filepath.Join(x.l.dir, segmentName(offset)+snapshotSuffix)
		keep, loaded, err := x.trySnapshot(path, offset, end, from, newest)
		if err != nil {
			return err
		}
		if loaded {
			from = offset
		}
		if keep && newest == noOffset {
			newest, t.snapAt = offset, offset
		}
		if !keep && !keepAll {
			removed = true
			if err := sys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if removed {
		// One above the end must not come back once the log has grown past it with other batches.
		if err := syncDir(x.l.dir); err != nil {
			return err
		}
	}
	now, after := x.l.d.opts.now(), time.Duration(x.l.d.producers.expiration.Load())
	for p := t.oldest; p != nil; {
		next := p.newer
		if p.expired(now, after) {
			t.remove(p)
		}
		p = next
	}
	if from != noOffset && !x.clean && len(t.byID) > 0 {
		if err := x.refill(from); err != nil {
			return err
		}
	}
	return x.replay(max(from, x.segs[0].base), end)
}

// trySnapshot loads the snapshot if none was loaded yet (from is noOffset) and it is not too new for that, and tells
// whether it is to be kept; newest is the newest whole one so far.
func (x *loading) trySnapshot(path string, offset, end, from, newest int64) (keep, loaded bool, err error) {
	if offset > end {
		return false, false, nil
	}
	_, atBase := slices.BinarySearchFunc(x.segs, offset, func(s *segment, o int64) int { return cmp.Compare(s.base, o) })
	if from != noOffset {
		return atBase, false, nil
	}
	b, err := sys.ReadFile(path)
	if err != nil {
		return false, false, err
	}
	if offset > x.markersFrom {
		_, err = parseSnapshot(b)
	} else {
		err, loaded = x.l.producers.decode(b), true
	}
	if err != nil {
		x.l.d.opts.Logger.Warn("a snapshot of producers is damaged", "path", path, "err", err)
		return false, false, nil
	}
	return loaded || atBase || newest == noOffset, loaded, nil
}

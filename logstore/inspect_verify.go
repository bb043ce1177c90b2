package logstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/wire/batch"
)

// VerifyOptions of Verify. The zero value checks everything.
type VerifyOptions struct {
	ReadOptions
	// Gaps tells whether a topic's offsets may have gaps, because it is or was compacted. Nil: none may, but those
	// that begin with "__", Kafka's own. Partitions in cleaner-offset-checkpoint always may.
	Gaps func(topic string) bool
	// HeadersOnly leaves out decoding the records: checksums say whether they are what was appended.
	HeadersOnly bool
	// Findings bounds the list of findings per partition; 0: 100. All are counted.
	Findings int
}

// PartitionReport is what Verify found in one partition.
type PartitionReport struct {
	Dir        string
	Name       string
	Start, End int64 // of the batches that are whole
	Segments   int
	Batches    int64
	Records    int64
	Bytes      int64
	Findings
}

// VerifyDir checks the log directory itself: identity and checkpoints. The names of the partitions to verify, each by
// VerifyPartition, are in d.Partitions, of which nothing else is filled in.
func VerifyDir(path string) (d DirInfo, err error) {
	d, names, c, err := inspectRoot(path)
	if err != nil {
		return d, err
	}
	for _, name := range names {
		d.Partitions = append(d.Partitions, PartitionInfo{Name: name})
	}
	for _, file := range checkpointFiles {
		m := *c.of(file)
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !slices.Contains(names, name) && !d.InUse {
				d.Oddities.add(Finding{Kind: KindCheckpoint, Warning: true, File: file, Pos: -1, Offset: m[name],
					What: name + " is not there"})
			}
		}
	}
	return d, nil
}

// VerifyPartition reads the log in dir from front to back and checks all that can be checked without its neighbours:
// each batch's size, format, checksum, offsets, leader epoch, records; both indexes; the files of producers' state;
// the checkpoints of the directory above, as far as they speak of it. Nothing is changed, no lock is taken; of a log
// in use, what was there when the segment was opened is checked.
//
// Memory: some MiB, or the largest batch with its records decompressed, which are bounded by 128 and 32 MiB.
func VerifyPartition(ctx context.Context, dir string, o VerifyOptions) (PartitionReport, error) {
	v := verifier{ctx: ctx, dir: dir, o: o, due: -1, epoch: -1}
	v.r = PartitionReport{Dir: dir, Name: filepath.Base(dir), Start: -1, End: -1}
	v.r.Limit = o.Findings
	err := v.run()
	return v.r, err
}

type verifier struct {
	ctx    context.Context
	dir    string
	o      VerifyOptions
	r      PartitionReport
	gaps   bool
	inUse  bool
	clean  bool
	epochs []epochStart

	// due is the offset of the next batch, -1 before the first. alt is another one that would do: after a batch at
	// the wrong offset, either that batch or the ones before it are out of place. lost: what came last was damaged,
	// so any offset from due on will do.
	due, alt int64
	lost     bool
	epoch    int32
	walker   batch.Walker
}

func (v *verifier) add(f Finding) { v.r.Findings.add(f) }

func (v *verifier) file(k Kind, name string, warning bool, what string) {
	v.add(Finding{Kind: k, Warning: warning, File: name, Pos: -1, Offset: -1, What: what})
}

func (v *verifier) run() error {
	root := filepath.Dir(v.dir)
	var err error
	if v.inUse, _, err = lockState(root); err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(root, cleanShutdownFile))
	v.clean = err == nil && !v.inUse
	c := readCheckpoints(root) // before the log, which only grows
	topic, _, ok := parsePartitionDir(v.r.Name)
	if _, compacted := c.cleaner[v.r.Name]; compacted || c.cleaner == nil || ok && strings.HasPrefix(topic, "__") || v.o.Gaps != nil && v.o.Gaps(topic) {
		v.gaps = true
	}
	files, err := listPartition(v.dir)
	if err != nil {
		return err
	}
	if mark, err := readMark(v.dir); err != nil {
		return err
	} else if mark != nil {
		v.add(Finding{Kind: KindLossy, File: lossyFile, Pos: -1, Offset: mark.At,
			What: "marked lossy, it takes no appends: " + mark.String()})
	}
	for _, f := range files.odd {
		if !v.inUse {
			v.add(f)
		}
	}
	if _, found, err := readPartitionFile(v.dir); err != nil {
		v.file(KindMetadata, partitionFile, false, err.Error())
	} else if !found && topic != metadataTopic {
		v.file(KindMetadata, partitionFile, true, "is not there: the log has no topic id")
	}
	if v.epochs, err = readEpochs(v.dir); err != nil {
		v.file(KindEpochs, epochFile, false, err.Error())
		v.epochs = nil
	}
	if len(v.epochs) == 0 || topic == metadataTopic { // Raft's epochs are in the file only when they end
		v.epochs = nil
	}
	if len(files.bases) == 0 {
		v.file(KindSegment, "", false, "the partition has no segment")
	}
	for i, base := range files.bases {
		if err := v.segment(base, i == len(files.bases)-1); err != nil {
			if errors.Is(err, fs.ErrNotExist) && v.inUse {
				continue // deleted just now
			}
			return err
		}
	}
	v.r.End = v.due
	v.companions(files)
	v.checkpoints(c, files)
	return nil
}

// segment checks one segment and its indexes.
func (v *verifier) segment(base int64, last bool) error {
	name := segmentName(base)
	stem := filepath.Join(v.dir, name)
	live := v.inUse && last
	// The indexes first: what they hold was in the log before.
	offsets, err := openIndexWalk(stem, indexSuffix, base, v, last)
	if err != nil {
		return err
	}
	defer offsets.close()
	times, err := openIndexWalk(stem, timeIndexSuffix, base, v, last)
	if err != nil {
		return err
	}
	defer times.close()
	s, err := OpenSegment(stem+logSuffix, v.o.ReadOptions)
	if err != nil {
		return err
	}
	defer s.Close()
	v.missing(name, offsets, times, s.Size())
	v.begin(name, base)
	w := segmentWalk{v: v, s: s, file: name + logSuffix, offsets: offsets, times: times, live: live, known: base}
	return w.run(last)
}

// missing: a log in use, or one after a crash, may have its newest indexes in memory or lost. Any start makes them.
func (v *verifier) missing(name string, offsets, times *indexWalk, size int64) {
	harmless := size == 0 || !v.clean
	if offsets == nil && !v.inUse {
		v.file(KindIndex, name+indexSuffix, harmless, "is not there")
	}
	if times == nil && !v.inUse {
		v.file(KindTimeIndex, name+timeIndexSuffix, harmless, "is not there")
	}
}

// begin checks that the segment begins where the one before it ended.
func (v *verifier) begin(name string, base int64) {
	v.r.Segments++
	switch {
	case v.due < 0:
		v.r.Start = base
	case base < v.due || base > v.due && !v.gaps && !v.lost:
		v.add(Finding{Kind: KindSegment, File: name + logSuffix, Pos: 0, Offset: base,
			What: fmt.Sprintf("begins with offset %d, the segment before it ends with %d", base, v.due-1)})
	}
	v.due, v.alt = base, base
	v.lost = false
}

// segmentWalk goes through one segment and its indexes.
type segmentWalk struct {
	v              *verifier
	s              *Segment
	file           string
	offsets, times *indexWalk
	live           bool
	whole          bool  // nothing is damaged so far
	known          int64 // offsets from here on up to the next batch belong to no batch
}

func (w *segmentWalk) run(last bool) error {
	v := w.v
	w.whole = true
	var p Piece
	for {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		err := w.s.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if p.Kind != "" {
			w.damaged(&p)
			continue
		}
		v.r.Batches++
		v.r.Bytes += p.Size
		w.batch(&p)
	}
	w.offsets.end(w.s.Size())
	w.times.timedEnd(v.due, !last && v.clean, w.whole)
	for _, x := range []*indexWalk{w.offsets, w.times} {
		if x != nil && x.err != nil {
			return x.err
		}
	}
	return nil
}

func (w *segmentWalk) damaged(p *Piece) {
	if end := p.Pos + p.Size; w.live && end == w.s.Size() && (p.Kind == KindCut || p.Kind == KindSize) {
		return // being written
	}
	what := p.What
	if p.Batch == nil || p.Pos+p.Size < w.s.Size() || p.Kind == KindCRC {
		what += fmt.Sprintf("; %d bytes are lost", p.Size)
	}
	w.v.add(Finding{Kind: p.Kind, File: w.file, Pos: p.Pos, Offset: w.v.due, What: what})
	w.v.lost, w.whole = true, false
	w.offsets.lost(p.Pos + p.Size)
}

// batch checks the place and the records of a batch whose checksum is right.
func (w *segmentWalk) batch(p *Piece) {
	v := w.v
	h, _ := parseHead(p.Batch, p.Pos)
	epoch := p.Batch.LeaderEpoch()
	o := order{segment: w.s.base, next: v.due, epoch: v.epoch, gaps: v.gaps || v.lost, epochs: v.epochs}
	if h.base == v.alt {
		o.next = v.alt
	}
	kind, why := o.misplaced(h, epoch)
	count := h.last - h.base + 1
	if kind != "" {
		v.add(Finding{Kind: kind, File: w.file, Pos: p.Pos, Offset: v.due, What: why})
	}
	if kind == KindOffset {
		v.due, v.alt = v.due+max(count, 1), h.last+1
		w.offsets.batch(h, false)
		w.known, w.whole = v.due, false
		v.lost = false
		return
	}
	if kind == "" {
		v.epoch = epoch
	}
	due := w.known
	if v.lost {
		due = h.base
	}
	w.offsets.batch(h, true)
	w.times.timed(h, due)
	v.lost, v.due, v.alt, w.known = false, h.last+1, h.last+1, h.last+1
	w.records(p)
}

// records decodes the records and compares them with the header.
func (w *segmentWalk) records(p *Piece) {
	v, b := w.v, p.Batch
	find := func(k Kind, warning bool, format string, args ...any) {
		v.add(Finding{Kind: k, Warning: warning, File: w.file, Pos: p.Pos, Offset: b.BaseOffset(), What: fmt.Sprintf(format, args...)})
	}
	v.r.Records += int64(max(b.Count(), 0))
	switch {
	case v.o.HeadersOnly:
		return
	case !p.Whole:
		find(KindRecords, true, "a batch of %d bytes, whose records were not decoded", p.Size)
		return
	case !b.Codec().Known():
		find(KindRecords, false, "unknown codec %d", b.Codec())
		return
	}
	if err := v.walker.Reset(b, 0); err != nil {
		find(KindRecords, errors.Is(err, batch.ErrTooLarge), "%v", err)
		return
	}
	var r batch.Record
	newest, last := batch.NoTimestamp, int32(-1)
	for v.walker.Next(&r) {
		newest = max(newest, b.BaseTimestamp()+r.TimestampDelta)
		if r.OffsetDelta <= last || r.OffsetDelta > b.LastOffsetDelta() || !v.gaps && r.OffsetDelta != last+1 {
			find(KindRecords, false, "offset delta %d after %d, of at most %d", r.OffsetDelta, last, b.LastOffsetDelta())
			return
		}
		last = r.OffsetDelta
	}
	switch err := v.walker.Err(); {
	case err != nil:
		find(KindRecords, false, "%v", err)
	case !v.gaps && last != b.LastOffsetDelta():
		find(KindRecords, false, "records end with offset delta %d, the batch with %d", last, b.LastOffsetDelta())
	case last >= 0 && !b.LogAppendTime() && newest != b.MaxTimestamp():
		find(KindTimestamp, true, "largest timestamp of the records is %d, the header has %d", newest, b.MaxTimestamp())
	}
}

// companions checks the files beside the segments that no batch is needed for.
func (v *verifier) companions(files partitionFiles) {
	for i, suffix := range []string{indexSuffix, timeIndexSuffix, txnIndexSuffix} {
		kind := []Kind{KindIndex, KindTimeIndex, KindTxnIndex}[i]
		for _, base := range files.by[suffix] {
			if _, ok := slices.BinarySearch(files.bases, base); !ok && !v.inUse {
				v.file(kind, segmentName(base)+suffix, true, "belongs to no segment, removed at the next start")
			}
		}
	}
	for _, base := range files.by[txnIndexSuffix] {
		name := segmentName(base) + txnIndexSuffix
		list, err := ReadTxnIndex(filepath.Join(v.dir, name))
		if err != nil && !(v.inUse && errors.Is(err, fs.ErrNotExist)) {
			v.file(KindTxnIndex, name, false, err.Error())
		}
		for i, t := range list {
			if t.LastOffset < base || t.LastOffset >= v.due && !v.inUse {
				v.add(Finding{Kind: KindTxnIndex, File: name, Pos: int64(i * txnEntrySize), Offset: t.LastOffset,
					What: fmt.Sprintf("aborted transaction of offsets %d to %d", t.FirstOffset, t.LastOffset)})
			}
		}
	}
	for _, base := range files.by[snapshotSuffix] {
		name := segmentName(base) + snapshotSuffix
		_, err := ReadSnapshot(filepath.Join(v.dir, name))
		if err != nil && !(v.inUse && errors.Is(err, fs.ErrNotExist)) {
			v.file(KindSnapshot, name, false, err.Error())
		}
		if base > v.due && !v.inUse {
			v.file(KindSnapshot, name, true, fmt.Sprintf("is of offset %d, the log ends at %d", base, v.due))
		}
	}
	if n := len(v.epochs); n > 0 && v.epochs[n-1].start > v.due && !v.inUse {
		v.add(Finding{Kind: KindEpochs, Warning: true, File: epochFile, Pos: -1, Offset: v.epochs[n-1].start,
			What: fmt.Sprintf("epoch %d begins at %d, the log ends at %d", v.epochs[n-1].epoch, v.epochs[n-1].start, v.due)})
	}
}

// checkpoints compares the log with what the directory's checkpoints say of it.
func (v *verifier) checkpoints(c checkpoints, files partitionFiles) {
	check := func(file string, offset int64, bad bool, what string) {
		if bad {
			v.add(Finding{Kind: KindCheckpoint, File: filepath.Join("..", file), Pos: -1, Offset: offset, What: what})
		}
	}
	if len(files.bases) == 0 {
		return
	}
	behind := fmt.Sprintf(" is behind the log's end, %d", v.due)
	for _, file := range []string{recoveryPointFile, logStartFile, highWatermarkFile} {
		offset := lookup(*c.of(file), v.r.Name)
		check(file, offset, offset > v.due, fmt.Sprintf("offset %d%s", offset, behind))
	}
	if start := lookup(c.logStart, v.r.Name); start > v.r.Start {
		v.r.Start = start
	}
}

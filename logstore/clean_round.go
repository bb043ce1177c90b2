package logstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/sluice-mq/sluice/wire/batch"
)

// cleanRound is one compaction of one log, in Kafka's two passes (Cleaner.doClean):
//
//	first dirty segment up to the bound:  key -> last offset, until the map is full
//	first segment up to where the map ends:  copy what stays, some segments into one; put it in their place
//
// It runs beside appends and reads and takes no lock while it reads or writes. Reading leaves the page cache as it was;
// what is written stays in it, since readers will want it.
//
// Memory: the map (see CleanerOptions), 1 MiB for reading and writing each, and one batch: as it is stored, its records,
// and both again when it is written anew. A batch is bounded by max.message.bytes, its records by cleanedRecords.
type cleanRound struct {
	*dirtyLog
	c   *cleaner
	ctx context.Context
	now int64 // ms since 1970

	keys   *offsetMap
	txns   *cleanedTxns
	walker batch.Walker
	rewr   batch.Rewriter
	kept   []bool

	read, written    int64 // bytes, in the second pass
	recordsRead      int64
	recordsWritten   int64
	recordsWithNoKey int64
}

// cleanedRecords bounds what a batch may decompress to. A produced batch for a compacted topic is opened with a smaller
// bound; one from before the topic was compacted, or from Kafka, was not.
const cleanedRecords = 256 << 20

// Cleaning is the outcome of a round.
type Cleaning struct {
	From, To                 int64 // offsets that were taken into the map; To is where the next round goes on
	BytesRead, BytesWritten  int64
	RecordsRead, RecordsKept int64
	Segments, Into           int // segments that were replaced, and by how many
	Took                     time.Duration
}

// clean does a round. Everything it has put in place by the time of an error stays.
func (c *cleaner) clean(ctx context.Context, x *dirtyLog, wall time.Time) error {
	began := c.d.now()
	r := &cleanRound{dirtyLog: x, c: c, ctx: ctx, now: wall.UnixMilli()}
	l := x.l
	r.keys = newOffsetMap(&c.d.opts.Cleaner, x.to-x.from)
	if err := r.mapKeys(); err != nil {
		return err
	}
	end := r.keys.latest + 1
	utilization := r.keys.utilization(&c.d.opts.Cleaner)
	if l.cleaning.dirty.Load() < 0 {
		// Before the first gap: recovery has to know that there may be some.
		l.cleaning.dirty.Store(x.from)
		if err := c.d.writeCheckpoint(cleanerFile); err != nil {
			return err
		}
	}
	done := Cleaning{From: x.from, To: end}
	r.txns = newCleanedTxns()
	list := x.list[:(&segList{x.list}).find(end-1)+1]
	for len(list) > 0 {
		n := r.group(list)
		next := x.to
		if n < len(x.list) {
			next = x.list[n].base
		}
		if err := r.replace(list[:n], next); err != nil {
			return err
		}
		x.list, list = x.list[n:], list[n:]
		done.Segments, done.Into = done.Segments+n, done.Into+1
	}
	l.cleaning.dirty.Store(end)
	if err := c.d.writeCheckpoint(cleanerFile); err != nil {
		return err
	}
	done.BytesRead, done.BytesWritten = r.read, r.written
	done.RecordsRead, done.RecordsKept = r.recordsRead, r.recordsWritten
	done.Took = c.d.now() - began
	c.mu.Lock()
	c.stats.BytesRead, c.stats.BytesWritten, c.stats.Took = r.read, r.written, done.Took
	c.stats.BufferUtilization = utilization
	c.mu.Unlock()
	r.report(done)
	return nil
}

func (r *cleanRound) report(done Cleaning) {
	o := &r.c.d.opts
	o.Logger.Info("log was compacted", "log", r.l.name, "from", done.From, "to", done.To,
		"segments", done.Segments, "into", done.Into, "bytes_read", done.BytesRead, "bytes_written", done.BytesWritten,
		"records_read", done.RecordsRead, "records_kept", done.RecordsKept, "took", done.Took)
	if r.recordsWithNoKey > 0 {
		o.Logger.Warn("records without a key were dropped", "log", r.l.name, "records", r.recordsWithNoKey)
	}
	if f := o.Listener.Cleaned; f != nil {
		f(r.l, done)
	}
}

// check is nil while the round may go on.
func (r *cleanRound) check() error {
	switch {
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case r.l.closed.Load(), r.l.cleaning.policy.Load() == nil:
		return errNotNow
	}
	return nil
}

// spend accounts for n bytes read or written and waits as long as the limit says.
func (r *cleanRound) spend(n int) error {
	limit := r.c.d.opts.Cleaner.Limit
	if limit == nil {
		return r.check()
	}
	if err := limit.wait(r.ctx, n); err != nil {
		return err
	}
	return r.check()
}

// maxGroup bounds how many descriptors are held while a group is replaced.
const maxGroup = 100

// group is how many segments at the front of list go into one: no more bytes than a segment may have, no more entries
// than its indexes, no more offsets than an int32 counts (Cleaner.groupSegmentsBySize).
func (r *cleanRound) group(list []*segment) (n int) {
	r.l.mu.Lock()
	maxBytes, maxIndex := r.l.settings.SegmentBytes, int64(r.l.settings.IndexMaxBytes)
	r.l.mu.Unlock()
	var size, offsets, times int64
	for ; n < min(len(list), maxGroup); n++ {
		s := list[n]
		size += s.size.Load()
		offsets += int64(s.offsets.count) * offsetEntrySize
		times += int64(s.times.count) * timeEntrySize
		if n == 0 {
			continue
		}
		last := r.to - 1
		if n+1 < len(r.list) {
			last = r.list[n+1].base - 1
		}
		far := s.size.Load() > 0 && last-list[0].base > maxRelative
		if size > maxBytes || offsets > maxIndex || times > maxIndex || far {
			break
		}
	}
	return n
}

// open opens a segment for a pass over it. It has a descriptor of its own, since others read ahead with theirs.
func (r *cleanRound) open(s *segment) (*Segment, error) {
	l := r.l
	l.flushMu.Lock() // names change under it
	defer l.flushMu.Unlock()
	if !l.segs.Load().has(s) || l.closed.Load() {
		return nil, errNotNow
	}
	return OpenSegment(s.stem+logSuffix, ReadOptions{Progress: func(n int) { r.spend(n) }})
}

// each calls f for the batches of s from pos on. Bytes that are not what was appended end it: they must not get a new
// checksum.
func (r *cleanRound) each(s *segment, pos int64, f func(b batch.Batch) error) error {
	in, err := r.open(s)
	if err != nil {
		return err
	}
	defer in.Close()
	var p Piece
	in.pos = pos
	for size := s.size.Load(); in.pos < size; {
		if err := r.check(); err != nil {
			return err
		}
		if err := in.Next(&p); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read %s%s: %w", s.stem, logSuffix, err)
		}
		if err := r.check(); err != nil { // the limit was interrupted
			return err
		}
		if p.Kind != "" || !p.Whole {
			return corrupt(s, p.Pos, p.What)
		}
		if err := f(p.Batch); err != nil {
			return fmt.Errorf("%s at %d: %w", filepath.Base(s.stem)+logSuffix, p.Pos, err)
		}
	}
	return nil
}

// mapKeys is the first pass: the last offset of each key in the dirty part (Cleaner.buildOffsetMap).
func (r *cleanRound) mapKeys() error {
	txns := newCleanedTxns()
	aborted, err := r.l.AbortedTxns(r.from, r.to)
	if err != nil {
		return err
	}
	txns.add(aborted)
	first := (&segList{r.list}).find(r.from)
	for i, s := range r.list[first:] {
		e, _, err := s.offsets.floor(max(r.from-s.base, 0), false)
		if err != nil {
			return err
		}
		full := false
		err = r.each(s, e.val, func(b batch.Batch) error {
			full, err = r.mapBatch(txns, b)
			if full && err == nil {
				err = io.EOF
			}
			return err
		})
		if full {
			return nil
		}
		if err != nil {
			return err
		}
		// Gaps at the segment's end are in the map too.
		r.keys.latest = r.to - 1
		if first+i+1 < len(r.list) {
			r.keys.latest = r.list[first+i+1].base - 1
		}
	}
	return nil
}

func (r *cleanRound) mapBatch(txns *cleanedTxns, b batch.Batch) (full bool, err error) {
	if err := r.walker.Reset(b, cleanedRecords); err != nil {
		return false, err
	}
	if b.IsControl() {
		txns.see(b, r.first())
	} else if !txns.see(b, nil) {
		var rec batch.Record
		for r.walker.Next(&rec) {
			offset := b.BaseOffset() + int64(rec.OffsetDelta)
			if rec.Key != nil && offset >= r.from && !r.keys.put(rec.Key, offset) {
				return true, nil
			}
		}
	}
	if last := b.LastOffset(); last >= r.from {
		r.keys.latest = last
	}
	return false, r.walker.Err()
}

// first is the walker's first record, nil if there is none.
func (r *cleanRound) first() *batch.Record {
	var rec batch.Record
	if !r.walker.Next(&rec) {
		return nil
	}
	return &rec
}

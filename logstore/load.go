package logstore

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// load finds the logs of the directory and opens them, several at once. stale are the directories of deleted
// logs, to be removed.
func (d *Dir) load(clean bool) (stale []string, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var todo []*loading
	rp, starts, cleaned := d.readOffsets(recoveryPointFile), d.readOffsets(logStartFile), d.readOffsets(cleanerFile)
	for _, e := range entries {
		name := e.Name()
		switch topic, partition, ok := parsePartitionDir(name); {
		case !e.IsDir():
		case strings.HasSuffix(name, deleteDirSuffix):
			stale = append(stale, filepath.Join(d.path, name))
		case !ok || special(name) || topic == metadataTopic:
			d.opts.Logger.Warn("directory is not a partition in service, left alone", "path", filepath.Join(d.path, name))
		default:
			l := d.newLog(name, topic, partition)
			x := &loading{l: l, clean: clean, recoveryPoint: rp[name], logStart: starts[name]}
			x.compacted(cleaned)
			todo = append(todo, x)
		}
	}
	if err := d.loadAll(todo); err != nil {
		return stale, err
	}
	return stale, d.correctCleaned(cleaned)
}

// compacted says what is known of the log's compaction. cleaned is nil when the checkpoint was not readable: then any
// log may have gaps.
func (x *loading) compacted(cleaned map[string]int64) {
	x.dirty, x.listed = cleaned[x.l.name]
	x.gaps = x.listed || cleaned == nil || x.l.d.opts.GapsAllowed(x.l.topic)
}

// correctCleaned replaces the checkpoint of the cleaner when it says of a log more than that has: what is appended
// there would count as compacted.
func (d *Dir) correctCleaned(cleaned map[string]int64) error {
	for _, l := range d.Logs() {
		if was, ok := cleaned[l.name]; ok && was != l.cleaning.dirty.Load() {
			return d.writeCheckpoint(cleanerFile)
		}
	}
	return nil
}

// readOffsets reads a checkpoint file. Like Kafka, a damaged one counts as empty: slow, but safe. It is nil then, and
// only then.
func (d *Dir) readOffsets(name string) map[string]int64 {
	m, err := readOffsets(filepath.Join(d.path, name))
	if err != nil {
		d.opts.Logger.Warn("checkpoint is not readable, going on without", "err", err)
		m = nil
	} else if m == nil {
		m = map[string]int64{}
	}
	d.written[name] = &writtenFile{names: slices.Sorted(maps.Keys(m))}
	return m
}

func (d *Dir) loadAll(todo []*loading) error {
	d.opts.Progress.found(todo)
	defer d.reportLoading()()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var firstErr error
	next, done := 0, 0
	for range min(d.opts.RecoveryThreads, len(todo)) {
		wg.Go(func() {
			for {
				mu.Lock()
				if next == len(todo) || firstErr != nil {
					mu.Unlock()
					return
				}
				x := todo[next]
				next++
				mu.Unlock()
				there, err := x.load()
				d.opts.Progress.loaded(x)
				mu.Lock()
				if err != nil && firstErr == nil {
					firstErr = fmt.Errorf("loading %s: %w", x.l.dir, err)
				}
				if there {
					d.logs[x.l.name] = x.l
				}
				done++
				n := done
				mu.Unlock()
				if f := d.opts.Listener.Loading; f != nil {
					f(n, len(todo))
				}
			}
		})
	}
	wg.Wait()
	return firstErr
}

// loading is one log on its way up.
type loading struct {
	l             *Log
	clean         bool
	recoveryPoint int64
	logStart      int64
	full          bool // check from the first segment on
	live          bool // the log is in service: producers are made anew, no .txnindex is

	gaps   bool  // offsets may be left out, because the log is or was compacted
	listed bool  // cleaner-offset-checkpoint names the log
	dirty  int64 // what it says then

	unread       int64   // bytes that Progress still expects
	marked       bool    // there is a lossyFile
	mark, damage *Damage // that it names, and that recovery found below the recovery point

	segs        []*segment
	snapshots   []int64        // offsets of the snapshot files
	txnFiles    map[int64]bool // bases of the segments that have a .txnindex
	markersFrom int64          // base of the first segment that was walked and has control batches; math.MaxInt64: none
	epochs      []epochStart
	epochsKnown bool // leader-epoch-checkpoint was there and whole
}

// load opens the log; there is false when the directory is a creation that was cut short.
func (x *loading) load() (there bool, err error) {
	l := x.l
	id, found, err := readPartitionFile(l.dir)
	if err != nil {
		return false, err
	}
	l.id = id
	bases, err := x.listFiles()
	if err != nil {
		return false, err
	}
	if !found && len(bases) == 0 {
		l.d.opts.Logger.Warn("removing a partition whose creation was cut short", "path", l.dir)
		return false, sys.RemoveAll(l.dir)
	}
	defer func() {
		if err != nil {
			for _, s := range x.segs {
				s.drop()
			}
		}
	}()
	if x.marked {
		if x.mark, err = readMark(l.dir); err != nil {
			return false, err
		}
	}
	x.clean = x.clean && x.mark == nil // so that it looks the same after any stop
	if err := x.readEpochs(); err != nil {
		return false, err
	}
	for _, base := range bases {
		s, err := openSegment(l, base)
		if err != nil {
			return false, err
		}
		x.segs = append(x.segs, s)
	}
	if len(x.segs) == 0 {
		if err := x.restart(x.logStart); err != nil {
			return false, err
		}
	}
	if err := x.dropBelowStart(); err != nil {
		return false, err
	}
	end, failed, err := x.recover()
	if err != nil {
		return false, err
	}
	if end < x.logStart && failed == nil {
		l.d.opts.Logger.Error("log ends before its start, all of it is dropped", "log", l.name, "end", end, "start", x.logStart)
		if err := x.restart(x.logStart); err != nil {
			return false, err
		}
		end = x.logStart
	}
	// If it failed nothing is appended any more and nothing removed, but readers have to know of transactions.
	if err := x.loadProducers(end, failed != nil); err != nil {
		return false, err
	}
	x.publish(end, failed)
	return true, nil
}

func (x *loading) publish(end int64, failed error) {
	l := x.l
	rp := x.recoveryPoint
	if failed == nil {
		rp = min(rp, end)
	} // else it stays, so that the next start does not take the damage for a torn tail
	for i, s := range x.segs[:len(x.segs)-1] {
		s.flushed = x.segs[i+1].base <= rp && !s.rebuilt
	}
	l.recoveryPoint.Store(rp)
	l.epochs.set(upTo(x.epochs, end))
	l.publish(x.segs, max(x.logStart, x.segs[0].base), end)
	l.failed = failed
	l.cleaning.gaps.Store(x.gaps)
	switch {
	case !x.listed:
	case failed == nil && x.dirty > end:
		l.cleaning.dirty.Store(l.start.Load()) // what it says is not true any more (LogCleanerManager.cleanableOffsets)
	default:
		l.cleaning.dirty.Store(x.dirty)
	}
	x.lossy()
}

// lossy has what recovery found and what the log's mark says count. Offline, for `sluice log recover`, the mark is
// what is to be got rid of.
func (x *loading) lossy() {
	l := x.l
	if x.full {
		return
	}
	if x.mark != nil {
		l.marked.Store(true)
		l.setDamage(x.mark)
	}
	if x.damage != nil && l.setDamage(x.damage) {
		l.writeMark(l.lossy.Load())
	}
	if damage := l.lossy.Load(); damage != nil {
		l.reportDamage(damage)
	}
}

func (x *loading) readEpochs() error {
	list, err := readEpochs(x.l.dir)
	x.epochs, x.epochsKnown = list, err == nil && len(list) > 0
	if err != nil {
		x.l.d.opts.Logger.Warn("epochs are rebuilt from the log", "log", x.l.name, "err", err)
		x.clean, x.recoveryPoint = false, 0
	}
	return nil
}

// listFiles returns the base offsets of the segments, in order, and removes what is left of deleted and unfinished
// files.
func (x *loading) listFiles() (bases []int64, err error) {
	names, err := sys.ReadNames(x.l.dir, nil)
	if err != nil {
		return nil, err
	}
	var rest leftovers
	for _, name := range names {
		if ext := filepath.Ext(name); ext == cleanedFileSuffix || ext == swapFileSuffix {
			rest.add(filepath.Join(x.l.dir, name))
		}
	}
	if len(rest.swap)+len(rest.cleaned) > 0 {
		if err := x.finishSwaps(&rest); err != nil {
			return nil, err
		}
		if names, err = sys.ReadNames(x.l.dir, names[:0]); err != nil {
			return nil, err
		}
	}
	indexed := map[int64][]string{}
	x.txnFiles = map[int64]bool{}
	for _, name := range names {
		x.marked = x.marked || name == lossyFile
		switch filepath.Ext(name) {
		case deletedFileSuffix, tmpSuffix:
			path := filepath.Join(x.l.dir, name)
			if err := sys.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		switch base, suffix, ok := parseSegmentFile(name); {
		case !ok:
		case suffix == snapshotSuffix:
			x.snapshots = append(x.snapshots, base)
		case suffix == logSuffix:
			bases = append(bases, base)
		case suffix == indexSuffix, suffix == timeIndexSuffix, suffix == txnIndexSuffix:
			indexed[base] = append(indexed[base], name)
			if suffix == txnIndexSuffix {
				x.txnFiles[base] = true
			}
		}
	}
	slices.Sort(bases)
	for base, names := range indexed {
		if _, ok := slices.BinarySearch(bases, base); !ok {
			for _, name := range names {
				if err := sys.Remove(filepath.Join(x.l.dir, name)); err != nil {
					return nil, err
				}
			}
		}
	}
	return bases, nil
}

// restart drops all segments and begins at base with an empty one.
func (x *loading) restart(base int64) error {
	for _, s := range x.segs {
		if err := s.unlink(); err != nil {
			return err
		}
		s.drop()
	}
	x.segs = nil
	s, err := createSegment(x.l, base)
	if err != nil {
		return err
	}
	s.Release()
	x.segs = []*segment{s}
	if err := s.spill(); err != nil {
		return err
	}
	return syncDir(x.l.dir)
}

// segmentSuffixes are the files of a segment, in the order in which they are removed.
var segmentSuffixes = [...]string{logSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix}

// unlink removes the segment's files; a snapshot of producers at its base stays.
func (s *segment) unlink() error {
	for _, suffix := range segmentSuffixes {
		if err := sys.Remove(s.stem + suffix); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// Recovery is what was found in a log after an unclean stop.
type Recovery struct {
	From        int64 // first offset that was checked
	Segments    int   // segments read
	Batches     int64 // whole batches in them
	Bytes       int64 // their size
	Why         string
	CutAt       int64 // offset from which on everything was cut, -1: nothing was
	CutBytes    int64
	CutSegments int
	Took        time.Duration
}

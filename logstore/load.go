package logstore

import (
	"fmt"
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
	rp, starts := d.readOffsets(recoveryPointFile), d.readOffsets(logStartFile)
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
			todo = append(todo, &loading{l: l, clean: clean, recoveryPoint: rp[name], logStart: starts[name]})
		}
	}
	return stale, d.loadAll(todo)
}

// readOffsets reads a checkpoint file. Like Kafka, a damaged one counts as empty: slow, but safe.
func (d *Dir) readOffsets(name string) map[string]int64 {
	m, err := readOffsets(filepath.Join(d.path, name))
	if err != nil {
		d.opts.Logger.Warn("checkpoint is not readable, going on without", "err", err)
	}
	d.listed[name] = map[string]bool{}
	for log := range m {
		d.listed[name][log] = true
	}
	return m
}

func (d *Dir) loadAll(todo []*loading) error {
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

	segs        []*segment
	snapshots   []int64 // offsets of the snapshot files
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
				s.Release()
			}
		}
	}()
	if err := x.readEpochs(); err != nil {
		return false, err
	}
	for _, base := range bases {
		s, err := openSegment(&l.d.indexes, l.dir, base, l.d.opts.rehearse)
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
	if failed == nil { // else nothing is appended any more, and nothing removed
		if err := x.loadProducers(end); err != nil {
			return false, err
		}
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

// listFiles returns the base offsets of the segments, in order, and removes what an interrupted Kafka left.
func (x *loading) listFiles() (bases []int64, err error) {
	entries, err := os.ReadDir(x.l.dir)
	if err != nil {
		return nil, err
	}
	indexed := map[int64][]string{}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(x.l.dir, name)
		switch filepath.Ext(name) {
		case deletedFileSuffix, cleanedFileSuffix, tmpSuffix:
			if err := sys.Remove(path); err != nil {
				return nil, err
			}
			continue
		case swapFileSuffix:
			return nil, fmt.Errorf("%w: %s: an interrupted compaction, which Kafka has to finish", ErrUnsupported, path)
		}
		switch base, suffix, ok := parseSegmentFile(name); {
		case !ok:
		case suffix == snapshotSuffix:
			x.snapshots = append(x.snapshots, base)
		case suffix == logSuffix:
			bases = append(bases, base)
		case suffix == indexSuffix, suffix == timeIndexSuffix, suffix == txnIndexSuffix:
			indexed[base] = append(indexed[base], path)
		}
	}
	slices.Sort(bases)
	for base, paths := range indexed {
		if _, ok := slices.BinarySearch(bases, base); !ok {
			for _, path := range paths {
				if err := sys.Remove(path); err != nil {
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
		s.Release()
	}
	x.segs = nil
	s, err := createSegment(&x.l.d.indexes, x.l.dir, base)
	if err != nil {
		return err
	}
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

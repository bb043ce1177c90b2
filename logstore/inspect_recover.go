package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// RecoverOptions of RecoverDir.
type RecoverOptions struct {
	// Partitions are the directories' names; none: all.
	Partitions []string
	// DryRun says what would be done and changes nothing. It needs half a percent of the largest partition's size in
	// the system's temporary directory.
	DryRun bool
	// Force also cuts at damage below the recovery point. Without it such a log is left as it is, as at the broker's
	// start.
	Force bool
	// Gaps is as in VerifyOptions. Where it is wrong, the log is cut at the first gap.
	Gaps   func(topic string) bool
	Logger *slog.Logger // nil: nothing is logged
}

// RecoveredLog is what recovery did to one log, or would do.
type RecoveredLog struct {
	Name       string
	Start, End int64
	Recovery
	// Indexes that were written anew, and how many of them were missing or not like that before.
	Indexes, IndexesChanged int
	// Err: the log could not be recovered, or is damaged below its recovery point (ErrCorrupt) and was left alone.
	Err error
}

// RecoverDir does to a log directory that nobody has open what the start of a broker does after an unclean stop, but
// from each log's first segment on: every batch is checked, the log is cut at the first thing wrong, both indexes of
// every segment are written anew. Then all is synced, and the checkpoints are brought in line; when all partitions
// were recovered, or the directory was marked clean before, it is marked clean.
//
// ErrLocked: a broker has it open. done is called for each log.
func RecoverDir(path string, o RecoverOptions, done func(RecoveredLog)) error {
	r := recovering{path: path, o: o}
	r.d = &Dir{path: path, lockFD: -1, logs: map[string]*Log{}, written: map[string]*writtenFile{}}
	opts := Options{Logger: o.Logger, rehearse: o.DryRun, GapsAllowed: func(topic string) bool {
		return strings.HasPrefix(topic, "__") || o.Gaps != nil && o.Gaps(topic)
	}}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Listener.Recovered = func(_ *Log, found Recovery) { r.found = found }
	r.d.opts = opts.withDefaults()
	r.d.files.limit = r.d.opts.OpenFiles
	r.d.tails.limit = r.d.opts.TailTotalBytes
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if err := r.lock(); err != nil {
		return err
	}
	defer func() {
		if r.d.lockFD >= 0 {
			sys.CloseFile(r.d.lockFD)
		}
	}()
	return r.run(done)
}

type recovering struct {
	path    string
	o       RecoverOptions
	d       *Dir
	c       checkpoints
	found   Recovery // in it
	failed  bool     // some log was not recovered
	changed bool     // of the checkpoints
}

// lock takes the directory's lock; a dry run creates and writes nothing, so it goes without where there is no file
// or the file system is read-only.
func (r *recovering) lock() error {
	if !r.o.DryRun {
		return r.d.lock()
	}
	path := filepath.Join(r.path, lockFile)
	fd, err := sys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil // nobody has it locked, or nobody can write
	}
	r.d.lockFD = fd
	if err := sys.LockFile(fd); err != nil {
		return fmt.Errorf("%w: %s", ErrLocked, r.path)
	}
	return nil
}

func (r *recovering) run(done func(RecoveredLog)) error {
	_, names, c, err := inspectRoot(r.path)
	if err != nil {
		return err
	}
	r.c = c
	for _, want := range r.o.Partitions {
		if !slices.Contains(names, want) {
			return fmt.Errorf("%w: %s has no partition %s", ErrBadName, r.path, want)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		topic, _, _ := parsePartitionDir(name)
		return topic == metadataTopic || len(r.o.Partitions) > 0 && !slices.Contains(r.o.Partitions, name)
	})
	if r.o.DryRun {
		return r.rehearse(names, done)
	}
	mark, err := os.ReadFile(filepath.Join(r.path, cleanShutdownFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := takeCleanShutdown(r.path); err != nil {
		return err
	}
	for _, name := range names {
		done(r.log(name, filepath.Join(r.path, name)))
	}
	if err := r.saveCheckpoints(); err != nil {
		return err
	}
	switch {
	case r.failed:
		return nil
	case len(mark) > 0:
		return WriteFileAtomic(filepath.Join(r.path, cleanShutdownFile), mark)
	case len(r.o.Partitions) == 0:
		return writeCleanShutdown(r.path)
	}
	return nil
}

// rehearse recovers each partition in a directory of its own, where the segments are symbolic links, opened for
// reading only, and what recovery writes are new files.
func (r *recovering) rehearse(names []string, done func(RecoveredLog)) error {
	tmp, err := os.MkdirTemp("", "sluice-recover-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	r.d.path = tmp
	for _, name := range names {
		from := filepath.Join(r.path, name)
		if err := shadow(from, filepath.Join(tmp, name)); err != nil {
			return err
		}
		done(r.log(name, from))
		if err := os.RemoveAll(filepath.Join(tmp, name)); err != nil {
			return err
		}
	}
	return nil
}

// shadow makes a directory that recovery sees as the one it is made from, but for indexes, which are made anew anyhow.
func shadow(from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		target := filepath.Join(to, name)
		switch filepath.Ext(name) {
		case logSuffix:
			err = os.Symlink(filepath.Join(from, name), target)
		case indexSuffix, timeIndexSuffix, txnIndexSuffix:
		case deletedFileSuffix, cleanedFileSuffix, swapFileSuffix, tmpSuffix: // their names are enough
			if filepath.Ext(strings.TrimSuffix(name, swapFileSuffix)) == logSuffix { // but for what becomes a segment
				err = os.Symlink(filepath.Join(from, name), target)
			} else {
				err = os.WriteFile(target, nil, 0o600)
			}
		default:
			var b []byte
			if b, err = readSmall(filepath.Join(from, name)); err == nil {
				err = os.WriteFile(target, b, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// log recovers one log and makes it durable; from is where it was before.
func (r *recovering) log(name, from string) (out RecoveredLog) {
	out = RecoveredLog{Name: name, Start: -1, End: -1, Recovery: Recovery{CutAt: -1}}
	defer func() { r.failed = r.failed || out.Err != nil }()
	topic, partition, _ := parsePartitionDir(name)
	before, err := indexSums(from)
	if err != nil {
		out.Err = err
		return out
	}
	l := r.d.newLog(name, topic, partition)
	x := &loading{l: l, full: true, recoveryPoint: r.c.recoveryPoint[name], logStart: r.c.logStart[name]}
	x.compacted(r.c.cleaner)
	if r.o.Force {
		x.recoveryPoint = 0
	}
	r.found = out.Recovery
	there, err := x.load()
	out.Recovery = r.found
	if err != nil || !there {
		out.Err = err
		return out
	}
	defer l.release()
	out.Start, out.End, out.Err = l.StartOffset(), l.EndOffset(), l.Err()
	if out.Err == nil && !r.o.DryRun {
		if out.Err = l.stop(); out.Err == nil {
			out.Err = removeMark(l.dir) // what it told of is gone, or was restored
		}
		if out.Err == nil {
			r.settled(l)
		}
	}
	after, err := indexSums(l.dir)
	if err != nil {
		out.Err = errors.Join(out.Err, err)
	}
	for file, sum := range after {
		out.Indexes++
		if old, ok := before[file]; !ok || old != sum {
			out.IndexesChanged++
		}
	}
	return out
}

// settled brings what the checkpoints say of l in line.
func (r *recovering) settled(l *Log) {
	if r.c.recoveryPoint == nil {
		r.c.recoveryPoint = map[string]int64{}
	}
	r.c.recoveryPoint[l.name] = l.RecoveryPoint()
	if offset, ok := r.c.highWatermark[l.name]; ok {
		r.c.highWatermark[l.name] = min(offset, l.EndOffset())
	}
	if dirty := l.cleaning.dirty.Load(); dirty >= 0 && r.c.cleaner != nil {
		r.c.cleaner[l.name] = dirty
	}
	r.changed = true
}

// saveCheckpoints writes those that were readable; of one that was not, only the recovery points are known anew.
func (r *recovering) saveCheckpoints() error {
	if !r.changed {
		return nil
	}
	for _, name := range []string{recoveryPointFile, highWatermarkFile, cleanerFile} {
		m, path := *r.c.of(name), filepath.Join(r.path, name)
		if len(m) == 0 {
			continue
		}
		content := renderOffsets(m)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
			continue
		}
		if err := WriteFileAtomic(path, content); err != nil {
			return err
		}
	}
	return nil
}

// renderOffsets is the reverse of readOffsets.
func renderOffsets(m map[string]int64) []byte {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sortPartitions(names)
	var b bytes.Buffer
	fmt.Fprintf(&b, "0\n%d\n", len(names))
	for _, name := range names {
		topic, partition, _ := cutPartition(name)
		fmt.Fprintf(&b, "%s %d %d\n", topic, partition, m[name])
	}
	return b.Bytes()
}

// indexSums are checksums of the offset and time indexes in dir.
func indexSums(dir string) (map[string]uint32, error) {
	files, err := listPartition(dir)
	if err != nil {
		return nil, err
	}
	sums := map[string]uint32{}
	for _, suffix := range []string{indexSuffix, timeIndexSuffix} {
		for _, base := range files.by[suffix] {
			name := segmentName(base) + suffix
			f, err := os.Open(filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			h := crc32.New(castagnoli)
			_, err = io.Copy(h, f)
			f.Close()
			if err != nil {
				return nil, err
			}
			sums[name] = h.Sum32()
		}
	}
	return sums, nil
}

package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// DeleteBefore moves the log's start up to offset, from when on reads below it give ErrOffsetOutOfRange, and returns
// the start; one that is there already stays. It does not block for the disk: Dir.Trim makes the new start last and
// removes what lies below it, and the Dir does so by itself every CheckpointInterval.
//
// ErrOffsetOutOfRange: offset is negative, above upper, or above the log end.
func (l *Log) DeleteBefore(offset, upper int64) (start int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.appendable(); err != nil {
		return 0, err
	}
	start = l.start.Load()
	if bound := min(upper, l.end.Load()); offset < 0 || offset > bound {
		return start, fmt.Errorf("%w: %s: deletion up to %d, log has %d to %d", ErrOffsetOutOfRange, l.name, offset, start, bound)
	}
	if offset > start {
		l.start.Store(offset)
		start = offset
	}
	return start, nil
}

// Trim makes the starts of all logs last, in log-start-offset-checkpoint, and then takes out the segments that lie
// wholly below them. It blocks for the checkpoint's fsync if a start moved since the last one, and for a rename per
// file.
//
// The checkpoint comes first, because the renames of several files may reach the device in any order: whatever is
// left of them after a crash lies below a start that the next load knows, and goes there.
func (d *Dir) Trim() error {
	d.trimMu.Lock()
	defer d.trimMu.Unlock()
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return fmt.Errorf("%w: %s", ErrClosed, d.path)
	}
	// Starts as they are now: one that moves later is not in the checkpoint.
	logs := d.Logs()
	starts := make([]int64, len(logs))
	for i, l := range logs {
		starts[i] = l.StartOffset()
	}
	d.step("starts moved")
	err := d.writeCheckpoint(logStartFile)
	if isNoSpace(err) {
		err = d.makeRoom(logs, starts)
	}
	if err != nil {
		return err
	}
	d.step("checkpoint written")
	var errs []error
	for i, l := range logs {
		errs = append(errs, l.dropBelow(starts[i]))
	}
	d.removeDue() // where there is no delay
	return d.suffer(errors.Join(errs...))
}

// makeRoom is for a disk too full even for the checkpoint. Segments below the starts go without it until it fits, one at
// a time, the oldest first, each for good before the next: whatever a crash leaves has no hole, and begins at or below
// the start.
func (d *Dir) makeRoom(logs []*Log, starts []int64) error {
	d.removeDue() // all that waits
	if err := d.writeCheckpoint(logStartFile); !isNoSpace(err) {
		return err
	}
	for i, l := range logs {
		for l.segs.Load().endsBelow(starts[i]) > 0 {
			oldest := l.segs.Load().s[1].base
			err := l.dropBelow(oldest)
			d.removeDue()
			if d.suffer(err) == nil {
				err = d.writeCheckpoint(logStartFile)
			}
			if !isNoSpace(err) {
				return err
			}
		}
	}
	return fmt.Errorf("%w: %s: not even for %s", ErrNoSpace, d.path, logStartFile)
}

// awaitTrim waits for a Trim that is under way.
func (d *Dir) awaitTrim() {
	d.trimMu.Lock()
	defer d.trimMu.Unlock()
}

// dropBelow takes the segments that end at or below start out of the log; the active one always stays.
//
// flushMu is held so that no flush meets a file that has just lost its name (KAFKA-19571).
func (l *Log) dropBelow(start int64) error {
	if l.segs.Load().endsBelow(start) == 0 {
		return nil
	}
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	if l.closed.Load() {
		l.mu.Unlock()
		return nil
	}
	list := l.segs.Load()
	n := list.endsBelow(start)
	l.dropping.Store(true)
	l.segs.Store(&segList{slices.Clone(list.s[n:])})
	delay := l.settings.DeleteDelay
	l.mu.Unlock()
	var errs []error
	for _, s := range list.s[:n] {
		if err := l.d.retire(s, delay); err != nil && !l.closed.Load() {
			l.d.opts.Logger.Error("removing a segment failed, the next start does it", "log", l.name, "base", s.base, "err", err)
			errs = append(errs, err)
		}
		s.drop()
	}
	err := syncDir(l.dir)
	if err == nil {
		err = l.forgetEpochs(list.s[n].base)
	}
	if err != nil {
		if l.closed.Load() {
			return nil // deleted under us
		}
		return errors.Join(append(errs, err)...)
	}
	l.dropping.Store(len(errs) > 0)
	return errors.Join(errs...)
}

// forgetEpochs drops epochs of which the log has nothing since it begins at base. On a full disk they stay until the next
// time.
func (l *Log) forgetEpochs(base int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() {
		return nil
	}
	if err := l.epochs.forget(l.dir, base); !isNoSpace(err) {
		return err
	}
	return nil
}

// startListed tells whether log-start-offset-checkpoint has to name the log's start: a load that does not find it there
// takes the first segment's base, which is lower while a power cut may bring back what was deleted.
func (l *Log) startListed() bool {
	return l.dropping.Load() || l.start.Load() > l.segs.Load().s[0].base
}

// endsBelow is how many segments at the front lie wholly below off. The last one never counts.
func (l *segList) endsBelow(off int64) int {
	n := 0
	for n+1 < len(l.s) && l.s[n+1].base <= off {
		n++
	}
	return n
}

// retiredSuffixes are the files that go with a segment: its own, and the snapshot of producers at its base, which a
// later one has made useless.
var retiredSuffixes = append(segmentSuffixes[:], snapshotSuffix)

// retire gives a segment's files names that mark them as deleted, to be removed after delay. Who has a hold on the
// segment reads on. The .log goes first: without it the others are nothing.
func (d *Dir) retire(s *segment, delay time.Duration) error {
	d.pacer.reserve.forget(s)
	if d.short() {
		delay = 0
	}
	for _, suffix := range retiredSuffixes {
		path := s.stem + suffix
		err := sys.Rename(path, path+deletedFileSuffix)
		if isNoSpace(err) { // for the longer name
			err = sys.Remove(path)
		} else if err == nil {
			f := doomedFile{path: path + deletedFileSuffix, due: d.now() + max(delay, 0)}
			if suffix == logSuffix {
				f.s = s
			}
			d.doomed.add(f)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.step("removed " + suffix)
	}
	return nil
}

// dropBelowStart finishes what a crash interrupted: the log start is known, and segments below it are still there.
// Another crash leaves it to the next start again.
func (x *loading) dropBelowStart() error {
	n := (&segList{x.segs}).endsBelow(x.logStart)
	for _, s := range x.segs[:n] {
		if err := s.unlink(); err != nil {
			return err
		}
		s.drop()
	}
	x.segs = x.segs[n:]
	if n > 0 { // log-start-offset-checkpoint may leave the start out from now on
		return syncDir(x.l.dir)
	}
	return nil
}

// step tells tests where an operation is, so that they can look at the files as a crash there would leave them.
func (d *Dir) step(at string) {
	if f := d.opts.step; f != nil {
		f(at)
	}
}

package logstore

import (
	"slices"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// install puts a cleaned segment in the place of those it was made from; installed is false when it could not begin,
// and nothing has changed. The order is Kafka's (LocalLog.replaceSegments), with a sync of the directory behind every
// step, because renames of several files may otherwise reach the device in any order:
//
//	.cleaned -> .swap: from the sync on the new segment counts, whatever is left of the old ones (finishSwaps)
//	old -> .deleted, .log first
//	.swap -> final
//
// Then readers get the new list. Those that have the old one read on, by descriptors and by indexes that know their
// new names. flushMu is held so that nobody else uses names; appends go on.
//
// An error behind the first step leaves files that only the next start can sort out: the log takes no more appends.
func (l *Log) install(r *cleanRound, out *cleanedSegment, old []*segment) (installed bool, err error) {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	if err := r.check(); err != nil {
		return false, err
	}
	at := slices.Index(l.segs.Load().s, old[0])
	if at < 0 || !slices.Equal(l.segs.Load().s[at:][:min(len(old), len(l.segs.Load().s)-at)], old) {
		return false, errNotNow // retention has taken some of them
	}
	for i, s := range old {
		// Its name is about to be another file's, and the cache may have closed it.
		if err := s.hold(); err != nil {
			release(old[:i])
			return false, err
		}
	}
	defer release(old)
	if err := l.swap(out, old); err != nil {
		l.mu.Lock()
		first := l.failed == nil
		err = l.fail(err)
		l.mu.Unlock()
		if first {
			l.reportFailure(err)
		}
		out.drop()
		out.Release()
		return true, err
	}
	l.show(out.segment, old)
	out.Release()
	for i, s := range old {
		l.d.bury(s, i > 0, l.deleteDelay())
		s.drop()
	}
	return true, nil
}

func release(list []*segment) {
	for _, s := range list {
		s.Release()
	}
}

// swap does the renames.
func (l *Log) swap(out *cleanedSegment, old []*segment) error {
	if err := out.rename(cleanedFileSuffix, swapFileSuffix); err != nil {
		return err
	}
	if err := l.stepSynced("swap"); err != nil {
		return err
	}
	for i, s := range old {
		if err := l.d.setAside(s, i > 0); err != nil {
			return err
		}
	}
	if err := l.stepSynced("old deleted"); err != nil {
		return err
	}
	if err := out.rename(swapFileSuffix, ""); err != nil {
		return err
	}
	return l.stepSynced("installed")
}

// stepSynced brings names to the device.
func (l *Log) stepSynced(what string) error {
	l.d.step(what + ", not synced")
	if err := syncDir(l.dir); err != nil {
		return err
	}
	l.d.step(what)
	return nil
}

// rename gives the files one suffix in place of another.
func (s *cleanedSegment) rename(from, to string) error {
	for _, suffix := range cleanedSuffixes {
		was, is := s.stem+suffix+from, s.stem+suffix+to
		var err error
		switch {
		case suffix == indexSuffix:
			err = s.offsets.rename(is)
		case suffix == timeIndexSuffix:
			err = s.times.rename(is)
		case suffix == logSuffix:
			err = sys.Rename(was, is)
		case len(s.aborted) > 0:
			err = s.renameTxns(was, is)
		}
		if err != nil {
			return err
		}
		s.r.l.d.step("renamed " + suffix + from)
	}
	return nil
}

// setAside marks the files of a segment as deleted. The snapshot of producers at its base goes too, if no segment
// begins there any more.
func (d *Dir) setAside(s *segment, snapshot bool) error {
	for _, suffix := range buried(snapshot) {
		was, is := s.stem+suffix, s.stem+suffix+deletedFileSuffix
		rename := func(was string) error { return sys.Rename(was, is) }
		switch suffix {
		case indexSuffix:
			rename = func(string) error { return s.offsets.rename(is) }
		case timeIndexSuffix:
			rename = func(string) error { return s.times.rename(is) }
		case txnIndexSuffix:
			rename = func(string) error { return s.renameTxns(was, is) }
		}
		if err := removeIfThere(rename, was); err != nil {
			return err
		}
		d.step("deleted " + suffix)
	}
	return nil
}

// bury has the files of a segment that was set aside removed, now or when the delay is over.
func (d *Dir) bury(s *segment, snapshot bool, delay time.Duration) {
	for _, suffix := range buried(snapshot) {
		path := s.stem + suffix + deletedFileSuffix
		if delay > 0 {
			f := doomedFile{path: path, due: d.now() + delay}
			if suffix == logSuffix {
				f.s = s
			}
			d.doomed.add(f)
		} else if err := removeIfThere(sys.Remove, path); err != nil {
			d.opts.Logger.Error("removing a compacted segment failed, the next start does it", "path", path, "err", err)
		}
	}
}

func buried(snapshot bool) []string {
	if snapshot {
		return retiredSuffixes
	}
	return retiredSuffixes[:len(retiredSuffixes)-1]
}

// show gives readers the new segment in place of the old ones, which lie next to each other in the list.
func (l *Log) show(s *segment, old []*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.segs.Load().s
	at := slices.Index(list, old[0])
	n := make([]*segment, 0, len(list)-len(old)+1)
	n = append(append(append(n, list[:at]...), s), list[at+len(old):]...)
	// What is remembered of positions in the old files goes first: no reader may hold it against the new one.
	l.tail.dropBelow(list[at+len(old)].base)
	l.hints.clear()
	l.segs.Store(&segList{n})
}

func (l *Log) deleteDelay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settings.DeleteDelay
}

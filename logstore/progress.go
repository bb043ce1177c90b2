package logstore

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// Progress says how far OpenDir has come. Whoever opens makes one and may read it from any goroutine meanwhile; several
// OpenDir, one after the other, add up.
type Progress struct {
	logs, ofLogs, bytes, ofBytes atomic.Int64
}

// ProgressReading is a moment of it.
type ProgressReading struct {
	Logs, OfLogs   int64 // loaded, found
	Bytes, OfBytes int64 // read and checked, to be read and checked after an unclean stop
}

// Read reads it.
func (p *Progress) Read() ProgressReading {
	return ProgressReading{p.logs.Load(), p.ofLogs.Load(), p.bytes.Load(), p.ofBytes.Load()}
}

// progressInterval is the time between two lines in the log.
const progressInterval = 5 * time.Second

// found begins with the logs of a directory. After an unclean stop what is to be read is added up beforehand, from the
// sizes of the files: a look at each directory.
func (p *Progress) found(todo []*loading) {
	p.ofLogs.Add(int64(len(todo)))
	for _, x := range todo {
		if !x.clean {
			x.unread = unflushedBytes(x.l.dir, x.recoveryPoint)
			p.ofBytes.Add(x.unread)
		}
	}
}

// loaded counts a log, with what its recovery left out because it ended early.
func (p *Progress) loaded(x *loading) {
	p.logs.Add(1)
	p.bytes.Add(x.unread)
}

// read counts bytes of a log that were checked, no more of them than were expected.
func (p *Progress) read(x *loading, n int64) {
	n = min(n, x.unread)
	x.unread -= n
	p.bytes.Add(n)
}

// unflushedBytes are those of the segments from the one with the recovery point on; what cannot be read is found out
// about later.
func unflushedBytes(dir string, recoveryPoint int64) (n int64) {
	entries, _ := os.ReadDir(dir)
	for i, e := range entries { // in order of their names, and so of their bases
		base, suffix, ok := parseSegmentFile(e.Name())
		if !ok || suffix != logSuffix {
			continue
		}
		if base <= recoveryPoint && hasSegmentUpTo(entries[i+1:], recoveryPoint) {
			continue
		}
		if info, err := os.Lstat(filepath.Join(dir, e.Name())); err == nil {
			n += info.Size()
		}
	}
	return n
}

func hasSegmentUpTo(entries []os.DirEntry, offset int64) bool {
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), logSuffix) {
			continue
		}
		base, _, ok := parseSegmentFile(e.Name())
		return ok && base <= offset
	}
	return false
}

// reportLoading writes a line from time to time until the returned function is called.
func (d *Dir) reportLoading() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r := d.opts.Progress.Read()
				d.opts.Logger.Info("loading logs", "dir", d.path, "loaded", r.Logs, "of", r.OfLogs, "checked_bytes", r.Bytes, "of_bytes", r.OfBytes)
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

package logstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"
)

// scrubber is the goroutine of a Dir that reads what nobody reads: bit rot in a rolled segment would otherwise show
// only when a consumer meets it, years later perhaps, when the other replicas have deleted theirs.
//
// It goes through the logs in the order of their names and through each log's segments in order, and checks of every
// batch: size, format, checksum, that its offset follows the one before, that its leader epoch does not fall and had
// begun. Read are only segments that are rolled and below the recovery point, so synced and not written to any more;
// the active one is what recovery and every consumer look at. The page cache stays as it is (sys.ColdReader).
//
// Where it stands is in a file (scrubstate.go), so that a broker that is restarted every day gets to the last log too.
// Under load it waits, but not for ever (scrubpace.go). Logs and segments may vanish or be replaced under it: what
// seems damaged is read a second time, and counts only if its segment is still the log's then.
type scrubber struct {
	d    *Dir
	ctx  context.Context // done: the Dir is being closed
	end  context.CancelFunc
	done chan struct{}
	pace scrubPace

	state scrubState
	saved time.Duration // when the state was last written, on Dir.now
	found int64         // damages of this pass

	bytes, passes, damages atomic.Int64
	lastPass               atomic.Int64 // Unix milliseconds of the end of the last whole pass, 0: none
	position               atomic.Pointer[ScrubPosition]
}

// Flaw is what the scrub found wrong in a log below its recovery point.
type Flaw struct {
	Base      int64 // of the segment
	Pos, Size int64 // which of its bytes
	Offset    int64 // of the first record that is not there, or not sure to be right
	Why       string
}

// ScrubPosition is where the scrub is. Topic is empty between two passes.
type ScrubPosition struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Scrub is what the scrub of a Dir has done.
type Scrub struct {
	Bytes    int64 // read since the start
	Passes   int64 // whole passes since the start
	Damaged  int64 // ranges that are damaged: of the last whole pass, or of this one if they are more already
	LastPass time.Time
	Position ScrubPosition
}

// Scrub reads the counters.
func (d *Dir) Scrub() (s Scrub) {
	x := d.scrubber
	if x == nil {
		return s
	}
	s = Scrub{Bytes: x.bytes.Load(), Passes: x.passes.Load(), Damaged: x.damages.Load(), Position: *x.position.Load()}
	if ms := x.lastPass.Load(); ms > 0 {
		s.LastPass = time.UnixMilli(ms)
	}
	return s
}

// scrubDelay is how long after the start the scrub waits: there is enough to do then.
const scrubDelay = time.Minute

func startScrubber(d *Dir) *scrubber {
	x := newScrubber(d)
	go x.run()
	return x
}

func newScrubber(d *Dir) *scrubber {
	ctx, end := context.WithCancel(context.Background())
	x := &scrubber{d: d, ctx: ctx, end: end, done: make(chan struct{})}
	x.pace = scrubPace{rate: d.opts.ScrubBytesPerSecond, load: d.pacer.appended.Load, now: d.now, sleep: x.sleep}
	x.state = readScrubState(d)
	x.note()
	x.lastPass.Store(x.state.LastPass)
	x.damages.Store(max(x.state.LastFound, x.state.Found))
	x.found = x.state.Found
	return x
}

// close waits until the scrub has ended; where it stood is in its file.
func (x *scrubber) close() {
	if x == nil {
		return
	}
	x.end()
	<-x.done
}

// sleep returns false when the Dir is being closed.
func (x *scrubber) sleep(d time.Duration) bool {
	if d <= 0 {
		return x.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.ctx.Done():
		return false
	}
}

func (x *scrubber) run() {
	defer close(x.done)
	if !x.sleep(min(scrubDelay, x.d.opts.ScrubInterval)) {
		return
	}
	for x.sleep(x.untilNext()) {
		if x.state.Began == 0 {
			x.state.Began, x.state.Position, x.found = x.wall(), ScrubPosition{}, 0
		}
		whole := x.pass()
		if whole {
			x.state = scrubState{LastBegan: x.state.Began, LastPass: x.wall(), LastFound: x.found}
			x.passes.Add(1)
			x.lastPass.Store(x.state.LastPass)
			x.damages.Store(x.found)
			x.d.opts.Logger.Info("all cold segments were checked", "dir", x.d.path, "damaged", x.found)
		}
		x.note()
		x.save()
		if f := x.d.opts.Listener.Scrubbed; f != nil && whole {
			f(x.d.path, x.found)
		}
	}
}

func (x *scrubber) wall() int64 {
	wall, _ := x.d.opts.clock()
	return wall.UnixMilli()
}

// untilNext is the time to the next pass: they begin ScrubInterval apart, unless one takes longer than that. One that
// was interrupted goes on. A wall clock that was set back makes nobody wait for longer than the interval.
func (x *scrubber) untilNext() time.Duration {
	if x.state.Began != 0 || x.state.LastBegan == 0 {
		return 0
	}
	since := time.Duration(x.wall()-x.state.LastBegan) * time.Millisecond
	return min(x.d.opts.ScrubInterval-since, x.d.opts.ScrubInterval)
}

// pass goes through the logs from where the state says on; false: interrupted.
func (x *scrubber) pass() bool {
	for _, l := range x.d.Logs() {
		at := x.state.Position
		switch order := compareLogs(l, at); {
		case order < 0:
			continue
		case order > 0:
			x.state.Position = ScrubPosition{Topic: l.topic, Partition: l.partition}
		}
		if !x.log(l) {
			return false
		}
	}
	return true
}

// compareLogs is the order of Dir.Logs: by the names of the directories.
func compareLogs(l *Log, at ScrubPosition) int {
	if at.Topic == "" {
		return 1
	}
	return cmp.Compare(l.name, partitionDirName(at.Topic, at.Partition))
}

// log goes through the cold segments of l; false: interrupted.
func (x *scrubber) log(l *Log) bool {
	for x.ctx.Err() == nil {
		s, next := coldSegment(l, x.state.Position.Offset)
		if s == nil {
			return true
		}
		x.note()
		if !x.segment(l, s, next) {
			break
		}
		x.state.Position.Offset, x.state.Found = next, x.found
		if x.d.now()-x.saved >= scrubSaveInterval {
			x.save()
		}
	}
	return false
}

// coldSegment returns the first segment from offset off on that is below the recovery point, and where
// the one behind it begins; nil for none.
func coldSegment(l *Log, off int64) (s *segment, next int64) {
	list := l.segs.Load()
	if list == nil || l.closed.Load() {
		return nil, 0
	}
	for i := 0; i+1 < len(list.s); i++ {
		next := list.s[i+1].base
		if list.s[i].base < off {
			continue
		}
		if next > l.RecoveryPoint() {
			break
		}
		return list.s[i], next
	}
	return nil, 0
}

// segment checks one segment; false: interrupted.
func (x *scrubber) segment(l *Log, s *segment, next int64) bool {
	for _, d := range x.check(l, s, next) {
		// Once more: what was written at the time, or a slip of the memory, is gone by then.
		if x.ctx.Err() == nil && isCurrent(l, s) && slices.Contains(x.check(l, s, next), d) && isCurrent(l, s) {
			x.report(l, d)
		}
	}
	return x.ctx.Err() == nil
}

// isCurrent tells whether s is still the log's, and none that took its place.
func isCurrent(l *Log, s *segment) bool {
	return !l.closed.Load() && slices.Contains(l.segs.Load().s, s)
}

// maxFlaws bounds what is told of one segment: a file of garbage has no end of places where it is damaged.
const maxFlaws = 8

// check reads s, which next follows, and returns what is wrong with it.
func (x *scrubber) check(l *Log, s *segment, next int64) (found []Flaw) {
	f, err := OpenSegment(s.stem+logSuffix, ReadOptions{Progress: x.progress})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted
	}
	if err != nil {
		return []Flaw{{Base: s.base, Offset: s.base, Why: err.Error()}}
	}
	defer f.Close()
	w := scrubWalk{s: s, start: l.start.Load()}
	w.order = order{segment: s.base, next: s.base, epoch: -1, gaps: l.mayHaveGaps(), epochs: l.epochs.all()}
	gaps := w.order.gaps
	for x.ctx.Err() == nil && len(w.found) < maxFlaws {
		var p Piece
		if err := f.Next(&p); errors.Is(err, io.EOF) {
			if w.order.next > next || w.order.next < next && !gaps && !w.lost {
				w.damaged(&p, fmt.Sprintf("ends before offset %d, the next segment begins with %d", w.order.next, next))
			}
			break
		} else if err != nil {
			w.damaged(&p, err.Error()) // the device cannot read it, or the file is shorter than it was
			break
		}
		w.piece(&p, gaps)
	}
	return w.found
}

// scrubWalk goes through one segment.
type scrubWalk struct {
	s     *segment
	start int64 // of the log
	order order
	lost  bool // what came last was damaged
	found []Flaw
}

func (w *scrubWalk) damaged(p *Piece, why string) {
	w.found = append(w.found, Flaw{Base: w.s.base, Pos: p.Pos, Size: p.Size, Offset: w.order.next, Why: why})
	w.lost = true
}

func (w *scrubWalk) piece(p *Piece, gaps bool) {
	if p.Kind != "" {
		w.damaged(p, p.What)
		return
	}
	h, _ := parseHead(p.Batch, p.Pos)
	o := w.order
	o.gaps = gaps || w.lost
	if h.base < w.start {
		o.epochs = nil // Kafka forgets where epochs began below the start of the log
	}
	epoch := p.Batch.LeaderEpoch()
	if _, why := o.misplaced(h, epoch); why != "" {
		w.damaged(p, why)
		return
	}
	w.lost, w.order.next, w.order.epoch = false, h.last+1, epoch
}

// report has what is damaged known, and the log lossy from there on.
func (x *scrubber) report(l *Log, d Flaw) {
	x.found++
	x.damages.Store(max(x.damages.Load(), x.found))
	x.d.opts.Logger.Error("cold segment is damaged", "log", l.name, "segment", segmentName(d.Base), "at", d.Pos,
		"bytes", d.Size, "offset", d.Offset, "why", d.Why)
	if f := x.d.opts.Listener.Damaged; f != nil {
		f(l, d)
	}
	l.MarkLossy(d.Offset, fmt.Sprintf("%s%s at %d: %s", segmentName(d.Base), logSuffix, d.Pos, d.Why))
}

// progress is called with every read.
func (x *scrubber) progress(n int) {
	x.bytes.Add(int64(n))
	x.pace.read(int64(n))
}

// note publishes where the scrub is.
func (x *scrubber) note() {
	at := x.state.Position
	x.position.Store(&at)
}

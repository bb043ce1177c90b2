package logstore

import (
	"fmt"
	"sync/atomic"
	"time"
)

// space keeps appends away from the last bytes of a file system: below a floor of free bytes they are refused, so that
// what frees space (retention, deletion of topics) and what must be written all the same (checkpoints, epochs, Kafka's
// internal topics) still can.
//
// A goroutine of the Dir looks once a second. An append only reads a pointer, and while the floor is so near that it
// could be reached between two looks, counts its bytes down, which brings the next look forward. So the floor is met
// within what is appended during one statfs call, and the little that goes beyond it is what the floor is for.
type space struct {
	refusal atomic.Pointer[error] // what appends get; nil while there is space
	full    atomic.Bool           // something found no space since there was plenty of it
	near    atomic.Bool           // left is being counted
	left    atomic.Int64          // bytes above the floor
	wake    chan struct{}         // capacity 1
	stop    chan struct{}
	done    chan struct{}

	free, floor, refused atomic.Int64
}

const (
	// spaceInterval is the time between two looks.
	spaceInterval = time.Second
	// nearFloor is more than appends can take in that time: page caches take some 3 GB/s of them here.
	nearFloor = 8 << 30
	// autoFloor and autoShare make the floor of a file system that nobody has chosen one for: the smaller of the two.
	// 256 MiB are some thousand checkpoints, and a twentieth is little enough for a memory disk of a test.
	autoFloor = 256 << 20
	autoShare = 20
)

// Space is what is free where a Dir lies.
type Space struct {
	Free    int64 // bytes, for users other than root
	Floor   int64 // below which appends are refused; 0: none
	Low     bool  // they are
	Refused int64 // appends so far
}

// Space reads the last look.
func (d *Dir) Space() Space {
	x := &d.space
	return Space{Free: x.free.Load(), Floor: x.floor.Load(), Low: x.refusal.Load() != nil, Refused: x.refused.Load()}
}

func (d *Dir) startSpace() {
	x := &d.space
	x.wake, x.stop, x.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	d.lookAtSpace()
	go func() {
		defer close(x.done)
		tick := time.NewTicker(spaceInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-x.wake:
			case <-x.stop:
				return
			}
			d.lookAtSpace()
		}
	}()
}

func (x *space) close() {
	close(x.stop)
	<-x.done
}

// lookAtSpace compares what is free with the floor. Appends are taken again a quarter of the floor above it, so that
// one segment which retention deletes does not make producers come and go.
func (d *Dir) lookAtSpace() {
	x, o := &d.space, &d.opts
	free, total, err := o.freeSpace(d.path)
	if err != nil {
		d.suffer(fmt.Errorf("statfs %s: %w", d.path, err))
		return // not known: as before
	}
	floor, plenty := o.FreeBytes, min(autoFloor, total/autoShare)
	if floor < 0 {
		floor = plenty
	}
	if free >= max(floor, plenty) {
		x.full.Store(false)
	}
	x.free.Store(free)
	x.floor.Store(floor)
	x.left.Store(free - floor)
	x.near.Store(floor > 0 && free-floor < nearFloor)
	low := x.refusal.Load() != nil
	switch {
	case !low && free < floor:
		err := fmt.Errorf("%w: %d bytes are free, and log.dir.free.bytes.min keeps %d", ErrNoSpace, free, floor)
		x.refusal.Store(&err)
		o.Logger.Error("disk is nearly full: produce is refused until there is space. Delete topics or records, shorten "+
			"retention, or lower log.dir.free.bytes.min", "dir", d.path, "free", free, "floor", floor)
	case low && free >= floor+floor/4:
		x.refusal.Store(nil)
		o.Logger.Info("there is space again, produce is taken", "dir", d.path, "free", free, "floor", floor)
	}
}

// refuse is why nothing is appended for now. Kafka's own topics, which a broker writes for clients to make progress,
// may go below the floor.
func (x *space) refuse(l *Log) error {
	if p := x.refusal.Load(); p != nil && !l.internal {
		x.refused.Add(1)
		return *p
	}
	return nil
}

// short tells whether files that nobody needs are to go at once.
func (d *Dir) short() bool { return d.space.full.Load() || d.space.refusal.Load() != nil }

// took accounts for n appended bytes.
func (x *space) took(n int64) {
	if x.near.Load() && x.left.Add(-n) < 0 {
		x.lookSoon()
	}
}

func (x *space) lookSoon() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

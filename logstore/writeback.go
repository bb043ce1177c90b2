package logstore

import (
	"math"
	"sync/atomic"
)

// pacer is the goroutine of a Dir that stays a little behind the appenders' writes and a little ahead of them: it has
// dirty pages written back early and steadily, and reserves space for what comes (see reserve.go).
//
// Left to itself the kernel begins at some share of the memory, gigabytes on a large machine, and makes whoever writes
// wait once twice that much is dirty: appends then take as long as the device takes for them. And the fdatasync of a
// rolled segment would have all of it to write at once, before everything else that waits for the device. The appender
// cannot do it: asking for write-back blocks while the device's queue is full.
//
// What an append pays is a load and an addition. Each segment has a mark; the append that reaches it hands its log
// over and moves the mark out of reach, and the pacer sets the next one:
//
//	append: size >= mark -> mark = never, push log, wake      pacer: take all; for each: write back, reserve, next mark
//
// Logs that never reach their mark count too: when sweepFactor pieces were dirtied in the Dir and not asked for, all
// logs are looked at. So what is dirty and not asked for is bounded by sweepFactor pieces, whatever the number of logs,
// as long as the device keeps up; 512 MiB at the default. The price at ten thousand small logs is ten thousand calls
// for each 512 MiB. Smaller pieces cost the appends: with 4 MiB those of 64 KiB were half as fast as plain writes, with
// 64 MiB, or none, 0.7 to 1 times as fast. Pages on their way to the device keep the file system busy.
//
// None of this makes anything durable: no recovery point moves, no waiter is told (see sys.StartWriteback).
type pacer struct {
	d     *Dir
	piece int64 // Options.WriteBackBytes, 0: no write-back
	wake  chan struct{}
	stop  chan struct{}
	done  chan struct{}

	head     atomic.Pointer[Log] // of the logs that were handed over, by Log.pace.next
	appended atomic.Int64        // bytes, to all logs since the start
	sweepAt  atomic.Int64        // of appended, from when on all logs are to be looked at
	handled  atomic.Int64        // of appended, what was asked for, looked at or synced

	asked, calls, failures atomic.Int64
	reserve                reservations
}

// pace is a log's place in the pacer's stack.
type pace struct {
	queued atomic.Bool
	next   *Log // the pusher's while not queued, then the pacer's
}

const (
	sweepFactor = 16
	// backGrain: a piece ends below the page that the next append goes on in, and the larger units pages come in.
	backGrain = 64 << 10
	// unmarked is the mark that no append reaches.
	unmarked = math.MaxInt64
)

// WriteBack counts what a Dir did ahead of the kernel's own write-back.
type WriteBack struct {
	Bytes    int64 // that the kernel was asked to begin writing
	Calls    int64
	Failures int64 // what could not be asked for; the syncs report what the device has lost
	Reserved int64 // bytes that are reserved behind the ends of segments now
}

// WriteBack reads the counters.
func (d *Dir) WriteBack() WriteBack {
	p := &d.pacer
	return WriteBack{Bytes: p.asked.Load(), Calls: p.calls.Load(), Failures: p.failures.Load(), Reserved: p.reserve.total.Load()}
}

func (p *pacer) start(d *Dir) {
	p.d, p.piece = d, max(d.opts.WriteBackBytes, 0)
	if p.sweepAt.Store(unmarked); p.piece > 0 {
		p.sweepAt.Store(sweepFactor * p.piece)
	}
	p.wake, p.stop, p.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go p.run()
}

// close waits until the pacer has ended. What it has not asked for is left to the flush at the stop.
func (p *pacer) close() {
	close(p.stop)
	<-p.done
}

func (p *pacer) run() {
	defer close(p.done)
	for {
		select {
		case <-p.wake:
			p.round()
		case <-p.stop:
			return
		}
	}
}

func (p *pacer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// noteDirty accounts for n bytes that were appended to s, which has size bytes now. The caller holds mu.
func (l *Log) noteDirty(s *segment, size, n int64) {
	p := &l.d.pacer
	if size >= s.mark.Load() {
		s.mark.Store(unmarked)
		p.push(l)
	}
	if now := p.appended.Add(n); now >= p.sweepAt.Load() {
		p.sweepAt.Store(unmarked)
		p.signal()
	}
}

// push hands l over. Nothing is popped but all at once, so there is no mistaking one head for another.
func (p *pacer) push(l *Log) {
	if !l.pace.queued.CompareAndSwap(false, true) {
		return
	}
	for {
		head := p.head.Load()
		l.pace.next = head
		if p.head.CompareAndSwap(head, l) {
			p.signal()
			return
		}
	}
}

// round serves the logs that were handed over, and all if much is dirty elsewhere.
func (p *pacer) round() {
	for l := p.head.Swap(nil); l != nil; {
		next := l.pace.next
		l.pace.next = nil
		l.pace.queued.Store(false) // before it is served: an append during that hands it over again
		p.serve(l)
		l = next
	}
	if p.piece == 0 {
		return
	}
	if p.appended.Load()-p.handled.Load() >= sweepFactor*p.piece {
		p.sweep()
	}
	p.sweepAt.Store(p.handled.Load() + sweepFactor*p.piece)
}

// serve does what is due at l's active segment. The one before it is the flusher's, who syncs it.
func (p *pacer) serve(l *Log) {
	s := l.segs.Load().last()
	if s.hold() != nil {
		return // deleted; or out of descriptors, and the kernel does it in its own time
	}
	defer s.Release()
	for {
		next := min(p.backPiece(s), p.reserve.serve(l, s))
		s.mark.Store(next)
		// An append that came in between has not seen the mark.
		if s.size.Load() < next || !s.mark.CompareAndSwap(next, unmarked) {
			return
		}
	}
}

// backPiece asks for what is due of s, and returns the size at which it wants to be called again.
func (p *pacer) backPiece(s *segment) (mark int64) {
	if p.piece == 0 {
		return unmarked
	}
	if size := s.size.Load(); size-s.asked.Load() >= p.piece {
		p.writeBack(s, size&^(backGrain-1))
	}
	return s.asked.Load() + max(p.piece, backGrain)
}

// sweep has everything written back that was not asked for, whole pages of it.
func (p *pacer) sweep() {
	now := p.appended.Load()
	p.d.eachLog(func(l *Log) {
		s := l.segs.Load().last()
		if s.asked.Load() < s.size.Load()&^(pageSize-1) && s.hold() == nil {
			p.writeBack(s, s.size.Load()&^(pageSize-1))
			s.Release()
		}
	})
	raise(&p.handled, now)
}

const pageSize = 4096 // or less than a page's: then a page is asked for twice

// writeBack asks for the pages of s below upTo. The caller has a hold; any goroutine.
func (p *pacer) writeBack(s *segment, upTo int64) {
	from, some := p.claim(s, upTo)
	if !some {
		return
	}
	if err := p.d.opts.startWriteback(s.file(), from, upTo-from); err != nil {
		// The kernel will do it in its own time. If the device is at fault, the next sync says so.
		p.failures.Add(1)
	}
	p.calls.Add(1)
	p.asked.Add(upTo - from)
}

// claim notes that s is written back below upTo, and returns from where on nobody had seen to that; false: all is.
func (p *pacer) claim(s *segment, upTo int64) (from int64, some bool) {
	for {
		if from = s.asked.Load(); from >= upTo {
			return 0, false
		}
		if s.asked.CompareAndSwap(from, upTo) {
			break
		}
	}
	// A segment may have more than was appended since the start.
	if h, most := p.handled.Add(upTo-from), p.appended.Load(); h > most {
		p.handled.CompareAndSwap(h, most)
	}
	return from, true
}

// eachLog calls f for every log, in no order, without the Dir's lock.
func (d *Dir) eachLog(f func(l *Log)) {
	d.mu.Lock()
	logs := make([]*Log, 0, len(d.logs))
	for _, l := range d.logs {
		if l != nil {
			logs = append(logs, l)
		}
	}
	d.mu.Unlock()
	for _, l := range logs {
		f(l)
	}
}

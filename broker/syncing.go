package broker

import (
	"bytes"
	"sync/atomic"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
)

// syncing is a Produce whose answer waits until what it appended is on the device. The answer is encoded already; if
// a sync fails, the partitions concerned are taken out of it.
//
// Life: produceTo adds the parts, on the loop; wait registers them with their logs; each log tells its part from a
// goroutine of its own; the last one posts Run to the loop, which sends. A connection that ends meanwhile changes
// nothing: the reply is released when it is finished. Bound: one per open Produce request, which the network layer
// bounds.
type syncing struct {
	call  *call
	parts []syncPart
	left  atomic.Int32 // parts that have not been told, and 1 while they are being registered
}

// syncPart is one partition of a syncing. It implements logstore.SyncWaiter.
type syncPart struct {
	of   *syncing
	log  *logstore.Log
	upTo int64
	at   producePlace
	err  error
}

// producePlace is a partition's place in a Produce request and in its answer.
type producePlace struct{ topic, partition int }

// awaitSync has the request at hand wait for log to be on the device up to the offset.
func (lp *loop) awaitSync(log *logstore.Log, upTo int64) {
	if lp.unsynced == nil {
		if n := len(lp.freeSyncs); n > 0 {
			lp.unsynced, lp.freeSyncs = lp.freeSyncs[n-1], lp.freeSyncs[:n-1]
		} else {
			lp.unsynced = &syncing{}
		}
	}
	s := lp.unsynced
	s.parts = append(s.parts, syncPart{of: s, log: log, upTo: upTo, at: lp.producing})
}

func (s *syncing) wait(c *call) {
	s.call = c
	s.left.Store(int32(len(s.parts)) + 1)
	for i := range s.parts {
		p := &s.parts[i]
		p.log.AwaitSync(p.upTo, p)
	}
	if s.left.Add(-1) == 0 {
		s.Run()
	}
}

// Synced is told by the log.
func (p *syncPart) Synced(err error) {
	p.err = err
	if p.of.left.Add(-1) == 0 {
		p.of.call.loop.net.Post(p.of)
	}
}

// Run answers; on the loop.
func (s *syncing) Run() {
	c := s.call
	for i := range s.parts {
		if s.parts[i].err != nil {
			s.retract()
			break
		}
	}
	s.free(c.loop)
	c.send()
}

// retract encodes the answer anew, with an error in place of each offset that may not last.
func (s *syncing) retract() {
	c := s.call
	var resp wire.ProduceResponse
	out := &c.net.Out
	const lengthSize = 4
	_, body, err := wire.ParseResponseHeader(bytes.Clone(out.Buf[lengthSize:]), c.header.Key, c.version())
	if err == nil {
		err = resp.Decode(c.version(), body)
	}
	if err != nil {
		panic("BUG: own answer cannot be decoded: " + err.Error())
	}
	for i := range s.parts {
		p := &s.parts[i]
		if p.err == nil {
			continue
		}
		r := &resp.Topics[p.at.topic].Partitions[p.at.partition]
		r.Error = codeOf(p.err)
		r.BaseOffset, r.LogAppendTime, r.LogStartOffset = -1, -1, -1
		c.loop.topics.produceFailed.Inc()
	}
	out.Reset()
	c.begin()
	out.Buf = resp.Append(out.Buf, c.version())
}

func (s *syncing) free(lp *loop) {
	clear(s.parts)
	s.call, s.parts = nil, s.parts[:0]
	if len(lp.freeSyncs) < maxFree && cap(s.parts) <= maxKeptParts {
		lp.freeSyncs = append(lp.freeSyncs, s)
	}
}

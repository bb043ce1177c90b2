//go:build invariants

package logstore

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/wire/batch"
)

// modelCompacted is a topic whose offsets may have gaps.
const modelCompacted = "__c"

// crashModel is what a directory should hold.
type crashModel struct {
	logs    map[string]*logModel
	earlier map[string]*logModel // that the operation under way deletes
}

// begin is called before an operation.
func (m *crashModel) begin() { m.earlier = map[string]*logModel{} }

// promise notes what is on the device according to the logs: a crash must not lose it.
func (m *crashModel) promise(d *Dir) {
	for _, l := range d.Logs() {
		x := m.logs[l.name]
		x.lasting = true
		x.synced = max(x.synced, l.durable.synced.Load(), l.RecoveryPoint())
		x.cutting, x.wiping, x.round = -1, -1, nil
	}
}

// logModel is what a log should hold.
//
// A crash may leave any log that ends between synced and end and starts between lastingStart and start.
type logModel struct {
	name    string
	id      [16]byte
	lasting bool // creation has been promised

	batches [][]byte // of offsets from the oldest that may still be there, up to end
	bases   []int64
	start   int64
	end     int64

	synced       int64
	lastingStart int64
	seen         map[int64]bool // producers that ever appended
	hole         bool           // batches are missing (see mayLack), of which a snapshot of producers may know

	// gaps: a round of compaction was done. It left alone what lies from uncleanedFrom on, and no key twice between
	// mapped and where the next begins. round is the one under way.
	gaps                  bool
	uncleanedFrom, mapped int64
	round                 *cleanedLog

	// cutting is where the operation under way cuts the log, wiping where it lets it begin anew; -1: it does not.
	cutting, wiping int64
}

func (m *logModel) clone() *logModel {
	c := *m
	c.batches, c.bases, c.seen = slices.Clone(m.batches), slices.Clone(m.bases), maps.Clone(m.seen)
	c.cutting, c.wiping, c.round = -1, -1, nil
	return &c
}

func (m *logModel) append(b batch.Batch) {
	m.batches = append(m.batches, bytes.Clone(b))
	m.bases = append(m.bases, b.BaseOffset())
	m.end = b.LastOffset() + 1
	if idempotent(b) {
		m.seen[b.ProducerID()] = true
	}
}

// at is the index of the batch that holds off, or of the first above it.
func (m *logModel) at(off int64) int {
	i := 0
	for i < len(m.batches) && batch.Batch(m.batches[i]).LastOffset() < off {
		i++
	}
	return i
}

// mayLack tells whether batch i may be missing before b, the next that is there (nil: the last segment, which is empty). Nothing else tells a compacted topic's
// segment that begins where compaction left it from one whose predecessor lost its end to a power cut.
func (m *logModel) mayLack(i int, l *Log, b batch.Batch) bool {
	list := l.segs.Load()
	begins := b == nil || list.s[list.find(b.BaseOffset())].base == b.BaseOffset()
	return m.gappy() && m.bases[i] >= m.synced && begins
}

// gappy tells whether recovery expects gaps between offsets.
func (m *logModel) gappy() bool { return m.gaps || strings.HasPrefix(m.name, modelCompacted) }

// cut makes the log end at off, which is where a batch begins or the end.
func (m *logModel) cut(off int64) {
	i := m.at(off)
	m.batches, m.bases, m.end = m.batches[:i], m.bases[:i], off
	m.synced = min(m.synced, off)
}

// startOver makes the log empty, at off.
func (m *logModel) startOver(off int64) {
	m.batches, m.bases = nil, nil
	m.start, m.end, m.synced, m.lastingStart, m.hole = off, off, 0, off, false
	m.uncleanedFrom, m.mapped = 0, 0
}

// drop forgets batches that are below the lasting start, whatever a crash leaves, but for some that may be in the
// segment which holds it: they are not read any more.
func (m *logModel) drop() {
	n := m.at(m.lastingStart)
	m.batches, m.bases = slices.Clone(m.batches[n:]), slices.Clone(m.bases[n:])
}

// producers are those of the batches that are there.
func (m *logModel) producers() map[int64]*producer {
	total := producerTotal{limit: math.MaxInt64}
	t := producers{total: &total}
	for _, b := range m.batches {
		b := batch.Batch(b)
		if idempotent(b) && b.LastOffset() >= m.start {
			t.appended(t.byID[b.ProducerID()], b, marker{})
		}
	}
	return t.byID
}

// readProducers takes those over that the log knows.
func (m *logModel) readProducers(l *Log) {
	for id := range l.producers.byID {
		m.seen[id] = true
	}
}

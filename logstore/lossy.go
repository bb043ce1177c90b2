package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Damage says what of a log is lost although it was on the device: rot, a lying disk, somebody's editor. The log is
// lossy from then on:
//
//	reads below At           go on
//	reads from At to UpTo    ErrLossy: what is there is not what was appended, and nothing may be passed over silently
//	reads from UpTo on       go on
//	appends, retention       end, with ErrLossy: what is left is for a person to look at, and the copy to be repaired from
//
// A mark in the partition's directory keeps that over restarts (lossyFile); `sluice log recover` takes it away.
type Damage struct {
	At   int64 // first offset that is lost
	UpTo int64 // where the log is whole again: the next segment's base, else its end; or toTheEnd
	Why  string
}

// toTheEnd is UpTo where nobody knows what follows: recovery stops at damage, and opens nothing behind it.
const toTheEnd = 1<<63 - 1

func (x *Damage) String() string {
	if x.UpTo == toTheEnd {
		return fmt.Sprintf("offsets from %d on: %s", x.At, x.Why)
	}
	return fmt.Sprintf("offsets %d to %d: %s", x.At, x.UpTo-1, x.Why)
}

// maxWhy bounds the text in the mark.
const maxWhy = 500

// Damage is what makes the log lossy, nil while nothing is known to be lost.
func (l *Log) Damage() *Damage { return l.lossy.Load() }

// MarkLossy says that the batch at offset at, or what claims to be one, is damaged although it was on the device, and
// why somebody thinks so. Appends end and reads of its segment from there on too; see Damage. It blocks for the fsyncs
// of the mark. Damage further down than what is known already takes its place.
func (l *Log) MarkLossy(at int64, why string) {
	if l.closed.Load() {
		return
	}
	x := &Damage{At: max(at, l.start.Load()), UpTo: l.end.Load(), Why: why}
	list := l.segs.Load().s
	if i := (&segList{list}).find(x.At) + 1; i < len(list) {
		x.UpTo = list[i].base
	}
	if !l.setDamage(x) {
		return
	}
	l.reportDamage(x)
	l.writeMark(x)
}

// setDamage tells whether x is news.
func (l *Log) setDamage(x *Damage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.lossy.Load()
	switch {
	case old == nil:
	case x.At >= old.At && x.UpTo <= old.UpTo:
		return false
	default:
		x.At, x.UpTo = min(x.At, old.At), max(x.UpTo, old.UpTo)
	}
	l.lossy.Store(x)
	if l.failed == nil {
		l.failed = l.lossyError(x)
	}
	return true
}

func (l *Log) lossyError(x *Damage) error {
	return fmt.Errorf("%w: %w: %s: %s", ErrFailed, ErrLossy, l.name, x)
}

func (l *Log) reportDamage(x *Damage) {
	l.d.opts.Logger.Error("log is lossy: records that were on the device are damaged. Nothing was cut; it takes no appends, and "+
		"what is whole can be read. Copy what is needed, then delete the topic, or stop and let `sluice log recover --force` cut "+
		"the log there", "log", l.name, "dir", l.d.path, "start", l.start.Load(), "end", l.end.Load(), "lost", x.String())
	if f := l.d.opts.Listener.Failed; f != nil {
		f(l, l.lossyError(x))
	}
}

// writeMark makes the damage last. Without space for it, or with a device that takes nothing any more, the directory
// will not be marked clean, and whoever found the damage finds it again.
func (l *Log) writeMark(x *Damage) {
	err := WriteFileAtomic(filepath.Join(l.dir, lossyFile), encodeDamage(x))
	if err != nil && !l.closed.Load() {
		l.d.opts.Logger.Error("the mark of a lossy log is not on disk", "log", l.name, "err", err)
		l.d.suffer(err)
		return
	}
	l.marked.Store(true)
}

func encodeDamage(x *Damage) []byte {
	why := strings.Join(strings.Fields(x.Why), " ")
	return fmt.Appendf(nil, "0\n1\n%d %d %s\n", x.At, x.UpTo, why[:min(len(why), maxWhy)])
}

// readMark returns nil when there is none. One that cannot be understood counts for the whole log.
func readMark(dir string) (*Damage, error) {
	lines, err := readCheckpoint(filepath.Join(dir, lossyFile))
	switch {
	case err != nil && !errors.Is(err, errCheckpoint):
		return nil, err
	case err == nil && len(lines) == 0:
		return nil, nil
	}
	if err == nil {
		at, rest, _ := strings.Cut(lines[0], " ")
		upTo, why, _ := strings.Cut(rest, " ")
		from, err1 := strconv.ParseInt(at, 10, 64)
		to, err2 := strconv.ParseInt(upTo, 10, 64)
		if err1 == nil && err2 == nil && from >= 0 && to >= from {
			return &Damage{At: from, UpTo: to, Why: why}, nil
		}
	}
	return &Damage{At: 0, UpTo: toTheEnd, Why: "the mark itself is damaged"}, nil
}

// removeMark takes the mark away for good.
func removeMark(dir string) error {
	err := sys.Remove(filepath.Join(dir, lossyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// readable bounds a read of a lossy log: upper comes down to the damage for a read that begins below it.
func (x *Damage) readable(l *Log, from, upper int64) (int64, error) {
	switch {
	case from < x.At:
		return min(upper, x.At), nil
	case from < x.UpTo:
		return upper, fmt.Errorf("%w: %s: %d is among %s", ErrLossy, l.name, from, x)
	}
	return upper, nil
}

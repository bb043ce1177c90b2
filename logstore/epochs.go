package logstore

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// epochs is the leader epoch cache (KIP-101): where each epoch of the log began, and its file
// leader-epoch-checkpoint. Epochs and start offsets both rise.
type epochs struct {
	last atomic.Int32 // 1 + the latest epoch, so that the zero value means none

	mu   sync.Mutex
	list []epochStart
}

type epochStart struct {
	epoch int32
	start int64
}

// latest is the last epoch, -1 for none.
func (e *epochs) latest() int32 { return e.last.Load() - 1 }

// all is the list, nil when nothing is known. It is never changed in place.
func (e *epochs) all() []epochStart {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) == 0 {
		return nil
	}
	return e.list
}

func (e *epochs) set(list []epochStart) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = list
	e.last.Store(0)
	if n := len(list); n > 0 {
		e.last.Store(list[n-1].epoch + 1)
	}
}

// assign adds an epoch above all others, which begins at start, and blocks until the file is on the device: no
// batch of an epoch is written before the epoch is known, so that a higher one in the log is damage.
func (e *epochs) assign(dir string, epoch int32, start int64) error {
	e.mu.Lock()
	list := e.list
	e.mu.Unlock()
	// An epoch in which nothing was written leaves no trace but the last one's start.
	for len(list) > 0 && list[len(list)-1].start >= start {
		list = list[:len(list)-1]
	}
	list = append(list[:len(list):len(list)], epochStart{epoch, start})
	if err := writeEpochs(dir, list); err != nil {
		return err
	}
	e.set(list)
	return nil
}

func (e *epochs) endOf(epoch int32, logEnd int64) (found int32, end int64, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	end = logEnd
	for i := len(e.list) - 1; i >= 0; i-- {
		if e.list[i].epoch <= epoch {
			return e.list[i].epoch, end, true
		}
		end = e.list[i].start
	}
	return -1, -1, false
}

// upTo drops the epochs that began above end. One that began at the end stays, although Kafka drops it too: it was
// given to somebody, and the latest epoch must not fall.
func upTo(list []epochStart, end int64) []epochStart {
	n := len(list)
	for n > 0 && list[n-1].start > end {
		n--
	}
	return list[:n]
}

// forget drops the epochs that ended at or below start, where the log begins now, and blocks until the file says so. One
// write for each that goes; the caller holds Log.mu. As in Kafka the last epoch always stays; its entry keeps its start,
// which Kafka moves up.
func (e *epochs) forget(dir string, start int64) error {
	list := e.all()
	n := 0
	for n+1 < len(list) && list[n+1].start <= start {
		n++
	}
	if n == 0 {
		return nil
	}
	if err := writeEpochs(dir, list[n:]); err != nil {
		return err
	}
	e.set(list[n:])
	return nil
}

func writeEpochs(dir string, list []epochStart) error {
	return WriteFileAtomic(filepath.Join(dir, epochFile), renderEpochs(list))
}

func renderEpochs(list []epochStart) []byte {
	b := fmt.Appendf(nil, "0\n%d\n", len(list))
	for _, e := range list {
		b = fmt.Appendf(b, "%d %d\n", e.epoch, e.start)
	}
	return b
}

// readEpochs returns nil without an error when there is no file.
func readEpochs(dir string) ([]epochStart, error) {
	path := filepath.Join(dir, epochFile)
	lines, err := readCheckpoint(path)
	if err != nil {
		return nil, err
	}
	list := make([]epochStart, 0, len(lines))
	for _, line := range lines {
		var e epochStart
		if n, err := fmt.Sscanf(line, "%d %d", &e.epoch, &e.start); n != 2 || err != nil {
			return nil, fmt.Errorf("%w: %s: line %q", errCheckpoint, path, line)
		}
		if n := len(list); n > 0 && (e.epoch <= list[n-1].epoch || e.start < list[n-1].start) {
			return nil, fmt.Errorf("%w: %s: epochs fall at %q", errCheckpoint, path, line)
		}
		list = append(list, e)
	}
	return list, nil
}

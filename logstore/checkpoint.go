package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/internal/sys"
)

// errCheckpoint says that a checkpoint file is not what we or Kafka write.
var errCheckpoint = errors.New("malformed checkpoint file")

// WriteFileAtomic blocks until path has the new content on the device, or, after a crash, still the old one:
// temporary sibling, fsync, rename, fsync of the directory.
func WriteFileAtomic(path string, content []byte) error {
	tmp := path + tmpSuffix
	err := writeSynced(tmp, content)
	if err == nil {
		err = sys.Rename(tmp, path)
	}
	if err != nil {
		_ = sys.Remove(tmp) // the first error is what counts
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeSynced makes path a file of that content, on the device but for its name.
func writeSynced(path string, content []byte) error {
	fd, err := sys.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer sys.CloseFile(fd)
	if err := sys.PwriteFull(fd, content, 0); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	if err := sys.Fdatasync(fd); err != nil {
		return &os.PathError{Op: "fdatasync", Path: path, Err: err}
	}
	return nil
}

func syncDir(dir string) error {
	if err := sys.SyncDir(dir); err != nil {
		return &os.PathError{Op: "fsync", Path: dir, Err: err}
	}
	return nil
}

// readCheckpoint returns the lines after version (0) and count, which it checks; nil when there is no file, or an empty one. The
// form is that of Kafka's CheckpointFile.
func readCheckpoint(path string) ([]string, error) {
	b, err := sys.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	if len(b) == 0 {
		return nil, nil // as Kafka makes its files; one that is replaced is never seen empty
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) < 2 || strings.TrimSpace(lines[0]) != "0" {
		return nil, fmt.Errorf("%w: %s: no version 0", errCheckpoint, path)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(lines[1])); err != nil || n != len(lines)-2 {
		return nil, fmt.Errorf("%w: %s: %d entries, count says %q", errCheckpoint, path, len(lines)-2, lines[1])
	}
	return lines[2:], nil
}

// readOffsets reads a checkpoint file of "topic partition offset" lines into a map by directory name.
func readOffsets(path string) (map[string]int64, error) {
	lines, err := readCheckpoint(path)
	if err != nil {
		return nil, err
	}
	m := make(map[string]int64, len(lines))
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%w: %s: line %q", errCheckpoint, path, line)
		}
		p, err1 := strconv.ParseInt(f[1], 10, 32)
		o, err2 := strconv.ParseInt(f[2], 10, 64)
		if err1 != nil || err2 != nil || o < 0 {
			return nil, fmt.Errorf("%w: %s: line %q", errCheckpoint, path, line)
		}
		m[partitionDirName(f[0], int32(p))] = o
	}
	return m, nil
}

// writtenFile is what a checkpoint file has, so that nothing is written that is there already, and it is known which
// logs it names.
type writtenFile struct {
	logs    []*Log  // as they were, and what was written of each: the same again costs no more than a look at each
	offsets []int64 // -1: nothing
	content []byte
	names   []string // of the logs that it names, in order
}

// has tells whether the file names the log.
func (w *writtenFile) has(log string) bool {
	if w == nil {
		return false
	}
	_, ok := slices.BinarySearch(w.names, log)
	return ok
}

// unchanged tells whether the file says what it would say now.
func (w *writtenFile) unchanged(logs []*Log, offset func(l *Log) int64) bool {
	if w == nil || w.offsets == nil || len(logs) != len(w.logs) || len(logs) > 0 && &logs[0] != &w.logs[0] {
		return false
	}
	for i, l := range logs {
		if offset(l) != w.offsets[i] {
			return false
		}
	}
	return true
}

// renderLogs is the content of a checkpoint file with the logs for which offset is not negative.
func renderLogs(logs []*Log, offset func(l *Log) int64) *writtenFile {
	w := &writtenFile{logs: logs, offsets: make([]int64, len(logs)), names: make([]string, 0, len(logs))}
	for i, l := range logs {
		if w.offsets[i] = offset(l); w.offsets[i] >= 0 {
			w.names = append(w.names, l.name)
		}
	}
	b := append(make([]byte, 0, 16+48*len(w.names)), "0\n"...)
	b = strconv.AppendInt(b, int64(len(w.names)), 10)
	b = append(b, '\n')
	for i, l := range logs {
		if w.offsets[i] < 0 {
			continue
		}
		b = append(append(b, l.topic...), ' ')
		b = strconv.AppendInt(b, int64(l.partition), 10)
		b = strconv.AppendInt(append(b, ' '), w.offsets[i], 10)
		b = append(b, '\n')
	}
	w.content = b
	return w
}

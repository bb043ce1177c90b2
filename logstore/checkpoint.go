package logstore

import (
	"bytes"
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
	b, err := os.ReadFile(path)
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

// appendOffsets renders such a file for the logs for which offset says ok, in order of their names; listed are those.
func appendOffsets(logs []*Log, offset func(l *Log) (int64, bool)) (content []byte, listed map[string]bool) {
	var lines []string
	listed = make(map[string]bool)
	for _, l := range logs {
		if o, ok := offset(l); ok {
			listed[l.name] = true
			lines = append(lines, fmt.Sprintf("%s %d %d\n", l.topic, l.partition, o))
		}
	}
	slices.Sort(lines)
	var b bytes.Buffer
	fmt.Fprintf(&b, "0\n%d\n", len(lines))
	for _, s := range lines {
		b.WriteString(s)
	}
	return b.Bytes(), listed
}

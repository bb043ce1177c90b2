package logstore

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/wire/batch"
)

// DirInfo is what a log directory holds, by its files.
type DirInfo struct {
	Path        string
	MetaVersion int // of meta.properties; -1: there is none that can be read
	ClusterID   string
	NodeID      int32
	DirectoryID string
	InUse       bool // somebody has it open; what is said here may already be otherwise
	PID         int  // who, 0: not known
	CleanStop   bool // the mark of a clean stop is there
	Partitions  []PartitionInfo
	Oddities    Findings // files and directories that are not those of logs in service
}

// PartitionInfo is a log, by its files. Offsets, times and positions that are not known are -1.
type PartitionInfo struct {
	Name          string // of the directory
	Topic         string
	Partition     int32
	TopicID       [16]byte // zero: none
	Start, End    int64    // End: behind the last whole batch
	Segments      int
	Bytes         int64 // of the .log files
	FirstTime     int64 // base timestamp of the first batch, ms since 1970
	LastTime      int64 // largest timestamp of the newest segment that has one
	RecoveryPoint int64
	HighWatermark int64
	Compacted     bool   // the cleaner has been at work: offsets may have gaps
	Lossy         string // what of it is lost, as its mark says; "" without one
	Err           string // why the above is not whole
}

// checkpoints are the directory's, by partition directory; a missing one is empty.
type checkpoints struct {
	recoveryPoint, logStart, highWatermark, cleaner map[string]int64
	bad                                             []Finding
}

const cleanerFile = "cleaner-offset-checkpoint"

var checkpointFiles = []string{recoveryPointFile, logStartFile, highWatermarkFile, cleanerFile}

// of is the content of a checkpoint file.
func (c *checkpoints) of(file string) *map[string]int64 {
	switch file {
	case recoveryPointFile:
		return &c.recoveryPoint
	case logStartFile:
		return &c.logStart
	case highWatermarkFile:
		return &c.highWatermark
	}
	return &c.cleaner
}

func readCheckpoints(dir string) (c checkpoints) {
	for _, file := range checkpointFiles {
		var err error
		if *c.of(file), err = readOffsets(filepath.Join(dir, file)); err != nil {
			c.bad = append(c.bad, Finding{Kind: KindCheckpoint, File: file, Pos: -1, Offset: -1, What: err.Error()})
		}
	}
	return c
}

// cutPartition takes the last "-number" off a name, without asking whether Kafka allows the rest.
func cutPartition(name string) (topic string, partition int32, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return name, -1, false
	}
	p, err := strconv.ParseInt(name[i+1:], 10, 32)
	return name[:i], int32(p), err == nil
}

func sortLines(list []CheckpointLine) {
	slices.SortFunc(list, func(a, b CheckpointLine) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

// InspectDir looks at the log directory at path and changes nothing, not even while a broker has it open: it takes
// no lock. It reads no more of a log than the ends of its indexes and the headers of the batches behind them.
func InspectDir(path string) (DirInfo, error) {
	d, names, c, err := inspectRoot(path)
	if err != nil {
		return d, err
	}
	for _, name := range names {
		p, err := inspectPartition(filepath.Join(path, name), c)
		if errors.Is(err, fs.ErrNotExist) && d.InUse {
			continue // deleted just now
		}
		if err != nil {
			p.Err = err.Error()
		}
		d.Partitions = append(d.Partitions, p)
	}
	return d, nil
}

// inspectRoot is all but the partitions, whose directories are names.
func inspectRoot(path string) (d DirInfo, names []string, c checkpoints, err error) {
	d = DirInfo{Path: path, MetaVersion: -1, NodeID: -1}
	entries, err := os.ReadDir(path)
	if err != nil {
		return d, nil, c, err
	}
	if d.InUse, d.PID, err = lockState(path); err != nil {
		return d, nil, c, err
	}
	c = readCheckpoints(path) // before the logs, which only grow
	for _, f := range c.bad {
		d.Oddities.add(f)
	}
	d.meta()
	for _, e := range entries {
		name := e.Name()
		if name == cleanShutdownFile {
			d.CleanStop = true
		}
		if _, _, ok := parsePartitionDir(name); ok && e.IsDir() {
			names = append(names, name)
		} else if what, known := oddity(e); !known {
			d.Oddities.add(Finding{Kind: KindFile, Warning: true, File: name, Pos: -1, Offset: -1, What: what})
		}
	}
	sortPartitions(names)
	return d, names, c, nil
}

// sortPartitions orders by topic, then number.
func sortPartitions(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		ta, pa, _ := cutPartition(a)
		tb, pb, _ := cutPartition(b)
		return cmp.Or(cmp.Compare(ta, tb), cmp.Compare(pa, pb))
	})
}

func (d *DirInfo) meta() {
	odd := func(what string) {
		d.Oddities.add(Finding{Kind: KindMetadata, File: metaFile, Pos: -1, Offset: -1, What: what})
	}
	b, err := os.ReadFile(filepath.Join(d.Path, metaFile))
	if err != nil {
		odd("no identity: " + err.Error())
		return
	}
	m, err := parseMeta(b)
	if err != nil {
		odd(err.Error())
		return
	}
	d.MetaVersion, d.ClusterID, d.NodeID, d.DirectoryID = m.version, m.clusterID, m.nodeID, m.dirID
}

// oddity says what an entry of a log directory is that is not a partition; known ones need no words.
func oddity(e fs.DirEntry) (what string, known bool) {
	name := e.Name()
	switch {
	case e.IsDir() && strings.HasSuffix(name, deleteDirSuffix):
		return "a deleted log, removed at the next start", false
	case e.IsDir() && strings.HasSuffix(name, futureDirSuffix):
		return "a copy being moved here from another log directory", false
	case e.IsDir() && strings.HasSuffix(name, strayDirSuffix):
		return "a replica that nobody assigned to this broker", false
	case e.IsDir():
		return "a directory that is no partition", false
	case strings.HasSuffix(name, tmpSuffix):
		return "what a crash left of replacing a file", false
	}
	switch name {
	case lockFile, metaFile, cleanShutdownFile, recoveryPointFile, logStartFile, highWatermarkFile, cleanerFile, "bootstrap.checkpoint":
		return "", true
	}
	// The broker's own, of which this package knows no more than how they begin.
	return "not a file of a log directory", strings.HasPrefix(name, "sluice-") && strings.HasSuffix(name, ".json")
}

// partitionFiles sorts out what lies in a partition's directory.
type partitionFiles struct {
	bases []int64            // segments, in order
	by    map[string][]int64 // the companions' bases by suffix, in order
	odd   []Finding
}

func listPartition(dir string) (p partitionFiles, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return p, err
	}
	p.by = map[string][]int64{}
	for _, e := range entries { // sorted, and so are the bases
		name := e.Name()
		base, suffix, ok := parseSegmentFile(name)
		what := "not a file of a log"
		switch {
		case ok && suffix == logSuffix:
			p.bases = append(p.bases, base)
			continue
		case ok && (suffix == indexSuffix || suffix == timeIndexSuffix || suffix == txnIndexSuffix || suffix == snapshotSuffix):
			p.by[suffix] = append(p.by[suffix], base)
			continue
		case name == partitionFile, name == epochFile, name == lossyFile:
			continue
		case strings.HasSuffix(name, deletedFileSuffix):
			what = "a deleted file, removed at the next start"
		case strings.HasSuffix(name, cleanedFileSuffix):
			what = "an unfinished compaction, removed at the next start"
		case strings.HasSuffix(name, swapFileSuffix):
			what = "a compaction being installed, finished at the next start"
		case strings.HasSuffix(name, tmpSuffix):
			what = "what a crash left of replacing a file"
		}
		p.odd = append(p.odd, Finding{Kind: KindFile, Warning: true, File: name, Pos: -1, Offset: -1, What: what})
	}
	return p, nil
}

// lookup is m[name], or -1.
func lookup(m map[string]int64, name string) int64 {
	if v, ok := m[name]; ok {
		return v
	}
	return -1
}

// inspectPartition reads what PartitionInfo says of the log in dir.
func inspectPartition(dir string, c checkpoints) (p PartitionInfo, err error) {
	name := filepath.Base(dir)
	p = PartitionInfo{Name: name, Start: -1, End: -1, FirstTime: -1, LastTime: -1,
		RecoveryPoint: lookup(c.recoveryPoint, name), HighWatermark: lookup(c.highWatermark, name)}
	_, p.Compacted = c.cleaner[name]
	p.Topic, p.Partition, _ = cutPartition(name)
	files, err := listPartition(dir)
	if err != nil {
		return p, err
	}
	if mark, err := readMark(dir); err != nil {
		return p, err
	} else if mark != nil {
		p.Lossy = mark.String()
	}
	p.Segments = len(files.bases)
	if len(files.bases) == 0 {
		return p, errors.New("no segment")
	}
	p.Start = max(files.bases[0], lookup(c.logStart, name))
	for i, base := range files.bases {
		last := i == len(files.bases)-1
		if err := p.segment(filepath.Join(dir, segmentName(base)), base, i == 0, last); err != nil {
			return p, err
		}
	}
	p.TopicID, _, err = readPartitionFile(dir)
	return p, err
}

// segment adds what one segment says: from the newest also where it ends, walking from its last index entry on.
func (p *PartitionInfo) segment(stem string, base int64, first, last bool) error {
	s, err := OpenSegment(stem+logSuffix, peek)
	if err != nil {
		return err
	}
	defer s.Close()
	p.Bytes += s.Size()
	if first && s.Size() >= batch.HeaderSize {
		b, err := s.w.view(0, batch.HeaderSize)
		if err != nil {
			return err
		}
		p.FirstTime = batch.Batch(b).BaseTimestamp()
	}
	if t, err := lastTime(stem, base); err != nil {
		return err
	} else if t >= 0 {
		p.LastTime = t
	}
	if !last {
		return nil
	}
	p.End = base
	if err := s.SeekOffset(1<<63 - 1); err != nil {
		return err
	}
	for pos := s.pos; ; {
		h, ok, err := s.headAt(pos)
		if err != nil || !ok {
			return err
		}
		p.End, p.LastTime = h.last+1, max(p.LastTime, h.maxTime)
		pos += h.size
	}
}

// lastTime is the last entry of a time index, -1 when there is none.
func lastTime(stem string, base int64) (int64, error) {
	x, err := openIndex(stem+timeIndexSuffix, base, peek)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	defer x.w.close()
	n, err := x.used()
	if err != nil || n == 0 {
		return -1, err
	}
	e, err := x.at(n - 1)
	return e.key, err
}

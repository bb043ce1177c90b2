package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Origin is what a log directory's files say of who has written in it. Nothing is opened, locked or changed to find out.
type Origin struct {
	ClusterID string // "": there is no meta.properties, the directory is new
	NodeID    int32
	// ID names the directory: directory.id, or where that is missing (files of version 0) the cluster and the path.
	ID string
	// Kafka is what shows that a Kafka broker has had it, "" if nothing does.
	Kafka string
	// Cleaned: there is a cleaner-offset-checkpoint. Kafka makes one with every directory.
	Cleaned bool
	// Trace is where __cluster_metadata-0 ends, "" where there is none: Kafka moves it whenever it runs.
	Trace string
}

// Kafka's files that are left alone.
const (
	metadataDir   = metadataTopic + "-0"
	bootstrapFile = "bootstrap.checkpoint"
)

// OriginOf looks at the log directory at path, which may be missing. ErrForeign: its meta.properties is not readable.
func OriginOf(path string) (o Origin, err error) {
	b, err := os.ReadFile(filepath.Join(path, metaFile))
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	m, err := parseMeta(b)
	if err != nil {
		return o, fmt.Errorf("%w: %s: %w", ErrForeign, filepath.Join(path, metaFile), err)
	}
	o = Origin{ClusterID: m.clusterID, NodeID: m.nodeID, ID: m.dirID}
	if o.ID == "" {
		o.ID = m.clusterID + " " + path
	}
	there := func(name string) bool {
		_, err := os.Lstat(filepath.Join(path, name))
		return err == nil
	}
	switch {
	case there(metadataDir):
		o.Kafka = metadataDir
	case there(bootstrapFile):
		o.Kafka = bootstrapFile
	case m.version == 0:
		o.Kafka = metaFile + " of version 0"
	}
	o.Cleaned = there(cleanerFile)
	o.Trace = newestSegment(filepath.Join(path, metadataDir))
	return o, nil
}

// newestSegment is name and size of the last .log in dir.
func newestSegment(dir string) string {
	names, _ := filepath.Glob(filepath.Join(dir, "*"+logSuffix)) // in order
	if len(names) == 0 {
		return ""
	}
	last := names[len(names)-1]
	st, err := os.Stat(last)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d", filepath.Base(last), st.Size())
}

// Settle brings all logs that take appends to the device and writes the checkpoint of recovery points: what is in the
// directory now is not looked at again by a recovery.
func (d *Dir) Settle() error {
	var errs []error
	for _, l := range d.Logs() {
		if l.Err() == nil {
			errs = append(errs, l.Flush())
		}
	}
	return errors.Join(append(errs, d.writeCheckpoint(recoveryPointFile))...)
}

// MaxProducerID is the largest producer id that the directory's logs remember, -1 for none.
func (d *Dir) MaxProducerID() int64 {
	most := int64(-1)
	for _, l := range d.Logs() {
		l.mu.Lock()
		for id := range l.producers.byID {
			most = max(most, id)
		}
		l.mu.Unlock()
	}
	return most
}

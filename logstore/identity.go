package logstore

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Identity is whose directory it is.
type Identity struct {
	ClusterID string // "": what meta.properties says, or a new one
	NodeID    int32
}

// meta is the content of meta.properties (Kafka's MetaProperties).
type meta struct {
	version   int
	nodeID    int32
	clusterID string
	dirID     string // directory.id, version 1 only; may be missing
}

// loadMeta reads and checks meta.properties, or writes a new one of version 1.
func loadMeta(dir string, id Identity) (meta, error) {
	path := filepath.Join(dir, metaFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		m := meta{version: 1, nodeID: id.NodeID, clusterID: id.ClusterID, dirID: NewID()}
		if m.clusterID == "" {
			m.clusterID = NewID()
		}
		return m, WriteFileAtomic(path, m.encode(time.Now()))
	}
	if err != nil {
		return meta{}, err
	}
	m, err := parseMeta(b)
	if err != nil {
		return m, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	if m.nodeID != id.NodeID {
		return m, fmt.Errorf("%w: %s has node id %d, this node is %d: set node.id=%d if the directory is to be this node's",
			ErrForeign, path, m.nodeID, id.NodeID, m.nodeID)
	}
	if id.ClusterID != "" && id.ClusterID != m.clusterID {
		return m, fmt.Errorf("%w: %s has cluster id %q, this cluster is %q", ErrForeign, path, m.clusterID, id.ClusterID)
	}
	return m, nil
}

func (m meta) encode(now time.Time) []byte {
	var b bytes.Buffer
	// Java's Properties.store begins with a comment and the date.
	fmt.Fprintf(&b, "#\n#%s\n", now.UTC().Format("Mon Jan 02 15:04:05 MST 2006"))
	fmt.Fprintf(&b, "cluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=%d\n", m.clusterID, m.dirID, m.nodeID, m.version)
	return b.Bytes()
}

func parseMeta(b []byte) (m meta, err error) {
	props := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		props[strings.TrimSpace(key)] = strings.ReplaceAll(strings.TrimSpace(value), `\`, "")
	}
	idKey := ""
	switch props["version"] {
	case "0":
		idKey = "broker.id"
	case "1":
		m.version, idKey = 1, "node.id"
	default:
		return m, fmt.Errorf("version %q is not known", props["version"])
	}
	id, err := strconv.ParseInt(props[idKey], 10, 32)
	if err != nil {
		return m, fmt.Errorf("%s is %q", idKey, props[idKey])
	}
	m.nodeID, m.clusterID, m.dirID = int32(id), props["cluster.id"], props["directory.id"]
	if m.clusterID == "" {
		return m, errors.New("no cluster.id")
	}
	return m, nil
}

// NewID returns a random UUID in Kafka's form: 22 characters of URL-safe base64, not beginning with '-', which
// command line tools would take for an option (Uuid.randomUuid).
func NewID() string {
	for {
		var u [16]byte
		rand.Read(u[:])
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
		if s := base64.RawURLEncoding.EncodeToString(u[:]); s[0] != '-' {
			return s
		}
	}
}

func encodeID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func decodeID(s string) (id [16]byte, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return id, err == nil && copy(id[:], b) == len(id) && len(b) == len(id)
}

// writePartitionFile and readPartitionFile: partition.metadata (Kafka's PartitionMetadataFile).
func writePartitionFile(dir string, id [16]byte) error {
	return WriteFileAtomic(filepath.Join(dir, partitionFile), renderPartition(id))
}

func renderPartition(id [16]byte) []byte { return []byte("version: 0\ntopic_id: " + encodeID(id)) }

// readPartitionFile returns a zero id and found false when there is no file.
func readPartitionFile(dir string) (id [16]byte, found bool, err error) {
	path := filepath.Join(dir, partitionFile)
	b, err := sys.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err != nil {
		return id, false, err
	}
	version, rest, _ := strings.Cut(string(b), "\n")
	text, ok := strings.CutPrefix(strings.TrimSpace(rest), "topic_id: ")
	if id, valid := decodeID(text); ok && valid && strings.TrimSpace(version) == "version: 0" {
		return id, true, nil
	}
	return id, false, fmt.Errorf("%w: %s: %q", ErrUnsupported, path, b)
}

package logstore

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// File names of a log directory and of a partition in it: Kafka's UnifiedLog, LocalLog, LogFileUtils.
const (
	lockFile           = ".lock"
	metaFile           = "meta.properties"
	cleanShutdownFile  = ".kafka_cleanshutdown"
	recoveryPointFile  = "recovery-point-offset-checkpoint"
	logStartFile       = "log-start-offset-checkpoint"
	highWatermarkFile  = "replication-offset-checkpoint"
	partitionFile      = "partition.metadata"
	epochFile          = "leader-epoch-checkpoint"
	lossyFile          = "sluice-lossy" // ours; Kafka passes over it
	logSuffix          = ".log"
	indexSuffix        = ".index"
	timeIndexSuffix    = ".timeindex"
	txnIndexSuffix     = ".txnindex"
	snapshotSuffix     = ".snapshot"
	deletedFileSuffix  = ".deleted"
	cleanedFileSuffix  = ".cleaned"
	swapFileSuffix     = ".swap"
	tmpSuffix          = ".tmp"
	deleteDirSuffix    = "-delete"
	futureDirSuffix    = "-future"
	strayDirSuffix     = "-stray"
	metadataTopic      = "__cluster_metadata"
	maxTopicLen        = 249
	maxNameLen         = 255
	offsetDigits       = 20
	maxPartitionDigits = 10
)

// ValidTopic tells whether Kafka allows the topic name (Topic.validate).
func ValidTopic(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > maxTopicLen {
		return false
	}
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func partitionDirName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}

// parsePartitionDir takes "topic-partition" apart.
func parsePartitionDir(name string) (topic string, partition int32, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || !ValidTopic(name[:i]) || len(name)-i-1 > maxPartitionDigits {
		return "", 0, false
	}
	p, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || p < 0 || partitionDirName(name[:i], int32(p)) != name {
		return "", 0, false
	}
	return name[:i], int32(p), true
}

// deleteDirName is the name of a partition directory that waits for its removal (LocalLog.logDeleteDirName), strayDirName
// of one whose topic is not known (LocalLog.logStrayDirName).
func deleteDirName(topic string, partition int32) string {
	return asideDirName(topic, partition, deleteDirSuffix)
}

func strayDirName(topic string, partition int32) string {
	return asideDirName(topic, partition, strayDirSuffix)
}

// asideDirName cuts the topic so that the name stays within 255 bytes.
func asideDirName(topic string, partition int32, suffix string) string {
	var id [16]byte
	rand.Read(id[:])
	tail := fmt.Sprintf("-%d.%s%s", partition, hex.EncodeToString(id[:]), suffix)
	return topic[:min(len(topic), maxNameLen-len(tail))] + tail
}

// segmentName is the base offset in 20 digits, without a suffix.
func segmentName(base int64) string { return fmt.Sprintf("%0*d", offsetDigits, base) }

// parseSegmentFile takes "00000000000000000042.log" apart; suffix keeps the dot.
func parseSegmentFile(name string) (base int64, suffix string, ok bool) {
	if len(name) <= offsetDigits || name[offsetDigits] != '.' {
		return 0, "", false
	}
	for i := 0; i < offsetDigits; i++ {
		if name[i] < '0' || name[i] > '9' {
			return 0, "", false
		}
	}
	base, err := strconv.ParseInt(name[:offsetDigits], 10, 64)
	return base, name[offsetDigits:], err == nil
}

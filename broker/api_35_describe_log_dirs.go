package broker

import (
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
)

// DescribeLogDirs, versions 1 to 4: 2 flexible, 3 an error for the whole, 4 sizes of the file systems (KIP-827).
func describeLogDirsAPI() api {
	return api{key: wire.KeyDescribeLogDirs, min: 1, max: 4, maxBody: maxMessageBody, handle: blocking(describeLogDirs)}
}

func describeLogDirs(c *call, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	wanted := wantedLogs(req)
	for _, path := range c.b.logDirs {
		resp.Dirs = append(resp.Dirs, c.b.describeDir(path, wanted))
	}
	return resp
}

// wantedLogs are the partitions that req names; nil stands for all.
func wantedLogs(req *kmsg.DescribeLogDirsRequest) map[string]map[int32]bool {
	if req.Topics == nil {
		return nil
	}
	wanted := make(map[string]map[int32]bool, len(req.Topics))
	for _, t := range req.Topics {
		if wanted[t.Topic] == nil {
			wanted[t.Topic] = make(map[int32]bool, len(t.Partitions))
		}
		for _, p := range t.Partitions {
			wanted[t.Topic][p] = true
		}
	}
	return wanted
}

// describeDir describes the directory of log.dirs at path. One that is offline has an error and nothing else.
func (b *Broker) describeDir(path string, wanted map[string]map[int32]bool) kmsg.DescribeLogDirsResponseDir {
	x := kmsg.NewDescribeLogDirsResponseDir()
	x.Dir = path
	if abs, err := filepath.Abs(path); err == nil {
		x.Dir = abs
	}
	i := slices.IndexFunc(b.dirs, func(d *logstore.Dir) bool { return d.Path() == path })
	if i < 0 || b.dirs[i].Err() != nil {
		x.ErrorCode = int16(wire.KafkaStorageError)
		return x
	}
	usable, total, err := b.dirs[i].DiskSpace()
	if err != nil {
		b.log.Error("the size of a log directory's file system is not known", "dir", path, "error", err)
		x.ErrorCode = int16(wire.KafkaStorageError)
		return x
	}
	x.TotalBytes, x.UsableBytes = total, usable
	x.Topics = describeLogs(b.dirs[i].Logs(), wanted)
	return x
}

// describeLogs describes those that are wanted. The lag is that behind the partition's high watermark, which only a
// follower has: 0.
func describeLogs(logs []*logstore.Log, wanted map[string]map[int32]bool) (topics []kmsg.DescribeLogDirsResponseDirTopic) {
	at := make(map[string]int) // in topics
	for _, l := range logs {
		if wanted != nil && !wanted[l.Topic()][l.Partition()] {
			continue
		}
		i, ok := at[l.Topic()]
		if !ok {
			i = len(topics)
			at[l.Topic()] = i
			t := kmsg.NewDescribeLogDirsResponseDirTopic()
			t.Topic = l.Topic()
			topics = append(topics, t)
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size = l.Partition(), l.Size()
		topics[i].Partitions = append(topics[i].Partitions, p)
	}
	return topics
}

package broker

import (
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

func TestDescribeLogDirs(t *testing.T) {
	d := newDevice()
	close(d.hold)
	dir, other := t.TempDir(), t.TempDir()
	b := startOn(t, d, "log.dirs="+dir+","+other)
	c := dial(t, b)
	c.create("t", 4)
	c.create("t-x", 2)
	size := int64(len(records(1, 100)))
	for i := range int32(4) {
		c.append("t", i, records(1, 100))
	}
	ask := func(topics ...kmsg.DescribeLogDirsRequestTopic) map[string]kmsg.DescribeLogDirsResponseDir {
		t.Helper()
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version, req.Topics = 4, topics
		got := map[string]kmsg.DescribeLogDirsResponseDir{}
		for _, x := range c.ask(req).(*kmsg.DescribeLogDirsResponse).Dirs {
			got[x.Dir] = x
		}
		return got
	}
	found := map[string]int{}
	for _, x := range ask() {
		if x.ErrorCode != 0 || x.TotalBytes <= 0 || x.UsableBytes <= 0 || x.UsableBytes > x.TotalBytes {
			t.Errorf("%+v", x)
		}
		for _, topic := range x.Topics {
			found[topic.Topic] += len(topic.Partitions)
			for _, p := range topic.Partitions {
				if topic.Topic == "t" && p.Size != size || topic.Topic == "t-x" && p.Size != 0 || p.OffsetLag != 0 || p.IsFuture {
					t.Errorf("%s: %+v", topic.Topic, p)
				}
			}
		}
	}
	if found["t"] != 4 || found["t-x"] != 2 {
		t.Error(found)
	}
	n := 0
	for _, x := range ask(kmsg.DescribeLogDirsRequestTopic{Topic: "t", Partitions: []int32{1, 7, 1}}, kmsg.DescribeLogDirsRequestTopic{Topic: "u"}) {
		for _, topic := range x.Topics {
			n += len(topic.Partitions)
		}
	}
	if n != 1 {
		t.Errorf("%d partitions for one", n)
	}
	d.fail.Store(true)
	c.alter(topicResource("t"), "flush.policy=fsync")
	where := partitionOf(b, "t", 0).log.Dir()
	c.produceOne("t", 0, acksLeader, records(1, 100))
	until(t, "the directory's end", func() bool { return where.Err() != nil })
	if x := ask()[filepath.Clean(where.Path())]; wire.ErrorCode(x.ErrorCode) != wire.KafkaStorageError || len(x.Topics) != 0 || x.TotalBytes != -1 {
		t.Errorf("%+v", x)
	}
}

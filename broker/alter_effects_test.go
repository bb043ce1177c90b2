package broker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// recordsAt is one record of that time, in milliseconds.
func recordsAt(ms int64, size int) []byte {
	var b batch.Builder
	b.Reset(batch.None)
	b.Append(ms, nil, make([]byte, size))
	return b.Finish()
}

// TestSegmentsFollowSettings: each setting, made on the topic or on the broker, makes the next append begin a segment.
func TestSegmentsFollowSettings(t *testing.T) {
	now := time.Now().UnixMilli()
	for _, change := range []string{"segment.bytes=1048576", "segment.ms=1000", "segment.index.bytes=4",
		"log.segment.bytes=1048576", "log.roll.ms=1000", "log.index.size.max.bytes=4"} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, t.TempDir())
			c := dial(t, b)
			c.create("t", 1)
			l := partitionOf(b, "t", 0).log
			c.produce("t", recordsAt(now-20000, 600_000))
			c.produce("t", recordsAt(now-10000, 600_000))
			if n := l.Segments(); n != 1 {
				t.Fatalf("%d segments before", n)
			}
			r := topicResource("t")
			if strings.HasPrefix(change, "log.") {
				r = ownBroker
			}
			c.alter(r, change)
			c.produce("t", recordsAt(now, 10))
			if n := l.Segments(); n != 2 {
				t.Errorf("%d segments after", n)
			}
			key, _, _ := strings.Cut(change, "=")
			c.alter(r, key)
			c.produce("t", recordsAt(now+5000, 600_000))
			c.produce("t", recordsAt(now+15000, 600_000))
			if n := l.Segments(); n != 2 {
				t.Errorf("%d segments with the setting gone", n)
			}
		})
	}
}

// TestRetentionFollowsSettings: what the next look at old segments does.
func TestRetentionFollowsSettings(t *testing.T) {
	for _, change := range []string{"retention.ms=1", "retention.bytes=0", "log.retention.ms=1", "log.retention.bytes=0"} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := startBroker(t, dir, "log.retention.check.interval.ms=1")
			c := dial(t, b)
			for _, topic := range []string{"t", "compacted", "kept"} {
				c.create(topic, 1)
				c.produce(topic, recordsAt(time.Now().UnixMilli()-5000, 10))
			}
			c.alter(topicResource("kept"), "retention.ms=-1", "retention.bytes=-1")
			c.alter(topicResource("compacted"), "cleanup.policy=compact")
			c.alter(topicResource("t"), "file.delete.delay.ms=0")
			r := topicResource("t")
			if strings.HasPrefix(change, "log.") {
				r = ownBroker
			}
			c.alter(r, change)
			until(t, "the deletion", func() bool { return partitionOf(b, "t", 0).log.StartOffset() == 1 })
			until(t, "the files' removal", func() bool {
				left, _ := filepath.Glob(filepath.Join(dir, "t-0", "*0.log*"))
				return len(left) == 0
			})
			for _, topic := range []string{"compacted", "kept"} {
				if n := partitionOf(b, topic, 0).log.StartOffset(); n != 0 {
					t.Errorf("%s starts at %d", topic, n)
				}
			}
			if r == ownBroker {
				c.alter(topicResource("compacted"), "cleanup.policy=delete")
				until(t, "the other deletion", func() bool { return partitionOf(b, "compacted", 0).log.StartOffset() == 1 })
			}
		})
	}
}

// TestFlushFollowsSettings: answers wait for the disk as soon as a setting says so, and no longer than it does.
func TestFlushFollowsSettings(t *testing.T) {
	for _, change := range []string{"flush.policy=fsync", "flush.messages=1", "log.flush.policy=fsync", "log.flush.interval.messages=1"} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			d := newDevice()
			b := startOn(t, d)
			c := dial(t, b)
			c.create("t", 1)
			c.produce("t", records(1, 10))
			r := topicResource("t")
			if strings.HasPrefix(change, "log.") {
				r = ownBroker
			}
			c.alter(r, change)
			c.send("t", acksLeader, records(1, 10))
			<-d.entered
			if n := partitionOf(b, "t", 0).highWatermark(); n > 1 {
				t.Errorf("high watermark %d before the sync", n)
			}
			close(d.hold)
			if p := c.produced(); p.Error != wire.None || p.BaseOffset != 1 {
				t.Errorf("%+v", p)
			}
			key, _, _ := strings.Cut(change, "=")
			c.alter(r, key)
			n := d.calls.Load()
			c.produce("t", records(1, 10))
			if d.calls.Load() != n {
				t.Error("synced with the setting gone")
			}
		})
	}
}

func TestFlushByTimeFollowsSettings(t *testing.T) {
	for _, change := range []string{"flush.ms=1", "log.flush.interval.ms=1"} {
		d := newDevice()
		close(d.hold)
		b := startOn(t, d, "log.flush.scheduler.interval.ms=1")
		c := dial(t, b)
		c.createWith("t", 1, map[string]string{"flush.ms": "9000000"})
		c.produce("t", records(1, 10))
		if strings.HasPrefix(change, "log.") {
			c.alter(ownBroker, change)
			c.alter(topicResource("t"), "flush.ms")
		} else {
			c.alter(topicResource("t"), change)
		}
		until(t, "the flush", func() bool { return partitionOf(b, "t", 0).log.RecoveryPoint() == 1 })
	}
}

// TestRulesForRecordsFollowSettings: the next request meets them.
func TestRulesForRecordsFollowSettings(t *testing.T) {
	now := time.Now().UnixMilli()
	for _, x := range []struct {
		change string
		record []byte
		want   wire.ErrorCode
	}{
		{"max.message.bytes=100", recordsAt(now, 200), wire.MessageTooLarge},
		{"message.max.bytes=100", recordsAt(now, 200), wire.MessageTooLarge},
		{"message.timestamp.before.max.ms=1000", recordsAt(now-60000, 10), wire.InvalidTimestamp},
		{"log.message.timestamp.before.max.ms=1000", recordsAt(now-60000, 10), wire.InvalidTimestamp},
		{"message.timestamp.after.max.ms=1000", recordsAt(now+60000, 10), wire.InvalidTimestamp},
		{"log.message.timestamp.after.max.ms=1000", recordsAt(now+60000, 10), wire.InvalidTimestamp},
		{"cleanup.policy=compact", recordsAt(now, 10), wire.InvalidRecord}, // it has no key
		{"log.cleanup.policy=compact", recordsAt(now, 10), wire.InvalidRecord},
	} {
		b := startBroker(t, t.TempDir())
		c := dial(t, b)
		c.create("t", 1)
		key, _, _ := strings.Cut(x.change, "=")
		r := ownBroker
		if topicKey(key) {
			r = topicResource("t")
		}
		for _, step := range []struct {
			change string
			want   wire.ErrorCode
		}{{"", wire.None}, {x.change, x.want}, {key, wire.None}} {
			if step.change != "" {
				c.alter(r, step.change)
			}
			if p := c.produceOne("t", 0, acksLeader, x.record); p.Error != step.want {
				t.Errorf("%s: %v, want %v", step.change, p.Error, step.want)
			}
		}
		stop(t, b)
	}
}

func topicKey(key string) bool {
	return !strings.HasPrefix(key, "log.") && key != "message.max.bytes"
}

func TestTimestampTypeFollowsSettings(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	for _, x := range []struct {
		r      resource
		change string
		broker bool // the log append time is answered
	}{
		{topicResource("t"), "message.timestamp.type=LogAppendTime", true}, {topicResource("t"), "message.timestamp.type", false},
		{ownBroker, "log.message.timestamp.type=LogAppendTime", true}, {topicResource("t"), "message.timestamp.type=CreateTime", false},
	} {
		c.alter(x.r, x.change)
		if p := c.produceOne("t", 0, acksLeader, records(1, 1)); (p.LogAppendTime >= 0) != x.broker {
			t.Errorf("%s: %+v", x.change, p)
		}
	}
}

// TestIndexIntervalFollowsSettings reads the index off the disk.
func TestIndexIntervalFollowsSettings(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	c := dial(t, b)
	c.create("t", 1)
	c.create("plain", 1)
	c.alter(topicResource("t"), "index.interval.bytes=0")
	for range 5 {
		c.produce("t", records(1, 10))
		c.produce("plain", records(1, 10))
	}
	stop(t, b)
	for topic, want := range map[string]int64{"t": 4, "plain": 0} {
		info, err := os.Stat(filepath.Join(dir, topic+"-0", "00000000000000000000.index"))
		if err != nil || info.Size() != want*8 {
			t.Errorf("%s: %v, %v, want %d entries", topic, info, err, want)
		}
	}
}

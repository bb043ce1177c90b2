package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
)

// inDir are the partitions of the topic that lie in dir, by what is on disk.
func inDir(t *testing.T, dir, topic string) (list []int32) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, topic+"-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var n int32
		if _, err := fmt.Sscanf(filepath.Base(name), topic+"-%d", &n); err == nil && !strings.HasSuffix(name, "delete") {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// checkOffline asks everything of partitions that are offline and of some that serve.
func checkOffline(t *testing.T, c *client, b *Broker, topic string, offline, serve []int32) {
	t.Helper()
	got := c.describe(topic, false)
	if got.ErrorCode != 0 || len(got.Partitions) != len(offline)+len(serve) {
		t.Fatalf("%+v", got)
	}
	for _, p := range offline {
		if x := got.Partitions[p]; x.ErrorCode != int16(wire.LeaderNotAvailable) || x.Leader != -1 || len(x.Replicas) != 1 || len(x.OfflineReplicas) != 1 {
			t.Errorf("%s-%d: %+v", topic, p, x)
		}
		if r := c.produceOne(topic, p, acksLeader, records(1, 10)); r.Error != wire.KafkaStorageError {
			t.Errorf("produce to %s-%d: %v", topic, p, r.Error)
		}
		if r := c.fetch(fetchOf(topic, want(p, 0))).Topics[0].Partitions[0]; r.Error != wire.KafkaStorageError {
			t.Errorf("fetch of %s-%d: %v", topic, p, r.Error)
		}
		if r := c.listOffset(topic, p, latestOffset); r.ErrorCode != int16(wire.KafkaStorageError) {
			t.Errorf("offsets of %s-%d: %v", topic, p, wire.ErrorCode(r.ErrorCode))
		}
	}
	for _, p := range serve {
		if x := got.Partitions[p]; x.ErrorCode != 0 || x.Leader != 1 || len(x.OfflineReplicas) != 0 {
			t.Errorf("%s-%d: %+v", topic, p, x)
		}
		if r := c.produceOne(topic, p, acksLeader, records(1, 10)); r.Error != wire.None {
			t.Errorf("produce to %s-%d: %v", topic, p, r.Error)
		}
		if r := c.fetch(fetchOf(topic, want(p, 0))).Topics[0].Partitions[0]; r.Error != wire.None || len(r.Records) == 0 {
			t.Errorf("fetch of %s-%d: %v, %d bytes", topic, p, r.Error, len(r.Records))
		}
	}
	if r := c.produceOne(topic, int32(len(got.Partitions)), acksLeader, records(1, 10)); r.Error != wire.UnknownTopicOrPartition {
		t.Errorf("produce beyond the last partition: %v", r.Error)
	}
}

func (c *client) listOffset(topic string, partition int32, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	c.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 7, -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = partition, timestamp, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return c.ask(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
}

// TestDirMissingAtStart: of two log directories one cannot be used at a start. Its partitions are offline, nothing of
// them is made anew, topics come and go meanwhile, and all is as it should be when it is back.
func TestDirMissingAtStart(t *testing.T) {
	for what, spoil := range map[string]func(dir string) (undo func(), err error){
		"damaged identity": func(dir string) (func(), error) {
			path := filepath.Join(dir, "meta.properties")
			good, err := os.ReadFile(path)
			return func() { os.WriteFile(path, good, 0o644) }, errors.Join(err, os.WriteFile(path, []byte("\x00\x00\x00"), 0o644))
		},
		"not mounted": func(dir string) (func(), error) {
			return func() { os.RemoveAll(dir); os.Rename(dir+".away", dir) }, os.Rename(dir, dir+".away")
		},
		"a file in its place": func(dir string) (func(), error) {
			return func() { os.Remove(dir); os.Rename(dir+".away", dir) }, errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o644))
		},
	} {
		t.Run(what, func(t *testing.T) {
			one, two := filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2")
			b := startBroker(t, one+","+two)
			c := dial(t, b)
			c.createWith("t", 4, map[string]string{"max.message.bytes": "5000"})
			c.create("gone", 2)
			for p := range int32(4) {
				c.append("t", p, records(1, 10))
			}
			id := c.producerID()
			stop(t, b)
			offline, serve := inDir(t, one, "t"), inDir(t, two, "t")
			if len(offline) != 2 || len(serve) != 2 {
				t.Fatalf("%v in one directory, %v in the other", offline, serve)
			}
			undo, err := spoil(one) // the one whose copy of the state was the only one, formerly
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				b = startBroker(t, one+","+two)
				c = dial(t, b)
				checkOffline(t, c, b, "t", offline, serve)
				if p := c.produceOne("t", serve[0], acksLeader, records(1, 6000)); p.Error != wire.MessageTooLarge {
					t.Errorf("settings are lost: %v", p.Error)
				}
				next := c.producerID()
				if next <= id { // no gap: the coordinator knows which were given out
					t.Errorf("producer id %d after %d", next, id)
				}
				id = next
				if what != "not mounted" {
					if len(b.Problems()) == 0 || b.Ready() != nil || b.Live() != nil || !b.Stats().Dirs[1].Offline {
						t.Errorf("%v, %v, %+v", b.Problems(), b.Ready(), b.Stats().Dirs)
					}
				}
				stop(t, b)
			}
			b = startBroker(t, one+","+two)
			c = dial(t, b)
			if code := c.delete("gone"); code != wire.None {
				t.Error(code)
			}
			mounted := what != "not mounted"
			if mounted {
				c.create("gone", 2) // another of that name
				c.append("gone", 1, records(1, 10))
			}
			stop(t, b)
			undo()
			b = startBroker(t, one+","+two)
			c = dial(t, b)
			checkOffline(t, c, b, "t", nil, []int32{0, 1, 2, 3})
			if mounted {
				checkOffline(t, c, b, "gone", nil, []int32{0, 1})
			} else if got := c.describe("gone", false); got.ErrorCode != int16(wire.UnknownTopicOrPartition) {
				t.Errorf("a deleted topic is back: %+v", got)
			}
			if len(b.Problems()) != 0 {
				t.Error(b.Problems())
			}
			if c.producerID() <= id {
				t.Error("a producer id was given out twice")
			}
			unlock := lock(b)
			if s := local(b).state; len(s.Unfinished) != 0 || s.Known["t"].Partitions != 4 || len(s.Known) != 1+boolInt(mounted) {
				t.Errorf("%+v", s)
			}
			unlock()
		})
	}
}

// TestUnknownCluster: a new directory is not given a cluster of its own while the one that would name it is offline,
// and nothing starts without any directory.
func TestUnknownCluster(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	stop(t, startBroker(t, one, withoutCoordinator))
	if err := os.WriteFile(filepath.Join(one, "meta.properties"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dirs := range []string{one + "," + two, two + "," + one, one} {
		if _, err := tryBroker(dirs, withoutCoordinator); err == nil || !errors.Is(err, logstore.ErrCorrupt) {
			t.Errorf("%s: %v", dirs, err)
		}
	}
	if _, err := os.Stat(filepath.Join(two, "meta.properties")); err == nil {
		t.Error("the second directory has a cluster of its own")
	}
	// A directory that nobody has used and nobody can is no reason.
	stop(t, startBroker(t, two+",/proc/x", withoutCoordinator))
}

// TestDirFailsWhileServing: a write that the device fails takes one directory offline; the other goes on.
func TestDirFailsWhileServing(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	bad := make(chan string, 1)
	b := startWith(t, one+","+two, func(o *logstore.Options) {
		o.Write = func(fd int, p []byte, off int64) (int, error) {
			select {
			case dir := <-bad:
				if path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && filepath.Dir(filepath.Dir(path)) == dir {
					return 0, syscall.EIO
				}
				bad <- dir
			default:
			}
			return unix.Pwrite(fd, p, off)
		}
	})
	c := dial(t, b)
	c.create("t", 4)
	for p := range int32(4) {
		c.append("t", p, records(1, 10))
	}
	checkOffline(t, c, b, "t", nil, []int32{0, 1, 2, 3})
	offline, serve := inDir(t, one, "t"), inDir(t, two, "t")
	waiting := dial(t, b)
	req := fetchOf("t", want(offline[0], 2), want(serve[0], 2))
	req.MinBytes, req.MaxWaitMillis = 1, 1<<30
	waiting.sendFetch(req)
	untilParked(t, b, 1)
	bad <- one
	if r := c.produceOne("t", offline[0], acksLeader, records(1, 10)); r.Error != wire.KafkaStorageError {
		t.Error(r.Error)
	}
	if parts := waiting.fetchAnswer(fetchVersion).Topics[0].Partitions; parts[0].Error != wire.KafkaStorageError || parts[1].Error != wire.None {
		t.Errorf("a fetch that waited was answered with %+v", parts)
	}
	checkOffline(t, c, b, "t", offline, serve)
	if len(b.Problems()) != 1 || b.Ready() != nil {
		t.Errorf("%v, %v", b.Problems(), b.Ready())
	}
	c.create("u", 2) // goes where there is a disk
	checkOffline(t, c, b, "u", nil, []int32{0, 1})
	if code := c.delete("t"); code != wire.None {
		t.Error(code)
	}
	if err := b.Drain(t.Context()); err == nil {
		t.Error("a stop that left a directory unclean is no error")
	}
	b = startBroker(t, one+","+two)
	c = dial(t, b)
	if got := c.describe("t", false); got.ErrorCode != int16(wire.UnknownTopicOrPartition) {
		t.Errorf("a deleted topic is back: %+v", got)
	}
	checkOffline(t, c, b, "u", nil, []int32{0, 1})
}

// TestLastDirFails: without any directory the broker is of no use, and says so where orchestrators look.
func TestLastDirFails(t *testing.T) {
	var fail atomic.Bool
	b := startWith(t, t.TempDir(), func(o *logstore.Options) {
		o.Write = func(fd int, p []byte, off int64) (int, error) {
			if fail.Load() {
				return 0, syscall.EROFS
			}
			return unix.Pwrite(fd, p, off)
		}
	})
	c := dial(t, b)
	c.create("t", 2)
	c.append("t", 0, records(1, 10))
	fail.Store(true)
	if r := c.produceOne("t", 0, acksLeader, records(1, 10)); r.Error != wire.KafkaStorageError {
		t.Error(r.Error)
	}
	checkOffline(t, c, b, "t", []int32{0, 1}, nil)
	if b.Ready() == nil || b.Live() == nil || len(b.Problems()) != 1 {
		t.Errorf("%v, %v, %v", b.Ready(), b.Live(), b.Problems())
	}
	if r := c.createWith("u", 1, nil); wire.ErrorCode(r.ErrorCode) != wire.KafkaStorageError {
		t.Error(wire.ErrorCode(r.ErrorCode))
	}
}

// TestLossyInMetadata: a lossy log is read below its damage, refuses produce, and is shown as out of sync.
func TestLossyInMetadata(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	for range 3 {
		c.append("t", 0, records(1, 10))
	}
	b.catalog.Image().TopicNamed("t").partition(0).log.MarkLossy(2, "a test says so")
	p := c.describe("t", false).Partitions[0]
	if p.ErrorCode != 0 || p.Leader != 1 || len(p.ISR) != 0 || !slices.Equal(p.OfflineReplicas, []int32{1}) || len(p.Replicas) != 1 {
		t.Errorf("%+v", p)
	}
	if r := c.produceOne("t", 0, acksLeader, records(1, 10)); r.Error != wire.KafkaStorageError || !strings.Contains(r.ErrorMessage, "a test says so") {
		t.Errorf("%v %q", r.Error, r.ErrorMessage)
	}
	for offset, code := range map[int64]wire.ErrorCode{0: wire.None, 1: wire.None, 2: wire.KafkaStorageError} {
		if r := c.fetch(fetchOf("t", want(0, offset))).Topics[0].Partitions[0]; r.Error != code || (offset < 2) != (len(r.Records) > 0) {
			t.Errorf("from %d: %v, %d bytes", offset, r.Error, len(r.Records))
		}
	}
	if list := b.Problems(); len(list) != 1 || !strings.Contains(list[0], "lossy") || !b.Stats().Partition[0].Lossy {
		t.Errorf("%v", list)
	}
}

// TestNoSpaceIsRefused: a full disk is KAFKA_STORAGE_ERROR with words, nothing else is out of order, and produce goes on
// as soon as there is space.
func TestNoSpaceIsRefused(t *testing.T) {
	var full atomic.Bool
	b := startWith(t, t.TempDir(), func(o *logstore.Options) {
		o.Write = func(fd int, p []byte, off int64) (int, error) {
			if full.Load() {
				if n, err := unix.Pwrite(fd, p[:len(p)/2], off); err != nil {
					return n, err
				}
				return len(p) / 2, syscall.ENOSPC
			}
			return unix.Pwrite(fd, p, off)
		}
	})
	c := dial(t, b)
	c.create("t", 1)
	for i := range int64(3) {
		full.Store(true)
		r := c.produceOne("t", 0, acksAll, records(1, 100))
		if r.Error != wire.KafkaStorageError || !strings.Contains(r.ErrorMessage, "no space") || r.BaseOffset != -1 {
			t.Errorf("%v %q", r.Error, r.ErrorMessage)
		}
		if p := c.describe("t", false).Partitions[0]; p.ErrorCode != 0 || p.Leader != 1 || len(b.Problems()) != 0 {
			t.Errorf("%+v, %v", p, b.Problems())
		}
		full.Store(false)
		if r := c.produceOne("t", 0, acksAll, records(1, 100)); r.Error != wire.None || r.BaseOffset != i {
			t.Errorf("%v at %d", r.Error, r.BaseOffset)
		}
	}
}

//go:build peers

package faults

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestFullDisk fills the disk under load, to the last byte and to some before it, so that writes of records, rolls,
// indexes, snapshots, checkpoints, epochs and the catalogue meet it. Nothing has to be restarted when there is space
// again; a kill and a start on the full disk in between work too.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 40<<20)
	settings := []string{"log.dir.free.bytes.min=0", "log.segment.bytes=1048576", "log.index.interval.bytes=0"}
	all := []int32{0, 1, 2}
	b := testkit.Start(t, disk, settings...)
	if err := create(t, b.Kafka, topic, 3); err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	for round, leave := range []int64{0, 100, 4096, 50_000, 600_000} {
		if err := create(t, b.Kafka, "other", 2); err != nil {
			t.Fatal(err)
		}
		stop := l.load(t, b.Kafka, round, 1000+3000*round, all...)
		l.await(t, acked, 100, all...)
		empty := fill(t, disk, leave)
		l.await(t, refused, 100, all...)
		if code, status, _ := health(t, b, "/readyz"); code != http.StatusOK {
			t.Errorf("/readyz says %d %s", code, status)
		}
		if round < 3 { // an empty topic takes less than what is left later
			if err := create(t, b.Kafka, "too-much", 2); !errors.Is(err, kerr.KafkaStorageError) {
				t.Errorf("round %d: topic created on a full disk: %v", round, err)
			}
		}
		if round%2 == 1 { // to delete is what helps, so it works
			if err := remove(t, b.Kafka, "other"); err != nil {
				t.Errorf("round %d: topic not deleted on a full disk: %v", round, err)
			}
		}
		if round == 2 {
			stop()
			b.Kill()
			b = testkit.Start(t, disk, settings...)
			stop = l.load(t, b.Kafka, 100, 5000, all...)
			l.await(t, refused, 10, all...)
		}
		empty()
		l.await(t, acked, 100, all...)
		stop()
		l.check(t, b.Kafka)
		if round%2 == 0 {
			if err := remove(t, b.Kafka, "other"); err != nil {
				t.Error(err)
			}
		}
		if n := metric(t, b, "kafka_log_logmanager_offlinelogdirectorycount"); n != 0 {
			t.Errorf("%v directories are offline", n)
		}
	}
	if log := b.Log(); strings.Contains(log, "log failed") || strings.Contains(log, "offline") {
		t.Error("a log has failed")
	}
	b.Terminate()
	b = testkit.Start(t, disk, settings...)
	l.check(t, b.Kafka)
}

// TestRetentionOnFullDisk: records are deleted though there is no space for the note that they are.
func TestRetentionOnFullDisk(t *testing.T) {
	disk := smallDisk(t, 20<<20)
	b := testkit.Start(t, disk, "log.dir.free.bytes.min=0", "log.segment.bytes=1048576")
	if err := create(t, b.Kafka, topic, 1); err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	stop := l.load(t, b.Kafka, 0, 50_000, 0)
	l.await(t, acked, 100, 0)
	fill(t, disk, 0)
	l.await(t, refused, 10, 0)
	a, ctx := admin(t, b.Kafka)
	var until kadm.Offsets
	until.AddOffset(topic, 0, 80, -1)
	if r, err := a.DeleteRecords(ctx, until); errors.Join(err, r.Error()) != nil {
		t.Errorf("records not deleted on a full disk: %v", errors.Join(err, r.Error()))
	}
	l.await(t, acked, 20, 0)
	stop()
	b.Kill()
	b = testkit.Start(t, disk, "log.dir.free.bytes.min=0", "log.segment.bytes=1048576")
	a, ctx = admin(t, b.Kafka)
	starts, err := a.ListStartOffsets(ctx, topic)
	if o, _ := starts.Lookup(topic, 0); err != nil || o.Offset != 80 {
		t.Errorf("log starts at %d, %v", o.Offset, err)
	}
}

// TestFloor: with the default floor produce stops before the disk is full, is told so everywhere, and goes on by itself.
func TestFloor(t *testing.T) {
	const size = 256 << 20
	disk := smallDisk(t, size)
	b := testkit.Start(t, disk, "log.segment.bytes=1048576")
	if err := create(t, b.Kafka, topic, 2); err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	stop := l.load(t, b.Kafka, 0, 500, 0, 1)
	defer stop()
	l.await(t, acked, 50, 0, 1)
	empty := fillTo(t, disk, size/20-1<<20) // a mebibyte below the floor
	l.await(t, refused, 50, 0, 1)
	if code, status, problems := health(t, b, "/readyz"); code != http.StatusOK || status != "degraded" || len(problems) != 1 ||
		!strings.Contains(problems[0], "takes no produce") {
		t.Errorf("/readyz says %d %s %v", code, status, problems)
	}
	if free, floor := metric(t, b, "sluice_log_dir_free_bytes"), metric(t, b, "sluice_log_dir_floor_bytes"); free < 1<<20 || floor != size/20 {
		t.Errorf("%v bytes free, floor %v", free, floor)
	}
	if n := metric(t, b, "sluice_log_dir_refused_appends_total"); n < 100 || metric(t, b, "sluice_log_dir_low") != 1 {
		t.Errorf("%v refused", n)
	}
	if err := create(t, b.Kafka, "small", 3); err != nil { // what it takes is what the floor is for
		t.Error(err)
	}
	empty()
	l.await(t, acked, 50, 0, 1)
	stop()
	if log := b.Log(); strings.Count(log, "disk is nearly full") != 1 || strings.Count(log, "there is space again") != 1 {
		t.Error("not told once each")
	}
	if _, status, _ := health(t, b, "/readyz"); status != "ok" {
		t.Errorf("/readyz says %s", status)
	}
	l.check(t, b.Kafka)
}

// TestDeviceFails has a write, then in another run an fdatasync, of one of two log directories fail with EIO, under load.
// Its partitions go offline, those of the other go on, nothing acknowledged is lost when the device is well again.
func TestDeviceFails(t *testing.T) {
	for call, settings := range map[string][]string{"pwrite64": nil, "fdatasync": {"log.flush.policy=fsync"}} {
		t.Run(call, func(t *testing.T) {
			dir, one, two := t.TempDir(), filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
			settings := append(settings, "log.dirs="+one+","+two)
			b := testkit.Start(t, dir, settings...)
			if err := create(t, b.Kafka, topic, 4); err != nil {
				t.Fatal(err)
			}
			files, bad := segments(t, one)
			_, good := segments(t, two)
			if len(bad) != 2 || len(good) != 2 {
				t.Fatalf("%v in one directory, %v in the other", bad, good)
			}
			l := newLedger()
			stop := l.load(t, b.Kafka, 0, 500, 0, 1, 2, 3)
			l.await(t, acked, 50, 0, 1, 2, 3)
			heal := inject(t, b, call, files...)
			l.await(t, refused, 1, bad...)
			l.await(t, acked, 20, good...)
			heal() // the directory stays offline
			l.await(t, acked, 50, good...)
			if code, status, problems := health(t, b, "/readyz"); code != http.StatusOK || status != "degraded" || len(problems) != 1 ||
				!strings.Contains(problems[0], one+" is offline") {
				t.Errorf("/readyz says %d %s %v", code, status, problems)
			}
			if metric(t, b, "kafka_log_logmanager_offlinelogdirectorycount") != 1 || metric(t, b, "kafka_log_logmanager_logdirectoryoffline") != 1 {
				t.Error("the directory is not counted as offline")
			}
			a, ctx := admin(t, b.Kafka)
			m, err := a.Metadata(ctx, topic)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range bad {
				if x := m.Topics[topic].Partitions[p]; !errors.Is(x.Err, kerr.LeaderNotAvailable) || x.Leader != -1 || len(x.OfflineReplicas) != 1 {
					t.Errorf("%+v", x)
				}
			}
			if err := create(t, b.Kafka, "more", 2); err != nil { // where there is a device
				t.Error(err)
			}
			stop()
			b.Kill()
			l.refused = map[string]bool{} // of these it is not known whether they are on the device
			b = testkit.Start(t, dir, settings...)
			l.check(t, b.Kafka)
			b.Terminate()
		})
	}
}

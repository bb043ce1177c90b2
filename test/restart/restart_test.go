package restart

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// small segments, so that every round rolls some
var settings = []string{"log.segment.bytes=1048576"}

func TestTerminateUnderLoad(t *testing.T) { rounds(t, t.TempDir(), (*testkit.Broker).Terminate) }

func TestKillUnderLoad(t *testing.T) { rounds(t, t.TempDir(), (*testkit.Broker).Kill) }

func TestKillAndTerminateInTurn(t *testing.T) {
	n := 0
	rounds(t, t.TempDir(), func(b *testkit.Broker) {
		if n++; n%2 == 0 {
			b.Terminate()
		} else {
			b.Kill()
		}
	})
}

// rounds ends the broker under load several times and checks everything acknowledged so far after each.
func rounds(t *testing.T, dir string, end func(*testkit.Broker)) {
	l := newLedger()
	broker := testkit.Start(t, dir, settings...)
	createTopic(t, broker.Kafka)
	cluster := broker.ClusterID
	for round := range 4 {
		stop := load(t, broker.Kafka, l, round)
		l.awaitMore(t, 3000)
		end(broker)
		stop()
		broker = testkit.Start(t, dir, settings...)
		if broker.ClusterID != cluster {
			t.Fatalf("cluster id was %s, is %s after the restart", cluster, broker.ClusterID)
		}
		l.check(t, readAll(t, broker.Kafka))
	}
	broker.Terminate()
	t.Logf("%d acknowledged of %d sent", l.count.Load(), len(l.sent))
}

// check compares what is in the log with what was acknowledged.
func (l *ledger) check(t *testing.T, records [partitions][]*kgo.Record) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[string]place{}
	for partition, rs := range records {
		last := map[string]int{} // highest number of each producer
		for i, r := range rs {
			value := name(r.Value)
			at := place{int32(partition), r.Offset}
			if r.Offset != int64(i) {
				t.Fatalf("partition %d: offset %d where %d must be", partition, r.Offset, i)
			}
			if before, twice := found[value]; twice {
				t.Errorf("%s is there twice: %v and %v", value, before, at)
			}
			found[value] = at
			if !l.sent[value] {
				t.Errorf("%s at %v was never sent", value, at)
			}
			dash := strings.LastIndexByte(value, '-')
			n, _ := strconv.Atoi(value[dash+1:])
			if before, ok := last[value[:dash]]; ok && n <= before {
				t.Errorf("%s at %v comes after number %d of the same producer", value, at, before)
			}
			last[value[:dash]] = n
		}
	}
	lost := 0
	for value, at := range l.acked {
		if found[value] != at || !has(found, value) {
			if lost++; lost <= 5 {
				t.Errorf("%s was acknowledged at %v, is there: %v at %v", value, at, has(found, value), found[value])
			}
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d acknowledged records are not where they were", lost, len(l.acked))
	}
}

func has(m map[string]place, key string) bool {
	_, ok := m[key]
	return ok
}

//go:build peers

package zookeeper

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 0, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestCrossCheck: no difference in CROSSCHECK_OPS (3000) requests of the stream CROSSCHECK_SEED (by the clock).
func TestCrossCheck(t *testing.T) {
	seed := setting(t, "CROSSCHECK_SEED", uint64(time.Now().UnixNano()))
	run(t, seed, int(setting(t, "CROSSCHECK_OPS", 3000)), [2]string{openOurs(t, nil), openTheirs(t)})
}

// TestTwins: two ZooKeepers do not differ either.
func TestTwins(t *testing.T) {
	run(t, setting(t, "CROSSCHECK_SEED", 1), 1000, [2]string{openTheirs(t), openTheirs(t)})
}

func run(t *testing.T, seed uint64, ops int, address [2]string) {
	t.Logf("CROSSCHECK_SEED=%d CROSSCHECK_OPS=%d", seed, ops)
	w := newWorld(t, seed, 5, address)
	began := time.Now()
	for w.steps < ops && !w.failed {
		w.step()
	}
	if w.failed {
		return
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(w.counts)) {
		list = append(list, fmt.Sprint(name, " ", w.counts[name]))
	}
	t.Logf("%d requests in %v, %d transactions seen, %d sessions, no difference\n%s", w.steps, time.Since(began).Round(time.Millisecond),
		len(w.pairs.known), len(w.sessions), strings.Join(list, ", "))
}

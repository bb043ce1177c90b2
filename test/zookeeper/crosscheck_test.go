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

// TestCrossCheck: no difference in CROSSCHECK_OPS (3000) requests of the stream CROSSCHECK_SEED (by the clock), with
// CROSSCHECK_RESTARTS (1) restarts of both servers, ours by its end and theirs by a kill.
func TestCrossCheck(t *testing.T) {
	w := newWorld(t, setting(t, "CROSSCHECK_SEED", uint64(time.Now().UnixNano())), 5, [2]string{})
	w.address[ours], w.restart[ours] = startOurs(t, nil)
	w.address[theirs], w.restart[theirs] = startTheirs(t)
	w.run(t, int(setting(t, "CROSSCHECK_OPS", 3000)), int(setting(t, "CROSSCHECK_RESTARTS", 1)))
}

// TestTwins: two ZooKeepers do not differ either.
func TestTwins(t *testing.T) {
	w := newWorld(t, setting(t, "CROSSCHECK_SEED", 1), 5, [2]string{openTheirs(t), openTheirs(t)})
	w.run(t, 1000, 0)
}

func (w *world) run(t *testing.T, ops, restarts int) {
	t.Logf("CROSSCHECK_SEED=%d CROSSCHECK_OPS=%d CROSSCHECK_RESTARTS=%d", w.seed, ops, restarts)
	began := time.Now()
	for done := 0; w.steps < ops && !w.failed; {
		if done < restarts && w.steps > (done+1)*ops/(restarts+1) {
			done++
			w.again()
		}
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

// again ends both servers and starts them on what they have. Sessions go on.
func (w *world) again() {
	w.note("both servers are started again")
	w.counts["restart"]++
	for _, c := range w.conns {
		c.hangUp()
	}
	for _, restart := range w.restart {
		restart()
	}
}

//go:build !race

package broker

import (
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire"
)

// TestGroupCommitCost: with 64 requests of one connection in flight there are far fewer syncs than requests, and no
// allocation.
func TestGroupCommitCost(t *testing.T) {
	d := newDevice()
	d.takes = 200 * time.Microsecond // as a fast SSD; a sync of a file in memory takes no time, and nothing would gather
	close(d.hold)
	b := startOn(t, d, "log.flush.policy=fsync")
	c := dial(t, b)
	c.create("t", 1)
	const inFlight = 64
	body := produceBody("t", 0, -1, records(1, 100))
	round := func() {
		for range inFlight {
			c.frame(wire.KeyProduce, 9, body)
		}
		c.flush()
		for range inFlight {
			c.receive(wire.KeyProduce, 9)
		}
	}
	for range 20 {
		round()
	}
	before := b.dirs[0].Commits()
	const rounds = 20
	for range rounds {
		round()
	}
	after := b.dirs[0].Commits()
	syncs := float64(after.Syncs-before.Syncs) / (rounds * inFlight)
	t.Logf("%.3f syncs per request, %d rounds", syncs, after.Rounds-before.Rounds)
	if syncs > 0.25 {
		t.Errorf("%.3f syncs per request", syncs)
	}
	if got := testing.AllocsPerRun(50, round) / inFlight; got > 0.05 {
		t.Errorf("%.3f allocations per request", got)
	}
}

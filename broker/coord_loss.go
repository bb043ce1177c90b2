package broker

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	zkclient "github.com/sluice-mq/sluice/coordination/client"
)

// lossMeters count what became of the connection to the coordinator.
type lossMeters struct {
	disconnects, expires, syncConnects atomic.Int64
	lost                               atomic.Bool // it came back without what it had
}

// CoordinatorStats tell how the broker stands with its coordinator. Zero without one.
type CoordinatorStats struct {
	Connect                            string // where it is
	State                              zkclient.State
	Behind                             bool // it has lost what this broker has seen, or is another one
	Disconnects, Expires, SyncConnects int64
	Registered, Controller, Fenced     bool
	Brokers                            int
	Strays                             int // logs of topics that it does not know
}

// online tells whether the coordinator can be asked now.
func (c *coordCatalog) online() bool {
	l := c.link.Load()
	return l != nil && l.session.State() == zkclient.Connected
}

// stats takes no lock that a request to the coordinator is made under.
func (c *coordCatalog) stats() CoordinatorStats {
	l, im := c.link.Load(), c.image.Load()
	return CoordinatorStats{
		Connect: c.defaults.ZooKeeper.Connect, State: l.session.State(), Behind: c.behind(l),
		Disconnects: c.loss.disconnects.Load(), Expires: c.loss.expires.Load(), SyncConnects: c.loss.syncConnects.Load(),
		Registered: im.Registered, Controller: l.controls.Load(), Fenced: im.Fenced, Brokers: len(im.Nodes), Strays: im.Strays,
	}
}

func (c *coordCatalog) behind(l *link) bool {
	return c.loss.lost.Load() || errors.Is(l.session.Trouble(), zkclient.ErrBehind)
}

// problems are what /readyz tells.
func (c *coordCatalog) problems() (list []string) {
	s := c.stats()
	l := c.link.Load()
	switch {
	case s.Behind:
		list = append(list, fmt.Sprintf("the coordinator at %s has lost what it had: restore its data; topics that are led go on", s.Connect))
	case s.State != zkclient.Connected:
		list = append(list, fmt.Sprintf("the coordinator at %s cannot be reached (%s): %v", s.Connect, s.State, l.session.Trouble()))
	case !s.Registered:
		list = append(list, "this broker is not registered with the coordinator and leads nothing")
	}
	if s.Fenced {
		list = append(list, "fetch and produce with acks=0 and 1 are refused (coordination.on.loss=fence)")
	}
	if s.Strays > 0 {
		list = append(list, fmt.Sprintf("%d logs are of topics that the coordinator does not know", s.Strays))
	}
	return list
}

// parallel calls f for the numbers below n, several at once: requests to a coordinator that are under way together
// share its syncs.
func parallel(n int, f func(i int)) {
	const width = 64
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, width) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}

package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/sluice-mq/sluice/config"
	zkclient "github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
)

// connect opens the first session. It waits for the coordinator for as long as zookeeper.connection.timeout.ms says.
func (c *coordCatalog) connect() error {
	ctx, cancel := context.WithTimeout(c.ctx, c.defaults.ZooKeeper.ConnectTimeout)
	defer cancel()
	l, err := c.dial(ctx)
	if err != nil {
		return fmt.Errorf("the coordinator at %s (zookeeper.connect): %w", c.defaults.ZooKeeper.Connect, err)
	}
	c.link.Store(l)
	return nil
}

// dial opens a session. What the one before has seen must be there.
func (c *coordCatalog) dial(ctx context.Context) (*link, error) {
	servers, chroot, err := zkclient.ParseConnect(c.defaults.ZooKeeper.Connect)
	if err != nil {
		return nil, err
	}
	cfg := zkclient.Config{Servers: servers, Chroot: chroot, Timeout: c.defaults.ZooKeeper.SessionTimeout, Logger: c.log,
		Now: c.defaults.ZooKeeper.Clock, LastZxid: c.seen.Load()}
	s, err := zkclient.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if chroot != "" {
		if err := s.MakeChroot(ctx); err != nil {
			_ = s.Close(ctx)
			return nil, err
		}
	}
	return newLink(c.ctx, s), nil
}

// cluster is the id that the coordinator has of the cluster, and is given if it has none: proposed, or where that is empty
// any.
func (c *coordCatalog) cluster(proposed string, known bool) (id string, err error) {
	l := c.link.Load()
	if err := l.reg.Prepare(l.calls()); err != nil {
		return "", err
	}
	if known {
		found, err := l.reg.FindClusterID(l.calls())
		if err != nil {
			return "", err
		}
		if found == "" {
			return "", fmt.Errorf("%w: the coordinator at %s has no cluster id, and the topics of the log directories were kept in one, of "+
				"cluster %s: restore its data, or point zookeeper.connect to where it is", errLost, c.defaults.ZooKeeper.Connect, proposed)
		}
	}
	if proposed == "" {
		c.clusterID, err = l.reg.ClusterID(l.calls())
	} else {
		c.clusterID, err = l.reg.OfferClusterID(l.calls(), proposed)
	}
	return c.clusterID, err
}

// errLost: the coordinator does not have what it had.
var errLost = errors.New("coordinator has lost its data")

// join registers the broker with the addresses that clients are to use, and takes part in the election. On return this
// broker leads what the tree says.
func (c *coordCatalog) join(advertised []config.Listener, bound []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, a := range advertised {
		host, port, err := net.SplitHostPort(bound[i])
		if err != nil {
			return err
		}
		if a.Host == "" {
			a.Host = host
		}
		if a.Port == 0 {
			a.Port, _ = strconv.Atoi(port)
		}
		c.endpoints = append(c.endpoints, registry.Endpoint{Name: a.Name, Host: a.Host, Port: int32(a.Port), Protocol: a.Protocol})
	}
	if err := c.enlist(c.link.Load()); err != nil {
		return err
	}
	c.done.Go(c.follow)
	return nil
}

// enlist registers the broker in the session, and goes on as a member. The caller holds mu.
func (c *coordCatalog) enlist(l *link) error {
	ctx := l.calls()
	previous := c.state.Session
	if err := c.state.update(func(s *catalogState) { s.Session = l.session.ID() }); err != nil {
		// After a crash the next start has to wait for the end of this session. That is no reason not to serve.
		c.log.Warn("which session this broker is registered in is not on disk", "error", err)
	}
	info := registry.BrokerInfo{ID: c.node, Endpoints: c.endpoints, Rack: c.defaults.Rack, JMXPort: registry.NoJMX}
	epoch, err := l.reg.Register(ctx, info, previous)
	if err != nil {
		return fmt.Errorf("registering broker %d: %w", c.node, err)
	}
	if err := l.reg.ForgetController(ctx, previous); err != nil {
		return err
	}
	c.lead = true
	c.log.Info("registered with the coordinator", "broker", c.node, "epoch", epoch, "session", fmt.Sprintf("%#x", l.session.ID()))
	if err := c.readBrokers(l); err != nil {
		return err
	}
	if err := c.readController(l); err != nil {
		return err
	}
	c.settleAll()
	c.report()
	c.publish()
	l.nudge() // what was told of meanwhile
	return nil
}

// report tells of what nobody but a person can put right.
func (c *coordCatalog) report() {
	list := c.strays()
	if c.strayCount = len(list); len(list) > 0 {
		c.log.Warn("logs are of topics that the coordinator does not know: they are left alone and not served", "logs", len(list), "first", list[0])
	}
	for _, t := range c.image.Load().Topics() {
		n := 0
		for i := range t.Assigned {
			n += boolInt(t.Assigned[i].Here && t.Partitions[i] == nil)
		}
		if n > 0 {
			c.log.Error("partitions are offline: their log directory is, or they were taken away", "topic", t.Name, "partitions", n)
		}
	}
}

// follow sees to the session until the broker stops: it takes what the watches tell, and opens another session when one
// has expired.
func (c *coordCatalog) follow() {
	for {
		l := c.link.Load()
		c.attend(l)
		if c.ctx.Err() != nil {
			return
		}
		c.expelled(l)
		if !c.rejoin() {
			return
		}
	}
}

// attend takes changes of the session's state and of what is watched, until the session is over.
func (c *coordCatalog) attend(l *link) {
	was := l.session.State()
	for {
		w := l.waiting()
		select {
		case <-c.ctx.Done():
			return
		case <-l.session.Done():
			return
		case _, ok := <-w[partBrokers]:
			l.fired(partBrokers, w[partBrokers], ok)
		case _, ok := <-w[partController]:
			l.fired(partController, w[partController], ok)
		case _, ok := <-w[partMarks]:
			l.fired(partMarks, w[partMarks], ok)
		case _, ok := <-w[partChanges]:
			l.fired(partChanges, w[partChanges], ok)
		case s := <-l.session.Changes():
			c.turned(l, was, s)
			was = s
		case <-l.events:
		}
		if l.isStale() {
			c.refresh(l)
		}
	}
}

// turned is a change of the session's state.
func (c *coordCatalog) turned(l *link, was, s zkclient.State) {
	switch s {
	case zkclient.Connected:
		c.loss.syncConnects.Add(1)
		if was != zkclient.Connected {
			c.reconnected(l)
		}
	case zkclient.Disconnected:
		c.loss.disconnects.Add(1)
		c.log.Warn("the coordinator cannot be reached; produce and fetch go on, topics and settings cannot be changed", "why", l.session.Trouble())
	case zkclient.Lapsed:
		c.lapsed(l)
	}
}

// lapsed: the coordinator may have taken this broker for dead. Nobody else can lead what only this broker has in sync.
func (c *coordCatalog) lapsed(l *link) {
	c.log.Warn("nothing was heard from the coordinator for the session's time-out; partitions with this broker as the only replica in sync are served on",
		"on_loss", c.onLoss(), "why", l.session.Trouble())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resign()
	c.fenced = c.defaults.ZooKeeper.FenceOnLoss
	c.publish()
}

func (c *coordCatalog) onLoss() string {
	if c.defaults.ZooKeeper.FenceOnLoss {
		return "fence"
	}
	return "continue"
}

// reconnected: the session has outlived it, and its watches tell of what happened in between.
func (c *coordCatalog) reconnected(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lead {
		return // still being started, or about to be enlisted again
	}
	id, err := l.reg.FindClusterID(l.calls())
	if err == nil {
		err = c.checkCluster(id)
	}
	if err == nil {
		c.fenced = false
		_ = c.step(nil, resigned) // to begin again with all that could not be done meanwhile
		err = c.readController(l)
	}
	c.publish()
	if err != nil {
		c.log.Error("the coordinator is back, but not as it was", "error", err)
		return
	}
	c.log.Info("the coordinator is back; the session was kept")
	l.nudge()
}

// expelled: the session has expired, so another broker may be elected. Nothing is led before this one is registered again.
func (c *coordCatalog) expelled(l *link) {
	c.loss.expires.Add(1)
	if !c.loss.lost.Load() {
		c.seen.Store(l.session.LastZxid())
	}
	c.log.Error("the session with the coordinator has expired; nothing is led until this broker is registered again", "why", l.session.Err())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resign()
	c.lead, c.fenced = false, false
	c.settleAll()
}

// resign ends the role of the controller, if this broker has it, here only. The caller holds mu.
func (c *coordCatalog) resign() {
	if c.core.Active() {
		c.log.Info("this broker is the controller no more", "epoch", c.elected.Epoch)
	}
	c.step(nil, resigned)
	c.controller = registry.NoController
}

// rejoin opens sessions until one is enlisted; false when the broker stops.
func (c *coordCatalog) rejoin() bool {
	for wait := rejoinPause; ; wait = min(2*wait, maxRejoinPause) {
		ctx, cancel := context.WithTimeout(c.ctx, dialPatience)
		l, err := c.dial(ctx)
		cancel()
		if err == nil {
			before := c.link.Swap(l)
			before.close(c.log)
			if err = c.comeBack(l); err == nil {
				return true
			}
			if l.session.State().Over() {
				c.loss.expires.Add(1)
			}
		}
		if c.ctx.Err() != nil {
			return false
		}
		if errors.Is(err, errLost) || errors.Is(err, zkclient.ErrBehind) {
			c.impostor()
		}
		c.log.Error("this broker is not registered", "error", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
			return false
		}
	}
}

// impostor: what has ended the session is not the coordinator that this broker was registered with, or has forgotten it.
// Nobody was elected by it who has what this broker has; so what was led is led on.
func (c *coordCatalog) impostor() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loss.lost.Store(true)
	if !c.lead {
		c.lead = true
		c.settleAll()
	}
}

// dialPatience is how long one attempt to open another session waits.
const dialPatience = 5 * time.Second

// Between attempts to register again.
const (
	rejoinPause    = 100 * time.Millisecond
	maxRejoinPause = 5 * time.Second
)

func (c *coordCatalog) comeBack(l *link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	lead := c.lead
	c.lead = lead && c.loss.lost.Load()
	if err := c.reload(l); err != nil {
		c.lead = lead
		return err
	}
	return c.enlist(l)
}

func (c *coordCatalog) Close() {
	c.cancel()
	c.done.Wait()
	if l := c.link.Load(); l != nil {
		l.close(c.log)
	}
}

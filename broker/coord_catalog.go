package broker

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/controller"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/logstore"
)

// coordCatalog is the catalogue of a broker with a coordinator: topics are what the coordinator says, and the logs follow.
//
// All that is known of the coordinator's tree is in topics, nodes and dynamic; settle makes the logs and the image of it.
// Who changes the tree (a request here, the controller, a watch that tells of others' changes) changes those too and has
// it settled. After each connection that was lost everything is read again.
//
// One goroutine (follow) lives as long as the catalogue: it sees to the session and to the watches. Requests run on the
// workers. Both hold mu while they ask the coordinator.
type coordCatalog struct {
	*replicas
	topicRules
	static *config.Values // without what was set while running
	loss   lossMeters

	image atomic.Pointer[Image]
	link  atomic.Pointer[link] // the session of today; nil until the first
	seen  atomic.Int64         // the newest transaction that sessions before it have seen
	done  sync.WaitGroup

	mu         sync.Mutex // one change at a time
	values     *config.Values
	changed    func(*config.Broker) // see onChange
	clusterID  string
	endpoints  []registry.Endpoint // what is registered; set by join
	core       *controller.Core
	elected    registry.Controller // while core is active
	lead       bool                // registered, so that what the tree says of this broker's partitions holds
	fenced     bool
	strayCount int

	topics     map[string]*known
	logsByName map[string]*logstore.Log
	nodes      []Node
	epochs     map[int32]int64 // broker epochs of nodes
	controller int32           // node id, -1: none
	dynamic    config.Dynamic
	changes    int64 // number of the last notification of changed settings that was seen
	first      bool  // nothing has been read yet in this run
}

// known is what the tree says of a topic, and what is made of it.
type known struct {
	registry.Topic
	states    []registry.PartitionState // by partition; those without a node have Epoch -1
	overrides map[string]string
	deleting  bool // marked
	// before is how many partitions it had when this run began. If a directory is missing, those without a log are in
	// it; later ones are made.
	before int
	topic  *Topic // in the image; nil: not
}

// absentState is the state of a partition that has none.
var absentState = registry.PartitionState{Leader: registry.NoLeader, Epoch: -1}

func newCoordCatalog(cfg *config.Broker, values *config.Values, log *slog.Logger) *coordCatalog {
	c := &coordCatalog{
		replicas: &replicas{node: cfg.NodeID, log: log}, topicRules: topicRules{cfg}, static: values, values: values,
		changed: func(*config.Broker) {}, core: controller.New(cfg.DeleteTopics), controller: registry.NoController,
		topics: map[string]*known{}, first: true, changes: -1,
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// open takes the directories, brings what they know into the coordinator if they had none so far, and reads the tree.
// The image that it publishes has all topics, and this broker leads none yet.
func (c *coordCatalog) open(dirs []*logstore.Dir) error {
	local, _, err := openReplicas(c.defaults, dirs, c.log)
	if err != nil {
		return err
	}
	local.cancel()
	local.ctx, local.cancel = c.ctx, c.cancel
	c.replicas = local
	if err := c.clear(); err != nil {
		return err
	}
	if err := c.index(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.link.Load()
	if err := c.move(l); err != nil {
		return fmt.Errorf("bringing topics into the coordinator: %w", err)
	}
	return c.reload(l)
}

// index finds the logs that lie in the directories.
func (c *coordCatalog) index() error {
	c.logsByName = map[string]*logstore.Log{}
	for _, l := range c.logs() {
		if other := c.logsByName[l.Name()]; other != nil {
			return fmt.Errorf("log.dirs holds partition %s twice, in %s and %s: move one of them away",
				l.Name(), other.Dir().Path(), l.Dir().Path())
		}
		c.logsByName[l.Name()] = l
	}
	return nil
}

func (c *coordCatalog) Image() *Image { return c.image.Load() }

// settle makes of the named topics what the tree says, the logs that are missing too, and publishes the image. The
// errors are by topic.
func (c *coordCatalog) settle(names []string) map[string]error {
	var missing []place
	for _, name := range names {
		k := c.topics[name]
		if k == nil {
			continue
		}
		old := k.topic
		if k.topic = nil; !k.deleting {
			k.topic = c.build(k, old, &missing)
		}
	}
	errs := c.makeMissing(missing)
	c.publish()
	return errs
}

// settleAll is settle for all topics.
func (c *coordCatalog) settleAll() map[string]error {
	names := make([]string, 0, len(c.topics))
	for name := range c.topics {
		names = append(names, name)
	}
	return c.settle(names)
}

// build is the topic as it is served. Logs that it needs and does not have go into missing.
func (c *coordCatalog) build(k *known, old *Topic, missing *[]place) *Topic {
	n := len(k.Partitions)
	t := &Topic{Name: k.Name, ID: k.ID, Partitions: make([]*Partition, n), Assigned: make([]Assigned, n)}
	c.settings(t, k.overrides)
	for i := range n {
		s, a := &k.states[i], &t.Assigned[i]
		*a = Assigned{Leader: s.Leader, LeaderEpoch: s.LeaderEpoch, Replicas: k.Partitions[i].Replicas, ISR: s.ISR}
		if len(s.ISR) != 1 || s.ISR[0] != c.node || s.Leader != c.node || !c.lead {
			continue
		}
		a.Here, a.ISR = true, c.alone
		if len(a.Replicas) == 1 {
			a.Replicas = c.alone
		}
		l := c.logsByName[partitionName(k.Name, i)]
		switch {
		case l != nil && c.isOf(l, k):
			t.Partitions[i] = c.led(l, s.LeaderEpoch, old, i)
		case l == nil && c.absent(k, i):
		default:
			*missing = append(*missing, place{t, int32(i), s.LeaderEpoch})
		}
	}
	t.configureLogs()
	return t
}

// isOf tells whether the log is of that topic, and not of an older one of its name. Logs of before topics had ids have
// none.
func (c *coordCatalog) isOf(l *logstore.Log, k *known) bool {
	return l.TopicID() == k.ID || l.TopicID() == [16]byte{}
}

// led is the partition with the log, the one that serves already if nothing has changed.
func (c *coordCatalog) led(l *logstore.Log, epoch int32, old *Topic, i int) *Partition {
	if p := old.partition(int32(i)); p != nil && p.log == l && p.epoch == epoch {
		return p
	}
	p := c.replica(l)
	p.epoch = epoch
	return p
}

// absent tells whether the log of partition i, which is not there, may be in a directory that is not there either. What
// was acknowledged may come back with the disk, so it is not made anew.
func (c *coordCatalog) absent(k *known, i int) bool {
	if c.missing && i < k.before {
		return true
	}
	was := c.state.Known[k.Name]
	return i < was.Partitions && was.ID == hex.EncodeToString(k.ID[:])
}

// makeMissing creates logs. What hinders one topic hinders only that one, though then they are made one by one.
func (c *coordCatalog) makeMissing(list []place) map[string]error {
	if len(list) == 0 {
		return nil
	}
	list = c.clearWay(list)
	err := c.make(list)
	c.enter(list)
	if err == nil {
		return c.knowNow(list, nil)
	}
	errs := map[string]error{}
	byTopic := map[*Topic][]place{}
	for _, x := range list {
		if x.t.Partitions[x.index] == nil {
			byTopic[x.t] = append(byTopic[x.t], x)
		}
	}
	for t, rest := range byTopic {
		if len(byTopic) > 1 && c.ctx.Err() == nil {
			err = c.make(rest)
			c.enter(rest)
		}
		if err != nil {
			c.log.Error("logs of a topic cannot be made", "topic", t.Name, "partitions", len(rest), "error", err)
			errs[t.Name] = err
		}
	}
	return c.knowNow(list, errs)
}

// enter puts what was made into the index.
func (c *coordCatalog) enter(list []place) {
	for _, x := range list {
		if p := x.t.Partitions[x.index]; p != nil {
			c.logsByName[p.log.Name()] = p.log
		}
	}
}

// clearWay puts logs aside that are of deleted topics of the same names: nobody knows what is in them, and so nobody may
// delete them. It returns the places that are free then.
func (c *coordCatalog) clearWay(list []place) []place {
	return slices.DeleteFunc(list, func(x place) bool {
		name := partitionName(x.t.Name, int(x.index))
		l := c.logsByName[name]
		if l == nil {
			return false
		}
		path, err := l.Dir().PutAside(l)
		if err != nil {
			c.log.Error("the log of a deleted topic is in the way of a new one", "log", name, "dir", l.Dir().Path(), "error", err)
			return true
		}
		delete(c.logsByName, name)
		c.log.Warn("the log of a topic that the coordinator does not know was put aside for a new one; delete it, or not",
			"log", name, "path", path)
		return false
	})
}

// knowNow notes, with several directories, which logs have been made: that they are missed if one goes.
func (c *coordCatalog) knowNow(list []place, errs map[string]error) map[string]error {
	if !c.several {
		return errs
	}
	err := c.state.update(func(s *catalogState) {
		for _, x := range list {
			if errs[x.t.Name] == nil {
				s.know(x.t.Name, x.t)
			}
		}
	})
	if err != nil {
		c.log.Error("what topics there are is not on disk", "error", err)
	}
	return errs
}

// publish makes the image of what is known, and wakes who waits for partitions that are not served any more, or by
// somebody else.
func (c *coordCatalog) publish() {
	topics := make([]*Topic, 0, len(c.topics))
	for _, k := range c.topics {
		if k.topic != nil {
			topics = append(topics, k.topic)
		}
	}
	before := c.image.Load()
	im := (&Image{ClusterID: c.clusterID, Controller: c.controller, Node: c.node, Nodes: c.members(), Config: c.values,
		Fenced: c.fenced, Registered: c.lead, Strays: c.strayCount}).withTopics(topics)
	c.image.Store(im)
	if before == nil {
		return
	}
	for _, t := range before.Topics() {
		now := im.TopicNamed(t.Name)
		if now == t && im.Fenced == before.Fenced {
			continue
		}
		for i, p := range t.Partitions {
			if p != nil && (now.partition(int32(i)) != p || im.Fenced) {
				p.waiters.wakeAll()
			}
		}
	}
}

// members are the registered brokers. This one is always among them: who reads it is connected to it.
func (c *coordCatalog) members() []Node {
	if slices.ContainsFunc(c.nodes, func(n Node) bool { return n.ID == c.node }) {
		return c.nodes
	}
	return append([]Node{{ID: c.node, Rack: c.defaults.Rack}}, c.nodes...)
}

// strays are logs of topics that the coordinator does not know.
func (c *coordCatalog) strays() (list []string) {
	for name, l := range c.logsByName {
		k := c.topics[l.Topic()]
		if k == nil || !c.isOf(l, k) || int(l.Partition()) >= len(k.Partitions) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func partitionName(topic string, i int) string { return fmt.Sprintf("%s-%d", topic, i) }

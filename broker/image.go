package broker

import (
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// Image is one state of the cluster as this broker knows it: its members and topics. It is immutable; a change
// makes a new image and publishes it whole, so that a request sees one state from beginning to end.
type Image struct {
	ClusterID  string
	Controller int32 // node id, -1 when there is none
	Node       int32 // this broker's id
	Nodes      []Node
	Config     *config.Values // this broker's, with what was set while it ran
	// Fenced: produce with acks=0 and 1, and fetch, are refused, since the coordinator may have taken another leader
	// (coordination.on.loss=fence).
	Fenced     bool
	Registered bool // with a coordinator, if there is one
	Strays     int  // logs of topics that the coordinator does not know

	topics []*Topic // by name
	byName map[string]*Topic
	byID   map[[16]byte]*Topic
}

// Node is a member of the cluster.
type Node struct {
	ID        int32
	Rack      string // empty when none
	Endpoints []Endpoint
}

// Endpoint is where another member is reached, under the name of one of its listeners. This broker's own are what it
// advertises.
type Endpoint struct {
	Listener string
	Host     string
	Port     int32
}

// Topic is a topic and its partitions; index i holds partition i, nil if what it was in is offline or missing, or if
// this broker does not lead it.
type Topic struct {
	Name       string
	ID         [16]byte
	Internal   bool
	Overrides  map[string]string // configuration set on the topic itself
	Config     config.TopicConfig
	Partitions []*Partition
	Assigned   []Assigned // by partition; nil without a coordinator, when this broker leads all
}

// Assigned is where a partition is, as the coordinator says.
type Assigned struct {
	Leader      int32 // -1: none
	LeaderEpoch int32
	Replicas    []int32
	ISR         []int32
	Here        bool // this broker leads it, and nobody else has to have what is written
}

// withTopics returns a copy of im whose topics are ts.
func (im *Image) withTopics(ts []*Topic) *Image {
	n := *im
	n.topics = slices.SortedFunc(slices.Values(ts), func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
	n.byName = make(map[string]*Topic, len(ts))
	n.byID = make(map[[16]byte]*Topic, len(ts))
	for _, t := range ts {
		n.byName[t.Name] = t
		n.byID[t.ID] = t
	}
	return &n
}

// Topics returns every topic in the order of their names. The caller must not change the slice.
func (im *Image) Topics() []*Topic { return im.topics }

// Topic returns the topic with that name, or nil. It does not allocate.
func (im *Image) Topic(name []byte) *Topic { return im.byName[string(name)] }

// TopicNamed is Topic for a string.
func (im *Image) TopicNamed(name string) *Topic { return im.byName[name] }

// TopicByID returns the topic with that id, or nil.
func (im *Image) TopicByID(id [16]byte) *Topic { return im.byID[id] }

// partition returns partition i of t, or nil when t is nil or has no such partition.
func (t *Topic) partition(i int32) *Partition {
	if t == nil || i < 0 || int(i) >= len(t.Partitions) {
		return nil
	}
	return t.Partitions[i]
}

// unavailable is why partition i of t, which may be nil, is not here: there is no such partition, another broker leads
// it, or what it was in is offline or missing.
func (t *Topic) unavailable(i int32) wire.ErrorCode {
	switch {
	case t == nil || i < 0 || int(i) >= len(t.Partitions):
		return wire.UnknownTopicOrPartition
	case t.Assigned != nil && !t.Assigned[i].Here:
		return wire.NotLeaderOrFollower
	}
	return wire.KafkaStorageError
}

// node returns the member with that id, or nil.
func (im *Image) node(id int32) *Node {
	for i := range im.Nodes {
		if im.Nodes[i].ID == id {
			return &im.Nodes[i]
		}
	}
	return nil
}

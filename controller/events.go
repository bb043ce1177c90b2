package controller

import "github.com/sluice-mq/sluice/coordination/registry"

// Partition names one partition of a topic.
type Partition struct {
	Topic string
	Index int32
}

// State is a partition with its leader and in-sync replicas.
type State struct {
	Partition
	registry.PartitionState
}

// Event is something that has happened: Elected, Resigned, BrokersChanged, TopicsChanged, DeletionAsked,
// StatesWritten, ReplicasDeleted or TopicRemoved.
type Event interface{ event() }

type (
	// Elected: this broker is the controller of that epoch now, and this is all that the cluster consists of.
	Elected struct {
		Epoch    int32
		Live     map[int32]int64 // brokers that are registered, with their epochs
		Topics   []registry.Topic
		States   []State // of the partitions that have one
		Deleting []string
	}
	// Resigned: it is the controller no more. The core forgets everything.
	Resigned struct{}
	// BrokersChanged: these are the brokers that are registered.
	BrokersChanged struct{ Live map[int32]int64 }
	// TopicsChanged: these topics are new or have more partitions; those are no longer there.
	TopicsChanged struct {
		Topics []registry.Topic
		States []State // of their partitions, as far as somebody has written them
		Gone   []string
	}
	// DeletionAsked: these topics are marked for deletion.
	DeletionAsked struct{ Names []string }
	// StatesWritten: what a WriteStates was for stands like that in the registry now.
	StatesWritten struct{ States []State }
	// ReplicasDeleted: a DeleteReplicas has ended, if Failed without having deleted them all.
	ReplicasDeleted struct {
		Topic  string
		Broker int32
		Failed bool
	}
	// TopicRemoved: a RemoveTopic is done.
	TopicRemoved struct{ Topic string }
)

func (Elected) event()         {}
func (Resigned) event()        {}
func (BrokersChanged) event()  {}
func (TopicsChanged) event()   {}
func (DeletionAsked) event()   {}
func (StatesWritten) event()   {}
func (ReplicasDeleted) event() {}
func (TopicRemoved) event()    {}

// Effect is something to be done: WriteStates, DeleteReplicas, RemoveTopic or Unmark.
type Effect interface{ effect() }

type (
	// WriteStates: the states are to be written, each as one that is new where its Epoch is negative, else where the
	// registry still has that one. StatesWritten answers it.
	WriteStates struct{ States []State }
	// DeleteReplicas: the broker is to delete what it has of the topic. ReplicasDeleted answers it.
	DeleteReplicas struct {
		Topic  string
		Broker int32
	}
	// RemoveTopic: nobody has anything of the topic any more, so that its nodes can go, the mark last. TopicRemoved
	// answers it.
	RemoveTopic struct{ Topic string }
	// Unmark: the mark is of a topic that does not exist, or may not be deleted.
	Unmark struct{ Topic string }
)

func (WriteStates) effect()    {}
func (DeleteReplicas) effect() {}
func (RemoveTopic) effect()    {}
func (Unmark) effect()         {}

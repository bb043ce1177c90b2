package controller

import "fmt"

// PartitionState is where a partition stands (Kafka's PartitionState).
type PartitionState uint8

// The states of a partition. New: it has an assignment, and no leader has ever been elected. Offline: its leader is
// gone and no other could be elected.
const (
	NonExistentPartition PartitionState = iota
	NewPartition
	OnlinePartition
	OfflinePartition
)

// from has, for each state, those that it may follow.
var partitionFrom = [...][]PartitionState{
	NonExistentPartition: {OfflinePartition},
	NewPartition:         {NonExistentPartition},
	OnlinePartition:      {NewPartition, OnlinePartition, OfflinePartition},
	OfflinePartition:     {NewPartition, OnlinePartition, OfflinePartition},
}

// ReplicaState is where a replica stands (Kafka's ReplicaState).
type ReplicaState uint8

// The states of a replica.
const (
	NonExistentReplica ReplicaState = iota
	NewReplica
	OnlineReplica
	OfflineReplica
	DeletionStarted
	DeletionSuccessful
	DeletionIneligible
)

var replicaFrom = [...][]ReplicaState{
	NonExistentReplica: {DeletionSuccessful},
	NewReplica:         {NonExistentReplica},
	OnlineReplica:      {NewReplica, OnlineReplica, OfflineReplica, DeletionIneligible},
	OfflineReplica:     {NewReplica, OnlineReplica, OfflineReplica, DeletionIneligible},
	DeletionStarted:    {OfflineReplica},
	DeletionSuccessful: {DeletionStarted},
	DeletionIneligible: {OfflineReplica, DeletionStarted},
}

// become is the one setter of a state: it checks that the change is one of Kafka's.
func become[S ~uint8](what string, from [][]S, at *S, to S) {
	for _, s := range from[to] {
		if s == *at {
			*at = to
			return
		}
	}
	panic(fmt.Sprintf("BUG: %s cannot go from state %d to %d", what, *at, to))
}

func (p *partition) become(to PartitionState) { become("partition", partitionFrom[:], &p.state, to) }

func (p *partition) replicaBecomes(i int, to ReplicaState) {
	become("replica", replicaFrom[:], &p.replicaStates[i], to)
}

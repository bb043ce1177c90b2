package wire

import "strconv"

// Key is an API key.
type Key int16

// The API keys of Kafka 4.4, and those of its ZooKeeper mode (4 to 7).
const (
	KeyProduce                               Key = 0
	KeyFetch                                 Key = 1
	KeyListOffsets                           Key = 2
	KeyMetadata                              Key = 3
	KeyLeaderAndIsr                          Key = 4
	KeyStopReplica                           Key = 5
	KeyUpdateMetadata                        Key = 6
	KeyControlledShutdown                    Key = 7
	KeyOffsetCommit                          Key = 8
	KeyOffsetFetch                           Key = 9
	KeyFindCoordinator                       Key = 10
	KeyJoinGroup                             Key = 11
	KeyHeartbeat                             Key = 12
	KeyLeaveGroup                            Key = 13
	KeySyncGroup                             Key = 14
	KeyDescribeGroups                        Key = 15
	KeyListGroups                            Key = 16
	KeySaslHandshake                         Key = 17
	KeyApiVersions                           Key = 18
	KeyCreateTopics                          Key = 19
	KeyDeleteTopics                          Key = 20
	KeyDeleteRecords                         Key = 21
	KeyInitProducerId                        Key = 22
	KeyOffsetForLeaderEpoch                  Key = 23
	KeyAddPartitionsToTxn                    Key = 24
	KeyAddOffsetsToTxn                       Key = 25
	KeyEndTxn                                Key = 26
	KeyWriteTxnMarkers                       Key = 27
	KeyTxnOffsetCommit                       Key = 28
	KeyDescribeAcls                          Key = 29
	KeyCreateAcls                            Key = 30
	KeyDeleteAcls                            Key = 31
	KeyDescribeConfigs                       Key = 32
	KeyAlterConfigs                          Key = 33
	KeyAlterReplicaLogDirs                   Key = 34
	KeyDescribeLogDirs                       Key = 35
	KeySaslAuthenticate                      Key = 36
	KeyCreatePartitions                      Key = 37
	KeyCreateDelegationToken                 Key = 38
	KeyRenewDelegationToken                  Key = 39
	KeyExpireDelegationToken                 Key = 40
	KeyDescribeDelegationToken               Key = 41
	KeyDeleteGroups                          Key = 42
	KeyElectLeaders                          Key = 43
	KeyIncrementalAlterConfigs               Key = 44
	KeyAlterPartitionReassignments           Key = 45
	KeyListPartitionReassignments            Key = 46
	KeyOffsetDelete                          Key = 47
	KeyDescribeClientQuotas                  Key = 48
	KeyAlterClientQuotas                     Key = 49
	KeyDescribeUserScramCredentials          Key = 50
	KeyAlterUserScramCredentials             Key = 51
	KeyVote                                  Key = 52
	KeyBeginQuorumEpoch                      Key = 53
	KeyEndQuorumEpoch                        Key = 54
	KeyDescribeQuorum                        Key = 55
	KeyAlterPartition                        Key = 56
	KeyUpdateFeatures                        Key = 57
	KeyEnvelope                              Key = 58
	KeyFetchSnapshot                         Key = 59
	KeyDescribeCluster                       Key = 60
	KeyDescribeProducers                     Key = 61
	KeyBrokerRegistration                    Key = 62
	KeyBrokerHeartbeat                       Key = 63
	KeyUnregisterBroker                      Key = 64
	KeyDescribeTransactions                  Key = 65
	KeyListTransactions                      Key = 66
	KeyAllocateProducerIds                   Key = 67
	KeyConsumerGroupHeartbeat                Key = 68
	KeyConsumerGroupDescribe                 Key = 69
	KeyControllerRegistration                Key = 70
	KeyGetTelemetrySubscriptions             Key = 71
	KeyPushTelemetry                         Key = 72
	KeyAssignReplicasToDirs                  Key = 73
	KeyListConfigResources                   Key = 74
	KeyDescribeTopicPartitions               Key = 75
	KeyShareGroupHeartbeat                   Key = 76
	KeyShareGroupDescribe                    Key = 77
	KeyShareFetch                            Key = 78
	KeyShareAcknowledge                      Key = 79
	KeyAddRaftVoter                          Key = 80
	KeyRemoveRaftVoter                       Key = 81
	KeyUpdateRaftVoter                       Key = 82
	KeyInitializeShareGroupState             Key = 83
	KeyReadShareGroupState                   Key = 84
	KeyWriteShareGroupState                  Key = 85
	KeyDeleteShareGroupState                 Key = 86
	KeyReadShareGroupStateSummary            Key = 87
	KeyStreamsGroupHeartbeat                 Key = 88
	KeyStreamsGroupDescribe                  Key = 89
	KeyDescribeShareGroupOffsets             Key = 90
	KeyAlterShareGroupOffsets                Key = 91
	KeyDeleteShareGroupOffsets               Key = 92
	KeyStreamsGroupTopologyDescriptionUpdate Key = 93
	KeyUnregisterController                  Key = 94
)

// NumKeys is how many API keys there are; they run from 0.
const NumKeys = 95

// neverFlexible is the first flexible version of an API that has none.
const neverFlexible = 1<<15 - 1

// keyFacts is indexed by key: Kafka's name of the API, and the first version with compact types and tagged
// fields (KIP-482; flexibleVersions in Kafka's message definitions).
var keyFacts = [NumKeys]struct {
	name     string
	flexible int16
}{
	KeyProduce:                               {"Produce", 9},
	KeyFetch:                                 {"Fetch", 12},
	KeyListOffsets:                           {"ListOffsets", 6},
	KeyMetadata:                              {"Metadata", 9},
	KeyLeaderAndIsr:                          {"LeaderAndIsr", 4},
	KeyStopReplica:                           {"StopReplica", 2},
	KeyUpdateMetadata:                        {"UpdateMetadata", 6},
	KeyControlledShutdown:                    {"ControlledShutdown", 3},
	KeyOffsetCommit:                          {"OffsetCommit", 8},
	KeyOffsetFetch:                           {"OffsetFetch", 6},
	KeyFindCoordinator:                       {"FindCoordinator", 3},
	KeyJoinGroup:                             {"JoinGroup", 6},
	KeyHeartbeat:                             {"Heartbeat", 4},
	KeyLeaveGroup:                            {"LeaveGroup", 4},
	KeySyncGroup:                             {"SyncGroup", 4},
	KeyDescribeGroups:                        {"DescribeGroups", 5},
	KeyListGroups:                            {"ListGroups", 3},
	KeySaslHandshake:                         {"SaslHandshake", neverFlexible},
	KeyApiVersions:                           {"ApiVersions", 3},
	KeyCreateTopics:                          {"CreateTopics", 5},
	KeyDeleteTopics:                          {"DeleteTopics", 4},
	KeyDeleteRecords:                         {"DeleteRecords", 2},
	KeyInitProducerId:                        {"InitProducerId", 2},
	KeyOffsetForLeaderEpoch:                  {"OffsetForLeaderEpoch", 4},
	KeyAddPartitionsToTxn:                    {"AddPartitionsToTxn", 3},
	KeyAddOffsetsToTxn:                       {"AddOffsetsToTxn", 3},
	KeyEndTxn:                                {"EndTxn", 3},
	KeyWriteTxnMarkers:                       {"WriteTxnMarkers", 1},
	KeyTxnOffsetCommit:                       {"TxnOffsetCommit", 3},
	KeyDescribeAcls:                          {"DescribeAcls", 2},
	KeyCreateAcls:                            {"CreateAcls", 2},
	KeyDeleteAcls:                            {"DeleteAcls", 2},
	KeyDescribeConfigs:                       {"DescribeConfigs", 4},
	KeyAlterConfigs:                          {"AlterConfigs", 2},
	KeyAlterReplicaLogDirs:                   {"AlterReplicaLogDirs", 2},
	KeyDescribeLogDirs:                       {"DescribeLogDirs", 2},
	KeySaslAuthenticate:                      {"SaslAuthenticate", 2},
	KeyCreatePartitions:                      {"CreatePartitions", 2},
	KeyCreateDelegationToken:                 {"CreateDelegationToken", 2},
	KeyRenewDelegationToken:                  {"RenewDelegationToken", 2},
	KeyExpireDelegationToken:                 {"ExpireDelegationToken", 2},
	KeyDescribeDelegationToken:               {"DescribeDelegationToken", 2},
	KeyDeleteGroups:                          {"DeleteGroups", 2},
	KeyElectLeaders:                          {"ElectLeaders", 2},
	KeyIncrementalAlterConfigs:               {"IncrementalAlterConfigs", 1},
	KeyAlterPartitionReassignments:           {"AlterPartitionReassignments", 0},
	KeyListPartitionReassignments:            {"ListPartitionReassignments", 0},
	KeyOffsetDelete:                          {"OffsetDelete", neverFlexible},
	KeyDescribeClientQuotas:                  {"DescribeClientQuotas", 1},
	KeyAlterClientQuotas:                     {"AlterClientQuotas", 1},
	KeyDescribeUserScramCredentials:          {"DescribeUserScramCredentials", 0},
	KeyAlterUserScramCredentials:             {"AlterUserScramCredentials", 0},
	KeyVote:                                  {"Vote", 0},
	KeyBeginQuorumEpoch:                      {"BeginQuorumEpoch", 1},
	KeyEndQuorumEpoch:                        {"EndQuorumEpoch", 1},
	KeyDescribeQuorum:                        {"DescribeQuorum", 0},
	KeyAlterPartition:                        {"AlterPartition", 0},
	KeyUpdateFeatures:                        {"UpdateFeatures", 0},
	KeyEnvelope:                              {"Envelope", 0},
	KeyFetchSnapshot:                         {"FetchSnapshot", 0},
	KeyDescribeCluster:                       {"DescribeCluster", 0},
	KeyDescribeProducers:                     {"DescribeProducers", 0},
	KeyBrokerRegistration:                    {"BrokerRegistration", 0},
	KeyBrokerHeartbeat:                       {"BrokerHeartbeat", 0},
	KeyUnregisterBroker:                      {"UnregisterBroker", 0},
	KeyDescribeTransactions:                  {"DescribeTransactions", 0},
	KeyListTransactions:                      {"ListTransactions", 0},
	KeyAllocateProducerIds:                   {"AllocateProducerIds", 0},
	KeyConsumerGroupHeartbeat:                {"ConsumerGroupHeartbeat", 0},
	KeyConsumerGroupDescribe:                 {"ConsumerGroupDescribe", 0},
	KeyControllerRegistration:                {"ControllerRegistration", 0},
	KeyGetTelemetrySubscriptions:             {"GetTelemetrySubscriptions", 0},
	KeyPushTelemetry:                         {"PushTelemetry", 0},
	KeyAssignReplicasToDirs:                  {"AssignReplicasToDirs", 0},
	KeyListConfigResources:                   {"ListConfigResources", 0},
	KeyDescribeTopicPartitions:               {"DescribeTopicPartitions", 0},
	KeyShareGroupHeartbeat:                   {"ShareGroupHeartbeat", 0},
	KeyShareGroupDescribe:                    {"ShareGroupDescribe", 0},
	KeyShareFetch:                            {"ShareFetch", 0},
	KeyShareAcknowledge:                      {"ShareAcknowledge", 0},
	KeyAddRaftVoter:                          {"AddRaftVoter", 0},
	KeyRemoveRaftVoter:                       {"RemoveRaftVoter", 0},
	KeyUpdateRaftVoter:                       {"UpdateRaftVoter", 0},
	KeyInitializeShareGroupState:             {"InitializeShareGroupState", 0},
	KeyReadShareGroupState:                   {"ReadShareGroupState", 0},
	KeyWriteShareGroupState:                  {"WriteShareGroupState", 0},
	KeyDeleteShareGroupState:                 {"DeleteShareGroupState", 0},
	KeyReadShareGroupStateSummary:            {"ReadShareGroupStateSummary", 0},
	KeyStreamsGroupHeartbeat:                 {"StreamsGroupHeartbeat", 0},
	KeyStreamsGroupDescribe:                  {"StreamsGroupDescribe", 0},
	KeyDescribeShareGroupOffsets:             {"DescribeShareGroupOffsets", 0},
	KeyAlterShareGroupOffsets:                {"AlterShareGroupOffsets", 0},
	KeyDeleteShareGroupOffsets:               {"DeleteShareGroupOffsets", 0},
	KeyStreamsGroupTopologyDescriptionUpdate: {"StreamsGroupTopologyDescriptionUpdate", 0},
	KeyUnregisterController:                  {"UnregisterController", 0},
}

// Known tells whether an API has the key.
func (k Key) Known() bool { return k >= 0 && k < NumKeys }

// String is Kafka's name of the API, or the number if there is none.
func (k Key) String() string {
	if !k.Known() {
		return strconv.Itoa(int(k))
	}
	return keyFacts[k].name
}

// FirstFlexible is the first version with compact types and tagged fields; ok is false if there is none.
func (k Key) FirstFlexible() (version int16, ok bool) {
	if !k.Known() || keyFacts[k].flexible == neverFlexible {
		return 0, false
	}
	return keyFacts[k].flexible, true
}

// Flexible tells whether the version of the API has compact types and tagged fields, and with them request
// header 2 and response header 1 (but see AppendResponseHeader). It is false for an unknown key.
func Flexible(k Key, version int16) bool {
	return k.Known() && version >= keyFacts[k].flexible
}

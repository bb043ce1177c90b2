package registry

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// The fixed nodes (kafka.zk.ZkData).
const (
	ClusterIDPath        = "/cluster/id"
	BrokerIDsPath        = "/brokers/ids"
	BrokerSequencePath   = "/brokers/seqid"
	TopicsPath           = "/brokers/topics"
	ControllerPath       = "/controller"
	ControllerEpochPath  = "/controller_epoch"
	FeaturePath          = "/feature"
	DeleteTopicsPath     = "/admin/delete_topics"
	ReassignPath         = "/admin/reassign_partitions"
	PreferredPath        = "/admin/preferred_replica_election"
	ConfigPath           = "/config"
	ConfigChangesPath    = "/config/changes"
	ISRChangesPath       = "/isr_change_notification"
	LogDirEventsPath     = "/log_dir_event_notification"
	ProducerIDsPath      = "/latest_producer_id_block"
	ACLPath              = "/kafka-acl"
	ACLChangesPath       = "/kafka-acl-changes"
	ACLExtendedPath      = "/kafka-acl-extended"
	ACLExtendedChanges   = "/kafka-acl-extended-changes"
	TokensPath           = "/delegation_token/tokens"
	TokenChangesPath     = "/delegation_token/token_changes"
	ConsumersPath        = "/consumers"
	configChangePrefix   = "config_change_"
	isrChangePrefix      = "isr_change_"
	logDirEventPrefix    = "log_dir_event_"
	aclChangePrefix      = "acl_changes_"
	tokenChangePrefix    = "token_change_"
	controllerEpochFirst = "0" // an epoch that nobody has; the first controller gets 1
)

// BrokerPath is a broker's registration.
func BrokerPath(id int32) string { return BrokerIDsPath + "/" + itoa(id) }

// TopicPath is a topic with its assignment.
func TopicPath(topic string) string { return TopicsPath + "/" + topic }

// PartitionsPath has a child for each partition that has a state.
func PartitionsPath(topic string) string { return TopicPath(topic) + "/partitions" }

// PartitionPath is the parent of a partition's state.
func PartitionPath(topic string, partition int32) string {
	return PartitionsPath(topic) + "/" + itoa(partition)
}

// StatePath is a partition's leader and in-sync replicas.
func StatePath(topic string, partition int32) string {
	return PartitionPath(topic, partition) + "/state"
}

// DeleteTopicPath marks a topic for deletion.
func DeleteTopicPath(topic string) string { return DeleteTopicsPath + "/" + topic }

// TokenPath is a delegation token.
func TokenPath(id string) string { return TokensPath + "/" + id }

func itoa(n int32) string { return strconv.FormatInt(int64(n), 10) }

// checkName says whether a node can have that name: one level, and allowed by ZooKeeper.
func checkName(name string) error {
	if name == "" || strings.Contains(name, "/") || zk.CheckPath("/"+name) != nil {
		return fmt.Errorf("%w: %q", ErrBadName, name)
	}
	return nil
}

// sequence is the number behind the prefix of a sequential node's name. ok is false for a node that is none.
func sequence(name, prefix string) (n int64, ok bool) {
	digits, found := strings.CutPrefix(name, prefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, found && err == nil
}

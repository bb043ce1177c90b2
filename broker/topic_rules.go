package broker

import (
	"strings"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// maxTopicName is Kafka's Topic.MAX_NAME_LENGTH: a directory name of 255 less a partition number and a suffix.
const maxTopicName = 249

// checkTopicName applies Kafka's rules for names (Topic.validate).
func checkTopicName(name string) *Refusal {
	why := ""
	switch {
	case name == "":
		why = "the empty string is not allowed"
	case name == "." || name == "..":
		why = "'" + name + "' is not allowed"
	case len(name) > maxTopicName:
		why = "the length of '" + name + "' is longer than the max allowed length 249"
	case strings.ContainsFunc(name, notTopicRune):
		why = "'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
	default:
		return nil
	}
	return refuse(wire.InvalidTopicException, "Topic name is invalid: %s", why)
}

func notTopicRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
}

// topicNames finds names that differ only in '.' and '_', which metrics cannot keep apart: names by what metrics make
// of them.
type topicNames map[string]string

func takenNames(im *Image) topicNames {
	n := make(topicNames, len(im.Topics()))
	for _, t := range im.Topics() {
		n.add(t.Name)
	}
	return n
}

func (n topicNames) add(name string) { n[strings.ReplaceAll(name, ".", "_")] = name }

// collision is the name that the new one collides with, "" if there is none.
func (n topicNames) collision(name string) string { return n[strings.ReplaceAll(name, ".", "_")] }

// Most partitions that a topic may be created with; each costs a directory and five files. Kafka has no
// such limit but its controller's record batch of 10,000.
const maxPartitions = 10000

// topicRules check what is asked for before anything is done.
type topicRules struct{ defaults *config.Broker }

// onlyHere is why a partition cannot have other replicas.
const onlyHere = "replicas on other brokers than the controller's are not served in this release"

// check applies the rules for a new topic and returns its number of partitions. The order and the words are those
// of Kafka's ReplicationControlManager, with this broker as the only member.
func (d topicRules) check(im *Image, taken topicNames, s *TopicSpec) (int, error) {
	if r := checkTopicName(s.Name); r != nil {
		return 0, r
	}
	if im.TopicNamed(s.Name) != nil {
		return 0, refuse(wire.TopicAlreadyExists, "Topic '%s' already exists.", s.Name)
	}
	if other := taken.collision(s.Name); other != "" {
		return 0, refuse(wire.InvalidTopicException, "Topic '%s' collides with existing topic: %s", s.Name, other)
	}
	if len(s.Assignment) > 0 {
		return d.checkAssignment(im, s)
	}
	partitions, replication := s.Partitions, s.Replication
	switch {
	case replication < -1 || replication == 0:
		return 0, refuse(wire.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case partitions < -1 || partitions == 0:
		return 0, refuse(wire.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	if partitions == -1 {
		partitions = d.defaults.NumPartitions
	}
	if replication == -1 {
		replication = d.defaults.ReplicationFactor
	}
	if int(replication) > len(im.Nodes) {
		return 0, refuse(wire.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): The target replication "+
			"factor of %d cannot be reached because only %d broker(s) are registered.", replication, replication, len(im.Nodes))
	}
	if replication > 1 {
		return 0, refuse(wire.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): %s.", replication, onlyHere)
	}
	if partitions > maxPartitions {
		return 0, refuse(wire.InvalidPartitions, "%d partitions are more than the %d that one topic may be created with.",
			partitions, maxPartitions)
	}
	return int(partitions), nil
}

func (d topicRules) checkAssignment(im *Image, s *TopicSpec) (int, error) {
	switch {
	case s.Replication != -1:
		return 0, refuse(wire.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	case s.Partitions != -1:
		return 0, refuse(wire.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	case len(s.Assignment) > maxPartitions:
		return 0, refuse(wire.InvalidPartitions, "%d partitions are more than the %d that one topic may be created with.",
			len(s.Assignment), maxPartitions)
	}
	for i := range int32(len(s.Assignment)) {
		replicas, ok := s.Assignment[i]
		if !ok {
			return 0, refuse(wire.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		if r := d.checkReplicas(im, replicas); r != nil {
			return 0, r
		}
	}
	return len(s.Assignment), nil
}

// checkReplicas applies the rules for the replicas that a partition is to have.
func (d topicRules) checkReplicas(im *Image, replicas []int32) *Refusal {
	if len(replicas) == 0 {
		return refuse(wire.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	for j, id := range replicas {
		switch {
		case id != d.defaults.NodeID && im.node(id) != nil:
			return refuse(wire.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, and %s.", id, onlyHere)
		case id != d.defaults.NodeID:
			return refuse(wire.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such "+
				"broker is registered.", id)
		case j > 0:
			return refuse(wire.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", id)
		}
	}
	return nil
}

package config

import (
	"fmt"
	"regexp"
)

// together reports what is wrong with settings that are right alone, as Kafka words it
// (LogConfig.validateValues).
func together(text func(key string) string, integer func(key string) int64) error {
	if lo, hi := integer("min.compaction.lag.ms"), integer("max.compaction.lag.ms"); lo > hi {
		return invalid(fmt.Sprintf("conflict topic config setting min.compaction.lag.ms (%s) > max.compaction.lag.ms (%s)",
			text("min.compaction.lag.ms"), text("max.compaction.lag.ms")))
	}
	return nil
}

var replicaElement = regexp.MustCompile(`^[0-9]+:[0-9]+$`)

// checkReplicas has the rule of Kafka's ThrottledReplicaListValidator.
func checkReplicas(name, text string) error {
	list := splitList(text)
	if len(list) == 1 && list[0] == "*" {
		return nil
	}
	for _, e := range list {
		if !replicaElement.MatchString(e) {
			return reason(name + " must be the literal '*' or a list of replicas in the following format: " +
				"[partitionId]:[brokerId],[partitionId]:[brokerId],...")
		}
	}
	return nil
}

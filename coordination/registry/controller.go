package registry

import (
	"fmt"
	"strconv"
)

// Controller is a won election: what a controller's writes are fenced by.
type Controller struct {
	ID           int32 // of the broker
	Epoch        int32 // what requests to brokers carry
	EpochVersion int32 // of /controller_epoch, which a fenced write checks
}

// ControllerInfo is who is the controller now.
type ControllerInfo struct {
	ID         int32 // of the broker, NoController if there is none
	Timestamp  int64 // of the election, milliseconds since 1970
	KRaftEpoch int32 // above 0: of a KRaft controller that has taken over; else -1
	Session    int64 // that owns the node
}

// NoController is the ID when nobody is elected.
const NoController = -1

// encode is the content of /controller, version 2 (since Kafka 3.4).
func (c *ControllerInfo) encode() []byte {
	dst := appendInt([]byte(`{"version":2,"brokerid":`), int64(c.ID))
	dst = appendInt(append(dst, `,"timestamp":"`...), c.Timestamp)
	return append(appendInt(append(dst, `","kraftControllerEpoch":`...), int64(c.KRaftEpoch)), '}')
}

// decodeController reads the versions 1 and 2. Only the broker's id has to be there.
func decodeController(data []byte) (ControllerInfo, error) {
	o := parse(ControllerPath, data)
	c := ControllerInfo{ID: o.int32("brokerid"), KRaftEpoch: optional(o, "kraftControllerEpoch", int32(-1))}
	if ms, err := strconv.ParseInt(optional(o, "timestamp", ""), 10, 64); err == nil {
		c.Timestamp = ms
	}
	return c, o.done()
}

// decodeControllerEpoch reads a number in decimal.
func decodeControllerEpoch(data []byte) (int32, error) {
	n, err := strconv.ParseInt(string(data), 10, 32)
	if err != nil || n < 0 {
		return 0, &DecodeError{ControllerEpochPath, fmt.Errorf("%.40q is no epoch", data)}
	}
	return int32(n), nil
}

// Feature is what has been finalized of the features of the cluster (KIP-584).
type Feature struct {
	Enabled bool // whether the levels count
	// Levels are the highest versions in use. A Kafka 3.9 broker in ZooKeeper mode knows none: with any level that
	// counts it refuses to start.
	Levels map[string]int16
}

// decodeFeature reads the versions 1 and 2 of /feature.
func decodeFeature(data []byte) (Feature, error) {
	o := parse(FeaturePath, data)
	o.version(1, 2)
	status := o.int32("status")
	if status != 0 && status != 1 {
		o.fail("status %d", status)
	}
	f := Feature{Enabled: status == 1, Levels: map[string]int16{}}
	for name, versions := range value[map[string]map[string]int16](o, "features") {
		level, ok := versions["max_version_level"]
		if !ok || level < 1 {
			o.fail("feature %q has no max_version_level", name)
		}
		f.Levels[name] = level
	}
	return f, o.done()
}

// encodeClusterID is the content of /cluster/id. Its version is a string, unlike all others.
func encodeClusterID(id string) []byte {
	return append(appendString([]byte(`{"version":"1","id":`), id), '}')
}

func decodeClusterID(data []byte) (string, error) {
	o := parse(ClusterIDPath, data)
	id := o.string("id")
	if o.err == nil && id == "" {
		o.fail("the id is empty")
	}
	return id, o.done()
}

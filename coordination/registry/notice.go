package registry

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func (p TopicPartition) String() string { return p.Topic + "-" + itoa(p.Partition) }

// encodeConfigChange is a notification, version 2.
func encodeConfigChange(e Entity) []byte {
	return append(appendString([]byte(`{"version":2,"entity_path":`), string(e)), '}')
}

// decodeConfigChange reads the versions 1 (a topic or a client) and 2 (any entity).
func decodeConfigChange(path string, data []byte) (Entity, error) {
	o := parse(path, data)
	var e Entity
	if o.version(1, 2) == 1 {
		kind := o.string("entity_type")
		if o.err == nil && kind != TopicType && kind != ClientType {
			o.fail("entity_type %q", kind)
		}
		e = Entity(kind + "/" + o.string("entity_name"))
	} else {
		e = Entity(o.string("entity_path"))
	}
	if o.err == nil {
		o.err = e.check()
	}
	return e, o.done()
}

// appendPartition appends a partition as an object, open for more keys.
func appendPartition(dst []byte, p TopicPartition) []byte {
	dst = appendString(append(dst, `{"topic":`...), p.Topic)
	return appendInt(append(dst, `,"partition":`...), int64(p.Partition))
}

// encodePartitions is the content of a notification of changed in-sync replicas, and of the wish for a preferred
// election.
func encodePartitions(list []TopicPartition) []byte {
	dst := appendList([]byte(`{"version":1,"partitions":`), list, func(dst []byte, p TopicPartition) []byte {
		return append(appendPartition(dst, p), '}')
	})
	return append(dst, '}')
}

func decodePartitions(path string, data []byte) ([]TopicPartition, error) {
	o := parse(path, data)
	var list []TopicPartition
	o.objects("partitions", func(p *object) {
		list = append(list, TopicPartition{p.string("topic"), p.int32("partition")})
	})
	return list, o.done()
}

// Reassignment is the wish to move a partition to other brokers.
type Reassignment struct {
	TopicPartition
	Replicas []int32
}

func encodeReassignments(list []Reassignment) []byte {
	dst := appendList([]byte(`{"version":1,"partitions":`), list, func(dst []byte, r Reassignment) []byte {
		dst = append(appendPartition(dst, r.TopicPartition), `,"replicas":`...)
		return append(appendIDs(dst, r.Replicas), '}')
	})
	return append(dst, '}')
}

func decodeReassignments(data []byte) ([]Reassignment, error) {
	o := parse(ReassignPath, data)
	var list []Reassignment
	o.objects("partitions", func(p *object) {
		tp := TopicPartition{p.string("topic"), p.int32("partition")}
		list = append(list, Reassignment{tp, value[[]int32](p, "replicas")})
	})
	return list, o.done()
}

// encodeLogDirFailure is the notification that a log directory of the broker has failed, the only event there is.
func encodeLogDirFailure(broker int32) []byte {
	return append(appendInt([]byte(`{"version":1,"broker":`), int64(broker)), `,"event":1}`...)
}

func decodeLogDirFailure(path string, data []byte) (broker int32, err error) {
	o := parse(path, data)
	return o.int32("broker"), o.done()
}

//go:build peers

package differential

import (
	"fmt"
	"hash/crc32"
	"net"
	"reflect"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// flatten writes a response as paths and texts. Elements of a list are named by what identifies them (topic,
// partition, key), not by position, since Kafka promises no order; only in Fetch answers, where order has a
// meaning, it is a field of its own.
//
// What is not compared literally, and why:
//
//	address, node id, cluster id   each broker's own: must be exactly the answering broker's
//	topic id                       chosen by the broker: must be the one it gave that topic
//	producer id, session id        chosen by the broker: only whether there is one
//	log append time, features epoch read from a clock or counter: only whether there is one
//	log directories, their space   each broker's own: only whether there is one
//	error messages, documentation  prose for people: only whether there is one
//	cut batch at the end of Fetch  allowed by the protocol and ignored by clients: whole batches are compared
//	CRC, max timestamp of batches  with log append time these hold the broker's clock
func (s *side) flatten(fields map[string]string, response kmsg.Response) {
	f := flattener{s, fields, response.Key()}
	f.structure("", reflect.ValueOf(response).Elem())
}

type flattener struct {
	side   *side
	fields map[string]string
	key    int16
}

func (f flattener) structure(path string, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		name := t.Field(i).Name
		if name == "Version" && path == "" {
			continue
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		f.field(at, name, v.Field(i))
	}
}

func (f flattener) field(path, name string, v reflect.Value) {
	if text, ok := f.own(name, v.Interface()); ok {
		f.fields[path] = text
		return
	}
	switch x := v.Interface().(type) {
	case kmsg.Tags:
		x.Each(func(tag uint32, value []byte) { f.fields[fmt.Sprintf("%s[%d]", path, tag)] = fmt.Sprintf("%x", value) })
	case []byte:
		if name == "RecordBatches" {
			f.batches(path, x)
		} else {
			f.fields[path] = fmt.Sprintf("%x", x)
		}
	case [16]byte:
		f.fields[path] = fmt.Sprintf("%x", x)
	default:
		f.value(path, v)
	}
}

func (f flattener) value(path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		f.structure(path, v)
	case reflect.Pointer:
		if v.IsNil() {
			f.fields[path] = "null"
		} else {
			f.value(path, v.Elem())
		}
	case reflect.String:
		f.fields[path] = strconv.Quote(v.String())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			f.list(path, v)
		} else {
			f.fields[path] = fmt.Sprint(v.Interface())
		}
	default:
		f.fields[path] = fmt.Sprint(v.Interface())
	}
}

func (f flattener) list(path string, v reflect.Value) {
	order := []string{}
	seen := map[string]int{}
	for i := range v.Len() {
		name := identity(v.Index(i), i)
		if seen[name]++; seen[name] > 1 {
			name += "#" + strconv.Itoa(seen[name])
		}
		order = append(order, name)
		f.structure(path+"["+name+"]", v.Index(i))
	}
	f.fields[path] = fmt.Sprintf("%d elements", v.Len())
	if f.key == int16(kmsg.Fetch) {
		f.fields[path] = strings.Join(order, ",")
	}
}

// identity names a list's element by the first of the fields that name things.
func identity(v reflect.Value, position int) string {
	for _, name := range []string{"Topic", "Partition", "ApiKey", "Name", "NodeID", "Key", "RelativeOffset"} {
		x := v.FieldByName(name)
		if !x.IsValid() {
			continue
		}
		if x.Kind() == reflect.Pointer {
			if x.IsNil() {
				break
			}
			x = x.Elem()
		}
		if name == "ApiKey" {
			return kmsg.NameForKey(int16(x.Int()))
		}
		if name == "NodeID" {
			return "node"
		}
		return fmt.Sprint(x.Interface())
	}
	return "#" + strconv.Itoa(position)
}

// own turns a value that is each broker's own into words. Only the expected value becomes a word: a wrong one stays
// as it is and differs.
func (f flattener) own(name string, v any) (string, bool) {
	host, port, _ := net.SplitHostPort(f.side.address)
	self := func(same bool, word string) (string, bool) { return word, same }
	switch x := v.(type) {
	case int32:
		switch name {
		case "NodeID", "ControllerID", "Leader":
			return self(x == f.side.node, "this broker")
		case "Port":
			return self(strconv.Itoa(int(x)) == port, "own port")
		case "SessionID":
			return self(x > 0, "a session")
		}
	case []int32:
		if name == "Replicas" || name == "ISR" || name == "OfflineReplicas" {
			return self(len(x) == 1 && x[0] == f.side.node, "this broker")
		}
	case int64:
		switch name {
		case "ProducerID":
			return self(x >= 0, "an id")
		case "LogAppendTime":
			return self(x > 0, "a time")
		case "FinalizedFeaturesEpoch":
			return self(x >= 0, "an epoch")
		case "TotalBytes", "UsableBytes":
			return self(x > 0, "bytes")
		}
	case string:
		if name == "Host" {
			return self(x == host, "own host")
		}
		if name == "ClusterID" {
			return self(x == f.side.cluster, "own id")
		}
		if name == "Dir" {
			return self(strings.HasPrefix(x, "/"), "a directory")
		}
	case *string:
		if name == "ErrorMessage" {
			return self(x != nil && *x != "", "a message")
		}
		if name == "Documentation" {
			return self(x != nil && *x != "", "a text")
		}
		if name == "ClusterID" {
			return self(x != nil && *x == f.side.cluster, "own id")
		}
	case [16]byte:
		if topic, ok := f.side.topics[x]; ok {
			return "id of " + topic, true
		}
	}
	return "", false
}

// batches compares record batches by header and content; see flatten for what is left out.
func (f flattener) batches(path string, records []byte) {
	if records == nil {
		f.fields[path] = "null"
		return
	}
	n := 0
	for ; len(records) >= 61; n++ {
		var b kmsg.RecordBatch
		if b.ReadFrom(records) != nil {
			break // cut
		}
		size := 12 + int(b.Length)
		text := fmt.Sprintf("offset %d, %d bytes, epoch %d, magic %d, attributes %d, last delta %d, first time %d, producer %d/%d/%d, "+
			"%d records, content %08x", b.FirstOffset, size, b.PartitionLeaderEpoch, b.Magic, b.Attributes, b.LastOffsetDelta,
			b.FirstTimestamp, min(b.ProducerID, 0), b.ProducerEpoch, b.FirstSequence, b.NumRecords, crc32.ChecksumIEEE(b.Records))
		if b.Attributes&8 == 0 {
			text += fmt.Sprintf(", max time %d, crc %08x", b.MaxTimestamp, uint32(b.CRC))
		}
		if want := crc32.Checksum(records[21:size], castagnoli); want != uint32(b.CRC) {
			text += " WRONG CRC"
		}
		f.fields[fmt.Sprintf("%s[%d]", path, n)] = text
		records = records[size:]
	}
	f.fields[path] = fmt.Sprintf("%d whole batches", n)
}

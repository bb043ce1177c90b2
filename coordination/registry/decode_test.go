package registry

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// What older versions of Kafka wrote, by the documents beside their encoders, in another order and with more keys.
func TestDecodersReadOlderVersions(t *testing.T) {
	one := []Endpoint{{"PLAINTEXT", "h", 9092, "PLAINTEXT"}}
	two := append(one[:1:1], Endpoint{"SSL", "h", 9093, "SSL"})
	for _, c := range []struct {
		data string
		want BrokerInfo
	}{
		{`{"timestamp":2233345666,"jmx_port":9999,"port":9092,"host":"h","version":1}`,
			BrokerInfo{Endpoints: one, JMXPort: 9999, Timestamp: 2233345666}},
		{`{"version":2,"host":"h","port":9092,"jmx_port":-1,"timestamp":"5","endpoints":["PLAINTEXT://h:9092","ssl://h:9093"],"x":{"y":[]}}`,
			BrokerInfo{Endpoints: two, JMXPort: -1, Timestamp: 5}},
		{`{"version":3,"jmx_port":-1,"timestamp":"never","endpoints":["PLAINTEXT://h:9092"],"rack":"dc1"}`,
			BrokerInfo{Endpoints: one, JMXPort: -1, Rack: "dc1"}},
		{`{"version":4,"jmx_port":-1,"endpoints":["A://:1"],"rack":null,"listener_security_protocol_map":{"A":"SASL_SSL"}}`,
			BrokerInfo{Endpoints: []Endpoint{{"A", "", 1, "SASL_SSL"}}, JMXPort: -1}},
		{`{"version":5,"jmx_port":-1,"endpoints":["a://[::1]:1"],"listener_security_protocol_map":{"A":"SSL"},"features":{"f":{"min_version":1,"first_active_version":2,"max_version":3}}}`,
			BrokerInfo{Endpoints: []Endpoint{{"A", "::1", 1, "SSL"}}, JMXPort: -1, Features: map[string]FeatureRange{"f": {1, 3}}}},
	} {
		c.want.ID = 7
		got, err := decodeBroker(7, []byte(c.data))
		if err != nil || !reflect.DeepEqual(got, &c.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.data, got, err, c.want)
		}
	}
	topic, err := decodeTopic("t", []byte(`{"version":1,"partitions":{"1":[2],"0":[1,2]}}`))
	if err != nil || !reflect.DeepEqual(topic.Partitions, []Assignment{{Replicas: []int32{1, 2}}, {Replicas: []int32{2}}}) {
		t.Error(topic, err)
	}
	topic, err = decodeTopic("t", []byte(`{"partitions":{"0":[1,2]},"version":2,"adding_replicas":{"0":[2]},"removing_replicas":{}}`))
	if err != nil || !reflect.DeepEqual(topic.Partitions, []Assignment{{Replicas: []int32{1, 2}, Adding: []int32{2}}}) {
		t.Error(topic, err)
	}
	if c, err := decodeController([]byte(`{"version":1,"brokerid":3,"timestamp":"5"}`)); err != nil || c != (ControllerInfo{ID: 3, Timestamp: 5, KRaftEpoch: -1}) {
		t.Error(c, err)
	}
	if e, err := decodeConfigChange("p", []byte(`{"version":1,"entity_type":"topics","entity_name":"t"}`)); err != nil || e != TopicEntity("t") {
		t.Error(e, err)
	}
	token, err := decodeToken("p", []byte(`{"version":1,"owner":"User%3Aa","renewers":[],"issueTimestamp":1,"maxTimestamp":2,"expiryTimestamp":3,"tokenId":"i"}`))
	if err != nil || token.Requester != "User:a" || token.Ends != 2 || token.Expires != 3 {
		t.Error(token, err)
	}
	if r, err := decodeACLChange("p", []byte("Topic:a:b")); err != nil || r != (Resource{"Topic", "a:b", false}) {
		t.Error(r, err)
	}
	f, err := decodeFeature([]byte(goldens(t, "testdata/encoders-3.9.1.tsv")["feature v1"]))
	if err != nil || !f.Enabled || f.Levels["f"] != 3 {
		t.Error(f, err)
	}
	c, err := decodeConsumer("/consumers/g/ids/g_h-1-a", []byte(`{"version":1,"subscription":{"t":2},"pattern":"static","timestamp":"1416000000000"}`))
	if err != nil || c.ID != "g_h-1-a" || c.Subscription["t"] != 2 || c.Timestamp != 1416000000000 {
		t.Error(c, err)
	}
}

// decoders are all of them, for the same bytes.
var decoders = map[string]func(data []byte) (again func() []byte, err error){
	"broker": func(d []byte) (func() []byte, error) {
		b, err := decodeBroker(1, d)
		if err == nil && b.check() != nil {
			return nil, nil // read, but never written
		}
		return func() []byte { b.Features = nil; return b.encode() }, err
	},
	"topic": func(d []byte) (func() []byte, error) {
		v, err := decodeTopic("t", d)
		return func() []byte { return v.encode() }, err
	},
	"state": func(d []byte) (func() []byte, error) {
		v, err := decodeState("p", d, 0)
		return func() []byte { return v.encode() }, err
	},
	"controller": func(d []byte) (func() []byte, error) {
		v, err := decodeController(d)
		return func() []byte { return v.encode() }, err
	},
	"epoch":   func(d []byte) (func() []byte, error) { _, err := decodeControllerEpoch(d); return nil, err },
	"feature": func(d []byte) (func() []byte, error) { _, err := decodeFeature(d); return nil, err },
	"cluster": func(d []byte) (func() []byte, error) {
		v, err := decodeClusterID(d)
		return func() []byte { return encodeClusterID(v) }, err
	},
	"config": func(d []byte) (func() []byte, error) {
		v, err := decodeConfig("p", d)
		return func() []byte { return encodeConfig(v) }, err
	},
	"config change": func(d []byte) (func() []byte, error) {
		v, err := decodeConfigChange("p", d)
		return func() []byte { return encodeConfigChange(v) }, err
	},
	"partitions": func(d []byte) (func() []byte, error) {
		v, err := decodePartitions("p", d)
		return func() []byte { return encodePartitions(v) }, err
	},
	"reassign": func(d []byte) (func() []byte, error) {
		v, err := decodeReassignments(d)
		return func() []byte { return encodeReassignments(v) }, err
	},
	"log dir": func(d []byte) (func() []byte, error) {
		v, err := decodeLogDirFailure("p", d)
		return func() []byte { return encodeLogDirFailure(v) }, err
	},
	"producer ids": func(d []byte) (func() []byte, error) { v, err := decodeProducerIDs(d); return v.encode, err },
	"acls": func(d []byte) (func() []byte, error) {
		v, err := decodeACLs("p", d)
		return func() []byte { return encodeACLs(v) }, err
	},
	"acl change": func(d []byte) (func() []byte, error) { v, err := decodeACLChange("p", d); return v.encodeChange, err },
	"acl change extended": func(d []byte) (func() []byte, error) {
		v, err := decodeACLChangeExtended("p", d)
		return v.encodeChange, err
	},
	"token": func(d []byte) (func() []byte, error) {
		v, err := decodeToken("p", d)
		return func() []byte { return v.encode() }, err
	},
	"consumer": func(d []byte) (func() []byte, error) {
		v, err := decodeConsumer("p", d)
		return func() []byte { return v.encode() }, err
	},
}

func TestDecodersRefuse(t *testing.T) {
	const broker = `{"version":5,"jmx_port":1,"endpoints":["A://h:1"],"listener_security_protocol_map":{"A":"SSL"}}`
	for _, c := range []struct{ decoder, data, why string }{
		{"broker", ``, "empty"},
		{"broker", `null`, "no object"},
		{"broker", `[]`, "cannot unmarshal"},
		{"broker", `{`, "unexpected end"},
		{"broker", broker + `x`, "invalid character"},
		{"broker", strings.Replace(broker, `"version":5`, `"Version":5`, 1), `no "version"`},
		{"broker", strings.Replace(broker, `"version":5`, `"version":"5"`, 1), "cannot unmarshal"},
		{"broker", strings.Replace(broker, `"version":5`, `"version":0`, 1), "version 0"},
		{"broker", strings.Replace(broker, `"jmx_port":1,`, ``, 1), `no "jmx_port"`},
		{"broker", strings.Replace(broker, `"endpoints"`, `"x"`, 1), `no "endpoints"`},
		{"broker", strings.Replace(broker, `{"A"`, `{"a"`, 1), "listener A has no security protocol"},
		{"broker", strings.Replace(broker, `A://h:1`, `A:h:1`, 1), "no endpoint"},
		{"broker", strings.Replace(broker, `A://h:1`, `A://h:99999999999`, 1), "no endpoint"},
		{"topic", `{"version":4,"partitions":{}}`, "version 4, can read 1 to 3"},
		{"topic", `{"version":3,"partitions":{"0":[1],"2":[1]}}`, "none with number 1"},
		{"topic", `{"version":3,"partitions":{"00":[1]}}`, `partition "00"`},
		{"topic", `{"version":3,"partitions":{"-1":[1]}}`, `partition "-1"`},
		{"topic", `{"version":3,"partitions":{"0":[1.5]}}`, "cannot unmarshal"},
		{"topic", `{"version":3,"partitions":{"0":[1]},"topic_id":"short"}`, "no topic id"},
		{"state", `{"leader":1,"leader_epoch":1,"controller_epoch":1}`, `no "isr"`},
		{"state", `{"leader":1,"leader_epoch":99999999999,"controller_epoch":1,"isr":[]}`, "leader_epoch"},
		{"state", `{"leader":1,"leader_epoch":1,"controller_epoch":1,"isr":[],"leader_recovery_state":2}`, "leader_recovery_state is 2"},
		{"controller", `{"version":2}`, `no "brokerid"`},
		{"epoch", `-1`, "no epoch"},
		{"epoch", ``, "no epoch"},
		{"feature", `{"version":3,"status":1,"features":{}}`, "version 3"},
		{"feature", `{"version":2,"status":2,"features":{}}`, "status 2"},
		{"feature", `{"version":2,"status":1,"features":{"f":{}}}`, "no max_version_level"},
		{"cluster", `{"version":"1","id":""}`, "empty"},
		{"config", `{"version":1,"config":{"a":1}}`, "cannot unmarshal"},
		{"config change", `{"version":3}`, "version 3"},
		{"config change", `{"version":1,"entity_type":"users","entity_name":"u"}`, `entity_type "users"`},
		{"config change", `{"version":2,"entity_path":"topics"}`, "name not allowed"},
		{"config change", `{"version":2,"entity_path":"topics/../x"}`, "name not allowed"},
		{"config change", `{"version":2,"entity_path":"users/u/x/c"}`, "name not allowed"},
		{"partitions", `{"partitions":[{"topic":"t"}]}`, `"partitions": no "partition"`},
		{"reassign", `{"partitions":[1]}`, "cannot unmarshal"},
		{"producer ids", `{"broker":1,"block_start":"5","block_end":"4"}`, "block from 5 to 4"},
		{"producer ids", `{"broker":1,"block_start":"5","block_end":"99999999999999999999"}`, "no number"},
		{"acls", `{"version":2,"acls":[]}`, "version 2"},
		{"acl change", `Topic`, "no resource"},
		{"acl change", `Thing:x`, "no resource"},
		{"acl change extended", `{"version":1,"resourceType":"TOPIC","name":"x","patternType":"LITERAL"}`, "LITERAL"},
		{"token", `{"version":4}`, "version 4"},
		{"consumer", `{"subscription":{},"pattern":"x"}`, `pattern "x"`},
	} {
		_, err := decoders[c.decoder]([]byte(c.data))
		var bad *DecodeError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.why) || bad.Path == "" || !strings.Contains(err.Error(), bad.Path) {
			t.Errorf("%s %s: got %v, want one about %q", c.decoder, c.data, err, c.why)
		}
	}
}

// FuzzDecode: no decoder panics, each error is a *DecodeError, and what was read is written and read again as the same.
func FuzzDecode(f *testing.F) {
	for _, v := range goldens(f, "testdata/encoders-3.9.1.tsv") {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, decode := range decoders {
			again, err := decode(data)
			var bad *DecodeError
			if err != nil && !errors.As(err, &bad) {
				t.Fatalf("%s: %v is no DecodeError", name, err)
			}
			if err != nil || again == nil {
				continue
			}
			first := again()
			again, err = decode(first)
			if err != nil || string(again()) != string(first) {
				t.Fatalf("%s: %q was written as %q, which does not read as the same: %v", name, data, first, err)
			}
		}
	})
}

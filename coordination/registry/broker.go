package registry

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Endpoint is where a broker is reached, under the name of a listener.
type Endpoint struct {
	Name     string // of the listener, in upper case
	Host     string
	Port     int32
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
}

// String is NAME://host:port, as it stands in the registration.
func (e Endpoint) String() string {
	host := e.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return e.Name + "://" + host + ":" + itoa(e.Port)
}

// FeatureRange is which versions of a feature a broker can do.
type FeatureRange struct {
	Min int16 `json:"min_version"`
	Max int16 `json:"max_version"`
}

// BrokerInfo is a broker's registration.
type BrokerInfo struct {
	ID        int32
	Endpoints []Endpoint
	Rack      string // "": none
	JMXPort   int32  // NoJMX: none
	Timestamp int64  // of the registration, milliseconds since 1970
	// Features are for reading only: Register writes none, since a Kafka broker in ZooKeeper mode can do none.
	Features map[string]FeatureRange

	Epoch   int64 // czxid of the node; what brokers and controller fence each other by. Set when read
	Session int64 // that owns it. Set when read
}

// NoJMX is the JMXPort of a broker without one.
const NoJMX = -1

// brokerVersion is the form written, since Kafka 2.7.
const brokerVersion = 5

// encode is the node's content. Host and port are those of the first listener without encryption, for readers that
// know of one address only.
func (b *BrokerInfo) encode() []byte {
	dst := []byte(`{"features":{},"listener_security_protocol_map":{`)
	for i, e := range b.Endpoints {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(append(appendString(dst, e.Name), ':'), e.Protocol)
	}
	dst = append(dst, `},"endpoints":`...)
	dst = appendList(dst, b.Endpoints, func(dst []byte, e Endpoint) []byte { return appendString(dst, e.String()) })
	if b.Rack != "" {
		dst = appendString(append(dst, `,"rack":`...), b.Rack)
	}
	dst = appendInt(append(dst, `,"jmx_port":`...), int64(b.JMXPort))
	first := slices.IndexFunc(b.Endpoints, func(e Endpoint) bool { return e.Protocol == "PLAINTEXT" })
	if first < 0 {
		dst = append(dst, `,"port":-1,"host":null`...)
	} else {
		dst = appendInt(append(dst, `,"port":`...), int64(b.Endpoints[first].Port))
		dst = appendString(append(dst, `,"host":`...), b.Endpoints[first].Host)
	}
	dst = appendInt(append(dst, `,"version":`...), brokerVersion)
	return append(appendInt(append(dst, `,"timestamp":"`...), b.Timestamp), `"}`...)
}

// check says why no other broker could read the registration: an unreadable one stops the controller from seeing any
// change of brokers (Kafka's KafkaController.processBrokerChange), so it must not be written.
func (b *BrokerInfo) check() error {
	if b.ID < 0 {
		return fmt.Errorf("registry: broker id %d is negative", b.ID)
	}
	if len(b.Endpoints) == 0 {
		return fmt.Errorf("registry: broker %d has no endpoint", b.ID)
	}
	seen := map[string]bool{}
	for _, e := range b.Endpoints {
		back, err := parseEndpoint(e.String())
		switch {
		case err != nil:
			return fmt.Errorf("registry: broker %d: %w", b.ID, err)
		case back.Name != e.Name || back.Host != e.Host || back.Port != e.Port || e.Port <= 0 || e.Port > 65535:
			return fmt.Errorf("registry: broker %d: %q is no endpoint", b.ID, e)
		case defaultProtocols[e.Protocol] == "":
			return fmt.Errorf("registry: broker %d: %q is no security protocol", b.ID, e.Protocol)
		case seen[e.Name]:
			return fmt.Errorf("registry: broker %d: two listeners have the name %s", b.ID, e.Name)
		}
		seen[e.Name] = true
	}
	return nil
}

// defaultProtocols are the protocols, and the listeners named like them, which need no entry in a map.
var defaultProtocols = map[string]string{
	"PLAINTEXT": "PLAINTEXT", "SSL": "SSL", "SASL_PLAINTEXT": "SASL_PLAINTEXT", "SASL_SSL": "SASL_SSL",
}

// decodeBroker reads the versions 1 (host and port), 2 (endpoints), 3 (rack), 4 (security protocols) and 5
// (features). The timestamp is not looked at by Kafka, and so may be anything.
func decodeBroker(id int32, data []byte) (*BrokerInfo, error) {
	o := parse(BrokerPath(id), data)
	version := o.version(1, 1<<31-1)
	b := &BrokerInfo{ID: id, JMXPort: o.int32("jmx_port"), Rack: optional(o, "rack", ""),
		Features: optional(o, "features", map[string]FeatureRange(nil))}
	if ms, err := strconv.ParseInt(strings.Trim(string(o.fields["timestamp"]), `"`), 10, 64); err == nil {
		b.Timestamp = ms
	}
	if version == 1 {
		b.Endpoints = []Endpoint{{"PLAINTEXT", o.string("host"), o.int32("port"), "PLAINTEXT"}}
		return b, o.done()
	}
	protocols := optional(o, "listener_security_protocol_map", defaultProtocols)
	for _, s := range value[[]string](o, "endpoints") {
		e, err := parseEndpoint(s)
		if err != nil {
			o.fail("%w", err)
			break
		}
		if e.Protocol = protocols[e.Name]; e.Protocol == "" {
			o.fail("listener %s has no security protocol", e.Name)
			break
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	return b, o.done()
}

// parseEndpoint reads NAME://host:port, where the host may be empty, or an address of IPv6 in brackets. Names are in
// upper case for Kafka, whatever is written.
func parseEndpoint(s string) (Endpoint, error) {
	name, address, ok := strings.Cut(s, "://")
	host, port, err := net.SplitHostPort(address)
	n, numErr := strconv.ParseInt(port, 10, 32)
	if !ok || name == "" || err != nil || numErr != nil {
		return Endpoint{}, fmt.Errorf("%q is no endpoint", s)
	}
	return Endpoint{Name: strings.ToUpper(name), Host: host, Port: int32(n)}, nil
}

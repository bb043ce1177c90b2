package config

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Listener is one address of listeners or advertised.listeners.
type Listener struct {
	Name     string // upper case
	Protocol string // PLAINTEXT
	Host     string // empty: all addresses when listening
	Port     int    // 0: any free port when listening
}

// Address is host:port as net.Listen takes it.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// String is the form of the properties file.
func (l Listener) String() string { return l.Name + "://" + l.Address() }

// wildcard tells whether the host binds all addresses.
func (l Listener) wildcard() bool {
	ip := net.ParseIP(l.Host)
	return ip != nil && ip.IsUnspecified()
}

// parseListener reads NAME://host:port, where host may be empty or in brackets.
func parseListener(text string) (Listener, error) {
	name, addr, ok := strings.Cut(text, "://")
	if !ok || name == "" {
		return Listener{}, fmt.Errorf("%q is not NAME://host:port", text)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !validPort(port) {
		return Listener{}, fmt.Errorf("%q is not NAME://host:port with a port of 0 to 65535", text)
	}
	n, _ := strconv.Atoi(port)
	return Listener{Name: strings.ToUpper(name), Host: host, Port: n}, nil
}

// listeners reads listeners and advertised.listeners. Listeners that
// controller.listener.names claims are left out, so that a file made for a KRaft
// broker and controller in one process can be used as it is.
func (r *reader) listeners() (bound, advertised []Listener) {
	protocols := r.protocolMap()
	controller := map[string]bool{}
	for _, n := range splitList(r.v.known["controller.listener.names"].Text) {
		controller[strings.ToUpper(n)] = true
	}
	bound = r.listenerList("listeners", protocols, controller)
	if len(bound) == 0 && len(r.problems) == 0 {
		r.fail("listeners", "listeners names no address for clients")
	}
	r.checkDistinct(bound)
	byName := map[string]Listener{}
	if r.v.IsSet("advertised.listeners") {
		for _, l := range r.listenerList("advertised.listeners", protocols, controller) {
			byName[l.Name] = l
		}
	}
	for _, l := range bound {
		advertised = append(advertised, r.advertise(l, byName))
		delete(byName, l.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		r.fail("advertised.listeners", "advertised.listeners names %s, which listeners does not", name)
	}
	return bound, advertised
}

func (r *reader) protocolMap() map[string]string {
	const key = "listener.security.protocol.map"
	m := map[string]string{}
	for _, e := range splitList(r.v.Get(key).Text) {
		name, protocol, ok := strings.Cut(e, ":")
		if !ok || name == "" || protocol == "" {
			r.fail(key, "%s: %q is not NAME:PROTOCOL", key, e)
			continue
		}
		m[strings.ToUpper(name)] = strings.ToUpper(protocol)
	}
	return m
}

func (r *reader) listenerList(key string, protocols map[string]string, skip map[string]bool) []Listener {
	var out []Listener
	for _, text := range splitList(r.v.Get(key).Text) {
		l, err := parseListener(text)
		if err != nil {
			r.fail(key, "%s: %v", key, err)
			continue
		}
		if skip[l.Name] {
			continue
		}
		p, ok := protocols[l.Name]
		switch {
		case !ok:
			r.fail(key, "%s: listener.security.protocol.map does not say what %s is, add %s:PLAINTEXT to it", key, l.Name, l.Name)
		case p != "PLAINTEXT":
			r.fail(key, "%s: %s is %s, and only PLAINTEXT is served yet", key, l.Name, p)
		}
		l.Protocol = p
		out = append(out, l)
	}
	return out
}

func (r *reader) checkDistinct(ls []Listener) {
	names, addrs := map[string]bool{}, map[string]string{}
	for _, l := range ls {
		if names[l.Name] {
			r.fail("listeners", "listeners names %s twice", l.Name)
		}
		names[l.Name] = true
		if other, ok := addrs[l.Address()]; ok && l.Port != 0 {
			r.fail("listeners", "listeners %s and %s have the same address %s", other, l.Name, l.Address())
		}
		addrs[l.Address()] = l.Name
	}
}

// advertise finds what clients are told for the listener l. Kafka refuses to
// advertise 0.0.0.0, since it would send clients to themselves.
func (r *reader) advertise(l Listener, byName map[string]Listener) Listener {
	a, given := byName[l.Name]
	if !given {
		if l.wildcard() {
			r.fail("listeners", "listeners: %s binds all addresses, so clients cannot be told where to connect: "+
				"set advertised.listeners=%s://<host>:%d", l, l.Name, l.Port)
		}
		return l
	}
	if a.wildcard() {
		r.fail("advertised.listeners", "advertised.listeners: %s is no address that a client could connect to", a)
	}
	return a
}

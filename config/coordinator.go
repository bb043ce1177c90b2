package config

import (
	"net"
	"path/filepath"
	"strings"
	"time"
)

// Coordinator is the typed and checked form of the coordinator.* keys.
type Coordinator struct {
	Listeners       []string // host:port
	SecureListeners []string // host:port, with TLS
	Dir             string   // cleaned
	AdminListener   string   // of `sluice coordinator`: host:port, empty for none

	Tick              time.Duration
	MinSessionTimeout time.Duration
	MaxSessionTimeout time.Duration
	MaxPacketBytes    int
	MaxConnsPerIP     int // 0: no limit
	MaxConns          int // 0: no limit
	SnapshotEvery     int // transactions
	SnapshotsKept     int
	Words             []string // four-letter words, "*" for all
	ExtendedTypes     bool
	SuperDigest       string
	MaxNodes          int
	MaxDepth          int
	MaxBytes          int64 // of paths and data, 0: no limit
	MaxWatches        int   // of one connection

	Keystore, Truststore string // PEM files, empty for none
	ClientAuth           string // required, requested, none
}

// Coordinator builds the typed form. Its error is Problems, about values that are right alone but not together.
func (v *Values) Coordinator() (*Coordinator, error) {
	r := reader{v: v}
	c := r.coordinator()
	if len(c.Listeners)+len(c.SecureListeners) == 0 {
		r.fail("coordinator.listeners", "coordinator.listeners names no address for clients")
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return &c, nil
}

func (r *reader) coordinator() Coordinator {
	const p = "coordinator."
	c := Coordinator{
		Listeners:         r.addresses(p + "listeners"),
		SecureListeners:   r.addresses(p + "secure.listeners"),
		Dir:               r.coordinatorDir(),
		AdminListener:     r.address(p + "admin.listener"),
		Tick:              Millis(r.integer(p + "tick.time.ms")),
		MinSessionTimeout: Millis(r.integer(p + "min.session.timeout.ms")),
		MaxSessionTimeout: Millis(r.integer(p + "max.session.timeout.ms")),
		MaxPacketBytes:    int(r.integer(p + "jute.maxbuffer")),
		MaxConnsPerIP:     int(r.integer(p + "max.client.cnxns")),
		MaxConns:          int(r.integer(p + "max.cnxns")),
		SnapshotEvery:     int(r.integer(p + "snap.count")),
		SnapshotsKept:     int(r.integer(p + "autopurge.snap.retain.count")),
		Words:             splitList(r.v.Get(p + "4lw.commands.whitelist").Text),
		ExtendedTypes:     r.boolean(p + "extended.types.enabled"),
		SuperDigest:       r.v.Get(p + "super.digest").Text,
		MaxNodes:          int(r.integer(p + "max.nodes")),
		MaxDepth:          int(r.integer(p + "max.depth")),
		MaxBytes:          r.integer(p + "max.bytes"),
		MaxWatches:        int(r.integer(p + "max.watches")),
		Keystore:          r.v.Get(p + "ssl.keystore.location").Text,
		Truststore:        r.v.Get(p + "ssl.truststore.location").Text,
		ClientAuth:        r.v.Get(p + "ssl.client.auth").Text,
	}
	if c.MinSessionTimeout == Forever {
		c.MinSessionTimeout = 2 * c.Tick
	}
	if c.MaxSessionTimeout == Forever {
		c.MaxSessionTimeout = 20 * c.Tick
	}
	if c.MinSessionTimeout > c.MaxSessionTimeout {
		r.fail(p+"min.session.timeout.ms", "coordinator.min.session.timeout.ms is %d ms, more than coordinator.max.session.timeout.ms, %d ms",
			c.MinSessionTimeout.Milliseconds(), c.MaxSessionTimeout.Milliseconds())
	}
	if len(c.SecureListeners) > 0 && c.Keystore == "" {
		r.fail(p+"ssl.keystore.location", "coordinator.secure.listeners needs coordinator.ssl.keystore.location")
	}
	if len(c.SecureListeners) > 0 && c.ClientAuth != "none" && c.Truststore == "" {
		r.fail(p+"ssl.truststore.location", "coordinator.ssl.client.auth=%s needs coordinator.ssl.truststore.location", c.ClientAuth)
	}
	return c
}

// coordinatorDir is beside the logs unless it is said where: not wherever the process happens to run.
func (r *reader) coordinatorDir() string {
	if dir := r.v.Get("coordinator.dir").Text; dir != "" {
		return filepath.Clean(dir)
	}
	first, _, _ := strings.Cut(r.v.Get(r.v.logDirsKey()).Text, ",")
	return filepath.Join(filepath.Dir(filepath.Clean(strings.TrimSpace(first))), "coordinator")
}

func (r *reader) addresses(key string) []string {
	list := splitList(r.v.Get(key).Text)
	for _, a := range list {
		if _, port, err := net.SplitHostPort(a); err != nil || !validPort(port) {
			r.fail(key, "%s: %q is not host:port", key, a)
		}
	}
	return list
}

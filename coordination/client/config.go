package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/clock"
)

// Config is how a session is opened. Only Servers has to be set.
type Config struct {
	Servers []string // host:port each, asked in random order
	Chroot  string   // below which all paths are; "" or "/": none. The node has to exist, see Session.MakeChroot
	Timeout time.Duration
	Auth    []Auth      // shown to every server that is connected to
	TLS     *tls.Config // nil: none
	// MaxReply bounds a reply's bytes, for long lists of children; a longer one breaks the connection. MaxRequest is
	// what servers take.
	MaxReply, MaxRequest int
	// LastZxid is what an earlier session has seen: servers that are behind refuse this one (ErrBehind).
	LastZxid int64
	Logger   *slog.Logger
	// Dial connects to one of Servers; TLS goes on top. Now is the time since some fixed moment, suspension of the
	// machine included.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	Now  func() time.Duration
}

// Auth is an identity: for the scheme digest, Data is "user:password".
type Auth struct {
	Scheme string
	Data   []byte
}

const (
	defaultTimeout  = 18 * time.Second // zookeeper.session.timeout.ms
	defaultMaxReply = 4 << 20          // as Kafka's own client has it
	// DefaultPort is that of a server that is named without one.
	DefaultPort = "2181"
)

// withDefaults fills in what is not set, and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if len(c.Servers) == 0 {
		return c, errors.New("zookeeper: no server is named")
	}
	c.Servers = slices.Clone(c.Servers)
	if c.Chroot == "/" {
		c.Chroot = ""
	}
	if c.Chroot != "" {
		if err := zk.CheckPath(c.Chroot); err != nil {
			return c, fmt.Errorf("zookeeper: chroot: %w", err)
		}
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Timeout < time.Millisecond || c.Timeout.Milliseconds() > 1<<31-1 {
		return c, fmt.Errorf("zookeeper: session time-out %v is out of range", c.Timeout)
	}
	if c.MaxReply == 0 {
		c.MaxReply = defaultMaxReply
	}
	if c.MaxRequest == 0 {
		c.MaxRequest = zk.DefaultMaxPacket
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Dial == nil {
		var d net.Dialer
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	if c.Now == nil {
		c.Now = clock.Boot
	}
	return c, nil
}

// ParseConnect reads a connect string as Kafka's zookeeper.connect and ZooKeeper's tools have it:
// "host1:port,host2:port/chroot". A missing port is DefaultPort.
func ParseConnect(s string) (servers []string, chroot string, err error) {
	hosts, rest, found := strings.Cut(s, "/")
	if found && rest != "" {
		chroot = "/" + rest
		if err := zk.CheckPath(chroot); err != nil {
			return nil, "", fmt.Errorf("connect string %q: %w", s, err)
		}
	}
	for h := range strings.SplitSeq(hosts, ",") {
		h = strings.TrimSpace(h)
		if h == "" {
			return nil, "", fmt.Errorf("connect string %q: a host is empty", s)
		}
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = strings.Trim(h, "[]"), DefaultPort
			if strings.Contains(host, ":") && h[0] != '[' {
				return nil, "", fmt.Errorf("connect string %q: %q is no host:port", s, h)
			}
		}
		if host == "" || port == "" {
			return nil, "", fmt.Errorf("connect string %q: %q is no host:port", s, h)
		}
		servers = append(servers, net.JoinHostPort(host, port))
	}
	return servers, chroot, nil
}

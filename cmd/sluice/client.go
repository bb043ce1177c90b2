package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const defaultBootstrap = "127.0.0.1:9092"

// clientFlags say how to connect to a cluster.
type clientFlags struct {
	bootstrap string
	options   []string // -X
}

func (f *clientFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.bootstrap, "bootstrap", "b", "", "brokers to ask first, host:port, comma-separated (default "+
		defaultBootstrap+", environment: "+envBootstrap+")")
	cmd.Flags().StringArrayVarP(&f.options, "option", "X", nil, "client setting key=value; keys: "+
		strings.Join(slices.Sorted(maps.Keys(clientOptions)), ", "))
	_ = cmd.RegisterFlagCompletionFunc("option", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for k := range clientOptions {
			names = append(names, k+"=")
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// connection is what -X and --bootstrap amount to.
type connection struct {
	seeds     []string
	timeout   time.Duration // for a broker to be reached, and for each request
	delivery  time.Duration // without an acknowledgement before records are given up
	opts      []kgo.Opt
	tls       *tls.Config
	useTLS    bool
	useSASL   bool
	mechanism string
	user      string
	password  string
}

// clientOptions are the keys of -X. Names are those of Kafka's or librdkafka's
// clients.
var clientOptions = map[string]func(c *connection, v string) error{
	"bootstrap.servers":   func(c *connection, v string) error { c.seeds = strings.Split(v, ","); return nil },
	"client.id":           func(c *connection, v string) error { c.opts = append(c.opts, kgo.ClientID(v)); return nil },
	"request.timeout.ms":  setTimeout,
	"delivery.timeout.ms": setDelivery,
	"security.protocol":   setProtocol,
	"isolation.level":     setIsolation,
	"max.request.size":    setMaxRequest,
	"sasl.mechanism":      func(c *connection, v string) error { c.mechanism = strings.ToUpper(v); return nil },
	"sasl.username":       func(c *connection, v string) error { c.user = v; return nil },
	"sasl.password":       func(c *connection, v string) error { c.password = v; return nil },
	"ssl.ca.location":     setCA,
	"ssl.insecure": func(c *connection, v string) (err error) {
		c.tls.InsecureSkipVerify, err = strconv.ParseBool(v)
		return err
	},
	"linger.ms":           setLinger,
	"fetch.max.bytes":     setFetchMax,
	"fetch.max.wait.ms":   setFetchWait,
	"metadata.max.age.ms": setMetadataAge,
}

func millisOption(v string) (time.Duration, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0, errors.New("want milliseconds")
	}
	return time.Duration(n) * time.Millisecond, nil
}

func bytesOption(v string) (int32, error) {
	n, err := strconv.ParseUint(v, 10, 30)
	if err != nil || n < 1024 {
		return 0, errors.New("want bytes, 1024 to 1073741823")
	}
	return int32(n), nil
}

func setTimeout(c *connection, v string) (err error) {
	c.timeout, err = millisOption(v)
	if err == nil && c.timeout == 0 {
		err = errors.New("want at least 1")
	}
	return err
}

func setDelivery(c *connection, v string) (err error) {
	c.delivery, err = millisOption(v)
	if err == nil && c.delivery == 0 {
		err = errors.New("want at least 1")
	}
	return err
}

func setLinger(c *connection, v string) error {
	d, err := millisOption(v)
	c.opts = append(c.opts, kgo.ProducerLinger(d))
	return err
}

func setFetchWait(c *connection, v string) error {
	d, err := millisOption(v)
	c.opts = append(c.opts, kgo.FetchMaxWait(d))
	return err
}

func setMetadataAge(c *connection, v string) error {
	d, err := millisOption(v)
	c.opts = append(c.opts, kgo.MetadataMaxAge(d))
	return err
}

func setFetchMax(c *connection, v string) error {
	n, err := bytesOption(v)
	c.opts = append(c.opts, kgo.FetchMaxBytes(n), kgo.FetchMaxPartitionBytes(n))
	return err
}

func setMaxRequest(c *connection, v string) error {
	n, err := bytesOption(v)
	c.opts = append(c.opts, kgo.ProducerBatchMaxBytes(n), kgo.BrokerMaxWriteBytes(max(n+64<<10, 100<<20)))
	return err
}

func setProtocol(c *connection, v string) error {
	switch strings.ToUpper(v) {
	case "PLAINTEXT":
	case "SSL":
		c.useTLS = true
	case "SASL_PLAINTEXT":
		c.useSASL = true
	case "SASL_SSL":
		c.useTLS, c.useSASL = true, true
	default:
		return errors.New("want PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
	}
	return nil
}

func setIsolation(c *connection, v string) error {
	switch v {
	case "read_uncommitted":
		c.opts = append(c.opts, kgo.FetchIsolationLevel(kgo.ReadUncommitted()))
	case "read_committed":
		c.opts = append(c.opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	default:
		return errors.New("want read_uncommitted or read_committed")
	}
	return nil
}

func setCA(c *connection, v string) error {
	pem, err := os.ReadFile(v)
	if err != nil {
		return err
	}
	c.tls.RootCAs = x509.NewCertPool()
	if !c.tls.RootCAs.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in the file")
	}
	return nil
}

// resolve reads the flags and the environment.
func (f *clientFlags) resolve(p *program) (*connection, error) {
	c := &connection{timeout: 10 * time.Second, delivery: deliveryTimeout, tls: &tls.Config{}}
	for _, b := range []string{f.bootstrap, p.getenv(envBootstrap), defaultBootstrap} {
		if b != "" {
			c.seeds = strings.Split(b, ",")
			break
		}
	}
	for _, o := range f.options {
		key, v, ok := strings.Cut(o, "=")
		set := clientOptions[key]
		switch {
		case !ok:
			return nil, usagef("-X %s is not key=value", o)
		case set == nil:
			return nil, usagef("-X %s: unknown key; known are %s", key, strings.Join(slices.Sorted(maps.Keys(clientOptions)), ", "))
		}
		if err := set(c, v); err != nil {
			return nil, usagef("-X %s=%s: %v", key, v, err)
		}
	}
	if c.useTLS {
		c.opts = append(c.opts, kgo.DialTLSConfig(c.tls))
	}
	return c, c.login()
}

func (c *connection) login() error {
	if !c.useSASL {
		return nil
	}
	switch c.mechanism {
	case "PLAIN":
		c.opts = append(c.opts, kgo.SASL(plain.Auth{User: c.user, Pass: c.password}.AsMechanism()))
	case "SCRAM-SHA-256":
		c.opts = append(c.opts, kgo.SASL(scram.Auth{User: c.user, Pass: c.password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		c.opts = append(c.opts, kgo.SASL(scram.Auth{User: c.user, Pass: c.password}.AsSha512Mechanism()))
	default:
		return usagef("-X sasl.mechanism=%s: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", c.mechanism)
	}
	return nil
}

// cluster is a client that has reached a broker.
type cluster struct {
	*kgo.Client
	admin *kadm.Client
	conn  *connection
}

// dial connects, and fails with exit code 4 when no broker answers in time. The
// caller closes the client.
func (f *clientFlags) dial(ctx context.Context, p *program, opts ...kgo.Opt) (*cluster, error) {
	c, err := f.resolve(p)
	if err != nil {
		return nil, err
	}
	all := []kgo.Opt{
		kgo.SeedBrokers(c.seeds...), kgo.DialTimeout(c.timeout), kgo.RetryTimeout(c.timeout),
		kgo.ClientID("sluice"), kgo.SoftwareNameAndVersion("sluice", softwareVersion()),
	}
	all = append(append(all, opts...), c.opts...)
	cl, err := kgo.NewClient(all...)
	if err != nil {
		return nil, usageError(err)
	}
	out := &cluster{Client: cl, admin: kadm.NewClient(cl), conn: c}
	out.admin.SetTimeoutMillis(int32(c.timeout.Milliseconds()))
	if err := out.reach(ctx); err != nil {
		cl.Close()
		return nil, err
	}
	return out, nil
}

// softwareVersion is the version as ApiVersions allows it (KIP-511).
func softwareVersion() string {
	v := strings.Trim(strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r == '.' || r == '-' {
			return r
		}
		return -1
	}, currentVersion().Version), ".-")
	return orUnknown(v)
}

// reach asks the cluster for a sign of life.
func (c *cluster) reach(ctx context.Context) error {
	pingCtx, cancel := context.WithTimeout(ctx, c.conn.timeout)
	defer cancel()
	err := c.Ping(pingCtx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		return kafkaError("connecting to "+strings.Join(c.conn.seeds, ","), k, "")
	}
	return &exitError{exitUnreachable, fmt.Errorf(
		"no broker answers at %s: %w; start one with `sluice serve`, or name another with --bootstrap", strings.Join(c.conn.seeds, ","), err)}
}

// topic returns the topic's metadata or a readable error.
func (c *cluster) topic(ctx context.Context, name string) (kadm.TopicDetail, error) {
	m, err := c.admin.Metadata(ctx, name)
	if err != nil {
		return kadm.TopicDetail{}, c.failed(ctx, "topic "+name, err)
	}
	t := m.Topics[name]
	if t.Err != nil {
		return t, kafkaError("topic "+name, t.Err, "")
	}
	return t, nil
}

// failed describes an error of a request: one that a broker answered with, the end
// of ctx, or silence.
func (c *cluster) failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*kerr.Error](err); ok {
		return kafkaError(what, err, "")
	}
	if reachErr := c.reach(ctx); reachErr != nil {
		return reachErr
	}
	return fmt.Errorf("%s: %w", what, err)
}

// completeTopics offers the names of the cluster's topics. A shell waits for it, so
// it gives up soon.
func (f *clientFlags) completeTopics(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	c, err := f.dial(ctx, programOf(cmd))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	list, err := c.admin.ListTopics(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return list.Names(), cobra.ShellCompDirectiveNoFileComp
}

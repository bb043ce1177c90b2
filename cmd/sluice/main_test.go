package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// result is what one command line did.
type result struct {
	code           int
	stdout, stderr string
}

// sluice runs the program in this process.
func sluice(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return sluiceWith(t.Context(), strings.NewReader(stdin), nil, args...)
}

func sluiceWith(ctx context.Context, stdin io.Reader, environ []string, args ...string) result {
	var out, errs buffer
	code := run(ctx, program{args: args, environ: environ, stdin: stdin, stdout: &out, stderr: &errs})
	return result{code, out.String(), errs.String()}
}

// buffer may be written to from several goroutines, as a file may: a command that is run writes there too.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// want checks exit code and that the texts contain what is given.
func (r result) want(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, stdout) || !strings.Contains(r.stderr, stderr) {
		t.Errorf("exit code %d, want %d\nstdout: %s\n  want: %s\nstderr: %s\n  want: %s", r.code, code, r.stdout, stdout, r.stderr, stderr)
	}
}

// fake starts a cluster of three brokers with a topic of four partitions and
// returns its address.
func fake(t *testing.T, opts ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(4, "orders")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return strings.Join(c.ListenAddrs(), ",")
}

func fromJSON[T any](t *testing.T, r result) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatalf("%v in %q, stderr %q", err, r.stdout, r.stderr)
	}
	return v
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"tpic", `no command "tpic", did you mean topic?`},
		{"topic lst", `sluice topic has no command "lst", did you mean list?`},
		{"topic create", "requires at least 1 arg"},
		{"topic list -o xml", "output formats are table, wide, json, yaml, csv"},
		{"topic list --nonsense", "unknown flag: --nonsense"},
		{"topic list -X foo=bar", "-X foo: unknown key; known are bootstrap.servers"},
		{"topic list -X linger.ms", "is not key=value"},
		{"topic list -X request.timeout.ms=soon", "want milliseconds"},
		{"topic list -X request.timeout.ms=0", "want at least 1"},
		{"topic list -X security.protocol=PLAIN", "want PLAINTEXT, SSL"},
		{"topic list -X security.protocol=SASL_SSL", "want PLAIN, SCRAM-SHA-256"},
		{"topic create a --config x", "--config x is not key=value"},
		{"produce t --acks 2", "want 0, 1 or all"},
		{"produce t -z zip", "want none, gzip"},
		{"produce t -H x", "is not name=value"},
		{"produce t --raw -f %v\\n", "exclude each other"},
		{"produce t -f %v", "must be followed by text that ends it"},
		{"produce t -f %o\\n", "no verb %o here"},
		{"produce t -p -2", "want a partition"},
		{"consume t/x", "is no partition"},
		{"consume t --from middle", "want start, end, an offset"},
		{"consume t -f %q", "no verb %q here"},
		{"consume t -e --follow", "exclude each other"},
		{"consume t -n -1", "want 0 or more"},
		{"consume t -o csv", "output formats are format, json"},
		{"version extra", "unknown command"},
	} {
		r := sluice(t, "", strings.Fields(c.args)...)
		r.want(t, exitUsage, "", c.want)
		if r.stdout != "" || !strings.Contains(r.stderr, "--help") {
			t.Errorf("%s: stdout %q, stderr %q", c.args, r.stdout, r.stderr)
		}
	}
}

func TestHelpNamesExitCodes(t *testing.T) {
	sluice(t, "").want(t, exitOK, "130  interrupted", "")
	sluice(t, "", "topic").want(t, exitOK, "describe", "")
	sluice(t, "", "completion", "bash").want(t, exitOK, "complete", "")
}

func TestVersion(t *testing.T) {
	v := fromJSON[versionInfo](t, sluice(t, "", "version", "-o", "json"))
	if !strings.HasPrefix(v.Go, "go1.") || !strings.Contains(v.Platform, "/") {
		t.Errorf("%+v", v)
	}
	sluice(t, "", "version").want(t, exitOK, "sluice ", "")
}

func TestNoBroker(t *testing.T) {
	r := sluice(t, "", "topic", "list", "--bootstrap", "127.0.0.1:1")
	r.want(t, exitUnreachable, "", "no broker answers at 127.0.0.1:1")
	r = sluiceWith(t.Context(), nil, []string{envBootstrap + "=127.0.0.1:2"}, "consume", "x")
	r.want(t, exitUnreachable, "", "no broker answers at 127.0.0.1:2")
}

func TestInterruptedBeforeDone(t *testing.T) {
	addr := fake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sluiceWith(ctx, nil, nil, "topic", "list", "-b", addr).want(t, exitInterrupted, "", "interrupted")
}

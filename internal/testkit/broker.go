package testkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit and stopLimit bound a start and a SIGTERM stop. They are long because the race detector slows the
// program ten times and two cores may be shared; a test that reaches one has failed.
const (
	startLimit = 60 * time.Second
	stopLimit  = 60 * time.Second
)

// Broker is one running `sluice serve`. The exported fields are the ready file's.
type Broker struct {
	PID         int    `json:"pid"`
	NodeID      int32  `json:"node_id"`
	ClusterID   string `json:"cluster_id"`
	Kafka       string `json:"kafka"`       // host:port
	Coordinator string `json:"coordinator"` // host:port of its own, empty where it has none
	Admin       string `json:"admin"`       // host:port
	Dir         string `json:"-"`           // of --data; log.dirs is Dir/logs

	tb      testing.TB
	process *process
}

// Start runs `sluice serve --data dir` on free loopback ports and returns when it is ready. set holds further
// properties as "key=value", or flags as "--flag". dir may hold the data of an earlier Broker, which must have ended.
func Start(tb testing.TB, dir string, set ...string) *Broker {
	tb.Helper()
	ready := filepath.Join(tb.TempDir(), "ready.json")
	b := launch(tb, dir, ready, serveArgs(dir, ready, set))
	if b.Kafka == "" {
		tb.Fatalf("the ready file names no address")
	}
	return b
}

// launch starts the program and waits for its ready file.
func launch(tb testing.TB, dir, ready string, args []string) *Broker {
	tb.Helper()
	b := &Broker{Dir: dir, tb: tb}
	began := time.Now()
	b.process = spawn(tb, Binary(tb), args...)
	tb.Cleanup(b.cleanup)
	gone := make(chan struct{})
	timer := time.AfterFunc(startLimit, b.Kill) // its end then ends the wait
	defer timer.Stop()
	go func() { <-b.process.ended; close(gone) }()
	data, err := await(ready, gone)
	if err != nil {
		tb.Fatalf("sluice %s, after %v: %v", args[0], time.Since(began), err)
	}
	if err := json.Unmarshal(data, b); err != nil {
		tb.Fatalf("ready file %q: %v", data, err)
	}
	if b.PID != b.process.cmd.Process.Pid {
		tb.Fatalf("ready file %q names another process than %d", data, b.process.cmd.Process.Pid)
	}
	return b
}

// StartFailing runs `sluice serve` with args as they are and returns its exit code and what it printed.
// A program that is still running after the time that a start may take fails the test.
func StartFailing(tb testing.TB, args ...string) (code int, output string) {
	tb.Helper()
	return fail(tb, append([]string{"serve"}, args...))
}

func fail(tb testing.TB, args []string) (code int, output string) {
	tb.Helper()
	p := spawn(tb, Binary(tb), args...)
	if !p.wait(startLimit) {
		p.signal(syscall.SIGKILL)
		<-p.ended
		tb.Fatalf("sluice %q runs on, where it had to refuse\n%s", args, p.output())
	}
	return p.cmd.ProcessState.ExitCode(), p.output()
}

func serveArgs(dir, ready string, set []string) []string {
	args := []string{"serve", "--data", dir, "--ready-file", ready,
		"--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "admin.listener=127.0.0.1:0", "--set", "coordinator.listeners=127.0.0.1:0"}
	for _, kv := range set {
		if !strings.HasPrefix(kv, "--") {
			args = append(args, "--set")
		}
		args = append(args, kv)
	}
	return args
}

// Terminate sends SIGTERM and waits; the program must answer what is in flight and exit with code 0.
func (b *Broker) Terminate() {
	b.tb.Helper()
	began := time.Now()
	b.process.signal(syscall.SIGTERM)
	if !b.process.wait(stopLimit) {
		b.process.signal(syscall.SIGQUIT) // prints its goroutines into the log
		b.process.wait(stopLimit)
		b.tb.Fatalf("sluice runs on %v after SIGTERM", stopLimit)
	}
	if code := b.process.cmd.ProcessState.ExitCode(); code != 0 {
		b.tb.Fatalf("sluice ended with code %d after SIGTERM", code)
	}
	b.tb.Logf("sluice %d ended %v after SIGTERM", b.PID, time.Since(began).Round(time.Millisecond))
}

// Kill sends SIGKILL and waits for the end. It may be called from any goroutine, and again.
func (b *Broker) Kill() {
	b.process.signal(syscall.SIGKILL)
	<-b.process.ended
}

// Log is what the program has printed so far.
func (b *Broker) Log() string { return b.process.output() }

func (b *Broker) cleanup() {
	b.Kill()
	log := b.process.output()
	for _, sign := range []string{"WARNING: DATA RACE", "panic:", "fatal error:", "BUG:"} {
		if i := strings.Index(log, sign); i >= 0 {
			b.tb.Errorf("sluice %d printed %q:\n%s", b.PID, sign, head(log[i:], 4000))
			return
		}
	}
	if b.tb.Failed() {
		b.tb.Logf("sluice %d, end of its log:\n%s", b.PID, tail(log, 4000))
	}
}

// process is a child whose two output streams are kept together in memory. ended is closed when it has ended
// and its output is whole.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu; at most logLimit bytes, what comes later is lost
}

const logLimit = 8 << 20

func spawn(tb testing.TB, binary string, args ...string) *process {
	tb.Helper()
	p := &process{cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SLUICE_") }) // its configuration
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("%s %q: %v", binary, args, err)
	}
	go func() {
		defer close(p.ended)
		if err := p.cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			fmt.Fprintf(p, "\ntestkit: %v\n", err)
		}
	}()
	return p
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b[:min(len(b), logLimit-p.out.Len())])
	return len(b), nil
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *process) signal(s os.Signal) {
	select {
	case <-p.ended: // the id may be somebody else's by now
	default:
		p.cmd.Process.Signal(s)
	}
}

func (p *process) wait(limit time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(limit):
		return false
	}
}

func head(s string, n int) string { return s[:min(n, len(s))] }
func tail(s string, n int) string { return s[max(0, len(s)-n):] }

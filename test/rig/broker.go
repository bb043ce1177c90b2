package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Broker is a broker that can be started on a directory, empty or its own.
type Broker interface {
	Name() string
	// Start returns when the broker says that it is ready. set has further properties as "key=value".
	Start(ctx context.Context, dir string, set ...string) error
	Addr() string // host:port, since Start
	PID() int
	Stop() error // by SIGTERM; waits
	Kill() error // by SIGKILL; waits
}

// Sluice is `sluice serve` of a binary.
type Sluice struct {
	Binary string

	addr string
	cmd  *exec.Cmd
}

// Name is "sluice".
func (s *Sluice) Name() string { return "sluice" }

// Addr is where it listens.
func (s *Sluice) Addr() string { return s.addr }

// PID is its process id.
func (s *Sluice) PID() int { return s.cmd.Process.Pid }

// Logs is the log directory of a Sluice whose data are in dir.
func (s *Sluice) Logs(dir string) string { return filepath.Join(dir, "data", "logs") }

// Start polls the ready file five times a millisecond.
func (s *Sluice) Start(ctx context.Context, dir string, set ...string) error {
	ready := filepath.Join(dir, "ready")
	_ = os.Remove(ready)
	args := []string{"serve", "--data", filepath.Join(dir, "data"), "--ready-file", ready,
		"--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "admin.listener=127.0.0.1:0", "--set", "coordinator.listeners=127.0.0.1:0"}
	for _, p := range set {
		args = append(args, "--set", p)
	}
	s.cmd = exec.Command(s.Binary, args...)
	said := &bytes.Buffer{}
	s.cmd.Stderr = said
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for {
		var told struct{ Kafka string }
		text, err := os.ReadFile(ready)
		if err == nil {
			s.addr = ""
			err = json.Unmarshal(text, &told)
			s.addr = told.Kafka
			return err
		}
		if _, err := os.Stat("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/exe"); err != nil || ctx.Err() != nil {
			_ = s.Kill()
			return errors.Join(ctx.Err(), errors.New("sluice did not start: "+said.String()))
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// Stop ends it by SIGTERM.
func (s *Sluice) Stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

// Kill ends it by SIGKILL.
func (s *Sluice) Kill() error {
	err := s.cmd.Process.Kill()
	_ = s.cmd.Wait() // "signal: killed"
	return err
}

// Kafka is a real broker, by the script that has its jars.
type Kafka struct {
	Script string
	Port   int

	dir, addr string
	pid       int
}

// Name is "kafka".
func (k *Kafka) Name() string { return "kafka" }

// Addr is where it listens.
func (k *Kafka) Addr() string { return k.addr }

// PID is its process id.
func (k *Kafka) PID() int { return k.pid }

// Start has the heap of Kafka's own start script; the small index is the setting in which Kafka does best on kernels
// where the first touch of its sparse index mappings is slow.
func (k *Kafka) Start(ctx context.Context, dir string, set ...string) error {
	k.dir = dir
	args := []string{"start", "--data", dir, "--port", strconv.Itoa(k.Port), "--set", "log.index.size.max.bytes=65536"}
	for _, p := range set {
		args = append(args, "--set", p)
	}
	cmd := exec.CommandContext(ctx, k.Script, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	pids, err := exec.CommandContext(ctx, k.Script, "pids", "--data", dir).Output()
	if err != nil {
		return err
	}
	k.addr = string(bytes.TrimSpace(out))
	k.pid, err = strconv.Atoi(string(bytes.TrimSpace(pids)))
	return err
}

// Stop ends it by SIGTERM.
func (k *Kafka) Stop() error { return exec.Command(k.Script, "stop", "--data", k.dir).Run() }

// Kill ends it by SIGKILL.
func (k *Kafka) Kill() error {
	if err := syscallKill(k.pid); err != nil {
		return err
	}
	return k.Stop() // clears up what the script knows of it
}

func syscallKill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// Answers waits until the broker accepts a connection.
func Answers(ctx context.Context, b Broker) error {
	for {
		c, err := net.Dial("tcp", b.Addr())
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// system is a broker that can be started on an empty directory.
type system interface {
	name() string
	start(ctx context.Context, dir string) (addr string, pid int, err error)
	stop() error
}

type sluiceBroker struct {
	binary string
	cmd    *exec.Cmd
}

func (s *sluiceBroker) name() string { return "sluice" }

func (s *sluiceBroker) start(ctx context.Context, dir string) (string, int, error) {
	ready := filepath.Join(dir, "ready")
	s.cmd = exec.CommandContext(ctx, s.binary, "serve", "--data", filepath.Join(dir, "data"), "--ready-file", ready,
		"--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "admin.listener=127.0.0.1:0")
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	if err := s.cmd.Start(); err != nil {
		return "", 0, err
	}
	var told struct{ Kafka string }
	for {
		text, err := os.ReadFile(ready)
		if err == nil {
			err = json.Unmarshal(text, &told)
			return told.Kafka, s.cmd.Process.Pid, err
		}
		if ctx.Err() != nil {
			return "", 0, ctx.Err()
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func (s *sluiceBroker) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

type kafkaBroker struct {
	script, dir string
}

func (k *kafkaBroker) name() string { return "kafka" }

// The heap is that of Kafka's own start script; the small index is the setting in which Kafka does best on kernels
// where the first touch of its sparse index mappings is slow.
func (k *kafkaBroker) start(ctx context.Context, dir string) (string, int, error) {
	k.dir = dir
	const port = 29592
	cmd := exec.CommandContext(ctx, k.script, "start", "--data", dir, "--port", strconv.Itoa(port),
		"--set", "log.index.size.max.bytes=65536")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", 0, err
	}
	pids, err := exec.CommandContext(ctx, k.script, "pids", "--data", dir).Output()
	if err != nil {
		return "", 0, err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(pids)))
	return string(bytes.TrimSpace(out)), pid, err
}

func (k *kafkaBroker) stop() error { return exec.Command(k.script, "stop", "--data", k.dir).Run() }

// answers waits until the broker accepts a connection.
func answers(ctx context.Context, addr string) error {
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
}

// cpuSeconds is the user and system time of a process; the kernel counts in ticks of 10 ms.
func cpuSeconds(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// residentMB is the anonymous memory of a process: what it holds besides mapped files.
func residentMB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb * 1024 / 1e6
		}
	}
	return 0
}

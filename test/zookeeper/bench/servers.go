package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mq/sluice/loadgen"
)

// server is one of the two, which can be started on a directory, empty or its own.
type server interface {
	name() string
	// start returns when it says that it is ready.
	start(ctx context.Context, dir string) error
	addr() string // host:port, since start
	pid() int
	stop() error // by SIGTERM; waits
	kill() error // by SIGKILL; waits
}

// resident is a server's memory in MB.
func resident(s server) (float64, error) {
	p, err := loadgen.ReadProcess(s.pid())
	return float64(p.RSS) / 1e6, err
}

// coordinator is `sluice coordinator`.
type coordinator struct {
	binary string
	at     string
	cmd    *exec.Cmd
}

func (c *coordinator) name() string { return "sluice" }
func (c *coordinator) addr() string { return c.at }
func (c *coordinator) pid() int     { return c.cmd.Process.Pid }

func (c *coordinator) start(ctx context.Context, dir string) error {
	ready := filepath.Join(dir, "ready")
	_ = os.Remove(ready)
	if c.at == "" {
		c.at = "127.0.0.1:0"
	}
	c.cmd = exec.Command(c.binary, "coordinator", "--ready-file", ready, "--set", "coordinator.dir="+filepath.Join(dir, "data"),
		"--set", "coordinator.listeners="+c.at, "--set", "coordinator.admin.listener=", "--set", "coordinator.max.client.cnxns=0")
	said := &bytes.Buffer{}
	c.cmd.Stderr = said
	if err := c.cmd.Start(); err != nil {
		return err
	}
	for {
		if text, err := os.ReadFile(ready); err == nil {
			var r struct{ Coordinator string }
			err := json.Unmarshal(text, &r)
			c.at = r.Coordinator
			return err
		}
		if err := c.cmd.Process.Signal(syscall.Signal(0)); err != nil || ctx.Err() != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("the coordinator did not start: %s", said))
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func (c *coordinator) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // an error shows in the wait
	return c.cmd.Wait()
}

func (c *coordinator) kill() error {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // says that it was killed
	return nil
}

// peer is a real ZooKeeper.
type peer struct {
	script  string
	dir, at string
	id      int
}

func (p *peer) name() string { return "zookeeper" }
func (p *peer) addr() string { return p.at }
func (p *peer) pid() int     { return p.id }

func (p *peer) start(ctx context.Context, dir string) error {
	port := "0"
	if _, old, ok := strings.Cut(p.at, ":"); ok {
		port = old
	}
	p.dir = dir
	out, err := exec.CommandContext(ctx, p.script, "start", "--port", port, "--data", dir).Output()
	if err != nil {
		return fmt.Errorf("%s start: %w", p.script, err)
	}
	p.at = strings.TrimSpace(string(out))
	if out, err = exec.Command(p.script, "pids", "--data", dir).Output(); err != nil {
		return err
	}
	p.id, err = strconv.Atoi(strings.TrimSpace(string(out)))
	return err
}

func (p *peer) stop() error { return exec.Command(p.script, "stop", "--data", p.dir).Run() }

func (p *peer) kill() error {
	process, err := os.FindProcess(p.id)
	if err != nil {
		return err
	}
	if err := process.Kill(); err != nil {
		return err
	}
	for { // it is nobody's child here; its sockets are what it has longest
		c, err := net.Dial("tcp", p.at)
		if err != nil {
			return nil
		}
		c.Close()
	}
}

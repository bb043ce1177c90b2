package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

const (
	connections = 16
	window      = 16 // requests under way on each
)

var data = make([]byte, 100)

func (b *bench) sides() [2]server {
	return [2]server{&coordinator{binary: b.sluice}, &peer{script: b.zookeeper}}
}

func create(path string) *zk.CreateRequest {
	return &zk.CreateRequest{Path: path, Data: data, ACL: zk.OpenACL}
}

// measureRate has both servers running, each with a node for each connection.
func measureRate(ctx context.Context, b *bench) error {
	sides := b.sides()
	var fleets [2]fleet
	for i, s := range sides {
		dir, err := b.fresh(s, 0)
		if err != nil {
			return err
		}
		if err := s.start(ctx, dir); err != nil {
			return err
		}
		defer s.stop()
		if fleets[i], err = dialFleet(s.addr(), connections); err != nil {
			return err
		}
		defer fleets[i].close()
		for n := range connections {
			if err := fleets[i][0].do(zk.OpCreate, create(node(n))); err != nil {
				return err
			}
		}
	}
	get := b.report.Figure("get, 16 connections × 16 under way", "requests/s", "ZooKeeper").AtLeast(1.5)
	set := b.report.Figure("set, 16 connections × 16 under way", "requests/s", "ZooKeeper").AtLeast(1.5)
	getTail := b.report.Figure("get, as above, p99", "ms", "ZooKeeper")
	setTail := b.report.Figure("set, as above, p99", "ms", "ZooKeeper")
	serial := b.report.Figure("set, one at a time, p50", "ms", "ZooKeeper").AtMost(1)
	serialGet := b.report.Figure("get, one at a time, p50", "ms", "ZooKeeper")
	for round := -1; round < b.rounds; round++ {
		span := either(b, 3*time.Second, 300*time.Millisecond)
		if round < 0 { // memory is touched, and a JVM begins to run compiled code
			span = either(b, 8*time.Second, 500*time.Millisecond)
		}
		var v [6][2]float64
		for n := range sides {
			i := (n + max(round, 0)) % 2 // who is first changes
			var err error
			if v[0][i], v[2][i], err = throughput(ctx, fleets[i], zk.OpGetData, span); err != nil {
				return err
			}
			if v[1][i], v[3][i], err = throughput(ctx, fleets[i], zk.OpSetData, span); err != nil {
				return err
			}
			if v[4][i], err = latency(ctx, fleets[i][:1], zk.OpSetData, span/2); err != nil {
				return err
			}
			if v[5][i], err = latency(ctx, fleets[i][:1], zk.OpGetData, span/4); err != nil {
				return err
			}
		}
		if round >= 0 {
			get.Pair(v[0][0], v[0][1])
			set.Pair(v[1][0], v[1][1])
			getTail.Pair(v[2][0], v[2][1])
			setTail.Pair(v[3][0], v[3][1])
			serial.Pair(v[4][0], v[4][1])
			serialGet.Pair(v[5][0], v[5][1])
		}
	}
	return nil
}

func node(i int) string { return fmt.Sprintf("/bench-%02d", i) }

// requests is a next that sends the same request until the time is over.
func requests(op zk.Op, span time.Duration) func(int, *client) func() bool {
	end := time.Now().Add(span)
	return func(i int, c *client) func() bool {
		var r zk.Record = &zk.ReadRequest{Path: node(i)}
		if op == zk.OpSetData {
			r = &zk.SetDataRequest{Path: node(i), Data: data, Version: -1}
		}
		return func() bool {
			if time.Now().After(end) {
				return false
			}
			c.add(op, r)
			return true
		}
	}
}

func throughput(ctx context.Context, f fleet, op zk.Op, span time.Duration) (rate, p99 float64, err error) {
	rate, h, err := f.run(ctx, window, requests(op, span))
	return rate, float64(h.ValueAtQuantile(99)) / 1e6, err
}

func latency(ctx context.Context, f fleet, op zk.Op, span time.Duration) (p50 float64, err error) {
	_, h, err := f.run(ctx, 1, requests(op, span))
	return float64(h.ValueAtQuantile(50)) / 1e6, err
}

// measureTree runs one server at a time, so that each has the machine.
func measureTree(ctx context.Context, b *bench) error {
	nodes := either(b, 100_000, 5_000)
	rate := b.report.Figure(fmt.Sprintf("creating %d nodes, 16 × 16 under way", nodes), "requests/s", "ZooKeeper")
	memory := b.report.Figure("memory with these", "MB", "ZooKeeper").AtMost(0.25)
	ready := b.report.Figure("from start to the first session after a kill -9", "s", "").AtMost(1)
	theirs := b.report.Figure("the same, ZooKeeper", "s", "")
	for round := range min(b.rounds, 3) {
		var v [3][2]float64
		for i, s := range b.sides() {
			dir, err := b.fresh(s, round+1)
			if err != nil {
				return err
			}
			if err := s.start(ctx, dir); err != nil {
				return err
			}
			v[0][i], v[1][i], v[2][i], err = plant(ctx, s, dir, nodes)
			if err = errors.Join(err, s.stop()); err != nil {
				return err
			}
		}
		rate.Pair(v[0][0], v[0][1])
		memory.Pair(v[1][0], v[1][1])
		ready.Add(v[2][0])
		theirs.Add(v[2][1])
	}
	return nil
}

// plant creates nodes, kills the server and starts it again.
func plant(ctx context.Context, s server, dir string, nodes int) (rate, megabytes, seconds float64, err error) {
	f, err := dialFleet(s.addr(), connections)
	if err != nil {
		return 0, 0, 0, err
	}
	defer f.close()
	rate, _, err = f.run(ctx, window, func(i int, c *client) func() bool {
		n := i - connections
		return func() bool {
			if n += connections; n >= nodes {
				return false
			}
			c.add(zk.OpCreate, create(fmt.Sprintf("/node-%06d", n)))
			return true
		}
	})
	if err != nil {
		return 0, 0, 0, err
	}
	if megabytes, err = resident(s); err != nil {
		return 0, 0, 0, err
	}
	if err = s.kill(); err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	started := make(chan error, 1)
	go func() { started <- s.start(ctx, dir) }()
	if err = session(ctx, s.addr()); err == nil {
		seconds = time.Since(began).Seconds()
	}
	if err = errors.Join(err, <-started); err != nil {
		return 0, 0, 0, err
	}
	c, err := dial(s.addr())
	if err != nil {
		return 0, 0, 0, err
	}
	defer c.conn.Close()
	err = c.do(zk.OpExists, &zk.ReadRequest{Path: fmt.Sprintf("/node-%06d", nodes-1)})
	return rate, megabytes, seconds, err
}

// session tries until it gets one. A ZooKeeper that is starting takes connections, and forgets them.
func session(ctx context.Context, addr string) error {
	for end := time.Now().Add(answerLimit); ; time.Sleep(time.Millisecond) {
		c, err := dialWithin(addr, 200*time.Millisecond)
		if err == nil {
			return c.conn.Close()
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// measureIdle opens sessions, as many at a time as one log write can take along, and looks when all are there.
func measureIdle(ctx context.Context, b *bench) error {
	sessions := either(b, 10_000, 500)
	ours := b.report.Figure(fmt.Sprintf("memory with %d idle sessions", sessions), "MB", "").AtMost(60)
	theirs := b.report.Figure("the same, ZooKeeper", "MB", "")
	for round := range min(b.rounds, 3) {
		for i, s := range b.sides() {
			dir, err := b.fresh(s, round+10)
			if err != nil {
				return err
			}
			if err := s.start(ctx, dir); err != nil {
				return err
			}
			mb, err := crowd(s, sessions)
			if err = errors.Join(err, s.stop()); err != nil {
				return err
			}
			[]interface{ Add(float64) }{ours, theirs}[i].Add(mb)
		}
	}
	return nil
}

func crowd(s server, sessions int) (megabytes float64, err error) {
	const atOnce = 64
	var mu sync.Mutex
	var all sync.WaitGroup
	var clients fleet
	for range atOnce {
		all.Go(func() {
			for range (sessions + atOnce - 1) / atOnce {
				c, e := dial(s.addr())
				mu.Lock()
				if e == nil {
					clients = append(clients, c)
				}
				err = errors.Join(err, e)
				mu.Unlock()
				if e != nil {
					return
				}
			}
		})
	}
	all.Wait()
	defer func() { clients.close() }()
	if err != nil {
		return 0, err
	}
	return resident(s)
}

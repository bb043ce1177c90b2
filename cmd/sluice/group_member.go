package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// member is a member of a group of the kind that Kafka had before 0.9: who is in it, who reads which partition, and how
// far each was read, are nodes of ZooKeeper's. Each member watches who comes and goes, computes the same assignment, and
// takes its partitions by making their owner nodes, which go with its session.
//
// A partition is read by one member at a time: offsets are read after its owner node was made, and that is given up only
// when reading has ended and the offset is committed. An offset is committed when the records before it were written.
// What a session has sent counts only while the session lives, and with it the owner nodes: nobody's late commit can
// undo a later owner's. Records are read twice if a member dies between writing and committing, and never missed.
type member struct {
	group, id, topic string
	assign           assignor
	backoff          time.Duration // rebalance.backoff.ms
	retries          int           // rebalance.max.retries
	commitEvery      time.Duration // auto.commit.interval.ms
	exit             bool          // the reader has enough when there is nothing to read
	reader           groupReader
	warn             func(format string, args ...any)

	s    *client.Session
	reg  *registry.Registry
	seen bool // the topic was there once

	mu        sync.Mutex
	owned     map[int32]bool
	positions map[int32]int64 // what to commit: the offset behind the last record that was written
	committed map[int32]int64 // what was
}

// groupReader reads partitions for a member.
type groupReader interface {
	// read reads the partitions from these offsets on, -1 where nothing was committed, until ctx ends or it has enough,
	// which it says by errHadEnough. It tells of each offset that it has come to, once what is before it was written.
	read(ctx context.Context, brokers []*registry.BrokerInfo, from map[int32]int64, reached func(partition int32, offset int64)) error
}

var errHadEnough = errors.New("enough")

// view is what a member sees of the group, and the watches that tell when it has changed.
type view struct {
	brokers []*registry.BrokerInfo
	mine    []int32
	stale   []<-chan zk.Event
}

// run takes part until ctx ends, the reader has enough or something fails. When the session expires it begins anew with
// another one, as the same member.
func (m *member) run(ctx context.Context, open func(ctx context.Context) (*client.Session, error)) error {
	for {
		s, err := open(ctx)
		if err != nil {
			return err
		}
		m.s, m.reg = s, registry.New(s, registry.Options{})
		m.owned, m.positions, m.committed = map[int32]bool{}, map[int32]int64{}, map[int32]int64{}
		err = m.participate(ctx)
		if !errors.Is(s.Err(), client.ErrExpired) {
			m.leave()
			return err
		}
		zkClose(s)
		if ctx.Err() != nil || errors.Is(err, errHadEnough) {
			return err
		}
		m.warn("the session with ZooKeeper has expired; joining the group again")
	}
}

// leaving is how long a member that ends waits for the server: else its nodes go with the session.
const leaving = 5 * time.Second

// leave commits and gives up everything.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaving)
	defer cancel()
	if err := m.release(ctx, nil); err != nil {
		m.warn("leaving the group: %v", err)
	}
	_ = m.reg.UnregisterConsumer(ctx, m.group, m.id) // goes with the session
	_ = m.s.Close(ctx)                               // ends by its time-out
}

// participate is the life of one session.
func (m *member) participate(ctx context.Context) error {
	err := m.reg.RegisterConsumer(ctx, m.group, &registry.Consumer{ID: m.id, Subscription: map[string]int32{m.topic: 1},
		Pattern: registry.StaticPattern})
	if err != nil {
		return err
	}
	changes, unsubscribe := m.s.Subscribe()
	defer unsubscribe()
	for tries := 0; ; {
		v, err := m.look(ctx)
		if err != nil {
			return err
		}
		err = m.take(ctx, v)
		switch {
		case err == nil:
			tries = 0
			err = m.readUntilStale(ctx, v, changes)
		case errors.Is(err, zk.NodeExists): // the one who had it has not given it up yet
			if tries++; tries > m.retries {
				err = fmt.Errorf("cannot rebalance after %d tries: %w", m.retries, err)
				break
			}
			err = m.pause(ctx)
		}
		m.unwatch(v)
		if err != nil {
			return err
		}
	}
}

func (m *member) pause(ctx context.Context) error {
	select {
	case <-time.After(m.backoff):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *member) unwatch(v *view) {
	for _, c := range v.stale {
		m.s.Unwatch(c)
	}
}

// look reads the state of the group, after setting watches on it.
func (m *member) look(ctx context.Context) (*view, error) {
	var v view
	ok := false
	defer func() {
		if !ok {
			m.unwatch(&v)
		}
	}()
	brokers, stale, err := m.reg.BrokersW(ctx)
	if v.brokers = brokers; stale != nil {
		v.stale = append(v.stale, stale)
	}
	if err != nil && len(brokers) == 0 {
		return nil, err
	}
	members, stale, err := m.reg.ConsumersW(ctx, m.group)
	if stale != nil {
		v.stale = append(v.stale, stale)
	}
	if _, strange := errors.AsType[*registry.DecodeError](err); strange {
		m.warn("left out: %v", err)
	} else if err != nil {
		return nil, err
	}
	if members, err = m.resolve(ctx, members, &v); err != nil {
		return nil, err
	}
	partitions, err := m.partitions(ctx, members, &v)
	if err != nil {
		return nil, err
	}
	for _, p := range m.assign(members, partitions)[m.id+"-0"] {
		if p.Topic == m.topic {
			v.mine = append(v.mine, p.Partition)
		}
	}
	ok = true
	return &v, nil
}

// resolve replaces subscriptions by pattern, which other consumers may have, by the topics that there are.
func (m *member) resolve(ctx context.Context, members []*registry.Consumer, v *view) ([]*registry.Consumer, error) {
	static := func(c *registry.Consumer) bool { return c.Pattern == registry.StaticPattern }
	if !slices.ContainsFunc(members, func(c *registry.Consumer) bool { return !static(c) }) {
		return members, nil
	}
	topics, stale, err := m.reg.TopicsW(ctx)
	if err != nil {
		return nil, err
	}
	v.stale = append(v.stale, stale)
	return slices.DeleteFunc(members, func(c *registry.Consumer) bool {
		if static(c) {
			return false
		}
		err := matchTopics(c, topics)
		if err != nil {
			m.warn("left out: consumer %s: %v", c.ID, err)
		}
		return err != nil
	}), nil
}

// partitions is how many partitions the topics have that somebody in the group wants.
func (m *member) partitions(ctx context.Context, members []*registry.Consumer, v *view) (map[string]int, error) {
	counts := map[string]int{m.topic: 0}
	for _, c := range members {
		for topic := range c.Subscription {
			counts[topic] = 0
		}
	}
	for topic := range counts {
		t, stale, err := m.reg.TopicW(ctx, topic)
		switch {
		case err == nil:
			counts[topic] = len(t.Partitions)
			m.seen = m.seen || topic == m.topic
		case !errors.Is(err, registry.ErrNotFound):
			return nil, err
		case topic == m.topic && !m.seen:
			return nil, kafkaError("topic "+topic, kerr.UnknownTopicOrPartition, "")
		default: // it may come again
			if _, stale, err = m.reg.TopicsW(ctx); err != nil {
				return nil, err
			}
		}
		v.stale = append(v.stale, stale)
	}
	return counts, nil
}

// take makes what is owned what it has to be. Nothing is being read.
func (m *member) take(ctx context.Context, v *view) error {
	if err := m.release(ctx, v.mine); err != nil {
		return err
	}
	for _, p := range v.mine {
		if m.owned[p] {
			continue
		}
		at := registry.TopicPartition{Topic: m.topic, Partition: p}
		if err := m.reg.ClaimPartition(ctx, m.group, at, m.id, 0); err != nil {
			return err
		}
		m.owned[p] = true
		offset, found, err := m.reg.Offset(ctx, m.group, at)
		if err != nil {
			return err
		}
		if !found {
			offset = -1
		}
		m.positions[p], m.committed[p] = offset, offset
	}
	return nil
}

// release commits, and gives up what is owned but for some.
func (m *member) release(ctx context.Context, but []int32) error {
	if err := m.commit(ctx); err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(m.owned)) {
		if slices.Contains(but, p) {
			continue
		}
		if err := m.reg.ReleasePartition(ctx, m.group, registry.TopicPartition{Topic: m.topic, Partition: p}); err != nil {
			return err
		}
		delete(m.owned, p)
		delete(m.positions, p)
		delete(m.committed, p)
	}
	return nil
}

// commit writes the offsets that are newer than those written before.
func (m *member) commit(ctx context.Context) error {
	m.mu.Lock()
	due := map[int32]int64{}
	for p, offset := range m.positions {
		if offset != m.committed[p] {
			due[p] = offset
		}
	}
	m.mu.Unlock()
	errs := make([]error, 0, len(due))
	var wg sync.WaitGroup
	var mu sync.Mutex
	for p, offset := range due {
		wg.Go(func() {
			err := m.reg.SetOffset(ctx, m.group, registry.TopicPartition{Topic: m.topic, Partition: p}, offset)
			mu.Lock()
			defer mu.Unlock()
			if errs = append(errs, err); err == nil {
				m.committed[p] = offset
			}
		})
	}
	wg.Wait()
	return firstError(errs...)
}

func (m *member) reached(partition int32, offset int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.positions[partition] = offset
}

// readUntilStale reads what is owned until the group has changed, so that the assignment has to be looked at again, or
// the session may have ended. Then nothing is being read any more.
func (m *member) readUntilStale(ctx context.Context, v *view, changes <-chan client.State) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	switch {
	case len(v.mine) == 0: // more members than partitions
		if m.exit {
			return errHadEnough
		}
	case len(v.brokers) == 0:
		m.warn("no broker is registered; waiting for one")
	default:
		from := maps.Clone(m.positions)
		go func() { ended <- m.reader.read(reading, v.brokers, from, m.reached) }()
		defer func() { stop(); <-ended }()
	}
	stale, forget := anyOf(reading, v.stale)
	defer forget()
	ticks := time.NewTicker(m.commitEvery)
	defer ticks.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err // for the one who waits below
			return err
		case <-stale:
			return nil
		case state := <-changes:
			if state.Over() {
				return m.s.Err()
			}
			if state == client.Lapsed {
				stop()
				return m.awaitSession(ctx, changes)
			}
		case <-ticks.C:
			if m.s.State() == client.Connected {
				if err := m.commit(reading); err != nil && !errors.Is(err, client.ErrConnectionLoss) {
					return err
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitSession waits until the session is known to live, or not. Others may read its partitions meanwhile.
func (m *member) awaitSession(ctx context.Context, changes <-chan client.State) error {
	m.warn("no answer from ZooKeeper for so long that the session may have ended; reading stops until there is one")
	for {
		select {
		case state := <-changes:
			if state == client.Connected {
				return nil
			}
			if state.Over() {
				return m.s.Err()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// anyOf is closed when any of the watches has fired; forget waits for its goroutines.
func anyOf(ctx context.Context, watches []<-chan zk.Event) (fired <-chan struct{}, forget func()) {
	ctx, cancel := context.WithCancel(ctx)
	c := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for _, w := range watches {
		wg.Go(func() {
			select {
			case <-w:
				once.Do(func() { close(c) })
			case <-ctx.Done():
			}
		})
	}
	return c, func() { cancel(); wg.Wait() }
}

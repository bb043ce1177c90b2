package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// multi is one transaction, repeated until its outcome is known.
func (r *Registry) multi(ctx context.Context, ops ...op) (results []result, lost bool, err error) {
	lost, err = again(ctx, func() (err error) {
		results, err = r.s.transact(ctx, ops)
		return err
	})
	return results, lost, err
}

// fenced is a transaction of a controller: nothing of it happens, and ErrFenced is returned, if somebody else was
// elected after c (KAFKA-6082). Results are of ops alone.
func (r *Registry) fenced(ctx context.Context, c Controller, ops ...op) (results []result, lost bool, err error) {
	all := append(make([]op, 0, len(ops)+1), opCheck(ControllerEpochPath, c.EpochVersion))
	results, lost, err = r.multi(ctx, append(all, ops...)...)
	if len(results) == 0 {
		return nil, lost, err
	}
	if e := results[0].err; errors.Is(e, zk.BadVersion) || errors.Is(e, zk.NoNode) {
		return nil, lost, fmt.Errorf("%w: epoch %d of broker %d is over", ErrFenced, c.Epoch, c.ID)
	}
	return results[1:], lost, err
}

// failedPart is the index of the part that made a transaction fail, -1 if none is to blame.
func failedPart(results []result) int {
	for i := range results {
		if e := results[i].err; e != nil && !errors.Is(e, zk.RuntimeInconsistency) {
			return i
		}
	}
	return -1
}

// ownFault tells whether a transaction failed by what it found in the tree, so that its parts may fare better alone.
func ownFault(err error) bool {
	return errors.Is(err, zk.NodeExists) || errors.Is(err, zk.NoNode) || errors.Is(err, zk.BadVersion) ||
		errors.Is(err, zk.NotEmpty)
}

// Bounds of one of many transactions: a quarter of what a packet may have by default, so that other requests of the
// session do not wait for long; and how many of them are under way.
const (
	batchBytes    = 256 << 10
	batchInFlight = 4
)

// things are n independent pieces of a controller's work: the parts of each, what to do with their results, and how to do
// one alone.
type things struct {
	n     int
	parts func(i int) []op
	done  func(i int, results []result) // may be nil
	alone func(i int) error
}

// many does things in as few transactions as the bounds allow. If one fails by what it found in the tree, alone is
// called for each of its things, several at the same time. An error of alone, or any other trouble, ends it all.
func (r *Registry) many(ctx context.Context, c Controller, t things) error {
	type batch struct {
		from, to int
		ops      []op
	}
	var batches []batch
	limit, size := min(batchBytes, r.opt.MaxPacket/2), 0
	for i := range t.n {
		parts, bytes := t.parts(i), 0
		for j := range parts {
			bytes += parts[j].size()
		}
		if size += bytes; size > limit || i == 0 {
			batches = append(batches, batch{from: i})
			size = bytes
		}
		b := &batches[len(batches)-1]
		b.to, b.ops = i+1, append(b.ops, parts...)
	}
	return each(len(batches), batchInFlight, func(i int) error {
		b := &batches[i]
		results, _, err := r.fenced(ctx, c, b.ops...)
		switch {
		case ownFault(err):
			return each(b.to-b.from, inFlight, func(i int) error { return t.alone(b.from + i) })
		case err != nil || t.done == nil:
			return err
		}
		per := len(b.ops) / (b.to - b.from) // all things have the same number of parts
		for i := b.from; i < b.to; i++ {
			t.done(i, results[:per])
			results = results[per:]
		}
		return nil
	})
}

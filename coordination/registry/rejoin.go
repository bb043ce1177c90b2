package registry

import (
	"context"
	"errors"
	"math"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// What a broker needs that was there before its coordinator was, or before it crashed.

// FindClusterID is the cluster's id, "" if there is none.
func (r *Registry) FindClusterID(ctx context.Context) (string, error) {
	data, _, err := r.get(ctx, ClusterIDPath)
	if errors.Is(err, zk.NoNode) {
		return "", nil
	}
	if err != nil {
		return "", at(ClusterIDPath, err)
	}
	return decodeClusterID(data)
}

// OfferClusterID is ClusterID for a broker whose log directories have an id already: a cluster that has none gets id.
func (r *Registry) OfferClusterID(ctx context.Context, id string) (string, error) {
	err := r.createDeep(ctx, ClusterIDPath, encodeClusterID(id))
	if err != nil && !errors.Is(err, zk.NodeExists) {
		return "", at(ClusterIDPath, err)
	}
	return r.ClusterID(ctx)
}

// ForgetController removes the controller's node if it is of an earlier session of the caller, which the server may not
// have ended yet; as Register does with a registration. 0: there was none.
func (r *Registry) ForgetController(ctx context.Context, previous int64) error {
	if previous == 0 || previous == r.s.ID() {
		return nil
	}
	// The version of the epoch comes first: if somebody else is elected after that, it differs, and his node stays.
	_, version, err := r.controllerEpoch(ctx)
	if err != nil {
		return err
	}
	c, err := r.Controller(ctx)
	if err != nil || c.ID == NoController || c.Session != previous {
		return err
	}
	return r.Resign(ctx, Controller{ID: c.ID, EpochVersion: version})
}

// SkipProducerIDs has the next block of producer ids begin at first or later: those below it have been given out in some
// other way.
func (r *Registry) SkipProducerIDs(ctx context.Context, broker int32, first int64) error {
	if first <= 0 || first == math.MaxInt64 {
		return nil
	}
	return r.swap(ctx, ProducerIDsPath, true, func(old []byte) ([]byte, error) {
		b := ProducerIDBlock{Broker: broker, First: max(first-producerIDBlock, 0), Last: first - 1}
		if len(old) > 0 {
			last, err := decodeProducerIDs(old)
			if err != nil {
				return nil, err
			}
			if last.Last >= b.Last {
				b = last
			}
		}
		return b.encode(), nil
	})
}

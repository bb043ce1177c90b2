package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Register makes the broker's ephemeral node and returns its broker epoch. A zero Timestamp is set to now.
//
// If the node is there: one of the same session is brought up to date; one of previous, the session that this process
// had before (0: none), which the server may not have removed yet, is deleted and made anew (KAFKA-7165); any other is
// a *BrokerExistsError. A host and port that another broker advertises is ErrEndpointTaken.
func (r *Registry) Register(ctx context.Context, b BrokerInfo, previous int64) (epoch int64, err error) {
	if b.Timestamp == 0 {
		b.Timestamp = r.opt.Now().UnixMilli()
	}
	if err := b.check(); err != nil {
		return 0, err
	}
	if err := r.checkEndpoints(ctx, &b); err != nil {
		return 0, err
	}
	path, data := BrokerPath(b.ID), b.encode()
	for {
		// Two steps, since only the second one tells the czxid; the version is 1 after them, as Kafka has it.
		results, _, err := r.multi(ctx, r.opCreate(path, nil, zk.Ephemeral), opSet(path, data, 0))
		if err == nil {
			return results[1].stat.Czxid, nil
		}
		switch failed := failedPart(results); {
		case errors.Is(err, zk.NoNode) && failed == 0:
			if err := r.ensure(ctx, BrokerIDsPath); err != nil {
				return 0, err
			}
			continue
		case !errors.Is(err, zk.NodeExists):
			return 0, at(path, err)
		}
		epoch, err := r.takeOver(ctx, path, data, previous)
		if epoch != 0 || err != nil {
			return epoch, err
		}
	}
}

// takeOver looks at a registration that is in the way. It returns its epoch if it is ours, and 0 if it is gone.
func (r *Registry) takeOver(ctx context.Context, path string, data []byte, previous int64) (epoch int64, err error) {
	old, stat, err := r.get(ctx, path)
	switch {
	case errors.Is(err, zk.NoNode):
		return 0, nil
	case err != nil:
		return 0, at(path, err)
	case stat.EphemeralOwner == r.s.ID():
		if string(old) != string(data) { // else it was our own lost reply
			if _, err := r.set(ctx, path, data, -1); errors.Is(err, zk.NoNode) {
				return 0, nil
			} else if err != nil {
				return 0, at(path, err)
			}
		}
		return stat.Czxid, nil
	case previous != 0 && stat.EphemeralOwner == previous:
		err := r.remove(ctx, path, stat.Version)
		if errors.Is(err, ErrChanged) {
			return 0, nil // somebody was quicker; look again
		}
		return 0, err
	}
	id, _ := strconv.ParseInt(zk.Base(path), 10, 32)
	e := &BrokerExistsError{ID: int32(id), Session: stat.EphemeralOwner, Address: string(old)}
	if b, err := decodeBroker(e.ID, old); err == nil {
		e.Address = joinEndpoints(b.Endpoints)
	}
	return 0, e
}

func joinEndpoints(list []Endpoint) string {
	s := make([]string, len(list))
	for i, e := range list {
		s[i] = e.String()
	}
	return strings.Join(s, ",")
}

// checkEndpoints keeps a host and port from being advertised twice, which stops a Kafka broker from starting. Others'
// registrations that cannot be understood are passed over: they are not our fault.
func (r *Registry) checkEndpoints(ctx context.Context, b *BrokerInfo) error {
	others, err := r.Brokers(ctx)
	var broken *DecodeError
	if err != nil && !errors.As(err, &broken) {
		return err
	}
	for _, o := range others {
		if o.ID == b.ID {
			continue
		}
		for _, e := range b.Endpoints {
			if slices.ContainsFunc(o.Endpoints, func(x Endpoint) bool { return x.Host == e.Host && x.Port == e.Port }) {
				return fmt.Errorf("%w: %s, by broker %d", ErrEndpointTaken, e, o.ID)
			}
		}
	}
	return nil
}

// UpdateBroker changes what the registration of this session says; the broker epoch stays.
func (r *Registry) UpdateBroker(ctx context.Context, b BrokerInfo) error {
	if b.Timestamp == 0 {
		b.Timestamp = r.opt.Now().UnixMilli()
	}
	if err := b.check(); err != nil {
		return err
	}
	if err := r.owned(ctx, b.ID); err != nil {
		return err
	}
	_, err := r.set(ctx, BrokerPath(b.ID), b.encode(), -1)
	return at(BrokerPath(b.ID), err)
}

// owned is ErrNotRegistered if the broker's node is not this session's. Nobody can take a node away from a session
// that lasts, but by deleting it.
func (r *Registry) owned(ctx context.Context, id int32) error {
	stat, found, err := r.exists(ctx, BrokerPath(id))
	if err != nil {
		return at(BrokerPath(id), err)
	}
	if !found || stat.EphemeralOwner != r.s.ID() {
		return ErrNotRegistered
	}
	return nil
}

// Unregister removes the registration of this session; ErrNotRegistered if it has none.
func (r *Registry) Unregister(ctx context.Context, id int32) error {
	if err := r.owned(ctx, id); err != nil {
		return err
	}
	return r.remove(ctx, BrokerPath(id), -1)
}

// Broker is one registration; ErrNotFound if there is none.
func (r *Registry) Broker(ctx context.Context, id int32) (*BrokerInfo, error) {
	data, stat, err := r.get(ctx, BrokerPath(id))
	if err != nil {
		return nil, at(BrokerPath(id), err)
	}
	return readBroker(id, data, stat)
}

// BrokerW is Broker with a watch for changes of the registration and its end.
func (r *Registry) BrokerW(ctx context.Context, id int32) (*BrokerInfo, <-chan zk.Event, error) {
	data, stat, stale, err := r.getW(ctx, BrokerPath(id))
	if err != nil {
		return nil, nil, at(BrokerPath(id), err)
	}
	b, err := readBroker(id, data, stat)
	return b, stale, err
}

func readBroker(id int32, data []byte, stat zk.Stat) (*BrokerInfo, error) {
	b, err := decodeBroker(id, data)
	if err != nil {
		return nil, err
	}
	b.Epoch, b.Session = stat.Czxid, stat.EphemeralOwner
	return b, nil
}

// Brokers are the registered brokers by id. If some cannot be understood, the others are returned with the error,
// which has a *DecodeError for each.
func (r *Registry) Brokers(ctx context.Context) ([]*BrokerInfo, error) {
	names, err := r.children(ctx, BrokerIDsPath)
	if err != nil {
		return nil, err
	}
	return r.readBrokers(ctx, names)
}

// BrokersW is Brokers with a watch for brokers that come and go; that a registration is replaced or changed it does
// not tell, see BrokerW.
func (r *Registry) BrokersW(ctx context.Context) ([]*BrokerInfo, <-chan zk.Event, error) {
	names, stale, err := r.childrenW(ctx, BrokerIDsPath)
	if err != nil {
		return nil, nil, err
	}
	list, err := r.readBrokers(ctx, names)
	return list, stale, err
}

func (r *Registry) readBrokers(ctx context.Context, names []string) ([]*BrokerInfo, error) {
	list := make([]*BrokerInfo, len(names))
	broken := make([]error, len(names))
	err := each(len(names), inFlight, func(i int) error {
		id, err := strconv.ParseInt(names[i], 10, 32)
		if err != nil {
			broken[i] = &DecodeError{BrokerIDsPath + "/" + names[i], errors.New("the name is no broker id")}
			return nil
		}
		var bad *DecodeError
		switch list[i], err = r.Broker(ctx, int32(id)); {
		case errors.Is(err, ErrNotFound): // gone since
			return nil
		case errors.As(err, &bad):
			broken[i] = err
			return nil
		}
		return err
	})
	list = slices.DeleteFunc(list, func(b *BrokerInfo) bool { return b == nil })
	slices.SortFunc(list, func(a, b *BrokerInfo) int { return int(a.ID) - int(b.ID) })
	return list, errors.Join(append(broken, err)...)
}

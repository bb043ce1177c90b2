package registry

import (
	"context"
	"errors"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Config is an entity's configuration, by Kafka's keys; empty if it has none.
func (r *Registry) Config(ctx context.Context, e Entity) (map[string]string, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	data, _, err := r.get(ctx, e.Path())
	if errors.Is(err, zk.NoNode) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, at(e.Path(), err)
	}
	return decodeConfig(e.Path(), data)
}

// SetConfig replaces an entity's configuration and notifies all brokers. ErrKRaft.
func (r *Registry) SetConfig(ctx context.Context, e Entity, values map[string]string) error {
	return r.UpdateConfig(ctx, e, func(map[string]string) (map[string]string, error) { return values, nil })
}

// UpdateConfig changes an entity's configuration and notifies all brokers. change gets the one that is there, empty if
// there is none, and returns the new one; it may change and return its argument. It is called again if somebody else
// was quicker. An error of it is returned, and nothing is written then. ErrKRaft.
func (r *Registry) UpdateConfig(ctx context.Context, e Entity, change func(map[string]string) (map[string]string, error)) error {
	if err := e.check(); err != nil {
		return err
	}
	if c, err := r.Controller(ctx); err == nil && c.KRaftEpoch > 0 {
		return ErrKRaft // it would not see what is written here
	}
	err := r.swap(ctx, e.Path(), true, func(old []byte) ([]byte, error) {
		values, err := decodeConfig(e.Path(), old)
		if err != nil {
			return nil, err
		}
		if values, err = change(values); err != nil {
			return nil, err
		}
		return encodeConfig(values), nil
	})
	if err == nil {
		err = r.dropQuota(ctx, e)
	}
	if err != nil {
		return err
	}
	return r.NotifyConfig(ctx, e)
}

// dropQuota removes the nodes of users, clients and addresses that have no settings left, since there may be ever new
// ones of them (AdminZkClient.tryCleanQuotaNodes).
func (r *Registry) dropQuota(ctx context.Context, e Entity) error {
	if t := e.Type(); t != UserType && t != ClientType && t != IPType {
		return nil
	}
	// A client of a user has two nodes above it, which go too if they are left without use.
	for path := e.Path(); zk.Parent(path) != ConfigPath; path = zk.Parent(path) {
		gone, err := r.dropEmpty(ctx, path, func(data []byte) (bool, error) {
			values, err := decodeConfig(path, data)
			return len(values) == 0, err
		})
		if err != nil || !gone {
			return err
		}
	}
	return nil
}

// DeleteConfig removes an entity's configuration, with those of the clients if it is a user, and notifies all brokers.
func (r *Registry) DeleteConfig(ctx context.Context, e Entity) error {
	if err := e.check(); err != nil {
		return err
	}
	if err := r.removeTree(ctx, e.Path()); err != nil {
		return err
	}
	return r.NotifyConfig(ctx, e)
}

// removeTree removes a node with all below it, if it is there.
func (r *Registry) removeTree(ctx context.Context, path string) error {
	for {
		err := r.remove(ctx, path, -1)
		if !errors.Is(err, zk.NotEmpty) {
			return err
		}
		names, err := r.children(ctx, path)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := r.removeTree(ctx, path+"/"+name); err != nil {
				return err
			}
		}
	}
}

// NotifyConfig tells all brokers that an entity's configuration has changed.
func (r *Registry) NotifyConfig(ctx context.Context, e Entity) error {
	return r.append(ctx, ConfigChangesPath+"/"+configChangePrefix, encodeConfigChange(e))
}

// Entities are those of a type that have a node, the pairs of users and clients included; not each has values.
func (r *Registry) Entities(ctx context.Context, kind string) ([]Entity, error) {
	names, err := r.children(ctx, ConfigPath+"/"+kind)
	if err != nil {
		return nil, err
	}
	list := make([]Entity, len(names))
	clients := make([][]string, len(names))
	for i, name := range names {
		list[i] = Entity(kind + "/" + name)
	}
	if kind != UserType {
		return list, nil
	}
	err = each(len(list), inFlight, func(i int) (err error) {
		clients[i], err = r.children(ctx, list[i].Path()+"/"+ClientType)
		return err
	})
	for i := range names {
		for _, c := range clients[i] {
			list = append(list, list[i]+"/"+ClientType+"/"+Entity(c))
		}
	}
	return list, err
}

// Configs are the configurations of all entities of a type. If some cannot be understood, the others are returned with
// the error, which has a *DecodeError for each.
func (r *Registry) Configs(ctx context.Context, kind string) (map[Entity]map[string]string, error) {
	list, err := r.Entities(ctx, kind)
	if err != nil {
		return nil, err
	}
	values, broken := make([]map[string]string, len(list)), make([]error, len(list))
	err = each(len(list), inFlight, func(i int) (err error) {
		var bad *DecodeError
		if values[i], err = r.Config(ctx, list[i]); errors.As(err, &bad) || errors.Is(err, ErrBadName) {
			values[i], broken[i] = nil, err
			return nil
		}
		return err
	})
	all := map[Entity]map[string]string{}
	for i, e := range list {
		if len(values[i]) > 0 {
			all[e] = values[i]
		}
	}
	return all, errors.Join(append(broken, err)...)
}

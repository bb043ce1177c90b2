package registry

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// PrepareACLs makes the nodes that ACLs and their notifications are under, as far as they are not there. A broker with
// an authorizer does so at its start.
func (r *Registry) PrepareACLs(ctx context.Context) error {
	for _, root := range [...]string{ACLPath, ACLExtendedPath + "/prefixed"} {
		for kind := range aclTypes {
			if err := r.ensure(ctx, root+"/"+kind); err != nil {
				return err
			}
		}
	}
	return errors.Join(r.ensure(ctx, ACLChangesPath), r.ensure(ctx, ACLExtendedChanges))
}

// ACLs are those of a resource, none if it has no node.
func (r *Registry) ACLs(ctx context.Context, res Resource) ([]ACL, error) {
	if err := res.check(); err != nil {
		return nil, err
	}
	data, _, err := r.get(ctx, res.Path())
	if errors.Is(err, zk.NoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, at(res.Path(), err)
	}
	return decodeACLs(res.Path(), data)
}

// UpdateACLs changes a resource's ACLs and notifies all brokers. change gets those that are there and returns the new
// ones; it may change and return its argument. It is called again if somebody else was quicker. Without any left, the
// node goes.
func (r *Registry) UpdateACLs(ctx context.Context, res Resource, change func([]ACL) []ACL) error {
	if err := res.check(); err != nil {
		return err
	}
	path := res.Path()
	err := r.swap(ctx, path, true, func(old []byte) ([]byte, error) {
		list, err := decodeACLs(path, old)
		if err != nil {
			return nil, err
		}
		return encodeACLs(change(list)), nil
	})
	if err == nil {
		_, err = r.dropEmpty(ctx, path, func(data []byte) (bool, error) {
			list, err := decodeACLs(path, data)
			return len(list) == 0, err
		})
	}
	if err != nil {
		return err
	}
	changesPath := ACLChangesPath
	if res.Prefixed {
		changesPath = ACLExtendedChanges
	}
	return r.append(ctx, changesPath+"/"+aclChangePrefix, res.encodeChange())
}

// AllACLs are the ACLs of all resources. If some cannot be understood, the others are returned with the error, which
// has a *DecodeError for each.
func (r *Registry) AllACLs(ctx context.Context) (map[Resource][]ACL, error) {
	var list []Resource
	for _, prefixed := range [...]bool{false, true} {
		for kind := range aclTypes {
			names, err := r.children(ctx, Resource{Type: kind, Prefixed: prefixed}.parent())
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				list = append(list, Resource{kind, name, prefixed})
			}
		}
	}
	acls, broken := make([][]ACL, len(list)), make([]error, len(list))
	err := each(len(list), inFlight, func(i int) (err error) {
		var bad *DecodeError
		if acls[i], err = r.ACLs(ctx, list[i]); errors.As(err, &bad) {
			acls[i], broken[i] = nil, err
			return nil
		}
		return err
	})
	all := map[Resource][]ACL{}
	for i, res := range list {
		if len(acls[i]) > 0 {
			all[res] = slices.Clip(acls[i])
		}
	}
	return all, errors.Join(append(broken, err)...)
}

package client

import (
	"context"
	"errors"
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// full is the server's path of one that a caller gave.
func (s *Session) full(path string, op zk.Op) (string, error) {
	if err := zk.CheckPath(path); err != nil {
		return "", &OpError{Op: op, Path: path, Err: &pathError{err}}
	}
	return s.below(path), nil
}

// below is full without the check.
func (s *Session) below(path string) string {
	switch {
	case s.cfg.Chroot == "":
		return path
	case path == "/":
		return s.cfg.Chroot
	}
	return s.cfg.Chroot + path
}

// pathError is a path that no node can have. It is zk.BadArguments.
type pathError struct{ error }

func (e *pathError) Unwrap() error { return zk.BadArguments }

// stripped is the path as callers know it; false if it is outside the chroot.
func (s *Session) stripped(path string) (string, bool) {
	root := s.cfg.Chroot
	switch {
	case root == "":
		return path, true
	case path == root:
		return "/", true
	case strings.HasPrefix(path, root) && path[len(root)] == '/':
		return path[len(root):], true
	}
	return path, false
}

// strip is stripped, where an answer cannot be outside.
func (s *Session) strip(path string) string {
	p, _ := s.stripped(path)
	return p
}

// MakeChroot creates the nodes of Config.Chroot that are not there, open to everybody, as Kafka does.
func (s *Session) MakeChroot(ctx context.Context) error {
	if s.cfg.Chroot == "" {
		return nil
	}
	return makeAll(s.cfg.Chroot, zk.OpenACL, func(path string, acl []zk.ACL) error {
		return Retry(ctx, func() error {
			return s.do(ctx, newCall(zk.OpCreate, path, &zk.CreateRequest{Path: path, ACL: acl}, decodePath))
		})
	})
}

// MakePath creates the persistent node of a path and those above it, without data, where they are not there.
func (s *Session) MakePath(ctx context.Context, path string, acl []zk.ACL) error {
	if err := zk.CheckPath(path); err != nil {
		return &OpError{Op: zk.OpCreate, Path: path, Err: &pathError{err}}
	}
	if path == "/" && s.cfg.Chroot != "" {
		return s.chrootIsThere(ctx)
	}
	return makeAll(path, acl, func(path string, acl []zk.ACL) error {
		return Retry(ctx, func() error {
			_, _, err := s.Create(ctx, path, nil, acl, zk.Persistent)
			return err
		})
	})
}

// chrootIsThere fails if it is not: it is for MakeChroot to make.
func (s *Session) chrootIsThere(ctx context.Context) error {
	var found bool
	err := Retry(ctx, func() (err error) {
		_, found, err = s.Exists(ctx, "/")
		return err
	})
	if err == nil && !found {
		err = &OpError{Op: zk.OpCreate, Path: s.cfg.Chroot, Err: zk.NoNode}
	}
	return err
}

// makeAll creates the node, and what is above it if that is missing.
func makeAll(path string, acl []zk.ACL, create func(string, []zk.ACL) error) error {
	if path == "/" {
		return nil
	}
	err := create(path, acl)
	if errors.Is(err, zk.NoNode) {
		if err := makeAll(zk.Parent(path), acl, create); err != nil {
			return err
		}
		err = create(path, acl)
	}
	if errors.Is(err, zk.NodeExists) {
		return nil
	}
	return err
}

// Retry calls f again as long as its connection breaks under it (ErrConnectionLoss) and ctx goes on. f has to be
// something that may happen twice: a read, or a write after which a second one fails or changes nothing.
func Retry(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !errors.Is(err, ErrConnectionLoss) || ctx.Err() != nil {
			return err
		}
	}
}

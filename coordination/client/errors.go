package client

import (
	"errors"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Errors besides those of package zk (zk.NoNode, zk.BadVersion, …), all for errors.Is.
const (
	// ErrConnectionLoss: the request was sent and its connection broke before the answer; what became of it is unknown.
	ErrConnectionLoss = zk.ConnectionLoss
	// ErrExpired: the server has ended the session.
	ErrExpired = zk.SessionExpired
	// ErrAuthFailed: the server does not take one of Config.Auth. The session is over.
	ErrAuthFailed = zk.AuthFailed
)

var (
	// ErrClosed: Close was called.
	ErrClosed = errors.New("zookeeper: session closed")
	// ErrBehind: no server can be reached that has all that was seen from there before. Either an older state was
	// restored or the data is lost; the session goes on trying.
	ErrBehind = errors.New("zookeeper: the server is behind what was seen from it before")
	// ErrTooLarge: the request is larger than servers take (jute.maxbuffer). It was not sent.
	ErrTooLarge = errors.New("zookeeper: request too large")
)

// OpError is a request that failed. Err is a zk.Error, one of those above, or a context's.
type OpError struct {
	Op   zk.Op
	Path string // as the caller gave it, "" for none
	Err  error
}

func (e *OpError) Error() string {
	if e.Path == "" {
		return e.Op.String() + ": " + e.Err.Error()
	}
	return e.Op.String() + " " + e.Path + ": " + e.Err.Error()
}

// Unwrap is for errors.Is.
func (e *OpError) Unwrap() error { return e.Err }
